"""Every route and option of a running server through the official clients. Called with its address and,
where not all are wanted, tests' names.
"""

import json
import sys
import unittest

import anthropic
import openai

ADDRESS = sys.argv[1]
MESSAGES = [{"role": "user", "content": "Name three colours."}]
PARAMETERS = {"type": "object", "properties": {"colour": {"enum": ["red", "green"]}}, "required": ["colour"]}
PAINT = {"name": "paint", "description": "Paints.", "parameters": PARAMETERS}
NO_TOOLS = "the model's template has no tools"


class OpenAi(unittest.TestCase):
    def setUp(self):
        self.client = openai.OpenAI(base_url=ADDRESS + "/v1", api_key="-", max_retries=0, timeout=300)
        self.model = self.client.models.list().data[0].id

    def chat(self, **options):
        options = {"model": self.model, "messages": MESSAGES, "max_tokens": 24, "temperature": 0, **options}
        return self.client.chat.completions.create(**options)

    def test_models(self):
        self.assertEqual([m.object for m in self.client.models.list().data], ["model"])

    def test_chat_and_stream_say_the_same(self):
        whole = self.chat()
        self.assertEqual(whole.choices[0].message.role, "assistant")
        self.assertEqual(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens)
        self.assertGreaterEqual(whole.usage.completion_tokens_details.accepted_prediction_tokens, 0)
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}))
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks if c.choices), whole.choices[0].message.content)
        self.assertEqual(chunks[-1].usage.completion_tokens, whole.usage.completion_tokens)
        self.assertEqual(chunks[-2].choices[0].finish_reason, whole.choices[0].finish_reason)

    def test_speculation_changes_no_text(self):
        texts = {self.chat(temperature=t, seed=7, extra_body={"speculation": s}).choices[0].message.content
                 for t in (0,) for s in ({}, {"off": True}, {"draft_max": 1})}
        self.assertEqual(len(texts), 1)
        texts = {self.chat(temperature=0.8, seed=7, extra_body={"speculation": s}).choices[0].message.content
                 for s in ({}, {"off": True})}
        self.assertEqual(len(texts), 1)
        traced = list(self.chat(stream=True, extra_body={"speculation": {"origins": True}}))
        pieces = [p for c in traced for p in (c.choices[0].model_extra.get("speculation") or {"pieces": []})["pieces"]]
        self.assertEqual("".join(p["text"] for p in pieces), self.chat().choices[0].message.content)

    def test_sampling(self):
        for options in ({"top_p": 0.5}, {"presence_penalty": 1}, {"frequency_penalty": 1}, {"logit_bias": {"5": -100}},
                        {"extra_body": {"top_k": 5, "min_p": 0.1, "repeat_penalty": 1.1, "ignore_eos": True}}):
            self.assertEqual(*(self.chat(temperature=0.9, seed=3, **options).choices[0].message.content for _ in range(2)))
        self.assertIn(self.chat(max_tokens=1).choices[0].finish_reason, ("length", "stop"))
        self.assertLessEqual(self.chat(max_completion_tokens=3, max_tokens=openai.NOT_GIVEN).usage.completion_tokens, 3)

    def test_choices_stops_logprobs(self):
        many = self.chat(n=3, temperature=1, seed=5)
        self.assertEqual([c.index for c in many.choices], [0, 1, 2])
        text = self.chat().choices[0].message.content
        stopped = self.chat(stop=text[4:6]).choices[0]
        self.assertEqual((stopped.message.content, stopped.finish_reason), (text[:text.index(text[4:6])], "stop"))
        content = self.chat(logprobs=True, top_logprobs=2, max_tokens=4).choices[0].logprobs.content
        self.assertTrue(all(len(t.top_logprobs) == 2 and t.logprob <= 0 for t in content))

    def test_completions(self):
        create = self.client.completions.create
        whole = create(model=self.model, prompt="One, two,", max_tokens=8, temperature=0, logprobs=1, echo=True)
        self.assertTrue(whole.choices[0].text.startswith("One, two,"))
        many = create(model=self.model, prompt=["a", "b"], n=2, max_tokens=3)
        self.assertEqual(len(many.choices), 4)
        chunks = create(model=self.model, prompt="One, two,", max_tokens=8, temperature=0, stream=True)
        self.assertEqual("One, two," + "".join(c.choices[0].text for c in chunks), whole.choices[0].text)

    def test_responses(self):
        create = self.client.responses.create
        settings = {"model": self.model, "max_output_tokens": 24, "temperature": 0}
        whole = create(input="Name three colours.", **settings)
        self.assertEqual(whole.output_text, self.chat().choices[0].message.content)
        listed = create(input=MESSAGES, instructions="Be brief.", **settings)
        self.assertEqual(listed.usage.total_tokens, listed.usage.input_tokens + listed.usage.output_tokens)
        events = list(create(input="Name three colours.", stream=True, **settings))
        self.assertEqual("".join(e.delta for e in events if e.type == "response.output_text.delta"), whole.output_text)
        self.assertEqual(events[-1].response.output_text, whole.output_text)
        with self.assertRaises(openai.BadRequestError) as caught:
            create(input="a", previous_response_id="resp_1", **settings)
        self.assertEqual(caught.exception.param, "previous_response_id")

    def test_tools(self):
        options = {"tools": [{"type": "function", "function": PAINT}], "tool_choice": "required", "parallel_tool_calls": False,
                   "max_tokens": 200}
        try:
            answer = self.chat(**options).choices[0]
        except openai.BadRequestError as error:
            self.assertEqual(error.param, "tools")
            self.skipTest(NO_TOOLS)
        (call,) = answer.message.tool_calls
        self.assertEqual((answer.finish_reason, call.function.name), ("tool_calls", "paint"))
        self.assertIn(json.loads(call.function.arguments)["colour"], ("red", "green"))
        with self.client.chat.completions.stream(model=self.model, messages=MESSAGES, temperature=0, **options) as stream:
            (streamed,) = [e for e in stream if e.type == "tool_calls.function.arguments.done"]
        self.assertEqual((streamed.name, streamed.arguments), (call.function.name, call.function.arguments))
        messages = [*MESSAGES, answer.message, {"role": "tool", "tool_call_id": call.id, "content": "done"}]
        self.assertGreater(self.chat(messages=messages, tools=options["tools"]).usage.completion_tokens, 0)
        settings = {"model": self.model, "tools": [{"type": "function", **PAINT}], "temperature": 0, "max_output_tokens": 200}
        whole = self.client.responses.create(input=MESSAGES, tool_choice="required", parallel_tool_calls=False, **settings)
        self.assertEqual([(o.type, o.name) for o in whole.output], [("function_call", "paint")])
        events = list(self.client.responses.create(input=MESSAGES, tool_choice="required", parallel_tool_calls=False, stream=True,
                                                   **settings))
        self.assertEqual(events[-1].response.output[0].arguments, whole.output[0].arguments)
        result = {"type": "function_call_output", "call_id": whole.output[0].call_id, "output": "done"}
        again = self.client.responses.create(input=[*MESSAGES, *whole.output, result], **settings)
        self.assertGreater(again.usage.input_tokens, whole.usage.input_tokens)

    def test_errors(self):
        for change, param in (({"temperature": -1}, "temperature"), ({"n": 0}, "n"), ({"messages": []}, "messages"),
                              ({"top_logprobs": 2}, "top_logprobs"), ({"logit_bias": {"x": 1}}, "logit_bias")):
            with self.assertRaises(openai.BadRequestError) as caught:
                self.chat(**change)
            self.assertEqual(caught.exception.param, param)
        raw = self.client.chat.completions.with_raw_response.create(
            model=self.model, messages=MESSAGES, max_tokens=2, extra_body={"unheard_of": 1})
        self.assertEqual(raw.headers["x-dspark-ignored"], "unheard_of")
        self.assertTrue(raw.headers["x-request-id"])
        with self.assertRaises(openai.NotFoundError):
            self.client.embeddings.create(model=self.model, input="a")


class Anthropic(unittest.TestCase):
    def setUp(self):
        self.client = anthropic.Anthropic(base_url=ADDRESS, api_key="-", max_retries=0, timeout=300)
        self.settings = {"model": "any", "max_tokens": 24, "messages": MESSAGES, "extra_body": {"temperature": 0}}

    def test_messages(self):
        whole = self.client.messages.create(system="Be brief.", **self.settings)
        self.assertEqual((whole.role, whole.content[0].type), ("assistant", "text"))
        self.assertGreater(whole.usage.output_tokens, 0)
        with self.client.messages.stream(system="Be brief.", **self.settings) as stream:
            self.assertEqual("".join(stream.text_stream), whole.content[0].text)
            self.assertEqual(stream.get_final_message().stop_reason, whole.stop_reason)

    def test_tools(self):
        tools = {"tools": [{"name": "paint", "input_schema": PARAMETERS}],
                 "tool_choice": {"type": "tool", "name": "paint", "disable_parallel_tool_use": True}}
        settings = {**self.settings, "max_tokens": 200}
        try:
            whole = self.client.messages.create(**settings, **tools)
        except anthropic.BadRequestError as error:
            self.assertIn("tools", error.body["error"]["message"])
            self.skipTest(NO_TOOLS)
        (block,) = whole.content
        self.assertEqual((whole.stop_reason, block.type, block.name), ("tool_use", "tool_use", "paint"))
        self.assertIn(block.input["colour"], ("red", "green"))
        with self.client.messages.stream(**settings, **tools) as stream:
            final = stream.get_final_message()
        self.assertEqual((final.stop_reason, final.content[0].input), ("tool_use", block.input))
        messages = [*MESSAGES, {"role": "assistant", "content": whole.content},
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": block.id, "content": "done"}]}]
        self.assertGreater(self.client.messages.create(**{**settings, "messages": messages}).usage.output_tokens, 0)

    def test_stops_and_errors(self):
        text = self.client.messages.create(**self.settings).content[0].text
        stopped = self.client.messages.create(stop_sequences=[text[4:6]], **self.settings)
        self.assertEqual((stopped.stop_reason, stopped.stop_sequence), ("stop_sequence", text[4:6]))
        with self.assertRaises(anthropic.BadRequestError) as caught:
            self.client.messages.create(**{**self.settings, "max_tokens": 0})
        self.assertIn("max_tokens", caught.exception.body["error"]["message"])


unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
