"""The commands on the installed default model. Skipped without it."""

import os
import pathlib
import sys

from program import FIXTURES, ROOT, SKIP, ProgramTest, json_lines, main


def installed():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return any((pathlib.Path(cache) / "dspark" / "models" / "smollm2-135m").glob("*.gguf"))


class DefaultModel(ProgramTest):
    def fixture(self, name):
        path = FIXTURES / "smollm2" / name
        if not path.exists():
            self.skipTest(f"{path} is not here")
        return path.read_bytes().decode()

    def answers(self, name, key, *arguments):
        text = self.fixture(name)
        rows = json_lines(text)
        got = json_lines(self.expect(0, *arguments, stdin=text).stdout)
        self.assertEqual(len(got), len(rows))
        for row, answer in zip(rows, got):
            self.assertEqual(answer[key], row[key])

    def test_tokenize(self):
        self.answers("tokenizer.jsonl", "ids", "tokenize")
        self.answers("tokenizer_special.jsonl", "ids", "tokenize", "--special")

    def test_render(self):
        self.answers("chat_template.jsonl", "rendered", "render")

    def test_answer(self):
        result = self.expect(0, "run", "--prompt", "What is the capital of France?", "--max-tokens", "20",
                             "--quantize", "f32")
        self.assertIn("Paris", result.stdout)

    def test_shipped_drafters_draft_and_change_nothing(self):
        default = ROOT / "checkpoints" / "smollm2-135m.gguf"
        self.assertIn("greedy", self.expect(0, "info", default).stdout)  # it is calibrated
        drafters = sorted((ROOT / "checkpoints").glob("*.gguf"))
        self.assertIn(default, drafters)
        rows = [{"id": i, "turns": [text]} for i, text in enumerate(
            ["What is 12 times 7? Explain step by step.", "Write a Python function that reverses a list."])]
        for sampling in ([], ["--temperature", "1", "--seed", "3"]):
            arguments = ["--max-tokens", "60", "--concurrency", "2", *sampling]
            plain, _, _ = self.run_rows(rows, *arguments, "--drafter", "none", model="smollm2-135m")
            for drafter in drafters:
                with self.subTest(drafter=drafter.name, sampling=sampling):
                    drafted, _, _ = self.run_rows(rows, *arguments, "--drafter", drafter, "--planner", "full",
                                                  model="smollm2-135m")
                    self.assertEqual([r["ids"] for r in drafted], [r["ids"] for r in plain])
                    cycles = [c for r in drafted for c in r["cycles"]]
                    self.assertGreater(sum(c["accepted"] for c in cycles), 0.2 * len(cycles))

    def test_score(self):
        row = json_lines(self.expect(0, "score", stdin='{"ids": [504, 3575, 282, 4649, 314]}').stdout)[0]
        self.assertEqual(len(row["top"]), 20)
        self.assertLess(row["nll"], 6)

    def test_info(self):
        text = self.expect(0, "info", "smollm2-135m").stdout
        for part in ["GGUF v3", "llama", "134515008", "210 q4_1", "<|im_end|>"]:
            self.assertIn(part, text)


if __name__ == "__main__":
    if not installed():
        print("the model smollm2-135m is not installed: skipped")
        sys.exit(SKIP)
    main()
