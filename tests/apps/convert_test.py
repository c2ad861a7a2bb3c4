"""dspark convert and info on drafters: every form of one drafter drafts alike."""

import sys

from program import BARE_MODEL, FIXTURES, ROOT, ProgramTest, main

sys.path.insert(0, str(ROOT / "bench"))
from interchange import fixture_target  # noqa: E402

VANILLA = FIXTURES / "qwen3_dspark_vanilla" / "draft"
PROMPTS = [{"id": "a", "ids": [400, 56, 104, 78, 152, 351, 359, 243, 324]}, {"id": "b", "ids": [9, 8, 7]}]


class Convert(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.target = cls.scratch / "target.gguf"
        fixture_target(cls.target, 511)

    def convert(self, *arguments, code=0):
        return self.expect(code, "convert", *arguments)

    def cycles(self, drafter):
        """Ids and cycles of the prompts; all in float, so that forms alone could make a difference."""
        rows, summary, _ = self.run_rows(PROMPTS, "--drafter", drafter, "--max-tokens", "40",
                                         "--ignore-eos", "--planner", "full", "--quantize", "f32",
                                         model=self.target)
        self.assertGreater(summary["tau"], 1.2)
        return [(row["ids"], row["cycles"]) for row in rows]

    def test_forms_draft_alike(self):
        own, theirs, folder = (self.scratch / name for name in ("own.gguf", "theirs.gguf", "folder"))
        wanted = self.cycles(VANILLA)
        result = self.convert(VANILLA, own)
        self.assertEqual(result.stdout, "")
        self.assertIn("tensors", result.stderr)
        self.assertEqual(self.cycles(own), wanted)
        self.convert(own, theirs, "--layout", "llama.cpp", "--target", self.target)
        self.assertEqual(self.cycles(theirs), wanted)
        self.convert(theirs, folder, "--target", self.target)
        self.assertEqual(self.cycles(folder), wanted)
        stored = (folder / "model.safetensors").read_bytes()
        self.assertEqual(stored, (VANILLA / "model.safetensors").read_bytes())

    def test_what_is_left_to_the_target_is_its_own(self):
        shared = self.scratch / "shared.gguf"
        self.convert(VANILLA, shared, "--share")
        self.assertLess(shared.stat().st_size, 400_000)
        self.assertEqual(self.cycles(shared), self.cycles(VANILLA))

    def test_draft_vocabulary(self):
        out = self.scratch / "cut.gguf"
        for ids in ("[0, 500]", "0\n500\n"):
            self.convert(VANILLA, out, "--draft-vocab", self.write("ids.txt", ids))
            self.assertIn("2 of 512 tokens, ids 0 to 500", self.expect(0, "info", out).stdout)
        for ids, words in (("[1, x]", "byte 4: expected token ids"), ("", "found none"),
                           ("512", "token 512 is none")):
            self.assertIn(words, self.convert(VANILLA, out, "--draft-vocab", self.write("ids.txt", ids),
                                              code=1).stderr)

    def test_types(self):
        for kind in ("bf16", "q8_0"):
            out = self.scratch / f"{kind}.gguf"
            self.convert(VANILLA, out, "--type", kind)
            self.assertEqual(len(self.cycles(out)), 2)
        mixed = self.scratch / "mixed.gguf"
        result = self.convert(VANILLA, mixed, "--type", "q8_0", "--head-type", "q4_0")
        self.assertIn("warning: matrices that stay f32: 2", result.stderr)  # the Markov head: rank 8
        self.assertIn("q4_0", self.expect(0, "info", mixed).stdout)

    def test_info(self):
        text = self.expect(0, "info", VANILLA).stdout
        for part in ("DSpark", "vanilla, rank 8", "7 inputs, 7 drafts", "all 512 tokens", "0, 1, 2"):
            self.assertIn(part, text)
        own = self.scratch / "info.gguf"
        self.convert(VANILLA, own, "--target", self.target)
        self.assertRegex(self.expect(0, "info", own).stdout, r"target's tokenizer +[0-9a-f]{16}\n")

    def test_refusals(self):
        out = self.scratch / "none.gguf"
        for drafter, words in (("qwen3_dspark_gated", "gated Markov head"),
                               ("qwen3_dspark_rnn", "rnn Markov head"),
                               ("qwen3_eagle3", "Eagle3 drafter with normalised queries")):
            result = self.convert(FIXTURES / drafter / "draft", out, "--layout", "llama.cpp", code=1)
            self.assertIn(words, result.stderr)
        self.assertIn("--target", self.convert(VANILLA, out, "--layout", "llama.cpp", code=1).stderr)
        self.assertIn("made for another target: vocabulary size 520",
                      self.convert(FIXTURES / "qwen3_dspark_gated" / "draft", out, "--target",
                                   self.target, code=1).stderr)
        self.assertIn("is no drafter", self.convert(BARE_MODEL, out, code=1).stderr)
        self.assertIn("exists already", self.convert(VANILLA, BARE_MODEL, code=1).stderr)
        self.assertFalse(out.exists())
        self.assertEqual([p for p in self.scratch.iterdir() if ".part" in p.name], [])

    def test_usage(self):
        for arguments, words in ((["--layout", "llamacpp"], "the nearest is llama.cpp"),
                                 (["--type", "q4_k_m"], "the nearest is q4_k"),
                                 (["--tagret", "x"], "the nearest is --target")):
            result = self.convert(VANILLA, "out.gguf", *arguments, code=2)
            self.assertIn(words, result.stderr)
        self.assertIn("OUT", self.convert(VANILLA, code=2).stderr)


if __name__ == "__main__":
    main()
