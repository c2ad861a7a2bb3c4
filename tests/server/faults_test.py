"""dspark serve: wrong requests, bytes that are none, clients that leave, die or sleep.

Called with dspark and the repository's root.
"""

import json
import pathlib
import re
import socket
import struct
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

    def exchange(self, data):
        """What comes back for these bytes, until the server closes or has answered and waits."""
        with self.server.connect() as client:
            try:
                client.sendall(data)
            except OSError:
                pass  # it was closed before all was sent
            got = b""
            client.settimeout(5)
            try:
                while part := client.recv(65536):
                    got += part
                    client.settimeout(0.05)  # a second answer would come at once
            except TimeoutError:
                return got, False
            except ConnectionError:
                pass
            return got, True

    def test_bodies_whose_end_is_in_doubt(self):
        """What one reader may take for a body and another for the next request gets one answer, and no more is read."""
        body = b'{"content": "abc"}'
        length = b"Content-Length: %d" % len(body)
        chunked = b"12\r\n" + body + b"\r\n0\r\n\r\n"
        hidden = b"0\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        request = lambda header, body, version=b"1.1": (  # noqa: E731
            b"POST /tokenize HTTP/" + version + b"\r\nHost: x\r\n" + header + b"\r\n\r\n" + body)
        for data in (request(length, body), request(b"Transfer-Encoding: Chunked", chunked),
                     request(length + b"\r\n" + length, body),
                     request(b"Transfer-Encoding: chunked", b"12;a=b\r\n" + body + b"\r\n0\r\nX: y\r\n\r\n")):
            got, closed = self.exchange(data + request(length, body))
            self.assertEqual((got.count(b"HTTP/1.1 200"), closed), (2, False), data)
        for data in (request(b"Transfer-Encoding: chunked\r\n" + length, hidden), request(length + b"\r\nTransfer-Encoding: chunked", hidden),
                     request(b"Transfer-Encoding: chunked, identity", chunked), request(b"Transfer-Encoding: gzip, chunked", chunked),
                     request(b"Transfer-Encoding: xchunked\r\n" + length, body), request(b"Transfer-Encoding: identity\r\n" + length, body),
                     request(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", chunked),
                     request(b"Transfer-Encoding: chunked", chunked, b"1.0"),
                     request(b"Transfer-Encoding : chunked", chunked), request(b"Content-Length : 18", body),
                     request(b"Content-Length: +18", body), request(b"Content-Length: 0x12", body),
                     request(b"Content-Length: 18, 19", body), request(b"X: a\rContent-Length: 3\r\n" + length, body),
                     request(b"X: a\0b\r\n" + length, body), request(b": b\r\n" + length, body),
                     request(b"Transfer-Encoding: chunked", b"0x12\r\n" + chunked[4:]),
                     request(b"Transfer-Encoding: chunked", b"-1\r\n" + chunked), request(b"Transfer-Encoding: chunked", b"11" + chunked[2:]),
                     request(b"Transfer-Encoding: chunked", b"fffffffffffffffff\r\n" + chunked)):
            got, closed = self.exchange(data)
            self.assertEqual((got.count(b"HTTP/1.1 "), got[9:12], closed), (1, b"400", True), (data, got))

    def test_bombs(self):
        post = b"POST /tokenize HTTP/1.1\r\n"
        chunks = post + b"Transfer-Encoding: chunked\r\n\r\n"
        for data, status in ((post + b"".join(b"a%d: b\r\n" % i for i in range(5000)) + b"\r\n", b"431"),
                             (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n", b"431"), (chunks + b"1;" + b"a" * 300000, b"431"),
                             (chunks + b"0\r\n" + b"a: b\r\n" * 50000, b"431"), (chunks + b"ffffffff\r\n", b"413"),
                             (post + b"Content-Length: 4294967296\r\n\r\n", b"413")):
            got, closed = self.exchange(data)
            self.assertEqual((got[9:12], closed), (status, True), (data[:60], got))

    def test_paths_are_names_and_nothing_else(self):
        for path in (b"//health", b"/v1/../health", b"/v1/%2e%2e/health", b"/./health", b"/health/", b"/health%00", b"/%68ealth",
                     b"/health;x", b"/HEALTH", b"\\health", b"/style.css/../page.js", b"/etc/passwd", b"http://x/health", b"*", b"?",
                     b"/\xff\xfe"):
            self.assertIn(b" 404 ", self.exchange(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")[0], path)
        self.assertIn(b" 200 ", self.exchange(b"GET /health?x=/../ HTTP/1.1\r\nHost: x\r\n\r\n")[0])

    def test_texts_that_are_no_unicode(self):
        for text in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\\ud800", b"\\udc00\\ud800", b"\\x41", b"\0"):
            self.refused(400, "/tokenize", b'{"content": "' + text + b'"}', "JSON")
            self.refused(400, "/tokenize", b'{"' + text + b'": 1}', "JSON")

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

    def unread(self):
        """Replies to what could not be read."""
        return re.findall(r'dspark_http_replies_total\{route="unread".*', self.server.call("GET", "/metrics")[1])

    def test_a_client_that_leaves_is_noticed(self):
        before, unread = self.server.metric("dspark_requests_cancelled_total"), self.unread()
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
        self.assertEqual(self.unread(), unread)  # a connection that is gone is no wrong request

    def test_clients_that_die_or_sleep_starve_nobody(self):
        body = {"prompt": "hello", "max_tokens": 24, "temperature": 0, "ignore_eos": True}
        want = self.ok("/v1/completions", body)["choices"][0]["text"]
        long = json.dumps({**body, "max_tokens": 480, "stream": True}).encode()
        asleep = [self.server.connect() for _ in range(40)]
        for i, client in enumerate(asleep):  # nothing, half a header, half a body
            client.sendall((b"", b"POST /v1/completions HTTP/1.1\r\nHo", b"POST /tokenize HTTP/1.1\r\nContent-Length: 50\r\n\r\n{")[i % 3])
        for _ in range(8):  # killed in the middle of a stream: what was not read makes it a reset
            client = self.server.connect()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(b"POST /v1/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(long) + long)
            client.recv(10)
            client.close()
        self.assertEqual(self.ok("/v1/completions", body)["choices"][0]["text"], want)
        deadline = time.monotonic() + 20
        while self.server.metric("dspark_generations") > 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(self.server.metric("dspark_generations"), 0)
        self.assertGreaterEqual(self.server.metric("dspark_connections"), 40)
        for client in asleep:
            client.close()

    def test_a_slow_reader_holds_up_nobody_and_gets_its_text(self):
        """More than the sockets hold, read byte by byte at first."""
        path, choices = "/v1/chat/completions", 16
        body = {**CHAT, "max_tokens": 300, "ignore_eos": True, "n": choices, "logprobs": True, "top_logprobs": 20}
        want = self.ok(path, body)["choices"][0]["message"]["content"]
        stream = json.dumps({**body, "stream": True}).encode()
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", self.server.port))
        with client:
            client.settimeout(30)
            client.sendall(b"POST %s HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(stream)) + stream)
            got = [client.recv(1)]
            for _ in range(4):
                self.assertEqual(self.ok("/v1/completions", {"prompt": "a", "max_tokens": 8})["usage"]["prompt_tokens"], 1)
                got.append(client.recv(1))
            deadline = time.monotonic() + 60  # the engine waits for no reader
            while (running := self.server.metric("dspark_requests_running")) > 0 and time.monotonic() < deadline:
                time.sleep(0.02)
            self.assertEqual(running, 0)
            while part := client.recv(1 << 16):
                got.append(part)
        lines = [line[6:] for line in b"".join(got).decode().split("\n") if line.startswith("data: ")]
        self.assertEqual(lines.pop(), "[DONE]")
        texts = [""] * choices
        for event in map(json.loads, lines):
            for choice in event["choices"]:
                texts[choice["index"]] += choice["delta"].get("content", "")
        self.assertEqual(texts, [want] * choices)


main()
