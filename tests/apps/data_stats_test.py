"""dspark data stats and cache: what is in a corpus, and DeepSpec's cache of it."""

import json

from data_support import DataTest, prompt_rows
from program import main, read_json_lines


class Cache(DataTest):
    """DeepSpec's target cache; its layout is held against the reference's by the parity tests."""

    def test_a_corpus(self):
        ids = [2, 5, 5, 5, 7, 7, 9]
        rows = [{"id": i, "ids": ids + [i], "loss": [[1, 7]]} for i in range(3)]
        corpus = self.write("c.jsonl", "".join(json.dumps(row) + "\n" for row in rows) + "bad\n")
        out = self.scratch / "cache"
        command = ["data", "cache", corpus, self.model, "--out", out, "--taps", "0,2", "--min-loss-tokens", "2"]
        result = self.expect(0, *command)
        self.assertIn("c.jsonl:4: ", result.stderr)
        manifest = json.loads((out / "manifest.json").read_text())
        hidden = json.loads((self.model / "config.json").read_text())["hidden_size"]
        self.assertEqual((manifest["version"], manifest["num_samples"], manifest["target_layer_ids"],
                          manifest["hidden_size"]), (2, 3, [0, 2], hidden))
        self.assertEqual((out / "samples.idx").stat().st_size, 3 * 56)
        self.assertEqual((out / "shard-00000.bin").stat().st_size, 3 * 8 * (6 + 2 * hidden * 3))
        self.assertIn("there already", self.expect(1, *command).stderr)
        self.assertIn("c.jsonl:4: ", self.expect(1, *command[:4], "--out", out.with_name("b"), "--strict").stderr)
        self.assertFalse(out.with_name("b").exists() or out.with_name("b.part").exists())
        self.assertIn("ascending", self.expect(1, *command[:4], "--out", out.with_name("b"), "--taps", "2,0",
                                               "--min-loss-tokens", "2").stderr)


class Stats(DataTest):
    def stats(self, corpus, *arguments, code=0):
        out = self.scratch / "stats.json"
        out.unlink(missing_ok=True)
        result = self.expect(code, "data", "stats", corpus, self.model, "--json", out, *arguments)
        return json.loads(out.read_text()) if code == 0 else result

    def test_counts(self):
        ids = [2, 5, 5, 5, 7, 7, 9]
        rows = [{"id": 1, "temperature": 0, "finish": "stop", "ids": ids, "loss": [[1, 6]]},
                {"id": 2, "temperature": 1, "finish": "length", "ids": ids, "loss": [[0, 1], [6, 7]]},
                {"id": 3, "ids": ids, "loss": [[0, 1]]}]
        corpus = self.write("c.jsonl", "".join(json.dumps(row) + "\n" for row in rows) + "bad\n")
        vocab = self.scratch / "vocab.json"
        stats = self.stats(corpus, "--min-loss-tokens", "2", "--draft-vocab", "3", "--write-vocab", vocab)
        self.assertEqual((stats["rows"], stats["short_rows"], stats["bad_rows"]), (2, 1, 1))
        self.assertEqual((stats["tokens"], stats["loss_tokens"], stats["distinct_tokens"]), (14, 7, 4))
        self.assertEqual(stats["temperatures"], {"0": 1, "1": 1})
        self.assertEqual(stats["finishes"], {"length": 1, "stop": 1})
        self.assertEqual((stats["loss_length"]["mean"], stats["loss_length"]["p50"], stats["loss_length"]["p90"]),
                         (3.5, 2, 5))
        written = json.loads(vocab.read_text())
        self.assertEqual(written, {"vocab": 512, "draft_vocab": 3, "coverage": 6 / 7, "ids": [2, 5, 7]})
        self.assertEqual(stats["coverage"], [{"draft_vocab": 3, "coverage": 6 / 7}])
        hidden = json.loads((self.model / "config.json").read_text())["hidden_size"]
        self.assertEqual(stats["feature_cache"]["bytes_per_token"], 6 + 2 * hidden * 6)
        self.assertIn("c.jsonl:4: ", self.stats(corpus, "--strict", code=1).stderr)

    def test_rows_to_render(self):
        row = {"conversations": [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "cde"}]}
        corpus = self.write("c.jsonl", json.dumps(row) + "\n")
        stats = self.stats(corpus, "--min-loss-tokens", "1")
        self.assertEqual(stats["loss_tokens"], 5)  # three bytes, the stop token, a line break

    def test_of_a_regenerated_corpus(self):
        out = self.out()
        self.regenerate(self.prompts(prompt_rows(10)), out)
        corpus = read_json_lines(out)
        stats = self.stats(out)
        trained = [sum(end - begin for begin, end in row["loss"]) for row in corpus]
        self.assertEqual(stats["rows"] + stats["short_rows"], 10)
        self.assertEqual(stats["loss_tokens"], sum(n for n in trained if n >= 14))

    def test_usage(self):
        self.assertIn("--draft-vocab", self.expect(2, "data", "stats", "c", "--write-vocab", "v").stderr)
        self.expect(1, "data", "stats", self.scratch / "none", self.model)
        empty = self.write("empty.jsonl", "")
        self.assertIn("no row", self.stats(empty, code=1).stderr)


if __name__ == "__main__":
    main()
