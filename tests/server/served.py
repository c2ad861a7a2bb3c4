"""dspark serve as a test starts it: at a free port, with what it says on stderr."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

from program import PROGRAM, ProgramTest

CHAT = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 12, "temperature": 0}


class Server:
    def __init__(self, model, *arguments, env=None, port=0):
        self.process = subprocess.Popen(
            [PROGRAM, "serve", *([str(model)] if model else []), "--port", str(port), "--threads", "2", *map(str, arguments)],
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

    def events(self, path, body, done=True):
        status, text = self.call("POST", path, {**body, "stream": True}, raw=True)
        events = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
        assert status == 200, text
        if done:
            assert events.pop() == "[DONE]", text
        return [json.loads(event) for event in events]

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
