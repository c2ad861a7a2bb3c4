"""dspark serve: /v1/responses and /v1/messages say what /v1/chat/completions says.

Called with dspark and the repository's root.
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(sys.argv[2]) / "tests" / "apps"))
from program import main  # noqa: E402
from served import CHAT, ServerTest  # noqa: E402


class Forms(ServerTest):
    def test_responses(self):
        path = "/v1/responses"
        want = self.ok("/v1/chat/completions",
                       {**CHAT, "messages": [{"role": "system", "content": "be brief"}, *CHAT["messages"]]})
        text, usage = want["choices"][0]["message"]["content"], want["usage"]
        said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hel"},
                                                               {"type": "input_text", "text": "lo"}]}
        for body in ({"instructions": "be brief", "input": "hello"}, {"instructions": "be brief", "input": [said]},
                     {"input": [{"role": "developer", "content": "be brief"}, said]}):
            body.update(max_output_tokens=12, temperature=0)
            reply = self.ok(path, body)
            self.assertEqual(reply["output"][0]["content"][0]["text"], text)
            self.assertEqual((reply["status"], reply["incomplete_details"]), ("incomplete", {"reason": "max_output_tokens"}))
            self.assertEqual(reply["usage"]["output_tokens"], 12)
            self.assertEqual(reply["usage"]["total_tokens"], usage["total_tokens"])
            self.assertEqual((reply["temperature"], reply["top_p"]), (0, 1))
            events = self.server.events(path, body, done=False)
            self.assertEqual([e["sequence_number"] for e in events], list(range(len(events))))
            self.assertEqual([e["type"] for e in events[:4]],
                             ["response.created", "response.in_progress", "response.output_item.added",
                              "response.content_part.added"])
            self.assertEqual("".join(e["delta"] for e in events if e["type"] == "response.output_text.delta"), text)
            self.assertEqual(events[-1]["type"], "response.incomplete")
            self.assertEqual(events[-1]["response"]["output"], events[-2]["item"] and [events[-2]["item"]])
        for change, param in (({"input": []}, "input"), ({"input": [{"type": "reasoning"}]}, "input[0]"),
                              ({"input": [{"type": "function_call"}]}, "input[0].name"),
                              ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content"),
                              ({"previous_response_id": "resp_1"}, "previous_response_id"),
                              ({"max_output_tokens": 0}, "max_output_tokens"), ({"temperature": "hot"}, "temperature"),
                              ({"text": {"format": {"type": "xml"}}}, "text.format"),
                              ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format"),
                              ({"grammar": "root ::= ("}, "grammar"),
                              ({"input": "a" * 600}, "input"), ({"tools": [{"type": "function", "name": "x"}]}, "tools"), ({"background": True}, "background")):
            self.refused(400, path, {"input": "hello", **change}, param, param=param)
        self.refused(400, path, {}, param="input")
        said = {"type": "json_schema", "name": "x", "schema": {"enum": ["red", "green"]}}
        reply = self.ok(path, {"input": "hello", "max_output_tokens": 40, "text": {"format": said}})
        self.assertIn(json.loads(reply["output"][0]["content"][0]["text"]), ("red", "green"))
        self.assertEqual(reply["text"], {"format": said})
        self.ok(path, {"input": "hello", "max_output_tokens": 2, "n": 3, "truncation": "auto"})
        self.assertEqual(self.server.headers["X-Dspark-Ignored"], "n, truncation")

    def test_messages(self):
        path = "/v1/messages"
        want = self.ok("/v1/chat/completions",
                       {**CHAT, "messages": [{"role": "system", "content": "be brief"}, *CHAT["messages"]]})
        text = want["choices"][0]["message"]["content"]
        body = {"model": "x", "system": [{"type": "text", "text": "be brief"}], "max_tokens": 12, "temperature": 0,
                "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]}
        reply = self.ok(path, body)
        self.assertEqual((reply["type"], reply["role"], reply["content"]), ("message", "assistant", [{"type": "text", "text": text}]))
        self.assertEqual((reply["stop_reason"], reply["stop_sequence"]), ("max_tokens", None))
        usage = reply["usage"]
        self.assertEqual(usage["input_tokens"] + usage["cache_read_input_tokens"], want["usage"]["prompt_tokens"])
        self.assertEqual(usage["output_tokens"], 12)
        stopped = self.ok(path, {**body, "system": "be brief", "stop_sequences": ["never said", text[3:5]]})
        self.assertEqual((stopped["stop_reason"], stopped["stop_sequence"]), ("stop_sequence", text[3:5]))
        self.assertEqual(stopped["content"][0]["text"], text[:text.index(text[3:5])])
        events = self.server.events(path, body, done=False)
        self.assertEqual([e["type"] for e in events[:2]], ["message_start", "content_block_start"])
        self.assertEqual([e["type"] for e in events[-3:]], ["content_block_stop", "message_delta", "message_stop"])
        self.assertEqual("".join(e["delta"]["text"] for e in events if e["type"] == "content_block_delta"), text)
        self.assertEqual(events[-2]["delta"]["stop_reason"], "max_tokens")
        self.assertEqual(events[-2]["usage"]["output_tokens"], 12)
        for change, param in (({"max_tokens": None}, "max_tokens"), ({"max_tokens": 0}, "max_tokens"),
                              ({"messages": []}, "messages"), ({"messages": [{"role": "system", "content": "a"}]}, "messages[0]"),
                              ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content"),
                              ({"stop_sequences": [3]}, "stop_sequences"), ({"system": 3}, "system"), ({"tools": [{}]}, "tools")):
            self.refused(400, path, {**body, **change}, param, param=param)
        self.assertEqual(self.server.call("POST", path, {})[1]["type"], "error")


main()
