"""dspark serve: tools in chats, with a template of each form of calls and with one that has none.

Called with dspark and the repository's root. The model's weights are random: what it calls where it has to
is checked here; finding calls in free text is call_reader_test's.
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(sys.argv[2]) / "tests" / "apps"))
from program import main  # noqa: E402
from served import CHAT, ServerTest  # noqa: E402
from tool_templates import BARE, LISTED, TAGGED, TURN  # noqa: E402

PATH = "/v1/chat/completions"


def tool(name, parameters):
    return {"type": "function", "function": {"name": name, "description": "d", "parameters": parameters}}


COLOUR = {"enum": ["red", "green"]}
PAINT = tool("paint", {"type": "object", "properties": {"colour": {"$ref": "#/$defs/colour"}}, "required": ["colour"],
                       "additionalProperties": False, "$defs": {"colour": COLOUR}})
WAIT = tool("wait", {"properties": {"hours": {"type": "integer", "minimum": 1, "maximum": 12}}, "required": ["hours"]})
TOOLS = {**CHAT, "tools": [PAINT, WAIT], "max_tokens": 400}
NAMED = {"type": "function", "function": {"name": "wait"}}


class Tagged(ServerTest):
    TEMPLATE = TAGGED

    def check_calls(self, calls, names):
        self.assertEqual(len({call["id"] for call in calls}), len(calls))
        for call in calls:
            function = call["function"]
            self.assertEqual(call["type"], "function")
            self.assertIn(function["name"], names)
            arguments = json.loads(function["arguments"])
            if function["name"] == "paint":
                self.assertIn(arguments.pop("colour"), COLOUR["enum"])
            else:
                self.assertIn(arguments.pop("hours"), range(1, 13))
            self.assertEqual(arguments, {})

    def test_calls_that_have_to_be(self):
        for choice, names in (("required", ("paint", "wait")), (NAMED, ("wait",))):
            for more in ({}, {"temperature": 1, "seed": 3, "n": 2}, {"temperature": 1, "seed": 8}):
                body = {**TOOLS, "tool_choice": choice, "parallel_tool_calls": False, **more}
                reply = self.ok(PATH, body)
                events = self.server.events(PATH, body)
                for answer in reply["choices"]:
                    message = answer["message"]
                    self.assertEqual((answer["finish_reason"], message["content"]), ("tool_calls", None))
                    self.assertEqual(len(message["tool_calls"]), 1)
                    self.check_calls(message["tool_calls"], names)
                    chunks = [e["choices"][0] for e in events if e["choices"][0]["index"] == answer["index"]]
                    deltas = [c["delta"] for c in chunks]
                    (streamed,) = [call for d in deltas for call in d.get("tool_calls", [])]
                    self.assertEqual(streamed.pop("index"), 0)
                    self.assertEqual(streamed["function"], message["tool_calls"][0]["function"])
                    self.assertEqual("".join(d.get("content", "") for d in deltas), "")
                    self.assertEqual(chunks[-1]["finish_reason"], "tool_calls")

    def test_an_answer_that_is_cut_keeps_its_calls(self):
        body = {**TOOLS, "tool_choice": "required", "temperature": 1, "max_tokens": 300}
        several = 0
        for seed in range(3):
            answer = self.ok(PATH, {**body, "seed": seed})["choices"][0]
            calls = answer["message"].get("tool_calls", [])
            self.check_calls(calls, ("paint", "wait"))
            several += len(calls) > 1
            self.assertIn(answer["finish_reason"], ("tool_calls", "length"))
        self.assertGreater(several, 0)
        cut = self.ok(PATH, {**body, "max_tokens": 20})["choices"][0]
        self.assertEqual((cut["finish_reason"], cut["message"].get("tool_calls")), ("length", None))
        self.assertTrue(cut["message"]["content"].startswith("<tool_call>\n"))

    def test_free_text_stays(self):
        for stream in (False, True):
            body = {**TOOLS, "max_tokens": 40, "tool_choice": "auto"}
            shown = self.ok("/apply-template", {"messages": CHAT["messages"], "tools": TOOLS["tools"]})["prompt"]
            self.assertTrue(shown.startswith("paint;wait;<|im_start|>user"), shown)
            ids = self.ok("/tokenize", {"content": shown})["tokens"]
            want = self.ok("/v1/completions", {"prompt": ids, "temperature": 0, "max_tokens": 40})["choices"][0]
            if stream:
                events = self.server.events(PATH, body)
                text = "".join(e["choices"][0]["delta"].get("content", "") for e in events)
            else:
                answer = self.ok(PATH, body)["choices"][0]
                text = answer["message"]["content"]
                self.assertEqual(answer["finish_reason"], want["finish_reason"])
            self.assertEqual(text, want["text"])
        # Tools that may not be called are not shown.
        none = self.ok(PATH, {**TOOLS, "max_tokens": 40, "tool_choice": "none"})["choices"][0]
        self.assertEqual(none["message"], self.ok(PATH, {**CHAT, "max_tokens": 40})["choices"][0]["message"])

    def test_calls_and_results_go_back_into_the_template(self):
        call = {"id": "call_1", "type": "function", "function": {"name": "paint", "arguments": '{"colour": "red"}'}}
        messages = [*CHAT["messages"], {"role": "assistant", "content": None, "tool_calls": [call]},
                    {"role": "tool", "tool_call_id": "call_1", "content": "done"}]
        shown = self.ok("/apply-template", {"messages": messages})["prompt"]
        self.assertIn('<|im_start|>assistant\n<tool_call>\n{"name": "paint", "arguments": {"colour": "red"}}\n</tool_call>'
                      '<|im_end|>\n<|im_start|>tool\ndone<|im_end|>\n', shown)
        self.ok(PATH, {**TOOLS, "messages": messages, "max_tokens": 3})
        for arguments in ("{", "[1]", 3, "[" * 100):
            broken = json.loads(json.dumps(messages))
            broken[1]["tool_calls"][0]["function"]["arguments"] = arguments
            self.refused(400, PATH, {**TOOLS, "messages": broken}, "JSON object" if arguments != "[" * 100 else "deep",
                         param="messages[1].tool_calls[0].function.arguments")
        self.refused(400, PATH, {**TOOLS, "messages": [{"role": "assistant", "tool_calls": [{}]}]},
                     param="messages[0].tool_calls[0]")

    def test_responses(self):
        path, tools = "/v1/responses", [{"type": "function", **t["function"], "strict": True} for t in TOOLS["tools"]]
        body = {"input": "hello", "max_output_tokens": 400, "tools": tools, "tool_choice": "required", "parallel_tool_calls": False,
                "temperature": 1, "seed": 3}
        chat = {**TOOLS, "tool_choice": "required", "parallel_tool_calls": False, "temperature": 1, "seed": 3}
        (want,) = self.ok(PATH, chat)["choices"][0]["message"]["tool_calls"]
        reply = self.ok(path, body)
        (item,) = reply["output"]
        self.assertEqual((item["type"], item["status"], reply["status"]), ("function_call", "completed", "completed"))
        self.assertEqual({k: item[k] for k in ("name", "arguments")}, want["function"])
        self.assertEqual((reply["tools"], reply["tool_choice"], reply["parallel_tool_calls"]), (tools, "required", False))
        events = self.server.events(path, body, done=False)
        self.assertEqual([e["type"].removeprefix("response.") for e in events],
                         ["created", "in_progress", "output_item.added", "function_call_arguments.delta",
                          "function_call_arguments.done", "output_item.done", "completed"])
        self.assertEqual([e["sequence_number"] for e in events], list(range(7)))
        (streamed,) = events[-1]["response"]["output"]
        self.assertEqual(events[-2]["item"], streamed)
        self.assertEqual((events[2]["item"]["arguments"], events[3]["delta"]), ("", item["arguments"]))
        self.assertEqual({k: streamed[k] for k in ("name", "arguments")}, want["function"])
        named = self.ok(path, {**body, "tool_choice": {"type": "function", "name": "wait"}})
        self.assertEqual(named["output"][0]["name"], "wait")
        # The call and its result again, and free text.
        said = [{"role": "user", "content": "hello"}, item, {"type": "function_call_output", "call_id": item["call_id"], "output": "done"}]
        more = {**body, "input": said, "tool_choice": "auto", "max_output_tokens": 6, "temperature": 0}
        reply = self.ok(path, more)
        messages = [*CHAT["messages"], {"role": "assistant", "tool_calls": [want]},
                    {"role": "tool", "tool_call_id": want["id"], "content": "done"}]
        want = self.ok(PATH, {**TOOLS, "messages": messages, "max_tokens": 6})
        self.assertEqual(reply["usage"]["input_tokens"], want["usage"]["prompt_tokens"])
        self.assertEqual(reply["output"][0]["content"][0]["text"], want["choices"][0]["message"]["content"])
        events = self.server.events(path, more, done=False)
        self.assertEqual([e["type"] for e in events[2:4]], ["response.output_item.added", "response.content_part.added"])
        self.assertEqual("".join(e["delta"] for e in events if e["type"] == "response.output_text.delta"),
                         want["choices"][0]["message"]["content"])
        wrong = tools[0] | {"parameters": {"properties": {"a": {"pattern": "b"}}}}
        for change, param in (({"tools": [{"type": "web_search"}]}, "tools[0]"), ({"tools": [wrong]}, "tools[0].parameters"),
                              ({"tools": [{"type": "function"}]}, "tools[0].name"), ({"tool_choice": {"type": "x"}}, "tool_choice"),
                              ({"input": [{**item, "arguments": "{"}]}, "input[0].arguments"),
                              ({"input": [{**said[2], "output": 3}]}, "input[0].output")):
            self.refused(400, path, {**body, **change}, param, param=param)

    def test_messages(self):
        path = "/v1/messages"
        tools = [{"name": t["function"]["name"], "input_schema": t["function"]["parameters"]} for t in TOOLS["tools"]]
        body = {"messages": CHAT["messages"], "max_tokens": 400, "tools": tools, "temperature": 1, "seed": 3,
                "tool_choice": {"type": "any", "disable_parallel_tool_use": True}}
        chat = {**TOOLS, "tool_choice": "required", "parallel_tool_calls": False, "temperature": 1, "seed": 3}
        (want,) = self.ok(PATH, chat)["choices"][0]["message"]["tool_calls"]
        reply = self.ok(path, body)
        (block,) = reply["content"]
        self.assertEqual((block["type"], reply["stop_reason"]), ("tool_use", "tool_use"))
        self.assertEqual((block["name"], block["input"]), (want["function"]["name"], json.loads(want["function"]["arguments"])))
        events = self.server.events(path, body, done=False)
        self.assertEqual([e["type"] for e in events], ["message_start", "content_block_start", "content_block_delta",
                                                       "content_block_stop", "message_delta", "message_stop"])
        self.assertEqual(events[1]["content_block"], {**block, "id": events[1]["content_block"]["id"], "input": {}})
        self.assertEqual(json.loads(events[2]["delta"]["partial_json"]), block["input"])
        self.assertEqual(events[4]["delta"]["stop_reason"], "tool_use")
        named = self.ok(path, {**body, "tool_choice": {"type": "tool", "name": "wait"}})
        self.assertEqual(named["content"][0]["name"], "wait")
        # The call and its result again, and free text.
        said = [*CHAT["messages"], {"role": "assistant", "content": [block]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": block["id"], "content": "done"}]}]
        more = {**body, "messages": said, "tool_choice": {"type": "auto"}, "max_tokens": 6, "temperature": 0}
        reply = self.ok(path, more)
        messages = [*CHAT["messages"], {"role": "assistant", "tool_calls": [want]},
                    {"role": "tool", "tool_call_id": want["id"], "content": "done"}]
        want = self.ok(PATH, {**TOOLS, "messages": messages, "max_tokens": 6})["choices"][0]["message"]["content"]
        self.assertEqual([b["text"] for b in reply["content"]], [want])
        events = self.server.events(path, more, done=False)
        self.assertEqual("".join(e["delta"]["text"] for e in events if e["type"] == "content_block_delta"), want)
        self.assertEqual([e["type"] for e in events[-3:]], ["content_block_stop", "message_delta", "message_stop"])
        wrong = {"name": "x", "input_schema": {"properties": {"a": {"pattern": "b"}}}}
        for change, param in (({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0]"),
                              ({"tools": [wrong]}, "tools[0].input_schema"), ({"tools": [{}]}, "tools[0].name"),
                              ({"tool_choice": "any"}, "tool_choice"), ({"tool_choice": {"type": "tool", "name": "x"}}, "tool_choice"),
                              ({"messages": [{"role": "assistant", "content": [{"type": "tool_use"}]}]}, "messages[0].content[0]")):
            self.refused(400, path, {**body, **change}, param, param=param)

    def test_wrong_tools(self):
        pattern = tool("x", {"type": "object", "properties": {"a": {"type": "string", "pattern": "b"}}})
        for change, param in (({"tools": {}}, "tools"), ({"tools": [{}]}, "tools[0]"),
                              ({"tools": [{"type": "web_search"}]}, "tools[0]"),
                              ({"tools": [tool("", {})]}, "tools[0].function.name"),
                              ({"tools": [PAINT, PAINT]}, "tools[1].function.name"),
                              ({"tools": [tool("x", 3)]}, "tools[0].function.parameters"),
                              ({"tools": [PAINT] * 129}, "tools"),
                              ({"tool_choice": "perhaps"}, "tool_choice"), ({"tool_choice": {"type": "function"}}, "tool_choice"),
                              ({"tools": [], "tool_choice": "required"}, "tool_choice"),
                              ({"parallel_tool_calls": 1}, "parallel_tool_calls"),
                              ({"tools": [PAINT, pattern], "tool_choice": "required"}, "tools[1].function.parameters"),
                              ({"tool_choice": "required", "ignore_eos": True}, "ignore_eos"),
                              ({"response_format": {"type": "json_object"}}, "tools")):
            self.refused(400, PATH, {**TOOLS, **change}, param=param)
        self.refused(400, PATH, {**TOOLS, "tool_choice": {"type": "function", "function": {"name": "wat"}}},
                     "nearest is wait", param="tool_choice")
        self.refused(400, PATH, {**TOOLS, "tools": [pattern], "tool_choice": "required"}, "#/properties/a: \"pattern\"")
        self.ok(PATH, {**TOOLS, "tools": [pattern], "max_tokens": 3})  # free text may call it


class Bare(Tagged):
    TEMPLATE = BARE

    def test_an_answer_that_is_cut_keeps_its_calls(self):
        cut = self.ok(PATH, {**TOOLS, "tool_choice": "required", "max_tokens": 9})["choices"][0]
        self.assertEqual((cut["finish_reason"], cut["message"].get("tool_calls")), ("length", None))
        self.assertTrue(cut["message"]["content"].startswith("{"))

    def test_calls_and_results_go_back_into_the_template(self):
        call = {"id": "call_1", "type": "function", "function": {"name": "wait", "arguments": ""}}
        shown = self.ok("/apply-template", {"messages": [{"role": "assistant", "tool_calls": [call]}]})["prompt"]
        self.assertIn('{"name": "wait", "parameters": {}}', shown)


class WithoutTools(ServerTest):
    def test_tools_are_refused_by_name(self):
        self.refused(400, PATH, TOOLS, "template", param="tools")
        self.ok(PATH, {**TOOLS, "tool_choice": "none", "max_tokens": 3})
        self.ok(PATH, {**CHAT, "tools": [], "tool_choice": "auto", "max_tokens": 3})


class OtherForm(ServerTest):
    TEMPLATE = LISTED + TURN.replace("CALL", "<function={{ call.function.name }}></function>")

    def test_tools_are_refused_by_name(self):
        self.refused(400, PATH, TOOLS, "not known", param="tools")


main()
