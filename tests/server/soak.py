"""A server under short requests for long: flat memory, no leaked page, the same texts to the end.

Called with dspark and the repository's root; DSPARK_SOAK_REQUESTS sets how many requests (100000). Memory may
grow by MOST_GROWTH_MB from a tenth of them to their end. The last line is a summary.
"""

import http.client
import json
import os
import pathlib
import re
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(sys.argv[2]) / "tests" / "apps"))
from program import BARE_MODEL, make_model  # noqa: E402
from served import Server  # noqa: E402

REQUESTS = int(os.environ.get("DSPARK_SOAK_REQUESTS", "100000"))
CLIENTS, MOST_GROWTH_MB = 16, 4
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": ["red", "green"]}}}


def completion(i):
    """Prompts of 40 beginnings and many ends, so that the prefix cache is always full."""
    return "/v1/completions", {"prompt": [7 + i % 40] * 60 + [3 + i % 7], "max_tokens": 2 + i % 7, "temperature": i % 2,
                               "seed": i % 7, "ignore_eos": True}


def chat(i):
    return "/v1/chat/completions", {"messages": [{"role": "user", "content": "hello" * (1 + i % 5)}], "max_tokens": 4,
                                    "temperature": 0}


def constrained(i):
    return "/v1/chat/completions", {**chat(0)[1], "max_tokens": 30, "temperature": 1, "seed": i % 5, "response_format": SCHEMA}


def request_of(i):
    return (completion, chat, completion, constrained, completion)[i % 5](i)


class Client(threading.Thread):
    """Every CLIENTS-th request, over one connection; some are streams, some are left, some are wrong."""

    def __init__(self, server, first, texts):
        super().__init__()
        self.server, self.first, self.texts = server, first, texts
        self.done, self.fault = 0, None

    def run(self):
        try:
            for i in range(self.first, REQUESTS, CLIENTS):
                self.one(i)
                self.done += 1
        except Exception as error:  # told by the main thread
            self.fault = error
            raise

    def one(self, i):
        if not hasattr(self, "connection"):
            self.connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=120)
        path, body = request_of(i)
        stream, left, wrong = i % 3 == 0, i % 101 == 0, i % 53 == 0
        if wrong:
            body = {**body, "max_tokens": "many"}
        self.connection.request("POST", path, json.dumps({**body, "stream": stream}))
        reply = self.connection.getresponse()
        if left:
            self.connection.close()
            del self.connection
            return
        data = reply.read().decode()
        assert reply.status == (400 if wrong else 200), data
        if wrong:
            return
        events = [json.loads(line[6:]) for line in data.split("\n") if line.startswith("data: {")] if stream else [json.loads(data)]
        text = ""
        for choice in (choice for event in events for choice in event["choices"]):
            text += choice.get("text") or (choice.get("delta") or choice.get("message") or {}).get("content") or ""
        key = path + json.dumps(body)
        assert self.texts.setdefault(key, text) == text, (key, text, self.texts[key])


def rss_mb(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s*(\d+) kB", status)[1]) / 1024


def main():
    with tempfile.TemporaryDirectory() as scratch:
        server = Server(make_model(pathlib.Path(scratch) / "model"), "--drafter", BARE_MODEL.parent / "draft", "--planner", "full",
                        "--cache-mb", 4, "--prefix-cache-mb", 2, "--slots", CLIENTS, "--no-request-log")
        texts, start = {}, time.monotonic()
        clients = [Client(server, i, texts) for i in range(CLIENTS)]
        for client in clients:
            client.start()
        while sum(c.done for c in clients) < REQUESTS // 10 and any(c.is_alive() for c in clients):
            time.sleep(0.05)
        early = rss_mb(server)
        for client in clients:
            client.join()
        late = rss_mb(server)
        deadline = time.monotonic() + 30
        while server.metric("dspark_generations") + server.metric("dspark_requests_running") > 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        state = server.call("GET", "/v1/dspark/state")[1]
        code = server.stop()
    cache = state["cache"]
    print(f"{REQUESTS} requests in {time.monotonic() - start:.0f} s, {len(texts)} texts, {early:.1f} MB after a tenth and "
          f"{late:.1f} MB at the end, cache pages {cache}, {state['preemptions']} preemptions")
    assert not any(c.fault for c in clients), [c.fault for c in clients]
    assert code == 0, code
    assert (state["running"], state["waiting"], state["generations"]) == (0, 0, 0), state
    assert cache["free"] + cache["known"] == cache["pages"], cache
    assert late <= early + MOST_GROWTH_MB, f"memory grew from {early:.1f} to {late:.1f} MB"


main()
