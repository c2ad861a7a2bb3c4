#!/usr/bin/env python3
"""Side by side with another CPU engine: the same GGUF, the same threads, alternating in one run, ratios by round.

  bench/peer.py --peer "PREFIX" --peer-model FILE [--kind llama.cpp|openvino] [--model FILE] [--rounds 3]
                [--threads 2] [--only decode] [--out FILE.json]

PREFIX is put before llama.cpp's programs (empty when they are on the PATH; a wrapper that runs them elsewhere
otherwise); with --kind openvino it is the Python that has the package openvino-genai. --peer-model is the
model's path as the peer sees it. --only decode is for large models: one request, and our memory rate beside it.
A pass waits for a quiet machine; one during which others used more than a fifth of a CPU is run again.
"""
import argparse
import json
import pathlib
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DECODE, REQUESTS, PREFILL = "decode, alone", "16 requests, total", "prefill of 512"
CONCURRENCY, PROMPT, TOKENS, LONG_PROMPT = 16, 32, 96, 512
MOST_CPUS_OF_OTHERS = 0.2


def run(command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def bench(args, *suite):
    """Rows of one run of dspark bench."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "bench.json"
        command = [args.dspark, "bench"] + ([args.model] if args.model else [])
        run(command + ["--suite", *suite, "--threads", str(args.threads), "--json", str(out)])
        return json.loads(out.read_text())["rows"]


def ours(args):
    """{measure: tokens per second} of one pass, with our memory rate where only decoding is measured."""
    found = {}
    if args.only == "decode":
        for row in bench(args, "width", "--rows", "1"):
            if row["case"] == "step":
                found[DECODE] = 1e3 / row["step_ms"]
            else:
                found |= {key: row[key] for key in ("achieved_gb_per_s", "stream_read_gb_per_s")}
        return found
    for row in bench(args, "decode"):
        if row["case"] == "alone":
            found[DECODE] = row["tok_per_s"]
        elif row["case"] == "concurrent" and row["concurrency"] == CONCURRENCY:
            found[REQUESTS] = row["total_tok_per_s"]
        elif row["case"] == "prefill" and row["prompt_tokens"] == LONG_PROMPT:
            found[PREFILL] = row["prefill_tok_per_s"]
    return found


def llama_cpp(args):
    prefix = shlex.split(args.peer)
    common = ["-m", args.peer_model, "-t", str(args.threads)]
    found = {}
    if args.only == "decode":
        (row,) = json.loads(run(prefix + ["llama-bench", *common, "-p", "0", "-n", "32", "-r", "3", "-o", "json"]))
        return {DECODE: row["avg_ts"]}
    cases = ["-p", str(LONG_PROMPT), "-n", str(TOKENS), "-r", "3"]
    for row in json.loads(run(prefix + ["llama-bench", *common, *cases, "-o", "json"])):
        found[DECODE if row["n_gen"] else PREFILL] = row["avg_ts"]
    cases = ["-npp", str(PROMPT), "-ntg", str(TOKENS), "-npl", str(CONCURRENCY)]
    table = run(prefix + ["llama-batched-bench", *common, "-c", "4096", *cases, "--output-format", "jsonl"])
    for line in table.splitlines():
        if line.startswith("{") and json.loads(line).get("pl") == CONCURRENCY:
            row = json.loads(line)
            found[REQUESTS] = row["pl"] * row["tg"] / (row["t_pp"] + row["t_tg"])
    return found


def openvino(args):
    """The peer's Python runs this file with --openvino-pass."""
    command = [sys.executable if not args.peer else args.peer, __file__, "--peer-model", args.peer_model,
               "--threads", str(args.threads), "--only", args.only, "--openvino-pass"]
    return json.loads(run(command).splitlines()[-1])


def openvino_pass(args):
    """{measure: tokens per second} of OpenVINO GenAI; a first run of each warms up. It caches prefixes, so every
    prompt is of other ids, random ones of the vocabulary's upper half as in dspark bench."""
    import numpy
    import openvino
    import openvino_genai as genai

    random = numpy.random.default_rng(time.time_ns())
    tokenizer = genai.Tokenizer(args.peer_model)
    vocab = len(tokenizer.get_vocab())

    def prompt(tokens):
        return openvino.Tensor(random.integers(vocab // 2, vocab, (1, tokens)).astype(numpy.int64))

    def config(tokens):
        return genai.GenerationConfig(max_new_tokens=tokens, ignore_eos=True, do_sample=False)

    pipeline = genai.LLMPipeline(args.peer_model, "CPU", INFERENCE_NUM_THREADS=args.threads)
    decode, prefill, requests = [], [], []
    for _ in range(4):
        metrics = pipeline.generate(prompt(PROMPT), config(TOKENS)).perf_metrics
        decode.append(1e3 / metrics.get_tpot().mean)
    found = {DECODE: statistics.median(decode[1:])}
    if args.only != "decode":
        for _ in range(4):
            metrics = pipeline.generate(prompt(LONG_PROMPT), config(1)).perf_metrics
            prefill.append(LONG_PROMPT / metrics.get_ttft().mean * 1e3)
        del pipeline
        scheduler = genai.SchedulerConfig()
        scheduler.max_num_batched_tokens = CONCURRENCY * PROMPT  # all prompts in the first step
        batching = genai.ContinuousBatchingPipeline(args.peer_model, scheduler, "CPU",
                                                    {"INFERENCE_NUM_THREADS": args.threads})
        for _ in range(4):
            prompts = [prompt(PROMPT) for _ in range(CONCURRENCY)]
            start = time.perf_counter()
            results = batching.generate(prompts, [config(TOKENS)] * CONCURRENCY)
            tokens = sum(len(ids) for result in results for ids in result.m_generation_ids)
            requests.append(tokens / (time.perf_counter() - start))
        found |= {REQUESTS: statistics.median(requests[1:]), PREFILL: statistics.median(prefill[1:])}
    print(json.dumps(found))


def processor_s():
    """Seconds of all CPUs: (in use by anyone, the host's other guests included; by our children)."""
    ticks = [int(t) for t in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle, iowait = ticks[3], ticks[4]
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (sum(ticks) - idle - iowait) / 100, children.ru_utime + children.ru_stime


def watched(action):
    """What action() gave, and the CPUs that others used meanwhile, on average."""
    start, before = time.monotonic(), processor_s()
    found = action()
    after = processor_s()
    others = (after[0] - before[0]) - (after[1] - before[1])
    return found, max(0.0, others / (time.monotonic() - start))


def quiet_pass(measure, args):
    """What measure(args) finds while others leave the machine alone, and the CPUs that they did use."""
    while True:
        while watched(lambda: time.sleep(2))[1] > MOST_CPUS_OF_OTHERS:
            pass
        found, others = watched(lambda: measure(args))
        if others <= MOST_CPUS_OF_OTHERS:
            return found, others
        print(f"a pass of {measure.__name__} again: others used {others:.1f} CPUs", file=sys.stderr)


def cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


PEERS = {"llama.cpp": llama_cpp, "openvino": openvino}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=PEERS, default="llama.cpp", help="the peer (default: llama.cpp)")
    parser.add_argument("--peer", default="", help="put before llama.cpp's programs; OpenVINO's Python")
    parser.add_argument("--peer-model", required=True, help="the model as the peer sees it")
    parser.add_argument("--model", default="", help="the model as we see it (default: the default model)")
    parser.add_argument("--dspark", default=str(ROOT / "build/release/dspark"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["", "decode"], default="", help="one request alone")
    parser.add_argument("--out", help="rows as JSON")
    parser.add_argument("--openvino-pass", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.openvino_pass:
        openvino_pass(args)
        return

    rounds = []
    for i in range(args.rounds):
        rounds.append((quiet_pass(ours, args), quiet_pass(PEERS[args.kind], args)))
        print(f"round {i + 1} of {args.rounds}", file=sys.stderr)
    commit = run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]).strip()
    others = [{"dspark": round(mine[1], 2), "peer": round(theirs[1], 2)} for mine, theirs in rounds]
    rows = []
    print(f"{cpu_model()}, {args.threads} threads, commit {commit}, {args.rounds} rounds (medians)")
    print(f"{'':20} {'dspark':>9} {args.kind:>9} {'ratio':>7}  (ratios of the rounds)")
    for measure in rounds[0][1][0]:
        mine = [found[measure] for (found, _), _ in rounds]
        other = [found[measure] for _, (found, _) in rounds]
        ratios = [a / b for a, b in zip(mine, other)]
        rows.append({"measure": measure, "dspark_tok_per_s": mine, "peer_tok_per_s": other, "ratios": ratios,
                     "median_ratio": statistics.median(ratios)})
        print(f"{measure:20} {statistics.median(mine):9.1f} {statistics.median(other):9.1f} "
              f"{statistics.median(ratios):7.2f}  {', '.join(f'{r:.2f}' for r in ratios)}")
    memory = {key: [found[key] for (found, _), _ in rounds]
              for key in ("achieved_gb_per_s", "stream_read_gb_per_s") if key in rounds[0][0][0]}
    for key, values in memory.items():
        print(f"{key:20} {statistics.median(values):9.1f}")
    print("CPUs used by others meanwhile:", ", ".join(f"{o['dspark']:.2f} and {o['peer']:.2f}" for o in others))
    if args.out:
        out = {"cpu": cpu_model(), "threads": args.threads, "commit": commit, "peer": args.kind,
               "peer_model": pathlib.Path(args.peer_model).name, "rows": rows, **memory,
               "cpus_used_by_others": others}
        pathlib.Path(args.out).write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
