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

PATH = "/v1/chat/completions"
TURN = ("{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
        "{% for call in message.tool_calls or [] %}CALL{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
LISTED = "{% if tools %}{% for tool in tools %}{{ tool.function.name }};{% endfor %}\n{% endif %}"
TAGGED = LISTED + TURN.replace(
    "CALL", '<tool_call>\n{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}\n</tool_call>')
BARE = LISTED + TURN.replace("CALL", '{"name": "{{ call.function.name }}", "parameters": {{ call.function.arguments | tojson }}}')


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
