"""dspark eval on tiny random models: its figures against the cycles of `run --json`, its files, its errors."""

import json
import os
import random
import signal
import subprocess
import xml.etree.ElementTree

from program import FIXTURES, PROGRAM, ProgramTest, main

DRAFTER = FIXTURES / "qwen3_dspark_vanilla" / "draft"
SLOTS = 7


class Eval(ProgramTest):
    def data(self, name, rows):
        return self.write(name, "".join(json.dumps(row) + "\n" for row in rows))

    def rows(self, count, length=12):
        # Random tokens, and half of them twice: something for the look-up to find.
        draw = random.Random(count)
        words = [[draw.randrange(300, 500) for _ in range(length)] for _ in range(count)]
        return [{"id": i, "ids": ids * 2 if i % 2 else ids} for i, ids in enumerate(words)]

    def eval(self, *arguments, drafter=DRAFTER):
        out = self.scratch / "eval.json"
        out.unlink(missing_ok=True)
        result = self.expect(0, "eval", self.model, "--drafter", drafter, "--json", out, "--max-tokens", "20",
                             *arguments)
        return json.loads(out.read_text()), result

    def run_cycles(self, rows, *arguments, drafter=DRAFTER):
        answers, _, _ = self.run_rows(rows, "--drafter", drafter, "--max-tokens", "20", *arguments)
        return answers

    def check_figures(self, row, answers):
        cycles = [cycle for answer in answers for cycle in answer["cycles"]]
        self.assertEqual((row["prompts"], row["cycles"]), (len(answers), len(cycles)))
        # An accepted stop token has no token of the target's own behind it.
        committed = sum(len(answer["ids"]) - 1 for answer in answers)
        self.assertAlmostEqual(row["tau"], committed / len(cycles))
        ended = lambda answer: (answer["finish"] == "stop" and
                                sum(c["accepted"] + 1 for c in answer["cycles"]) == len(answer["ids"]))
        counts = []  # (considered, accepted)
        for answer in answers:
            for i, cycle in enumerate(answer["cycles"]):
                last = i + 1 == len(answer["cycles"]) and ended(answer)
                counts.append((cycle["accepted"] if last else cycle["verified"], cycle["accepted"]))
        self.assertAlmostEqual(row["propose"], sum(n for n, _ in counts) / len(cycles))
        self.assertAlmostEqual(row["verify_rate"], committed / (sum(n for n, _ in counts) + len(cycles)))
        for k in range(len(row["accept_rate"])):
            tried = [a for n, a in counts if n > k]
            reached = [a for a in tried if a >= k]
            for key, of in (("accept_rate", tried), ("conditional_rate", reached)):
                want = sum(a > k for a in of) / len(of) if of else None
                if want is None:
                    self.assertIsNone(row[key][k])
                else:
                    self.assertAlmostEqual(row[key][k], want)

    def test_figures_equal_those_of_run(self):
        rows = self.rows(9)
        for drafter in (DRAFTER, "ngram"):
            for more in ([], ["--temperature", "0.9", "--seed", "3"],
                         ["--temperature", "1", "--seed", "3", "--verify", "rejection"],
                         ["--temperature", "1", "--seed", "3", "--verify", "block"]):
                with self.subTest(drafter=drafter, more=more):
                    result, _ = self.eval("--data", self.data("d.jsonl", rows), "--rounds", "0", *more,
                                          drafter=drafter)
                    [row] = result["rows"]
                    self.assertEqual(row["suite"], "d")
                    self.assertIsNone(row["timing"])
                    self.check_figures(row, self.run_cycles(rows, "--planner", "full", *more, drafter=drafter))

    def test_ends_within_a_block(self):
        # The stop token, forced: cycles that end on an accepted one are counted without a bonus.
        rows = [{"id": 0, "ids": [5, 1, 1, 5, 1, 1, 5]}]
        result, _ = self.eval("--data", self.data("s.jsonl", rows), "--rounds", "0", drafter="ngram")
        self.check_figures(result["rows"][0], self.run_cycles(rows, "--planner", "full", drafter="ngram"))

    def test_confidence(self):
        result, text = self.eval("--data", self.data("c.jsonl", self.rows(6)), "--rounds", "0")
        confidence = result["rows"][0]["confidence"]
        positions = confidence["by_position"]
        self.assertEqual(len(positions), SLOTS)
        self.assertEqual(confidence["count"], sum(position["count"] for position in positions))
        first = positions[0]
        self.assertEqual(first["count"], sum(bin["count"] for bin in first["reliability"]))
        self.assertAlmostEqual(first["accepted"], result["rows"][0]["accept_rate"][0])
        ece = sum(bin["count"] * abs(bin["predicted"] - bin["accepted"]) for bin in first["reliability"])
        self.assertAlmostEqual(first["ece"], ece / first["count"])
        for position in positions:
            self.assertTrue(0 <= position["brier"] <= 1)
        self.assertIn("ECE", text.stdout)
        # Under another planner lengths follow the confidences: nothing to score.
        result, _ = self.eval("--data", self.data("c.jsonl", self.rows(6)), "--rounds", "0", "--planner", "fixed:2")
        self.assertIsNone(result["rows"][0]["confidence"])
        self.assertLessEqual(result["rows"][0]["propose"], 2)

    def test_several_files_plots_and_timing(self):
        plots = self.scratch / "plots"
        files = [self.data("one.jsonl", self.rows(4)), self.data("two.jsonl", self.rows(3, 20))]
        result, text = self.eval("--data", *files, "--rounds", "2", "--timed", "2", "--plots", plots)
        one, two, both = result["rows"]
        self.assertEqual([row["suite"] for row in result["rows"]], ["one", "two", "all"])
        self.assertEqual(both["cycles"], one["cycles"] + two["cycles"])
        self.assertAlmostEqual(both["tau"] * both["cycles"], one["tau"] * one["cycles"] + two["tau"] * two["cycles"])
        for row in result["rows"]:
            timing = row["timing"]
            self.assertEqual(timing["planner"], "auto")
            self.assertTrue(timing["same_text"])
            self.assertGreater(timing["speed_up"], 0)
            self.assertAlmostEqual(timing["speed_up"], timing["draft_tok_per_s"] / timing["plain_tok_per_s"])
            if timing["draft_cost"] is not None:  # drafts of random weights lose, and auto soon stops
                self.assertGreater(timing["draft_cost"], 0)
            self.assertTrue(timing["steps"])
            self.assertLessEqual(timing["speed_ups"][0], timing["speed_up"] * 1.0001)
            self.assertGreaterEqual(timing["speed_ups"][-1] * 1.0001, timing["speed_up"])
        self.assertEqual(len(both["timing"]["speed_ups"]), 4)
        self.assertIn("speed-up", text.stdout)
        names = ["acceptance.svg", *(f"reliability-{of}{name}.svg" for of in ("", "learned-") for name in ("all", "one", "two"))]
        names.sort()
        self.assertEqual(sorted(os.listdir(plots)), names)
        for name in names:
            self.assertTrue(xml.etree.ElementTree.parse(plots / name).getroot().tag.endswith("svg"))

    def test_timing_together(self):
        result, _ = self.eval("--data", self.data("d.jsonl", self.rows(6)), "--rounds", "1", "--concurrency", "3",
                              "--timed", "5", drafter="ngram")
        self.assertEqual(len(result["rows"][0]["timing"]["speed_ups"]), 2)

    def test_limit_chooses_as_deepspec(self):
        rows = self.rows(30)
        order = list(range(30))
        random.Random(980406).shuffle(order)
        chosen = [rows[i] for i in order[:7]]
        result, _ = self.eval("--data", self.data("l.jsonl", rows), "--limit", "7", "--rounds", "0")
        self.assertEqual((result["rows"][0]["prompts"], result["rows"][0]["file_rows"]), (7, 30))
        self.check_figures(result["rows"][0], self.run_cycles(chosen, "--planner", "full"))
        big = 5_000_000_000  # a seed of two words
        random.Random(big).shuffle(order := list(range(30)))
        result, _ = self.eval("--data", self.data("l.jsonl", rows), "--limit", "7", "--rounds", "0", "--seed", str(big))
        self.check_figures(result["rows"][0], self.run_cycles([rows[i] for i in order[:7]], "--planner", "full"))

    def test_first_turns_in_the_template(self):
        rows = [{"id": "a", "turns": ["hello", "not sent"]}, {"id": "b", "turns": ["he"]}]
        result, _ = self.eval("--data", self.data("t.jsonl", rows), "--rounds", "0")
        self.check_figures(result["rows"][0], self.run_cycles(rows, "--planner", "full"))

    def test_malformed_data(self):
        good = '{"id": 1, "ids": [5, 6]}\n'
        out, plots = self.scratch / "bad.json", self.scratch / "none"
        for line in ["{", "[]", '{"id": 1}', '{"turns": []}', '{"turns": [1]}', '{"ids": [-1]}']:
            with self.subTest(line=line):
                data = self.write("bad.jsonl", good + line + "\n")
                result = self.expect(1, "eval", self.model, "--drafter", "ngram", "--data", data, "--json", out)
                self.assertIn("bad.jsonl:2", result.stderr)
                self.assertFalse(out.exists())
        for text in ["", '{"ids": [99999]}\n']:
            self.expect(1, "eval", self.model, "--drafter", "ngram", "--data", self.write("bad.jsonl", text),
                        "--json", out)
            self.assertFalse(out.exists())
        long = self.data("long.jsonl", [{"ids": [9] * 600}, {"ids": [9] * 20}])
        result, text = self.eval("--data", long, "--rounds", "0", drafter="ngram")
        self.assertEqual(result["rows"][0]["prompts"], 1)
        self.assertIn("left out", text.stderr)
        missing = self.scratch / "missing.jsonl"
        self.assertIn("missing.jsonl", self.expect(1, "eval", self.model, "--drafter", "ngram", "--data", missing).stderr)
        data = self.data("fine.jsonl", self.rows(1))
        self.expect(1, "eval", self.model, "--drafter", "ngram", "--data", data, "--json", plots / "no" / "file")
        self.expect(1, "eval", self.model, "--drafter", "ngram", "--data", data, "--plots", data)

    def test_usage(self):
        data = self.data("fine.jsonl", self.rows(1))
        for arguments in (["--data", data], ["--drafter", "ngram"], ["--drafter", "none", "--data", data],
                          ["--drafter", "ngram", "--data", data, "--planner", "off"],
                          ["--drafter", "ngram", "--data", data, "--draft-max", "0"],
                          ["--drafter", "ngram", "--data", data, "--limit", "0"],
                          ["--drafter", "ngram", "--data", data, "--verify", "greedy", "--temperature", "1"]):
            with self.subTest(arguments=arguments):
                self.expect(2, "eval", self.model, *arguments)

    def test_interrupt_leaves_no_file(self):
        data = self.data("many.jsonl", [{"id": i, "ids": [3 + i]} for i in range(400)])
        out, plots = self.scratch / "cut.json", self.scratch / "cut_plots"
        out.write_text("as it was")
        process = subprocess.Popen(
            [PROGRAM, "eval", self.model, "--drafter", "ngram", "--data", data, "--json", out, "--plots", plots,
             "--isa", "ref", "--max-tokens", "500"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stderr.readline()  # the first line of progress
        process.send_signal(signal.SIGINT)
        text, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, errors)
        self.assertIn("interrupted", errors)
        self.assertEqual((text, out.read_text()), ("", "as it was"))
        self.assertEqual([name for name in os.listdir(self.scratch) if name.startswith("cut.json.")], [])
        self.assertEqual(os.listdir(plots), [])


if __name__ == "__main__":
    main()
