"""dspark simulate from outside: its inputs and their errors, its figures, its files; eval --record."""

import json
import random
import xml.etree.ElementTree

from program import FIXTURES, ProgramTest, main

DRAFTER = FIXTURES / "qwen3_dspark_vanilla" / "draft"
DFLASH = FIXTURES / "qwen3_dflash"  # without confidences


class Simulate(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.flat = cls.scratch / "flat.csv"
        cls.flat.write_text("# all steps alike\nrows,ms\n1,10\n1000, 10\n")

    def simulate(self, *arguments, costs=None, code=0):
        return self.expect(code, "simulate", "--costs", costs or self.flat, *arguments)

    def figures(self, *arguments, costs=None):
        out = self.scratch / "simulate.json"
        out.unlink(missing_ok=True)
        result = self.simulate("--json", out, *arguments, costs=costs)
        return json.loads(out.read_text()), result

    def test_closed_form(self):
        json_, result = self.figures("--acceptance", "0.9,0.5", "--policies", "off,fixed:1,fixed:2,auto",
                                     "--concurrency", "4", "--tokens", "1000")
        rows = {row["policy"]: row for row in json_["rows"]}
        for policy, tau in (("off", 1), ("fixed:1", 1.9), ("fixed:2", 2.35), ("auto", 2.35)):
            row = rows[policy]
            self.assertAlmostEqual(row["tau"], tau, delta=0.02)
            self.assertAlmostEqual(row["total_tok_per_s"], 4 * row["tau"] * 100, delta=1e-6 * row["tau"])
            self.assertAlmostEqual(row["per_user_tok_per_s"], row["total_tok_per_s"] / 4, places=6)
            self.assertAlmostEqual(row["budget"], row["accepted"] + row["wasted"])
            self.assertEqual(row["step_ms"], 10)
            self.assertEqual(row["concurrency"], 4)
        self.assertEqual(rows["off"]["drafted"], 0)
        for word in ("accept length", "fixed:2", "wasted", "at the same total"):
            self.assertIn(word, result.stdout)
        gain = {gain["against"]: gain for gain in json_["gains"]}
        self.assertIsNone(gain["off"]["total"])  # never as fast for a user, with one load
        self.assertAlmostEqual(gain["fixed:2"]["total"], 1, delta=1e-6)
        self.assertIn("others", gain)

    def test_forms_of_costs_say_the_same(self):
        common = ("--acceptance", "0.8", "--policies", "fixed:3,auto", "--concurrency", "2,16", "--cycles", "5000")
        files = {
            "a.csv": "rows,ms\n1,4\n16,4\n64,16\n",
            "b.csv": "steps_per_s,rows\n250,1\n250,16\n62.5,64\n",
            "c.json": json.dumps({"rows": [[1, 4], [16, 4], [64, 16]], "drafts": [], "version": "0"}),
            "d.json": json.dumps({"steps_per_s": [[1, 250], [16, 250], [64, 62.5]]}),
            "e.jsonl": '{"rows": 1, "ms": 4}\n{"rows": 16, "ms": 4}\n{"rows": 64, "ms": 16}\n',
        }
        seen = [self.figures(*common, costs=self.write(name, text))[0]["rows"] for name, text in files.items()]
        for other in seen[1:]:
            self.assertEqual(other, seen[0])
        dearer = self.write("f.json", json.dumps({"rows": [[1, 4], [16, 4], [64, 16]],
                                                  "drafts": [[1, 1], [2, 1]]}))
        drafts = self.figures(*common, costs=dearer)[0]["rows"]
        self.assertLess(drafts[0]["total_tok_per_s"], 0.85 * seen[0][0]["total_tok_per_s"])
        self.assertEqual(self.figures(*common, "--draft-share", "0", costs=dearer)[0]["rows"], seen[0])
        share = self.figures(*common, "--draft-share", "0.25", costs=self.scratch / "a.csv")[0]
        self.assertEqual(share["costs"]["drafts"], [[1, 1], [16, 1], [64, 4]])

    def test_repeats_itself(self):
        run = ("--acceptance", "0.8", "0.6,0.5", "--concurrency", "3", "--cycles", "3000", "--seed")
        self.assertEqual(self.figures(*run, "5")[0], self.figures(*run, "5")[0])
        self.assertNotEqual(self.figures(*run, "5")[0]["rows"], self.figures(*run, "6")[0]["rows"])

    def test_arrivals_and_traces(self):
        common = ("--acceptance", "0.8", "--policies", "off,auto", "--prompt-tokens", "8")
        rows = self.figures(*common, "--arrivals", "5,50", "--requests", "100", "--tokens", "20", "--slots", "4")[0]
        self.assertEqual([row["arrivals_per_s"] for row in rows["rows"]], [5, 5, 50, 50])
        slow, fast = (row for row in rows["rows"] if row["policy"] == "off")
        self.assertLess(slow["running"], fast["running"])
        self.assertLess(slow["first_token_ms"]["p50"], fast["first_token_ms"]["p99"])
        self.assertEqual(rows["gains"], [])

        trace = self.write("trace.csv", "tokens,at_ms\n4,100\n4,0\n,250\n")
        [row] = self.figures("--acceptance", "0.8", "--policies", "off", "--tokens", "6", "--trace", trace)[0]["rows"]
        # No two at the same time: steps of 10 ms for 4 + 4 + 6 tokens, from 0 to 250 + 60.
        self.assertAlmostEqual(row["total_tok_per_s"], 14 / 0.310)
        self.assertEqual(row["user_tok_per_s"]["p50"], 100)
        lines = '{"at_ms": 100, "tokens": 4}\n{"at_ms": 0, "tokens": 4}\n{"at_ms": 250}\n'
        same = self.figures("--acceptance", "0.8", "--policies", "off", "--tokens", "6",
                            "--trace", self.write("trace.jsonl", lines))[0]["rows"]
        self.assertEqual({**same[0], "trace": 0}, {**row, "trace": 0})

    def test_plots(self):
        folder = self.scratch / "plots"
        self.simulate("--acceptance", "0.8", "--concurrency", "1,8,64", "--cycles", "2000", "--plots", folder)
        for name in ("frontier.svg", "throughput.svg", "budget.svg"):
            text = (folder / name).read_text()
            xml.etree.ElementTree.fromstring(text)
            self.assertIn("simulated", text)
            self.assertIn(">oracle<", text)
        self.assertIn(">64<", (folder / "budget.svg").read_text())

    def test_errors(self):
        base = ("--acceptance", "0.8")
        for arguments, words in (
            ((), "one of --outcomes and --acceptance"),
            (("--acceptance", "0.8", "--slots", "4"), "--slots is for"),
            (("--acceptance", "0.8", "--agree", "avg"), "unknown value 'avg'"),
            (("--acceptance", "0.8", "--spread", "1"), "0.95"),
            (("--acceptance", "0.8", "--polices", "off"), "--policies"),
        ):
            self.assertIn(words, self.simulate(*arguments, code=2).stderr, arguments)
        for arguments, words in (
            (("--acceptance", "0.8,1.2"), "'1.2'"),
            (("--acceptance", "0.8,"), "''"),
            ((*base, "--policies", "off,atuo"), "the nearest is auto"),
            ((*base, "--verify", "rejection", "--policies", "global"), "causal"),
            ((*base, "--trace", self.write("t.csv", "at_ms,token\n1,2\n")), "t.csv:1: unknown column 'token'"),
            ((*base, "--trace", self.write("u.csv", "at_ms,tokens\n1,2\n3\n")), "u.csv:3: 1 values"),
            ((*base, "--trace", self.write("v.csv", "at_ms,tokens\n1,2.5\n")), "v.csv:2"),
            ((*base, "--trace", self.write("w.jsonl", '{"at_ms": "x"}\n')), "w.jsonl:1"),
            ((*base, "--trace", self.write("x.csv", "\n")), "no rows"),
        ):
            self.assertIn(words, self.simulate(*arguments, code=1).stderr, arguments)
        for name, text, words in (
            ("1.json", "{}", '"rows"'),
            ("2.json", '{"rows": [[1, 2]]}', "2 or more"),
            ("3.json", '{"rows": [[1, 2], [1, 3]]}', "rising"),
            ("4.json", '{"rows": [[1, 2], [2, -3]]}', '"rows"[1]'),
            ("5.json", '{"rows": [[1, 2], [2.5, 3]]}', "whole number"),
            ("6.json", '{"rows": [[1, 2], "x"]}', '"rows"[1]'),
            ("7.csv", "rows,ms\n1,2\n2,x\n", "7.csv:3: 'x' is not a number"),
            ("8.csv", "rows\n1\n2\n", "one of ms and steps_per_s"),
            ("9.csv", "rows,ms,ms\n1,2,2\n", "twice"),
            ("10.json", '{"rows": [[1, 2], [2, 3]', "10.json"),
        ):
            self.assertIn(words, self.simulate(*base, costs=self.write(name, text), code=1).stderr, text)

    def test_recordings(self):
        draw = random.Random(1)
        data = self.write("data.jsonl", "".join(
            json.dumps({"id": i, "ids": [draw.randrange(300, 500) for _ in range(6)] * 3}) + "\n" for i in range(6)))
        for model, drafter, more in ((self.model, DRAFTER, ["--temperature", "1", "--seed", "3"]),
                                     (self.model, "ngram", []), (DFLASH / "target", DFLASH / "draft", [])):
            with self.subTest(drafter=drafter):
                record, out = self.scratch / "outcomes.jsonl", self.scratch / "eval.json"
                self.expect(0, "eval", model, "--drafter", drafter, "--data", data, "--rounds", "0",
                            "--max-tokens", "30", "--record", record, "--json", out, *more)
                header, *answers = [json.loads(line) for line in record.read_text().splitlines()]
                self.assertEqual(header["outcomes"]["verify"], "coupled" if more else "greedy")
                [row] = json.loads(out.read_text())["rows"]
                cycles = [cycle for answer in answers for cycle in answer["cycles"]]
                self.assertEqual((len(answers), len(cycles)), (6, row["cycles"]))
                self.assertEqual([answer["prompt"] for answer in answers], list(range(6)))
                self.assertEqual(sum(answer["tokens"] for answer in answers), row["tokens"])
                for answer in answers:
                    drafted = sum(cycle[0] for cycle in answer["cycles"])
                    for signal in ("logits", "certainties"):
                        self.assertEqual(len(answer[signal]), drafted if model == self.model else 0)
                    self.assertEqual(len(answer["confidences"]), drafted)
                result = self.simulate("--outcomes", record, "--concurrency", "2", "--cycles", "2000")
                self.assertIn(f"{len(cycles)} cycles of 6 answers", result.stdout)
        for line, words in (("{}", "not the outcomes"), ('{"outcomes": 3}', "not the outcomes"),
                            ("", "it is empty"), ("[]", "expected an object")):
            broken = self.write("broken.jsonl", line + "\n")
            self.assertIn(words, self.simulate("--outcomes", broken, code=1).stderr)
        first = record.read_text().splitlines()[0]
        for line in ('{"tokens": 1, "cycles": [[1, 2, 3]], "logits": []}', '{"tokens": 0, "cycles": [], "logits": []}',
                     '{"tokens": 1, "cycles": [[2, 2, 1]], "logits": [0.5]}', '{"tokens": 1}'):
            broken = self.write("broken.jsonl", f"{first}\n{line}\n")
            self.assertIn("broken.jsonl:2", self.simulate("--outcomes", broken, code=1).stderr)
        nothing = self.write("broken.jsonl", first + '\n{"tokens": 5, "cycles": [[0, 0, 0]], "logits": []}\n')
        self.assertIn("no cycle", self.simulate("--outcomes", nothing, code=1).stderr)
        self.assertIn("leave --planner out", self.expect(
            2, "eval", self.model, "--drafter", "ngram", "--data", data, "--planner", "fixed:2", "--record",
            record).stderr)


main()
