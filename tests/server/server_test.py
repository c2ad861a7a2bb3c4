"""dspark serve over real sockets: routes, options, faults, the same text as `run`.

Called with dspark and the repository's root.
"""

import json
import pathlib
import re
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(sys.argv[2]) / "tests" / "apps"))
from program import BARE_MODEL, ROOT, ProgramTest, main  # noqa: E402
from served import Server  # noqa: E402

DRAFTER = BARE_MODEL.parent / "draft"


class ServerTest(ProgramTest):
    ARGUMENTS = ()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server(cls.model, *cls.ARGUMENTS)

    @classmethod
    def tearDownClass(cls):
        code = cls.server.stop()
        super().tearDownClass()
        assert code == 0, (code, cls.server.lines)

    def ok(self, path, body, **options):
        status, reply = self.server.call("POST", path, body, **options)
        self.assertEqual(status, 200, reply)
        return reply

    def refused(self, status, path, body, *parts, param=None, method="POST", headers=None):
        got, reply = self.server.call(method, path, body, headers=headers)
        self.assertEqual(got, status, reply)
        error = reply["error"]
        for part in parts:
            self.assertIn(part, error["message"])
        if param:
            self.assertEqual(error["param"], param)
        self.assertIn("type", error)


CHAT = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 12, "temperature": 0}


class Routes(ServerTest):
    def test_models_and_state(self):
        status, models = self.server.call("GET", "/v1/models")
        self.assertEqual(status, 200)
        self.assertEqual([m["object"] for m in models["data"]], ["model"])
        deadline = time.monotonic() + 20  # what the test before left may be ending
        while (state := self.server.call("GET", "/v1/dspark/state")[1])["running"] and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual((state["running"], state["waiting"]), (0, 0))
        self.assertEqual(self.server.call("HEAD", "/health"), (200, ""))

    def test_tokens_and_text(self):
        reply = self.ok("/tokenize", {"content": "hello<|im_end|>"})
        self.assertEqual(reply["tokens"][-1], 1)
        self.assertEqual(self.ok("/detokenize", {"tokens": reply["tokens"]})["content"], "hello<|im_end|>")
        plain = self.ok("/tokenize", {"prompt": "<|im_end|>", "parse_special": False})["tokens"]
        self.assertNotIn(1, plain)
        rendered = self.ok("/apply-template", {"messages": CHAT["messages"]})["prompt"]
        self.assertEqual(rendered, "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n")
        self.refused(400, "/detokenize", {"tokens": [9999]}, "9999", param="tokens")
        self.refused(400, "/tokenize", {}, "missing")

    def test_the_same_text_as_run(self):
        prompts = ["hello", "a b c", "hell", "é"]
        for settings in ({}, {"temperature": 0.9, "seed": 5}, {"temperature": 0.7, "seed": 1, "top_p": 0.9},
                         {"frequency_penalty": 0.5, "presence_penalty": 0.4}, {"logit_bias": {"70": 50}}):
            arguments = []
            for key, value in settings.items():
                value = "70=50" if key == "logit_bias" else value
                arguments += ["--" + key.replace("_", "-"), value]
            rows = [{"id": i, "turns": [p]} for i, p in enumerate(prompts)]
            runs, _, _ = self.run_rows(rows, "--max-tokens", 12, *arguments)
            bodies = [{**CHAT, **settings, "messages": [{"role": "user", "content": p}]} for p in prompts]
            whole = [self.ok("/v1/chat/completions", body) for body in bodies]
            for run, reply in zip(runs, whole):
                self.assertEqual(reply["choices"][0]["message"]["content"], run["text"])
                self.assertEqual(reply["usage"]["completion_tokens"], len(run["ids"]))
                self.assertEqual(reply["choices"][0]["finish_reason"], run["finish"])
            streams = [None] * len(bodies)

            def stream(i):
                streams[i] = self.server.events("/v1/chat/completions", bodies[i])
            threads = [threading.Thread(target=stream, args=(i,)) for i in range(len(bodies))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for run, events in zip(runs, streams):
                text = "".join(e["choices"][0]["delta"].get("content", "") for e in events)
                self.assertEqual(text, run["text"])
                self.assertEqual(events[0]["choices"][0]["delta"]["role"], "assistant")
                self.assertEqual(events[-1]["choices"][0]["finish_reason"], run["finish"])
                self.assertEqual(len({e["id"] for e in events}), 1)

    def test_completions(self):
        body = {"prompt": [5, 9, 20, 33], "temperature": 0, "max_tokens": 6, "logprobs": 2, "ignore_eos": True}
        reply = self.ok("/v1/completions", body)
        runs, _, _ = self.run_rows([{"id": 1, "ids": [5, 9, 20, 33]}], "--max-tokens", 6, "--ignore-eos")
        choice = reply["choices"][0]
        self.assertEqual(choice["text"], runs[0]["text"])
        self.assertEqual(reply["object"], "text_completion")
        logprobs = choice["logprobs"]
        self.assertEqual(len(logprobs["tokens"]), 6)
        self.assertTrue(all(1 <= len(top) <= 2 for top in logprobs["top_logprobs"]))
        self.assertEqual(logprobs["text_offset"][0], 0)
        self.assertEqual(reply["usage"]["prompt_tokens"], 4)
        many = self.ok("/v1/completions", {"prompt": ["hello", "a"], "n": 2, "temperature": 1, "seed": 3, "echo": True})
        self.assertEqual([c["index"] for c in many["choices"]], [0, 1, 2, 3])
        self.assertTrue(many["choices"][1]["text"].startswith("hello"))
        self.assertNotEqual(many["choices"][0]["text"], many["choices"][1]["text"])
        self.assertEqual(many["usage"]["completion_tokens"], 64)  # 16 each

    def test_stops_logprobs_and_usage_of_a_stream(self):
        text = self.ok("/v1/chat/completions", {**CHAT, "max_tokens": 40})["choices"][0]["message"]["content"]
        stop = text[5:7]
        reply = self.ok("/v1/chat/completions", {**CHAT, "max_tokens": 40, "stop": [stop]})
        self.assertEqual(reply["choices"][0]["message"]["content"], text[:text.index(stop)])
        self.assertEqual(reply["choices"][0]["finish_reason"], "stop")
        events = self.server.events("/v1/chat/completions",
                                    {**CHAT, "logprobs": True, "top_logprobs": 3,
                                     "stream_options": {"include_usage": True}})
        self.assertEqual(events[-1]["choices"], [])
        self.assertEqual(events[-1]["usage"]["completion_tokens"], 12)
        tokens = [t for e in events[:-1] for t in ((e["choices"][0]["logprobs"] or {}).get("content") or [])]
        self.assertEqual(len(tokens), 12)
        self.assertTrue(all(len(t["top_logprobs"]) == 3 for t in tokens))
        self.assertTrue(all(t["logprob"] <= t["top_logprobs"][0]["logprob"] for t in tokens))

    def test_messages_in_parts(self):
        parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
        got = self.ok("/v1/chat/completions", {**CHAT, "messages": [{"role": "user", "content": parts}]})
        want = self.ok("/v1/chat/completions", CHAT)
        self.assertEqual(got["choices"][0]["message"], want["choices"][0]["message"])
        self.refused(400, "/v1/chat/completions",
                     {**CHAT, "messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
                     "type text", param="messages[0].content")

    def test_a_prompt_again_is_found_in_the_cache(self):
        body = {"prompt": list(range(3, 203)), "max_tokens": 80, "temperature": 0, "ignore_eos": True}
        first, second = (self.ok("/v1/completions", body) for _ in range(2))
        self.assertEqual(first["choices"][0]["text"], second["choices"][0]["text"])
        self.assertEqual(second["usage"]["prompt_tokens_details"]["cached_tokens"], 199)

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
        for change, param in (({"input": []}, "input"), ({"input": [{"type": "function_call"}]}, "input[0]"),
                              ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content"),
                              ({"previous_response_id": "resp_1"}, "previous_response_id"),
                              ({"max_output_tokens": 0}, "max_output_tokens"), ({"temperature": "hot"}, "temperature"),
                              ({"text": {"format": {"type": "xml"}}}, "text.format"),
                              ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format"),
                              ({"grammar": "root ::= ("}, "grammar"),
                              ({"input": "a" * 600}, "input"), ({"tools": [{}]}, "tools"), ({"background": True}, "background")):
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

    def test_the_page(self):
        for path, kind in (("/", "text/html"), ("/style.css", "text/css"), ("/page.js", "text/javascript"), ("/plot.js", "text/javascript")):
            status, text = self.server.call("GET", path, raw=True)
            self.assertEqual(status, 200)
            self.assertTrue(self.server.headers["Content-Type"].startswith(kind))
            self.assertIn("default-src 'none'", self.server.headers["Content-Security-Policy"])
            self.assertNotIn("https:", text)  # nothing from elsewhere
            self.assertNotIn("url(", text)
        self.refused(405, "/", {}, "GET")

    def test_the_description_names_what_there_is(self):
        for path, methods in self.server.call("GET", "/openapi.json")[1]["paths"].items():
            for method in ("get", "post"):
                body = {} if method == "post" else None
                status = self.server.call(method.upper(), path, body, raw=True)[0]
                self.assertIn(status, (200, 400) if method in methods else (405,), (method, path))

    def test_the_dashboard_names_metrics_that_there_are(self):
        there = self.server.call("GET", "/metrics")[1]
        for panel in json.loads((ROOT / "packages" / "grafana-dashboard.json").read_text())["panels"]:
            for target in panel["targets"]:
                for name in re.findall(r"dspark_\w+", target["expr"]):
                    self.assertRegex(there, rf"(?m)^{name}[ {{]")

    def test_request_ids_and_the_log(self):
        self.ok("/v1/completions", {"prompt": "secret words", "max_tokens": 3, "ignore_eos": True},
                headers={"X-Request-Id": "mine-1", "Authorization": "Bearer hidden"})
        self.assertEqual(self.server.headers["X-Request-Id"], "mine-1")
        self.server.call("GET", "/v1/models", headers={"X-Request-Id": "two words"})
        made = self.server.headers["X-Request-Id"]
        self.assertRegex(made, r"^[0-9a-f]{16}$")
        self.refused(404, "/what/ever", {})
        deadline = time.monotonic() + 20
        while not any('"other"' in line for line in self.server.lines) and time.monotonic() < deadline:
            time.sleep(0.01)
        log = [json.loads(line) for line in self.server.lines if line.startswith("{")]
        mine = next(line for line in log if line["id"] == "mine-1")
        self.assertEqual({k: mine[k] for k in ("method", "route", "status", "prompt_tokens", "tokens")},
                         {"method": "POST", "route": "/v1/completions", "status": 200,
                          "prompt_tokens": len("secret words"), "tokens": 3})
        self.assertEqual(next(line for line in log if line["id"] == made)["route"], "/v1/models")
        self.assertFalse({"/health", "/metrics"} & {line["route"] for line in log if line["status"] == 200})
        for part in ("secret", "hidden", "what"):
            self.assertNotIn(part, "".join(self.server.lines))

    def test_answers_of_a_schema_and_of_a_grammar(self):
        schema = {"type": "object", "additionalProperties": False, "required": ["n", "colour", "sure"],
                  "properties": {"n": {"type": "integer", "minimum": 3, "maximum": 12},
                                 "colour": {"enum": ["red", "green"]}, "sure": {"type": "boolean"}}}
        wanted = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
        for temperature, stream in ((0, False), (1, False), (1, True)):
            body = {**CHAT, "temperature": temperature, "seed": 4, "max_tokens": 300, "response_format": wanted}
            if stream:
                events = self.server.events("/v1/chat/completions", body)
                text = "".join(e["choices"][0]["delta"].get("content", "") for e in events if e["choices"])
            else:
                choice = self.ok("/v1/chat/completions", body)["choices"][0]
                self.assertEqual(choice["finish_reason"], "stop")
                text = choice["message"]["content"]
            value = json.loads(text)
            self.assertEqual(set(value), {"n", "colour", "sure"})
            self.assertIn(value["n"], range(3, 13))
            self.assertIn(value["colour"], ("red", "green"))
            self.assertIsInstance(value["sure"], bool)
        anything = self.ok("/v1/chat/completions", {**CHAT, "response_format": {"type": "json_object"}})
        self.assertEqual(anything["choices"][0]["message"]["content"][0], "{")
        body = {"prompt": "x", "max_tokens": 30, "temperature": 1, "seed": 9, "logprobs": 5,
                "grammar": "root ::= [a-c]{3} (\"!\" | \"?\")"}
        choice = self.ok("/v1/completions", body)["choices"][0]
        self.assertRegex(choice["text"], r"^[a-c]{3}[!?]$")
        self.assertLessEqual(set(choice["logprobs"]["top_logprobs"][0]), {"a", "b", "c"})

    def test_wrong_requests(self):
        chat = "/v1/chat/completions"
        self.refused(400, chat, "{", "not a JSON object")
        self.refused(400, chat, "[]", "not a JSON object")
        self.refused(400, chat, "[" * 100000, "deep")
        self.refused(400, chat, b'{"messages": "\xff\xfe"}', "JSON")
        self.refused(400, chat, {}, "missing", param="messages")
        for change, param in (({"temperature": "hot"}, "temperature"), ({"temperature": -1}, "temperature"),
                              ({"top_p": 2}, "top_p"), ({"max_tokens": 0}, "max_tokens"), ({"n": 0}, "n"),
                              ({"n": 1.5}, "n"), ({"seed": "x"}, "seed"), ({"stop": 3}, "stop"),
                              ({"logit_bias": {"99999": 1}}, "logit_bias"), ({"logit_bias": [1]}, "logit_bias"),
                              ({"stream": "yes"}, "stream"), ({"top_logprobs": 3}, "top_logprobs"),
                              ({"tools": [{}]}, "tools"), ({"response_format": {"type": "xml"}}, "response_format"),
                              ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
                              ({"response_format": {"type": "json_schema", "json_schema": {
                                  "schema": {"type": "string", "pattern": "a"}}}},
                               "response_format.json_schema"),
                              ({"grammar": "root ::= x"}, "grammar"), ({"grammar": 3}, "grammar"),
                              ({"grammar": "root ::= \"a\"", "response_format": {"type": "json_object"}}, "grammar"),
                              ({"grammar": "root ::= \"a\"", "ignore_eos": True}, "ignore_eos"),
                              ({"messages": []}, "messages"), ({"messages": [3]}, "messages[0]"),
                              ({"stream_options": {}}, "stream_options"),
                              ({"speculation": {"fast": True}}, "speculation.fast")):
            self.refused(400, chat, {**CHAT, **change}, param=param)
        self.refused(400, "/v1/completions", {"prompt": [1, 600]}, "600", param="prompt")
        self.refused(400, "/v1/completions", {"prompt": [5] * 600}, "600 tokens", param="prompt")
        self.refused(400, "/v1/completions", {"prompt": []}, param="prompt")
        self.refused(404, "/v1/nothing", {}, "no such path")
        self.refused(404, "/../etc/passwd", None, method="GET")
        self.refused(405, chat, None, method="GET")
        self.assertEqual(self.server.headers["Allow"], "POST")
        self.refused(413, chat, "x" * (5 << 20), "larger")

    def test_unknown_fields_are_named(self):
        self.ok("/v1/chat/completions", {**CHAT, "unheard_of": 1, "user": "me"})
        self.assertEqual(self.server.headers["X-Dspark-Ignored"], "unheard_of")

    def test_requests_one_after_the_other_and_at_once(self):
        body = json.dumps(CHAT).encode()
        request = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)) + body
        with self.server.connect() as client:
            client.sendall(request * 3)  # the second and third come while the first is answered
            got = b""
            while got.count(b"\r\n\r\n{") < 3:
                got += client.recv(65536)
        self.assertEqual(got.count(b"HTTP/1.1 200"), 3)

    def test_bad_bytes(self):
        for data, status in ((b"nonsense\r\n\r\n", b"400"), (b"GET /health HTTP/1.1\r\nX: " + b"a" * 20000, b"431"),
                             (b"POST /tokenize HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
                             (b"POST /tokenize HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b"400"),
                             (b"POST /tokenize HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", b"400"),
                             (b"POST /tokenize HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
                              b"400")):
            with self.server.connect() as client:
                client.sendall(data)
                self.assertIn(status, client.recv(4096).split(b"\r\n")[0], data[:60])
        self.assertEqual(self.server.call("GET", "/health")[0], 200)

    def test_a_client_that_leaves_is_noticed(self):
        before = self.server.metric("dspark_requests_cancelled_total")
        for stream in (False, True):
            body = json.dumps({"prompt": "hello", "max_tokens": 480, "ignore_eos": True, "stream": stream}).encode()
            with self.server.connect() as client:
                client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                if stream:
                    client.recv(100)
        deadline = time.monotonic() + 20
        while self.server.metric("dspark_generations") > 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(self.server.metric("dspark_generations"), 0)
        self.assertGreaterEqual(self.server.metric("dspark_requests_cancelled_total"), before)

    def test_many_streams(self):
        want = {}
        for i in range(4):
            body = {"prompt": [7, 8, 9 + i], "max_tokens": 30, "temperature": 0, "ignore_eos": True}
            want[i] = self.ok("/v1/completions", body)["choices"][0]["text"]
        faults = []

        def stream(i):
            body = {"prompt": [7, 8, 9 + i % 4], "max_tokens": 30, "temperature": 0, "ignore_eos": True}
            events = self.server.events("/v1/completions", body)
            if "".join(e["choices"][0]["text"] for e in events) != want[i % 4]:
                faults.append(i)
        threads = [threading.Thread(target=stream, args=(i,)) for i in range(60)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(faults, [])


class Speculation(ServerTest):
    ARGUMENTS = ("--drafter", DRAFTER, "--planner", "full")

    def test_usage_tells_of_drafts_and_the_text_stays(self):
        body = {"prompt": [5, 9, 20, 33], "temperature": 0, "max_tokens": 30, "logprobs": 0}
        fast, slow = (self.ok("/v1/completions", {**body, **more}) for more in ({}, {"speculation": {"off": True}}))
        self.assertEqual(fast["choices"][0]["logprobs"]["token_logprobs"], slow["choices"][0]["logprobs"]["token_logprobs"])
        self.assertGreater(fast["usage"]["speculation"]["drafted"], 0)
        self.assertEqual(slow["usage"]["speculation"]["drafted"], 0)
        one = self.ok("/v1/completions", {**body, "speculation": {"draft_max": 1}})["usage"]["speculation"]
        self.assertLessEqual(one["drafted"], one["cycles"])
        # What the planner expected, beside what came of it.
        of = lambda name: self.server.metric(f"dspark_{name}")
        deadline = time.monotonic() + 30
        while of("requests_total") < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        steps = of("planned_steps_total")
        self.assertTrue(0 < steps < of("steps_total"))  # prompts' steps are not planned
        self.assertEqual(of("planned_tokens_total"), of("tokens_total") - of("requests_total"))
        self.assertTrue(steps < of("expected_tokens_total") <= steps + of("verified_total"))
        self.assertAlmostEqual(of("expected_tokens_total"), steps + of("expected_accepted_total"), places=3)
        self.assertGreater(of("predicted_seconds_total"), 0)
        self.assertGreater(of("planned_seconds_total"), 0)
        self.assertEqual(of("trimmed_total"), of("drafted_total") - of("verified_total"))
        for name in ("step_ms", "step_predicted_ms", "step_rows"):
            self.assertGreater(of(name), 0)

    def test_trace(self):
        path = self.scratch / "trace.json"
        server = Server(BARE_MODEL, *self.ARGUMENTS, "--trace", path)
        self.assertEqual(server.call("POST", "/v1/completions", {"prompt": [5, 9], "max_tokens": 5})[0], 200)
        self.assertFalse(path.exists())
        self.assertEqual(server.stop(), 0)
        names = [event["name"] for event in json.loads(path.read_text())["traceEvents"]]
        self.assertIn("request 1", names)
        self.assertGreater(names.count("step"), 1)

    def test_a_stream_tells_where_tokens_came_from(self):
        body = {"prompt": [5, 9, 20, 33], "temperature": 0, "max_tokens": 30}
        events = self.server.events("/v1/completions", {**body, "speculation": {"origins": True},
                                                        "stream_options": {"include_usage": True}})
        traces = [c["speculation"] for e in events for c in e["choices"] if "speculation" in c]
        self.assertEqual(sum(t["tokens"] for t in traces), 30)
        pieces = [p for t in traces for p in t["pieces"]]
        self.assertEqual("".join(p["text"] for p in pieces), self.ok("/v1/completions", body)["choices"][0]["text"])
        counts = {o: sum(p["origin"] == o for p in pieces) for o in ("plain", "accepted", "corrected", "bonus")}
        self.assertEqual(sum(counts.values()), len(pieces))
        self.assertLessEqual(counts["accepted"], events[-1]["usage"]["speculation"]["accepted"])
        self.assertGreater(counts["accepted"], 0)
        self.refused(400, "/v1/completions", {**body, "speculation": {"origins": True}}, "stream", param="speculation.origins")


class Keys(ProgramTest):
    def test_keys_strict_cors_limits(self):
        keys = self.write("keys", "first\n second , third\n")
        server = Server(self.model, "--api-key-file", keys, "--strict", "--cors", "https://example.org", "--cors", "https://example.com",
                        "--max-calls", 1, "--model-name", "mine")
        try:
            path = "/v1/chat/completions"
            self.assertEqual(server.call("POST", path, CHAT)[0], 401)
            self.assertEqual(server.call("POST", path, CHAT, {"Authorization": "Bearer firs"})[0], 401)
            for headers in ({"Authorization": "Bearer second"}, {"x-api-key": "third"}):
                status, reply = server.call("POST", path, CHAT, headers)
                self.assertEqual(status, 200, reply)
                self.assertEqual(reply["model"], "mine")
            self.assertNotIn("Access-Control-Allow-Origin", server.headers)
            for origin, allowed in (("https://example.com", "https://example.com"), ("https://example.net", None)):
                self.assertEqual(server.call("OPTIONS", path, headers={"Origin": origin})[0], 204)
                self.assertEqual(server.headers.get("Access-Control-Allow-Origin"), allowed)
            key = {"x-api-key": "first"}
            status, reply = server.call("POST", path, {**CHAT, "unheard_of": 1}, key)
            self.assertEqual((status, reply["error"]["param"]), (400, "unheard_of"))
            statuses = []
            long = {"prompt": "a", "max_tokens": 200, "ignore_eos": True}

            def call():
                statuses.append(server.call("POST", "/v1/completions", long, key)[0])
            threads = [threading.Thread(target=call) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertIn(200, statuses)
            self.assertIn(429, statuses)
            self.assertNotIn("first", "".join(server.lines))
        finally:
            self.assertEqual(server.stop(), 0)

    def test_calls_of_a_key(self):
        keys = self.write("keys", "first\nsecond\n")
        server = Server(self.model, "--api-key-file", keys, "--max-calls-per-key", 1)
        try:
            with server.connect() as client:  # an answer of `first` is under way for as long as it stays
                body = json.dumps({"prompt": "a", "max_tokens": 480, "ignore_eos": True, "stream": True}).encode()
                client.sendall(b"POST /v1/completions HTTP/1.1\r\nx-api-key: first\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                self.assertIn(b"200", client.recv(100))
                status, reply = server.call("POST", "/v1/completions", {"prompt": "a"}, {"x-api-key": "first"})
                self.assertEqual((status, server.headers["Retry-After"]), (429, "1"), reply)
                self.assertEqual(server.call("POST", "/v1/completions", {"prompt": "a"}, {"x-api-key": "second"})[0], 200)
        finally:
            self.assertEqual(server.stop(), 0)

    def test_a_config_file(self):
        config = self.write("serve.toml", f"""# A server
model = "{self.model}"
model-name = "from the file"
strict = true
max-calls = 7
cors = ["https://example.org", "https://example.com"]
""")
        server = Server(None, "--config", config, "--model-name", "from the command line")
        try:
            status, reply = server.call("POST", "/v1/chat/completions", CHAT, {"Origin": "https://example.com"})
            self.assertEqual((status, reply["model"]), (200, "from the command line"))
            self.assertEqual(server.headers["Access-Control-Allow-Origin"], "https://example.com")
            self.assertEqual(server.call("POST", "/v1/chat/completions", {**CHAT, "odd": 1})[0], 400)
        finally:
            self.assertEqual(server.stop(), 0)
        for text, parts in (("max-cals = 3", ["max-cals", "nearest is max-calls"]), ("port = 70000", ["port", "65535"]),
                            ("[serve]\nport = 1", ["serve", "tables"]), ("port = 1\nport = 2", ["port", "received 2"]),
                            ('strict = "perhaps"', ["strict"]), ("config = 'other.toml'", ["config"])):
            result = self.expect(2, "serve", "--config", self.write("wrong.toml", text))
            for part in ["wrong.toml", *parts]:
                self.assertIn(part, result.stderr)
        self.assertIn("missing.toml", self.expect(2, "serve", "--config", "missing.toml").stderr)

    def test_what_is_under_way_ends_before_the_server(self):
        server = Server(self.model)
        result = {}

        def call():
            result["events"] = server.events("/v1/completions", {"prompt": "a", "max_tokens": 400, "ignore_eos": True})
        thread = threading.Thread(target=call)
        thread.start()
        while server.metric("dspark_generations") == 0:
            time.sleep(0.005)
        code = server.stop()
        thread.join()
        self.assertEqual(code, 0)
        self.assertEqual(result["events"][-1]["choices"][0]["finish_reason"], "length")

    def test_what_cannot_be_served(self):
        self.assertIn("port", self.expect(1, "serve", self.model, "--host", "203.0.113.7").stderr)
        self.assertIn("IP address", self.expect(1, "serve", self.model, "--host", "nowhere").stderr)
        self.assertIn("no API key", self.expect(1, "serve", self.model, "--api-key-file", self.write("none", "\n")).stderr)
        broken = self.write("broken.gguf", "GGUF")
        self.assertIn("broken.gguf", self.expect(1, "serve", broken, "--port", "0").stderr)


main()
