"""Two servers behind HAProxy with packages/haproxy.cfg: who gets what, one that dies, one that restarts.

Called with dspark and the repository's root. Exits 77, for skipped, where haproxy is missing.
"""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(sys.argv[2]) / "tests" / "apps"))
from program import ROOT, SKIP, ProgramTest, main  # noqa: E402
from served import Server  # noqa: E402


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxy(ProgramTest):
    def setUp(self):
        self.ports = [free_port(), free_port()]
        self.front, self.secure = free_port(), free_port()
        self.servers = [Server(self.model, port=port) for port in self.ports]
        addresses = {"FRONT": self.front, "SERVER_A": self.ports[0], "SERVER_B": self.ports[1]}
        self.log = open(self.scratch / "haproxy.log", "w")
        self.haproxy = subprocess.Popen(
            ["haproxy", "-f", self.configuration()], stdout=self.log, stderr=self.log,
            env={**os.environ, **{name: f"127.0.0.1:{port}" for name, port in addresses.items()}})
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                if self.call("GET", "/health")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        self.fail("the proxy does not answer")

    def configuration(self):
        """The packaged one, which listens with TLS, too, as docs/scale.md says."""
        key, self.certificate, both = (self.scratch / name for name in ("key.pem", "certificate.pem", "both.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", key, "-out", self.certificate, "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        both.write_text(self.certificate.read_text() + key.read_text())
        packaged = (ROOT / "packages" / "haproxy.cfg").read_text()
        bind = '  bind "${FRONT}"\n'
        self.assertIn(bind, packaged)
        configuration = self.scratch / "haproxy.cfg"
        configuration.write_text(packaged.replace(bind, f'{bind}  bind "127.0.0.1:{self.secure}" ssl crt {both}\n'))
        return configuration

    def tearDown(self):
        self.haproxy.kill()
        self.haproxy.wait()
        self.log.close()
        for server in self.servers:
            server.stop(signal.SIGKILL)

    def call(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.front, timeout=60)
        connection.request(method, path, None if body is None else json.dumps(body), headers or {})
        reply = connection.getresponse()
        text = reply.read().decode()
        connection.close()
        return reply.status, text

    def chat(self, first, tokens=4):
        messages = [{"role": "system", "content": first}, {"role": "user", "content": "hello"}]
        return self.call("POST", "/v1/chat/completions", {"messages": messages, "max_tokens": tokens})[0]

    def counts(self):
        return [server.metric("dspark_requests_total") for server in self.servers]

    def calls_since(self, before, calls):
        """By server; a call is counted just after its answer has gone out."""
        for _ in range(200):
            since = [b - a for a, b in zip(before, self.counts())]
            if sum(since) >= calls:
                break
            time.sleep(0.01)
        return since

    def test_beginnings_have_a_server_of_their_own(self):
        for key in ("one", "two"):
            before = self.counts()
            self.assertEqual([self.chat(f"You are number {key}.") for _ in range(4)], [200] * 4)
            self.assertEqual(sorted(self.calls_since(before, 4)), [0, 4])
        before = self.counts()
        for i in range(16):
            self.assertEqual(self.chat(f"You are number {i}."), 200)
        self.assertTrue(all(count > 0 for count in self.calls_since(before, 16)))
        self.assertEqual(self.call("GET", "/metrics")[0], 404)

    def test_no_request_is_lost_when_servers_die_and_restart(self):
        statuses, stopped = [], threading.Event()

        def ask(i):
            while not stopped.is_set():
                statuses.append(self.chat(f"You are number {i}.", 20))
        threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for i, port in enumerate(self.ports):  # a rolling restart
            self.assertEqual(self.servers[i].stop(), 0)
            time.sleep(0.3)
            self.servers[i] = Server(self.model, port=port)
            time.sleep(1.2)
        stopped.set()
        for thread in threads:
            thread.join()
        self.assertGreater(len(statuses), 6)
        log = (self.scratch / "haproxy.log").read_text()
        self.assertEqual(set(statuses), {200}, [line for line in log.split("\n") if " 200 " not in line])

        # One dies without a word: what it had is lost, what comes after it is not.
        self.servers[0].stop(signal.SIGKILL)
        self.assertEqual([self.chat(f"You are number {i}.") for i in range(8)], [200] * 8)

    def test_tls(self):
        def ask(tokens):
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self.secure, timeout=60, context=ssl.create_default_context(cafile=self.certificate))
            connection.request("POST", "/v1/completions", json.dumps(
                {"prompt": "hello", "max_tokens": tokens, "temperature": 0, "ignore_eos": True, "stream": True}))
            return connection, connection.getresponse()

        connection, reply = ask(8)
        self.assertEqual(reply.status, 200)
        self.assertIn("data: [DONE]", reply.read().decode())
        connection.close()
        connection, reply = ask(100_000)
        self.assertTrue(reply.readline().startswith(b"data: "))
        reply.close()
        connection.close()  # whoever hangs up is noticed through the proxy
        for _ in range(400):
            cancelled = sum(server.metric("dspark_requests_cancelled_total") for server in self.servers)
            if cancelled == 1:
                return
            time.sleep(0.05)
        self.fail("the request goes on")


if not shutil.which("haproxy") or not shutil.which("openssl"):
    sys.exit(SKIP)
main()
