"""dspark serve: wrong requests, bytes that are none, clients that leave, many at once.

Called with dspark and the repository's root.
"""

import json
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(sys.argv[2]) / "tests" / "apps"))
from program import main  # noqa: E402
from served import CHAT, ServerTest  # noqa: E402


class Faults(ServerTest):
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


main()
