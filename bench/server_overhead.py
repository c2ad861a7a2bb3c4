#!/usr/bin/env python3
"""What the server costs: its tokens a second beside those of `dspark run --concurrency`, at the same number of requests.

  bench/server_overhead.py [--concurrency 1,8,32] [--rounds 3] [--tokens 96] [--model FILE] [--drafter D --planner P]
                           [--peer "PREFIX" --peer-model FILE [--peer-drafts "ARGS"]] [--out FILE.json] [--busy]

A round runs the same prompts (a number in front makes each begin differently) through `dspark run`, `dspark
serve` (twice: as streams, and answers whole, which is what `run` gives and asks little of a client on the same
CPUs) and, with --peer-model, llama-server's streams, each freshly started, and turns their order around. So
many requests are under way at any time, the next beginning where one ends, until each stream has had
--requests of them; answers are greedy and of --tokens tokens. A row has tokens a second from the first request
to the last token, of servers also the time to the first text and the gaps between texts (a drafted step brings
several tokens at once). Texts of `serve` are held against those of `run`. The client reads on one thread and
looks at what came afterwards; its processor time is in the rows. A pass waits for a quiet machine, and one
during which others used more than a fifth of a CPU is run again; --busy leaves both out.

PREFIX is put before llama-server (empty when it is on the PATH); --peer-model is the model as it sees it. With
--peer-drafts it runs a second time, with these arguments for its own speculation:
  --peer-drafts="--spec-type draft-dspark -md drafter.gguf --spec-draft-n-max 4"
"""
import argparse
import json
import pathlib
import selectors
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from peer import ROOT, cpu_model, quiet_pass, run, watched

RUN, WHOLE, SERVE, PEER = "dspark run", "serve, whole", "serve, streams", "llama-server"
PEER_DRAFTS = "llama-server, drafts"
PROMPTS = ROOT / "bench/prompts/chat.jsonl"
STILL_S = 120  # a stream that brings nothing for so long is a fault


def prompts(count):
    texts = [json.loads(line)["turns"][0] for line in PROMPTS.read_text().splitlines()]
    return [f"{i + 1}. {texts[i % len(texts)]}" for i in range(count)]


def ours(args):
    """What run and serve share, behind their name."""
    return (([args.model] if args.model else []) +
            ["--threads", str(args.threads), "--drafter", args.drafter, "--planner", args.planner])


def pass_of_run(args):
    with tempfile.TemporaryDirectory() as folder:
        rows, out = pathlib.Path(folder) / "prompts.jsonl", pathlib.Path(folder) / "out.jsonl"
        rows.write_text("".join(json.dumps({"id": i, "turns": [p]}) + "\n" for i, p in enumerate(args.texts)))
        run([args.dspark, "run", *ours(args), "--prompts", str(rows), "--concurrency", str(args.streams),
             "--max-tokens", str(args.tokens), "--ignore-eos", "--json", str(out)])
        *answers, last = [json.loads(line) for line in out.read_text().splitlines()]
    return {"tokens": last["summary"]["tokens"], "wall_s": last["summary"]["wall_ms"] / 1e3,
            "texts": [answer["text"] for answer in answers]}


class Stream:
    """One request: sent at once, read as it comes, looked at when it has ended."""

    def __init__(self, args, text, streams):
        self.streams = streams
        body = json.dumps({"messages": [{"role": "user", "content": text}], "max_tokens": args.tokens, "temperature": 0,
                           "ignore_eos": True, "stream": streams}).encode()
        self.socket = socket.create_connection(("127.0.0.1", args.port))
        self.start, self.parts = time.perf_counter(), []
        self.socket.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def read(self):
        """False at its end."""
        part = self.socket.recv(1 << 16)
        self.parts.append((time.perf_counter(), part))
        return bool(part)

    def texts(self):
        """[(when it came, text)] of the events that brought some, or of the answer."""
        if not self.streams:
            head, _, body = b"".join(part for _, part in self.parts).partition(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n")[0]:
                sys.exit(f"a request failed: {head!r} {body!r}")
            return [(self.parts[-1][0], json.loads(body)["choices"][0]["message"]["content"])]
        found, rest = [], b""
        for when, part in self.parts:
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                if line.startswith(b"data: {"):
                    event = json.loads(line[6:])
                    if "choices" not in event:
                        sys.exit(f"a stream failed: {line.decode()}")
                    text = "".join(c["delta"].get("content") or "" for c in event["choices"])
                    if text:
                        found.append((when, text))
        if not found:
            sys.exit(f"a stream without text: {b''.join(p for _, p in self.parts)[:300]!r}")
        return found


def ask_all(args, as_streams):
    """All requests, args.streams of them under way."""
    waiting, streams = list(reversed(args.texts)), []
    with selectors.DefaultSelector() as selector:
        def begin():
            streams.append(Stream(args, waiting.pop(), as_streams))
            selector.register(streams[-1].socket, selectors.EVENT_READ, streams[-1])
        while waiting and len(streams) < args.streams:
            begin()
        while selector.get_map():
            ready = selector.select(STILL_S)
            if not ready:
                sys.exit(f"{len(selector.get_map())} streams stand still")
            for key, _ in ready:
                if not key.data.read():
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                    if waiting:
                        begin()
    return streams


def pass_of_server(args, command, as_streams=True):
    """The row of a server that is started for it and stopped behind it."""
    server = subprocess.Popen(command + ["--port", str(args.port)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + STILL_S
        while True:
            if server.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"no server: {shlex.join(command)}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{args.port}/health", timeout=5) as reply:
                    if reply.status == 200:
                        break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        busy = time.process_time()
        streams = ask_all(args, as_streams)
        busy = time.process_time() - busy
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    events = [stream.texts() for stream in streams]
    firsts = [found[0][0] - stream.start for stream, found in zip(streams, events)]
    gaps = [b - a for found in events for (a, _), (b, _) in zip(found, found[1:])]
    wall = max(found[-1][0] for found in events) - min(stream.start for stream in streams)
    row = {"tokens": args.tokens * len(streams), "wall_s": wall, "client_cpu_s": busy}
    for name, values in (("first_text_ms", firsts), ("gap_ms", gaps)) if as_streams else ():
        values = sorted(values) or [0.0]
        for percent in (50, 99):
            row[f"{name}_p{percent}"] = 1e3 * values[min(len(values) - 1, len(values) * percent // 100)]
    return {**row, "texts": ["".join(text for _, text in found) for found in events]}


def pass_of_serve(args, as_streams=True):
    command = [args.dspark, "serve", *ours(args), "--slots", str(args.streams), "--no-request-log"]
    return pass_of_server(args, command, as_streams)


def pass_of_peer(args, more=()):
    context = args.streams * (256 + args.tokens)
    return pass_of_server(args, shlex.split(args.peer) + [
        "llama-server", "-m", args.peer_model, "-t", str(args.threads), "-tb", str(args.threads), "-np", str(args.streams),
        "-c", str(context), "--host", "127.0.0.1", *more])


PASSES = {RUN: pass_of_run, WHOLE: lambda args: pass_of_serve(args, as_streams=False), SERVE: pass_of_serve,
          PEER: pass_of_peer, PEER_DRAFTS: lambda args: pass_of_peer(args, shlex.split(args.peer_drafts))}


def measure(args, which, streams, round_index):
    args.streams = streams
    args.texts = prompts(streams * args.requests)
    one = PASSES[which]
    found, others = watched(lambda: one(args)) if args.busy else quiet_pass(one, args)
    row = {"engine": which, "concurrency": streams, "round": round_index, "requests": len(args.texts),
           "tok_per_s": found["tokens"] / found["wall_s"], "others_cpus": round(others, 2), **found}
    return row


def summary(rows, concurrencies, engines):
    """Prints a line each, and gives the ratios' rows."""
    ratios = []
    for streams in concurrencies:
        of = {e: [r for r in rows if r["engine"] == e and r["concurrency"] == streams] for e in engines}
        for engine in engines:
            median = lambda key: statistics.median(r[key] for r in of[engine])  # noqa: E731
            line = f"{streams:4} {engine:20} {median('tok_per_s'):8.1f} tok/s"
            if engine != RUN:
                by_round = [a["tok_per_s"] / b["tok_per_s"] for a, b in zip(of[engine], of[RUN])]
                ratios.append({"engine": engine, "concurrency": streams, "over": RUN, "ratios": by_round,
                               "median_ratio": statistics.median(by_round)})
                line += f"  {ratios[-1]['median_ratio']:.3f} of run ({', '.join(f'{r:.3f}' for r in by_round)})"
                if engine != WHOLE:
                    line += (f", first text {median('first_text_ms_p50'):.0f} ms (p99 {median('first_text_ms_p99'):.0f}),"
                             f" gap {median('gap_ms_p50'):.1f} ms (p99 {median('gap_ms_p99'):.1f})")
            print(line)
    return ratios


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concurrency", default="1,8,32", help="requests at the same time (default: 1,8,32)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=4, help="of each stream (default: 4)")
    parser.add_argument("--tokens", type=int, default=96, help="of an answer (default: 96)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", default="", help="the model as we see it (default: the default model)")
    parser.add_argument("--drafter", default="none")
    parser.add_argument("--planner", default="auto")
    parser.add_argument("--dspark", default=str(ROOT / "build/release/dspark"))
    parser.add_argument("--peer", default="", help="put before llama-server")
    parser.add_argument("--peer-model", default="", help="the model as llama-server sees it; none: it is left out")
    parser.add_argument("--peer-drafts", default="", help="arguments of llama-server for its own speculation")
    parser.add_argument("--port", type=int, default=18095)
    parser.add_argument("--busy", action="store_true", help="others may use the machine: to try it, not to measure")
    parser.add_argument("--out", help="rows as JSON")
    args = parser.parse_args()
    concurrencies = [int(c) for c in args.concurrency.split(",")]
    engines = [RUN, WHOLE, SERVE] + ([PEER] if args.peer_model else []) + ([PEER_DRAFTS] if args.peer_drafts else [])

    rows, differing = [], 0
    for i in range(args.rounds):
        for streams in concurrencies:
            texts = {}
            for which in engines if i % 2 == 0 else reversed(engines):
                row = measure(args, which, streams, i)
                texts[which] = row.pop("texts")
                rows.append(row)
            differing += sum(a != b for of in (WHOLE, SERVE) for a, b in zip(texts[RUN], texts[of]))
        print(f"round {i + 1} of {args.rounds}", file=sys.stderr)
    commit = run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]).strip()
    print(f"{cpu_model()}, {args.threads} threads, commit {commit}, {args.rounds} rounds (medians), {args.tokens} tokens an answer")
    ratios = summary(rows, concurrencies, engines)
    print(f"texts of serve that differ from run's: {differing}")
    if args.out:
        out = {"suite": "server", "cpu": cpu_model(), "threads": args.threads, "commit": commit, "drafter": args.drafter,
               "planner": args.planner, "peer_drafts": args.peer_drafts, "tokens": args.tokens, "rows": rows,
               "ratios": ratios, "differing_texts": differing}
        pathlib.Path(args.out).write_text(json.dumps(out, indent=1) + "\n")
    if differing:
        sys.exit("the server changed a text")


if __name__ == "__main__":
    main()
