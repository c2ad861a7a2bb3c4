"""dspark serve over real sockets: routes, options, faults, the same text as `run`.

Called with dspark and the repository's root.
"""

import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(sys.argv[2]) / "tests" / "apps"))
from program import BARE_MODEL, PROGRAM, ProgramTest, main  # noqa: E402

DRAFTER = BARE_MODEL.parent / "draft"


class Server:
    def __init__(self, model, *arguments, env=None):
        self.process = subprocess.Popen(
            [PROGRAM, "serve", str(model), "--port", "0", "--threads", "2", *map(str, arguments)],
            stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
        self.lines = []
        self.port = None
        for line in self.process.stderr:
            self.lines.append(line)
            found = re.search(r"listening at http://[^:]+:(\d+)", line)
            if found:
                self.port = int(found[1])
                break
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stderr))
        self.reader.start()
        deadline = time.monotonic() + 60
        while self.port and time.monotonic() < deadline:
            if self.call("GET", "/health")[0] == 200:
                return
            time.sleep(0.02)
        self.stop()
        raise AssertionError("no server: " + "".join(self.lines))

    def call(self, method, path, body=None, headers=None, raw=False):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        data = reply.read().decode()
        connection.close()
        self.headers = dict(reply.getheaders())
        if raw or not data:
            return reply.status, data
        return reply.status, json.loads(data) if "json" in reply.getheader("Content-Type", "") else data

    def events(self, path, body):
        status, text = self.call("POST", path, {**body, "stream": True}, raw=True)
        events = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
        assert status == 200, text
        assert events[-1] == "[DONE]", events[-1]
        return [json.loads(event) for event in events[:-1]]

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def metric(self, name):
        return float(re.search(rf"^{name} (\S+)$", self.call("GET", "/metrics")[1], re.M)[1])

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(timeout=60)
        self.reader.join()
        self.process.stderr.close()
        return code


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

    @classmethod
    def setUpClass(cls):
        ProgramTest.setUpClass.__func__(cls)
        cls.server = Server(BARE_MODEL, *cls.ARGUMENTS)

    def test_usage_tells_of_drafts_and_the_text_stays(self):
        body = {"prompt": [5, 9, 20, 33], "temperature": 0, "max_tokens": 30, "logprobs": 0}
        fast, slow = (self.ok("/v1/completions", {**body, **more}) for more in ({}, {"speculation": {"off": True}}))
        self.assertEqual(fast["choices"][0]["logprobs"]["token_logprobs"], slow["choices"][0]["logprobs"]["token_logprobs"])
        self.assertGreater(fast["usage"]["speculation"]["drafted"], 0)
        self.assertEqual(slow["usage"]["speculation"]["drafted"], 0)
        one = self.ok("/v1/completions", {**body, "speculation": {"draft_max": 1}})["usage"]["speculation"]
        self.assertLessEqual(one["drafted"], one["cycles"])


class Keys(ProgramTest):
    def test_keys_strict_cors_limits(self):
        keys = self.write("keys", "first\n second , third\n")
        server = Server(self.model, "--api-key-file", keys, "--strict", "--cors", "https://example.org",
                        "--max-calls", 1, "--model-name", "mine")
        try:
            path = "/v1/chat/completions"
            self.assertEqual(server.call("POST", path, CHAT)[0], 401)
            self.assertEqual(server.call("POST", path, CHAT, {"Authorization": "Bearer firs"})[0], 401)
            for headers in ({"Authorization": "Bearer second"}, {"x-api-key": "third"}):
                status, reply = server.call("POST", path, CHAT, headers)
                self.assertEqual(status, 200, reply)
                self.assertEqual(reply["model"], "mine")
            self.assertEqual(server.headers["Access-Control-Allow-Origin"], "https://example.org")
            self.assertEqual(server.call("OPTIONS", path)[0], 204)
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
