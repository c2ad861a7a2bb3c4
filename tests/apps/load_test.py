"""dspark bench --suite load, and --trace, on tiny random models: the same work under every policy, its figures
against each other, its files, its errors."""

import json
import math
import os
import random
import signal
import subprocess
import xml.etree.ElementTree

from program import FIXTURES, PROGRAM, ProgramTest, main

DRAFTER = FIXTURES / "qwen3_dspark_vanilla" / "draft"
PARTS = ["draft", "plan", "forward", "verify", "absorb"]


class TraceTest(ProgramTest):
    def spans(self, path, process):
        """The spans of a process of the viewer, by track; also that they nest."""
        trace = json.loads(path.read_text())
        tracks = {}
        for event in trace["traceEvents"]:
            self.assertIn(event["ph"], "XCM")
            if event["ph"] == "X" and event["pid"] == process:
                self.assertGreaterEqual(event["dur"], 0)
                tracks.setdefault(event["tid"], []).append(event)
        for spans in tracks.values():
            open_ends = []
            for span in sorted(spans, key=lambda span: (span["ts"], -span["dur"])):
                while open_ends and open_ends[-1] <= span["ts"] + 0.01:
                    open_ends.pop()
                end = span["ts"] + span["dur"]
                if open_ends:
                    self.assertLessEqual(end, open_ends[-1] + 0.01)
                open_ends.append(end)
        return tracks

    def counters(self, path, name):
        events = json.loads(path.read_text())["traceEvents"]
        return [event["args"] for event in events if event["ph"] == "C" and event["name"] == name]

    def steps(self, path):
        return [span for span in self.spans(path, 1)[1] if span["name"] == "step"]


class Load(TraceTest):
    def data(self, name, count, length=12):
        draw = random.Random(count)
        rows = [{"id": i, "ids": [draw.randrange(300, 500) for _ in range(length)] * 2} for i in range(count)]
        return self.write(name, "".join(json.dumps(row) + "\n" for row in rows)), rows

    def load(self, *arguments, code=0, **options):
        out = self.scratch / "load.json"
        out.unlink(missing_ok=True)
        result = self.expect(code, "bench", self.model, "--suite", "load", "--drafter", DRAFTER, "--json", out,
                             "--threads", "1", "--max-tokens", "20", *arguments, **options)
        return (json.loads(out.read_text()) if code == 0 else None), result

    def test_figures(self):
        count, rounds = 5, 3
        data, rows = self.data("d.jsonl", count)
        trace, plots = self.scratch / "load.trace.json", self.scratch / "plots"
        policies = ["off", "fixed:2", "threshold:0.5", "lagged", "auto"]
        result, text = self.load("--data", data, "--policies", ",".join(policies), "--concurrency", "1,3",
                                 "--arrivals", "50,120", "--requests", count, "--rounds", rounds, "--trace", trace,
                                 "--plots", plots)
        self.assertEqual(result["drafter"]["slots"], 7)
        answers, _, _ = self.run_rows(rows, "--max-tokens", "20", "--drafter", "none", "--threads", "1")
        tokens = sum(len(answer["ids"]) for answer in answers)
        cells = [row for row in result["rows"] if row["case"] in ("closed", "open")]
        self.assertEqual([row["policy"] for row in cells], policies * 4)
        self.assertEqual([row["concurrency"] for row in cells if row["case"] == "closed"], [1] * 5 + [3] * 5)
        self.assertEqual([row["percent"] for row in cells if row["case"] == "open"], [50] * 5 + [120] * 5)
        for row in cells:
            with self.subTest(case=row["case"], policy=row["policy"]):
                self.check_cell(row, tokens * rounds, rounds)
        self.assertGreater(sum(row["verified"] for row in cells if row["policy"] == "threshold:0.5"), 0)
        # The capacity, from which arrivals come.
        best = max(row["total_tok_per_s"] for row in cells if row["case"] == "closed")
        half = next(row for row in cells if row["case"] == "open")
        self.assertAlmostEqual(half["arrivals_per_s"] / (best * count / tokens / 2), 1)
        self.check_comparisons(result["rows"], policies, rounds)
        self.check_frontier(result["rows"], policies)
        names = ["budget.svg", "frontier.svg", "throughput.svg"]
        self.assertEqual(sorted(os.listdir(plots)), names)
        for name in names:
            picture = xml.etree.ElementTree.parse(plots / name).getroot()
            self.assertEqual(sum(node.tag.endswith("polyline") for node in picture), len(policies))
        for word in [*policies, "3 at a time", "120 % of capacity", "interval"]:
            self.assertIn(word, text.stdout)
        self.check_trace(trace, cells, policies)

    def check_cell(self, row, tokens, rounds):
        off = row["policy"] == "off"
        self.assertEqual((row["suite"], row["tokens"]), ("load", tokens))
        self.assertEqual(row["wasted"], row["verified"] - row["accepted"])
        self.assertTrue(0 <= row["accepted"] <= row["verified"] <= row["drafted"])
        self.assertEqual(len(row["total_tok_per_s_by_round"]), rounds)
        self.assertEqual(row["total_tok_per_s"], sorted(row["total_tok_per_s_by_round"])[rounds // 2])
        self.assertAlmostEqual(row["rows_per_step"] * row["steps"], row["rows"])
        self.assertGreaterEqual(row["tau"], 1)
        for key in ("first_token_ms", "inter_token_ms", "gap_ms"):
            self.assertTrue(0 < row[key]["p50"] <= row[key]["p90"] <= row[key]["p99"], row[key])
        planned = row["planned"]
        if off:
            self.assertEqual((row["drafted"], row["verified"], row["tau"]), (0, 0, 1))
        else:
            # Drafts of random weights lose: auto soon stops trying.
            self.assertGreater(row["drafted"], 0 if row["policy"] != "auto" else -1)
        if row["policy"] == "fixed:2":
            self.assertEqual(row["verified"], row["drafted"])
            self.assertLessEqual(row["verify_length"], 2)
        self.assertGreater(planned["predicted_ms"], 0)
        self.assertTrue(0 < planned["steps"] <= row["steps"])
        self.assertGreaterEqual(planned["tokens"], planned["steps"])
        self.assertGreaterEqual(planned["expected_tokens"], planned["steps"])
        if row["case"] == "closed":
            # As many at a time as were asked for, to the end of the last that counts.
            self.assertLessEqual(row["running"], row["concurrency"])
            self.assertGreater(row["running"], row["concurrency"] - 0.5)
        else:
            self.assertGreater(row["seconds"] * row["arrivals_per_s"], 0)

    def check_comparisons(self, rows, policies, rounds):
        rate = lambda policy, concurrency: next(row for row in rows if row["case"] == "closed" and
                                                (row["policy"], row["concurrency"]) == (policy, concurrency)
                                                )["total_tok_per_s_by_round"]
        compared = [row for row in rows if row["case"].startswith("against_best")]
        self.assertEqual([(row["policy"], row["concurrency"]) for row in compared],
                         [(policy, at) for policy in policies[2:] for at in (1, 3, None)])
        for row in compared:
            at = lambda policy, r: (rate(policy, row["concurrency"])[r] if row["concurrency"] else
                                    math.sqrt(rate(policy, 1)[r] * rate(policy, 3)[r]))
            median = lambda policy, of: sum(sorted(at(policy, r) for r in of)) / len(of)  # of one or two
            for parity in (0, 1):
                of = range(parity, rounds, 2)
                self.assertEqual(row["best"][parity], max(policies[:2], key=lambda policy: median(policy, of)))
            for r, ratio in enumerate(row["ratio_by_round"]):
                self.assertAlmostEqual(ratio, at(row["policy"], r) / at(row["best"][1 - r % 2], r))
            self.assertEqual(row["ratio"], sorted(row["ratio_by_round"])[rounds // 2])
            self.assertTrue(row["low"] <= row["ratio"] <= row["high"])

    def test_sets(self):
        """Requests come from the files in turn; each file's rates are compared by themselves."""
        files, rows = zip(*(self.data(f"{name}.jsonl", count) for name, count in (("a", 3), ("b", 2))))
        policies, rounds = ["off", "fixed:2", "auto"], 2
        result, text = self.load("--data", *files, "--policies", ",".join(policies), "--concurrency", "1,2",
                                 "--arrivals", "0", "--requests", 4, "--rounds", rounds)
        rate = {(row["policy"], row["concurrency"]): row["sets"] for row in result["rows"] if row["case"] == "closed"}
        self.assertEqual(list(rate), [(policy, at) for at in (1, 2) for policy in policies])
        compared = [row for row in result["rows"] if row["case"] == "set_against_best"]
        self.assertEqual([(row["concurrency"], row["set"]) for row in compared],
                         [(at, name) for at in (1, 2) for name in "ab"])
        for row in compared:
            at = lambda policy, r: rate[policy, row["concurrency"]][row["set"]][r]
            for r, ratio in enumerate(row["ratio_by_round"]):
                best = max(policies[:2], key=lambda policy: at(policy, 1 - r))
                self.assertEqual(row["best"][1 - r], best)
                self.assertAlmostEqual(ratio, at("auto", r) / at(best, r))
        # Alone, the requests of all sets fill the time.
        for policy in policies:
            row = next(row for row in result["rows"] if row["case"] == "closed" and row["policy"] == policy)
            harmonic = 2 * rounds / sum(1 / r for by_round in row["sets"].values() for r in by_round)
            self.assertAlmostEqual(harmonic * row["seconds"] / row["tokens"], 1, delta=0.05)
        self.assertIn("2 at a time, b", text.stdout)
        # A file none of whose prompts counted has no rate, and is not compared.
        result, _ = self.load("--data", *files, "--policies", "off,auto", "--concurrency", "1", "--arrivals", "0",
                              "--requests", 1, "--rounds", rounds)
        self.assertEqual([row["sets"]["b"] for row in result["rows"] if row["case"] == "closed"], [[None] * rounds] * 2)
        self.assertEqual([row["set"] for row in result["rows"] if row["case"] == "set_against_best"], ["a"])

    def check_frontier(self, rows, policies):
        lines = {policy: [(row["user_tok_per_s"], row["total_tok_per_s"]) for row in rows
                          if (row["case"], row["policy"]) == ("closed", policy)] for policy in policies}

        def most(line, floor):  # of two points
            reached = [y for x, y in line if x >= floor]
            (x, y), (next_x, next_y) = line
            if min(x, next_x) < floor < max(x, next_x):
                reached.append(y + (floor - x) / (next_x - x) * (next_y - y))
            return max(reached, default=None)

        def check(got, want):
            if want is None:
                self.assertIsNone(got)
            else:
                self.assertAlmostEqual(got / want, 1)

        turned = lambda policy: [(y, x) for x, y in lines[policy]]
        floors = [row for row in rows if row["case"] == "floor"]
        self.assertEqual([(row["policy"], row["share"]) for row in floors],
                         [(policy, share) for policy in policies for share in (0.6, 0.8, 1, 1.3)])
        for row in floors:
            self.assertAlmostEqual(row["user_tok_per_s"], row["share"] * lines["off"][0][0])
            check(row["total_tok_per_s"], most(lines[row["policy"]], row["user_tok_per_s"]))
        levels = [row for row in rows if row["case"] == "level"]
        self.assertEqual([(row["policy"], row["level"]) for row in levels],
                         [(policy, level) for policy in policies[2:] for level in (1, 1.3)])
        for row in levels:
            self.assertAlmostEqual(row["total_tok_per_s"], row["level"] * lines[row["policy"]][0][1])
            users = [most(turned(policy), row["total_tok_per_s"]) for policy in (row["policy"], "off")]
            check(row["user_tok_per_s"], users[0])
            check(row["off_user_tok_per_s"], users[1])
            check(row["ratio"], users[0] / users[1] if all(users) else None)
        envelopes = [row for row in rows if row["case"] == "envelope"]
        self.assertEqual([row["policy"] for row in envelopes], policies[2:])
        for row in envelopes:
            ratios = []
            for user, total in lines[row["policy"]]:
                others = [most(turned(policy), total) for policy in policies if policy != row["policy"]]
                ratios += [user / max(filter(None, others))] if any(others) else []
            check(row["ratio"], min(ratios, default=None))

    def check_trace(self, trace, cells, policies):
        tracks = self.spans(trace, 1)
        parts = {span["name"]: span for span in tracks[2]}
        points = ["1 at a time", "3 at a time", "50 % of capacity", "120 % of capacity"]
        self.assertEqual(set(parts), {f"{policy}, {point}" for policy in policies for point in points})
        self.assertEqual(len(tracks[2]), len(parts))  # the first round's alone
        names = {span["name"] for span in tracks[1]}
        self.assertTrue({"step", "draft", "plan", "forward", "verify"} <= names <= {"step", *PARTS}, names)
        for cell, point in zip(cells, [point for point in points for _ in policies]):
            part = parts[f"{cell['policy']}, {point}"]
            inside = [span["args"] for span in tracks[1] if span["name"] == "step" and
                      part["ts"] <= span["ts"] <= part["ts"] + part["dur"]]
            self.assertTrue(0 < len(inside) < cell["steps"])
            self.assertLessEqual(sum(args["verified"] for args in inside), cell["verified"])
            for args in inside:
                self.assertEqual(args["trimmed"], args["drafted"] - args["verified"])
                if args["decoding"] and cell["policy"] != "off":
                    self.assertGreater(args["predicted_ms"], 0)
                    self.assertEqual(args["lag"], 2 if cell["policy"] == "lagged" else 0)
                    self.assertLessEqual(args["verified"], args["budget"])

    def test_one_round_and_usual_policies(self):
        data, _ = self.data("d.jsonl", 2)
        result, text = self.load("--data", data, "--concurrency", "2", "--arrivals", "0", "--rounds", "1",
                                 "--seconds-per-cell", "0.01")
        self.assertEqual([row["policy"] for row in result["rows"] if row["case"] == "closed"],
                         ["off", *(f"fixed:{n}" for n in range(1, 8)), "threshold:0.5", "auto"])
        self.assertEqual({row["case"] for row in result["rows"]}, {"closed", "floor", "level", "envelope"})
        self.assertEqual(len({row["tokens"] for row in result["rows"] if row["case"] == "closed"}), 1)
        self.assertNotIn("interval", text.stdout)

    def test_usual_data(self):
        folder = self.scratch / "here"
        (folder / "data" / "eval").mkdir(parents=True)
        arguments = [PROGRAM, "bench", self.model, "--suite", "load", "--policies", "off", "--threads", "1",
                     "--concurrency", "1", "--arrivals", "0", "--rounds", "1", "--requests", "1", "--max-tokens", "4"]
        run = lambda: subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=60)
        result = run()
        self.assertEqual(result.returncode, 1)
        self.assertIn("--data", result.stderr)
        (folder / "data" / "eval" / "a.jsonl").write_text('{"ids": [5, 6]}\n')
        self.assertEqual(run().returncode, 0)

    def test_usage(self):
        data, _ = self.data("d.jsonl", 2)
        for arguments in (["--suite", "decode", "--rounds", "2"], ["--suite", "load", "--planner", "auto"],
                          ["--suite", "load", "--arrivals", "0,10"], ["--suite", "load", "--concurrency", "0"],
                          ["--suite", "load", "--rows", "4"], ["--suite", "load", "--seconds-per-cell", "0"]):
            with self.subTest(arguments=arguments):
                self.expect(2, "bench", self.model, "--drafter", DRAFTER, *arguments)
        for policies, word in (("of", "off"), ("fixed:8", "at most 7"), ("off,off", "twice"),
                               ("fixed:02,fixed:2", "")):
            with self.subTest(policies=policies):
                _, result = self.load("--data", data, "--policies", policies, code=1)
                self.assertIn(word, result.stderr)
        result = self.expect(1, "bench", self.model, "--suite", "load", "--drafter", "none", "--data", data,
                             "--policies", "off,auto")
        self.assertIn("--drafter", result.stderr)

    def test_interrupt_leaves_no_file(self):
        data, _ = self.data("many.jsonl", 50)
        names = ["cut.json", "cut.trace"]
        for name in names:
            self.write(name, "as it was")
        plots = self.scratch / "cut_plots"
        process = subprocess.Popen(
            [PROGRAM, "bench", self.model, "--suite", "load", "--drafter", DRAFTER, "--data", data, "--json",
             self.scratch / names[0], "--trace", self.scratch / names[1], "--plots", plots, "--threads", "1", "--rounds", "50"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stderr.readline()  # the first line of progress
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, errors)
        self.assertIn("interrupted", errors)
        for name in names:
            self.assertEqual((self.scratch / name).read_text(), "as it was")
            self.assertEqual([other for other in os.listdir(self.scratch) if other.startswith(name + ".")], [])
        self.assertEqual(os.listdir(plots), [])


class RunTrace(TraceTest):
    def test_rows_and_tokens_add_up(self):
        trace = self.scratch / "run.trace.json"
        rows = [{"id": i, "ids": [3 + i, 40, 50] * 5} for i in range(6)]
        answers, _, _ = self.run_rows(rows, "--drafter", DRAFTER, "--concurrency", "4", "--max-tokens", "25",
                                      "--prefill-chunk", "7", "--threads", "1", "--trace", trace)
        steps = [span["args"] for span in self.steps(trace)]
        cycles = [cycle for answer in answers for cycle in answer["cycles"]]
        for key in ("drafted", "verified", "accepted"):
            self.assertEqual(sum(step[key] for step in steps), sum(cycle[key] for cycle in cycles))
        self.assertEqual(sum(step["tokens"] for step in steps),
                         sum(cycle["accepted"] + 1 for cycle in cycles))
        # Every request's row of the viewer: its span, and in it its prompt and its cycles.
        lanes = self.spans(trace, 2)
        self.assertEqual(sorted(lanes), [1, 2, 3, 4])
        spans = [span for lane in lanes.values() for span in lane]
        self.assertEqual(sorted(span["name"] for span in spans if span["name"].startswith("request")),
                         [f"request {i}" for i in range(1, 7)])
        self.assertEqual(sum(span["args"]["rows"] for span in spans if span["name"] == "prompt"), 6 * 15)
        of_cycles = [span["args"] for span in spans if span["name"] == "cycle"]
        self.assertEqual(len(of_cycles), len(cycles))
        for key in ("drafted", "verified", "accepted"):
            self.assertEqual(sum(args[key] for args in of_cycles), sum(cycle[key] for cycle in cycles))
        for step in steps:
            if "budget" in step:
                self.assertTrue(step["decoding"] <= step["expected_tokens"] <= step["decoding"] + step["verified"])
        self.assertEqual([args["running"] + args["waiting"] for args in self.counters(trace, "requests")][0], 4)
        self.assertEqual(sum(args["anchors"] for args in self.counters(trace, "rows")), len(cycles))

    def test_plain(self):
        trace = self.scratch / "plain.trace.json"
        self.expect(0, "run", self.model, "--raw", "--prompt", "hello", "--max-tokens", "5", "--trace", trace)
        steps = [span["args"] for span in self.steps(trace)]
        self.assertEqual([step["tokens"] for step in steps], [0] + [1] * (len(steps) - 1))
        self.assertNotIn("budget", steps[-1])
        self.expect(1, "run", self.model, "--prompt", "hello", "--trace", self.scratch / "no" / "file")


if __name__ == "__main__":
    main()
