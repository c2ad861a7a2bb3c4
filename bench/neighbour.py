#!/usr/bin/env python3
"""How soon the cost table follows a machine whose neighbours come and go.

  bench/neighbour.py [--concurrency 4] [--prompts 200] [--quiet-s 10] [--busy-s 10] [--model FILE] [--drafter D]
                     [--out FILE.json]

`dspark run` answers prompts with the planner auto and a trace of its steps. After --quiet-s seconds another
process takes one CPU whole, for --busy-s seconds. Steps are read in windows of a quarter second, those that had no
prompt rows, since a prompt's are priced from far fewer samples: the window's bias is how far the median of predicted
/ real lies from 1, its scatter the median of |predicted / real - 1|, which no prediction can lower while a
neighbour's time slices fall into some steps and not into others. A change shows where the median time of a row
leaves what it was by a fifth, and is followed from the first window on whose bias, and that of the three behind it,
is below 15 %.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from peer import ROOT, cpu_model

WINDOW_S, FOLLOWED = 0.25, 0.15
SPIN = [sys.executable, "-c", "while True: pass"]


def windows_of(trace):
    """[(second, median ms of a row, bias, scatter)] of a trace's planned steps without prompt rows."""
    found = {}
    for event in json.loads(trace.read_text())["traceEvents"]:
        step = event.get("args", {})
        if event.get("name") != "step" or "predicted_ms" not in step or step["requests"] != step["decoding"]:
            continue
        row = step["real_ms"] / step["rows"]
        found.setdefault(int(event["ts"] / 1e6 / WINDOW_S), []).append(
            (row, step["predicted_ms"] / step["real_ms"]))
    return [(w * WINDOW_S, statistics.median(row for row, _ in steps),
             abs(statistics.median(ratio for _, ratio in steps) - 1),
             statistics.median(abs(ratio - 1) for _, ratio in steps))
            for w, steps in sorted(found.items()) if len(steps) >= 3]


def followed_after(windows, begin, end, usual):
    """When a row's time left `usual` between begin and end, and how long until predictions followed it."""
    spans = [w for w in windows if begin <= w[0] < end]
    changed = next((i for i, (_, row, _, _) in enumerate(spans) if abs(row / usual - 1) > 0.2), None)
    if changed is None:
        return None
    for i in range(changed, len(spans) - 3):
        if all(bias < FOLLOWED for _, _, bias, _ in spans[i:i + 4]):
            return {"at_s": spans[changed][0], "followed_after_s": spans[i][0] - spans[changed][0],
                    "row_ms_before": usual, "row_ms": statistics.median(row for _, row, _, _ in spans[i:]),
                    "scatter": statistics.median(scatter for _, _, _, scatter in spans[i:])}
    return {"at_s": spans[changed][0], "followed_after_s": None, "row_ms_before": usual}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dspark", default=str(ROOT / "build/release/dspark"))
    parser.add_argument("--model", default=None)
    parser.add_argument("--drafter", default=None)
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--quiet-s", type=float, default=10)
    parser.add_argument("--busy-s", type=float, default=10)
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    rows = [line for path in sorted((ROOT / "data/eval").glob("*.jsonl")) for line in path.read_text().splitlines()]
    step = max(len(rows) // args.prompts, 1)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        trace = folder / "trace.json"
        (folder / "prompts.jsonl").write_text(
            "".join(json.dumps({"id": i, "turns": [json.loads(r)["turns"][0]]}) + "\n"
                    for i, r in enumerate(rows[::step][:args.prompts])))
        command = [args.dspark, "run", *([args.model] if args.model else []), "--prompts", folder / "prompts.jsonl",
                   "--concurrency", str(args.concurrency), "--max-tokens", "128", "--trace", trace,
                   "--json", folder / "out.jsonl", *(["--drafter", args.drafter] if args.drafter else [])]
        main_process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(args.quiet_s)
        cpu = max(os.sched_getaffinity(0))
        neighbour = subprocess.Popen(SPIN, preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
        time.sleep(args.busy_s)
        neighbour.kill()
        neighbour.wait()
        if main_process.poll() is not None:
            sys.exit("the prompts did not last: give more --prompts")
        if main_process.wait() != 0:
            sys.exit("dspark run failed")
        windows = windows_of(trace)
    before = [row for at, row, _, _ in windows if 2 <= at < args.quiet_s]
    usual = statistics.median(before)
    busy = followed_after(windows, args.quiet_s - 0.5, args.quiet_s + args.busy_s, usual)
    quiet_again = None
    if busy and "row_ms" in busy:
        quiet_again = followed_after(windows, args.quiet_s + args.busy_s - 0.5, windows[-1][0], busy["row_ms"])
    result = {"cpu": cpu_model(), "concurrency": args.concurrency, "neighbour_came": busy,
              "neighbour_went": quiet_again,
              "scatter_before": statistics.median(e for at, _, _, e in windows if 2 <= at < args.quiet_s),
              "windows": [[at, *(round(value, 4) for value in values)] for at, *values in windows]}
    for name in ("neighbour_came", "neighbour_went"):
        print(name.replace("_", " ") + ":", result[name])
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


main()
