"""dspark serve under load: 500 streams at once, a cache that is too small for all, SIGTERM in the middle.

Called with dspark and the repository's root.
"""

import json
import pathlib
import selectors
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(sys.argv[2]) / "tests" / "apps"))
from program import ProgramTest, main  # noqa: E402
from served import Server  # noqa: E402

STREAMS, KINDS = 500, 10


def body_of(i, tokens):
    """One of KINDS requests: prompts that share their beginnings, every other one sampled."""
    return {"prompt": [7, 8, 9, *[20 + i % 5] * (1 + i % KINDS)], "max_tokens": tokens + i % KINDS, "ignore_eos": True,
            "temperature": i % 2, "seed": i % KINDS}


class Stream:
    """A request on a socket of its own, read as it comes; HTTP/1.0, so that its end is the connection's."""

    def __init__(self, server, body):
        self.socket = server.connect()
        self.data = json.dumps({**body, "stream": True}).encode()
        self.got = b""

    def send(self):
        self.socket.sendall(b"POST /v1/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(self.data) + self.data)

    def read(self):
        """False at its end."""
        part = self.socket.recv(1 << 16)
        self.got += part
        return bool(part)

    def text(self):
        lines = [line[6:] for line in self.got.decode().split("\n") if line.startswith("data: ")]
        if not lines or lines.pop() != "[DONE]":
            raise AssertionError(f"no whole stream: {self.got[:200]}")
        return "".join(choice["text"] for line in lines for choice in json.loads(line)["choices"])


def read_all(streams):
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream.socket, selectors.EVENT_READ, stream)
        while selector.get_map():
            ready = selector.select(timeout=60)
            if not ready:
                raise AssertionError(f"{len(selector.get_map())} streams stand still")
            for key, _ in ready:
                if not key.data.read():
                    selector.unregister(key.fileobj)
    for stream in streams:
        stream.socket.close()


def alone(server, tokens):
    """The texts of the KINDS requests, each without others beside it."""
    texts = []
    for i in range(KINDS):
        status, reply = server.call("POST", "/v1/completions", body_of(i, tokens))
        assert status == 200, reply
        texts.append(reply["choices"][0]["text"])
    return texts


class Streams(ProgramTest):
    def test_500_streams_at_once(self):
        server = Server(self.model, "--slots", 48, "--max-calls", STREAMS, "--no-request-log")
        try:
            want = alone(server, 12)
            streams = [Stream(server, body_of(i, 12)) for i in range(STREAMS)]
            for stream in streams:
                stream.send()
            read_all(streams)
            self.assertEqual([i for i in range(STREAMS) if streams[i].text() != want[i % KINDS]], [])
            self.assertEqual(server.metric("dspark_refused_total"), 0)
            self.assertEqual(server.metric("dspark_disconnects_total"), 0)
            self.assertEqual(server.metric("dspark_requests_failed_total"), 0)
        finally:
            self.assertEqual(server.stop(), 0)

    def test_a_full_cache_makes_requests_wait_and_changes_no_text(self):
        server = Server(self.model, "--slots", 32, "--cache-mb", 1, "--prefix-cache-mb", 0)
        try:
            want = alone(server, 240)
            streams = [Stream(server, body_of(i, 240)) for i in range(2 * KINDS)]
            for stream in streams:
                stream.send()
            read_all(streams)
            self.assertEqual([i for i in range(len(streams)) if streams[i].text() != want[i % KINDS]], [])
            self.assertGreater(server.metric("dspark_preemptions_total"), 0)
            deadline = time.monotonic() + 20  # metrics follow the answers
            while (free := server.metric("dspark_cache_pages_free")) < server.metric("dspark_cache_pages") and time.monotonic() < deadline:
                time.sleep(0.01)
            self.assertEqual(free, server.metric("dspark_cache_pages"))
        finally:
            self.assertEqual(server.stop(), 0)

    def test_sigterm_under_load(self):
        """What is under way ends whole, nothing new begins, and sleeping connections hold up nothing."""
        server = Server(self.model, "--slots", 8)
        asleep = server.connect()
        want = alone(server, 100)
        streams = [Stream(server, body_of(i, 100)) for i in range(24)]
        for stream in streams:
            stream.send()
        deadline = time.monotonic() + 60
        while server.metric("dspark_generations") + server.metric("dspark_requests_total") < KINDS + len(streams):
            self.assertLess(time.monotonic(), deadline)
        late = server.connect()
        reader = threading.Thread(target=read_all, args=(streams,))
        reader.start()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)  # it looks every 50 ms
        try:
            late.sendall(b'POST /v1/completions HTTP/1.1\r\nContent-Length: 15\r\n\r\n{"prompt": "a"}')
            self.assertIn(late.recv(12), (b"HTTP/1.1 503", b""))
        except ConnectionError:
            pass  # closed before it was read
        with self.assertRaises(OSError):
            server.connect()
        reader.join()
        self.assertEqual(server.process.wait(timeout=60), 0)
        self.assertEqual(server.stop(), 0)
        self.assertEqual([i for i in range(len(streams)) if streams[i].text() != want[i % KINDS]], [])
        for client in (asleep, late):
            client.close()


main()
