#!/usr/bin/env python3
"""Side by side with llama.cpp: the same GGUF, the same threads, alternating in one run, ratios by round.

  bench/peer.py --peer "PREFIX" --peer-model FILE [--model FILE] [--rounds 3] [--threads 2] [--out FILE.json]

PREFIX is put before llama.cpp's programs (empty when they are on the PATH; a wrapper that runs them elsewhere
otherwise); --peer-model is the model's path as those programs see it.
"""
import argparse
import json
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def ours(args):
    """{measure: tokens per second} of one pass of the decode suite."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "bench.json"
        command = [args.dspark, "bench"] + ([args.model] if args.model else [])
        run(command + ["--suite", "decode", "--threads", str(args.threads), "--json", str(out)])
        rows = json.loads(out.read_text())["rows"]
    found = {}
    for row in rows:
        if row["case"] == "alone":
            found["decode, alone"] = row["tok_per_s"]
        elif row["case"] == "concurrent" and row["concurrency"] == 16:
            found["16 requests, total"] = row["total_tok_per_s"]
        elif row["case"] == "prefill" and row["prompt_tokens"] == 512:
            found["prefill of 512"] = row["prefill_tok_per_s"]
    return found


def theirs(args):
    prefix = shlex.split(args.peer)
    common = ["-m", args.peer_model, "-t", str(args.threads)]
    found = {}
    for row in json.loads(run(prefix + ["llama-bench", *common, "-p", "512", "-n", "96", "-r", "3", "-o", "json"])):
        found["decode, alone" if row["n_gen"] else "prefill of 512"] = row["avg_ts"]
    table = run(prefix + ["llama-batched-bench", *common, "-c", "4096", "-npp", "32", "-ntg", "96", "-npl", "16",
                          "--output-format", "jsonl"])
    for line in table.splitlines():
        if line.startswith("{") and json.loads(line).get("pl") == 16:
            row = json.loads(line)
            found["16 requests, total"] = row["pl"] * row["tg"] / (row["t_pp"] + row["t_tg"])
    return found


def cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", default="", help="put before llama.cpp's programs")
    parser.add_argument("--peer-model", required=True, help="the model as llama.cpp sees it")
    parser.add_argument("--model", default="", help="the model as we see it (default: the default model)")
    parser.add_argument("--dspark", default=str(ROOT / "build/release/dspark"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", help="rows as JSON")
    args = parser.parse_args()

    rounds = []
    for i in range(args.rounds):
        pair = {"dspark": ours(args), "peer": theirs(args)}
        rounds.append(pair)
        print(f"round {i + 1} of {args.rounds}", file=sys.stderr)
    commit = run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]).strip()
    rows = []
    print(f"{cpu_model()}, {args.threads} threads, commit {commit}, {args.rounds} rounds (medians)")
    print(f"{'':20} {'dspark':>9} {'llama.cpp':>9} {'ratio':>7}  (ratios of the rounds)")
    for measure in rounds[0]["dspark"]:
        mine = [r["dspark"][measure] for r in rounds]
        other = [r["peer"][measure] for r in rounds]
        ratios = [a / b for a, b in zip(mine, other)]
        rows.append({"measure": measure, "dspark_tok_per_s": mine, "peer_tok_per_s": other, "ratios": ratios,
                     "median_ratio": statistics.median(ratios)})
        print(f"{measure:20} {statistics.median(mine):9.1f} {statistics.median(other):9.1f} "
              f"{statistics.median(ratios):7.2f}  {', '.join(f'{r:.2f}' for r in ratios)}")
    if args.out:
        out = {"cpu": cpu_model(), "threads": args.threads, "commit": commit, "peer_model": pathlib.Path(args.peer_model).name, "rows": rows}
        pathlib.Path(args.out).write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
