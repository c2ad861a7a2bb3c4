"""run --show-drafts: where each token of an answer came from, on a tiny random model."""

import os
import pty
import re
import subprocess

from program import FIXTURES, PROGRAM, ProgramTest, dspark, main, read_json_lines

DRAFTER = FIXTURES / "qwen3_dspark_vanilla" / "draft"
LEGEND = r"an accepted draft"
SUMMARY = r"tau ([\d.]+): (\d+) cycles, (\d+) of (\d+) verified drafts accepted"


class ShowDrafts(ProgramTest):
    def arguments(self, *more):
        # Bytes of one letter: text that the look-up foresees.
        return ["run", self.model, "--drafter", "ngram", "--planner", "fixed:4", "--raw", "--prompt", "hello",
                "--max-tokens", "24", "--ignore-eos", *more]

    def one(self, *more):
        out = self.scratch / "shown.jsonl"
        result = self.expect(0, *self.arguments("--show-drafts", "--json", out, *more))
        return result, read_json_lines(out)[0]

    def test_brackets_where_it_is_no_terminal(self):
        result, completion = self.one("--logit-bias", "100=1000")  # always 'a'
        self.assertEqual(completion["text"], "a" * 24)
        self.assertEqual(re.sub(r"[][{}<>]", "", result.stdout), "a" * 24 + "\n")
        cycles = completion["cycles"]
        accepted = sum(cycle["accepted"] for cycle in cycles)
        self.assertGreater(accepted, 0)
        self.assertEqual(result.stdout.count("[a]"), accepted)
        whole = sum(0 < cycle["verified"] == cycle["accepted"] for cycle in cycles)
        cut = sum(cycle["accepted"] < cycle["verified"] for cycle in cycles)
        self.assertEqual((result.stdout.count("<a>"), result.stdout.count("{a}")), (whole, cut))
        self.assertIn(LEGEND, result.stderr)
        tau, count, stood, verified = re.search(SUMMARY, result.stderr).groups()
        self.assertEqual((int(count), int(stood)), (len(cycles), accepted))
        self.assertEqual(int(verified), sum(cycle["verified"] for cycle in cycles))
        self.assertAlmostEqual(float(tau), 1 + accepted / len(cycles), places=2)

    def test_text_is_the_same(self):
        plain = self.expect(0, *self.arguments()).stdout
        for more in ([], ["--stop", "not in it"], ["--drafter", "none"]):
            arguments = self.arguments("--show-drafts")
            if more[:1] == ["--drafter"]:
                arguments[arguments.index("ngram")] = "none"
                more = []
            shown = self.expect(0, *arguments, *more).stdout
            strip = lambda text: re.sub(r"[][{}<>]", "", text)
            self.assertEqual(strip(shown), strip(plain))

    def test_a_trained_drafter(self):
        out = self.scratch / "trained.jsonl"
        result = self.expect(0, "run", self.model, "--drafter", DRAFTER, "--raw", "--prompt", "hello",
                             "--max-tokens", "30", "--ignore-eos", "--show-drafts", "--planner", "full",
                             "--json", out)
        completion, last = read_json_lines(out)
        self.assertEqual(last["summary"]["planner"], "fixed:7")
        self.assertIn(f"{len(completion['cycles'])} cycles", result.stderr)

    def on_terminal(self, env):
        master, slave = pty.openpty()
        process = subprocess.Popen([PROGRAM, *map(str, self.arguments("--show-drafts", "--logit-bias", "100=1000"))],
                                   stdin=subprocess.DEVNULL, stdout=slave, stderr=subprocess.PIPE,
                                   env={**os.environ, **env})
        os.close(slave)
        seen = b""
        try:
            while data := os.read(master, 4096):
                seen += data
        except OSError:
            pass
        os.close(master)
        errors = process.stderr.read().decode()
        process.stderr.close()
        self.assertEqual(process.wait(), 0, errors)
        return seen.decode(), errors

    def test_colours_on_a_terminal(self):
        shown, errors = self.on_terminal({"NO_COLOR": ""})
        self.assertIn("\x1b[32ma\x1b[0m", shown)
        self.assertNotIn("[a]", shown)
        self.assertIn("green: " + LEGEND, errors)
        shown, errors = self.on_terminal({"NO_COLOR": "1"})
        self.assertNotIn("\x1b", shown)
        self.assertIn("[a]", shown)

    def test_not_with_a_file(self):
        result = dspark("run", self.model, "--prompts", "x", "--show-drafts")
        self.assertEqual(result.returncode, 2)
        self.assertIn("--show-drafts", result.stderr)


if __name__ == "__main__":
    main()
