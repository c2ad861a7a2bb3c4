"""dspark serve as one runs it: keys, configuration, limits, its end.

Called with dspark and the repository's root.
"""

import http.client
import json
import pathlib
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(sys.argv[2]) / "tests" / "apps"))
from program import PROGRAM, ProgramTest, main  # noqa: E402
from served import CHAT, Server  # noqa: E402


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

    def test_a_log_that_is_full_or_gone_stops_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        for gone in (False, True):
            with open("/dev/full", "w") as full:
                process = subprocess.Popen([PROGRAM, "serve", str(self.model), "--port", str(port), "--threads", "1"],
                                           stderr=subprocess.PIPE if gone else full)
            if gone:
                process.stderr.close()
            deadline = time.monotonic() + 60
            status = None
            while status != 200 and process.poll() is None and time.monotonic() < deadline:
                try:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                    connection.request("POST", "/v1/chat/completions", json.dumps(CHAT))
                    status = connection.getresponse().status
                except OSError:
                    time.sleep(0.02)
                finally:
                    connection.close()
            self.assertEqual(status, 200)
            process.terminate()
            self.assertEqual(process.wait(timeout=60), 0)

    def test_what_cannot_be_served(self):
        self.assertIn("port", self.expect(1, "serve", self.model, "--host", "203.0.113.7").stderr)
        self.assertIn("IP address", self.expect(1, "serve", self.model, "--host", "nowhere").stderr)
        self.assertIn("no API key", self.expect(1, "serve", self.model, "--api-key-file", self.write("none", "\n")).stderr)
        broken = self.write("broken.gguf", "GGUF")
        self.assertIn("broken.gguf", self.expect(1, "serve", broken, "--port", "0").stderr)


main()
