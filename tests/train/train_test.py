"""dspark train on a tiny model: runs that are killed end as those that aren't, bad recipes and damaged files
are refused, and what comes out is a drafter that runs. Called with dspark, the repository's root and dspark-learn."""

import fcntl
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(sys.argv[2]) / "tests" / "apps"))
from program import ProgramTest, main, read_json_lines  # noqa: E402

LEARN = sys.argv[3]

RECIPE = """
[target]
model = "{model}"
[data]
corpus = ["{corpus}"]
held_back = 0.2
min_loss_tokens = 4
[drafter]
kind = "dspark"
layers = 1
block = 3
rank = 8
mask_token = "<|pad|>"
taps = [0, 1]
draft_vocab = {draft_vocab}
[optimiser]
batch = 4
micro_batch = 2
anchors = 8
steps = 12
learning_rate = 0.01
[run]
precision = "f32"
log_every = 2
evaluate_every = 4
checkpoint_minutes = 0
"""


class Train(ProgramTest):
    def setUp(self):
        super().setUp()
        draw = random.Random(3)
        rows = []
        for i in range(30):
            ids = [draw.randrange(3, 200) for _ in range(30)]
            rows.append({"id": f"r{i}", "conversations": [{"role": "user", "content": "a"}],
                         "ids": ids, "loss": [[8, 30]]})
        self.corpus = self.write("corpus.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
        self.recipe = self.write("recipe.toml", RECIPE.format(model=self.model, corpus=self.corpus,
                                                              draft_vocab=64))

    def train(self, out, *arguments, recipe=None, code=0):
        result = subprocess.run([LEARN, recipe or self.recipe, "--out", self.scratch / out, *arguments],
                                capture_output=True, text=True, timeout=300)
        self.assertEqual(result.returncode, code, result.stderr)
        return result

    def files(self, out):
        folder = self.scratch / out
        return {name: (folder / name).read_bytes() for name in ("drafter.gguf", "metrics.jsonl")}

    def test_killed_runs_end_the_same(self):
        start = time.monotonic()
        self.train("whole")
        seconds = time.monotonic() - start
        whole = self.files("whole")
        draw = random.Random(5)
        kills = 0
        for attempt in range(20 if os.environ.get("DSPARK_NIGHTLY") == "1" else 4):
            process = subprocess.Popen([LEARN, self.recipe, "--out", self.scratch / "killed"],
                                       stderr=subprocess.DEVNULL)
            try:
                process.wait(timeout=seconds * draw.uniform(0.1, 0.9))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
        self.train("killed")
        self.assertGreater(kills, 0)
        killed = self.files("killed")
        for name in whole:  # not assertEqual: it would compare bytes for minutes
            self.assertTrue(killed[name] == whole[name], name)
        rows = [json.loads(line) for line in whole["metrics.jsonl"].splitlines()]
        trained = [r for r in rows if r["split"] == "trained"]
        self.assertEqual([r["step"] for r in trained], [2, 4, 6, 8, 10, 12])
        self.assertLess(trained[-1]["ce_loss"], trained[0]["ce_loss"])
        self.assertTrue(any(r["split"] == "held_back" for r in rows))

    def test_runs_share_features_that_are_complete(self):
        features = self.scratch / "features.bin"
        with open(features, "wb") as other:  # of a run that is making them
            fcntl.flock(other, fcntl.LOCK_EX)
            refused = self.train("early", "--features", features, code=1)
            self.assertIn("features.bin: another run is making these features", refused.stderr)
        self.train("first", "--features", features)
        made = features.stat()
        with open(features, "rb") as other:  # of a run that reads them
            fcntl.flock(other, fcntl.LOCK_SH)
            self.train("second", "--features", features)
        self.assertEqual((features.stat().st_size, features.stat().st_mtime_ns), (made.st_size, made.st_mtime_ns))
        first, second = self.files("first"), self.files("second")
        self.assertTrue(all(first[name] == second[name] for name in first))

    def test_what_is_trained_runs(self):
        self.train("run", "--set", "optimiser.steps=2")
        drafter = self.scratch / "run/drafter.gguf"
        plain, _, _ = self.run_rows([{"id": 1, "ids": [5, 9, 20, 33]}], "--max-tokens", "20")
        drafted, _, _ = self.run_rows([{"id": 1, "ids": [5, 9, 20, 33]}], "--max-tokens", "20",
                                      "--drafter", drafter)
        self.assertEqual(plain[0]["ids"], drafted[0]["ids"])
        self.assertGreater(sum(c["drafted"] for c in drafted[0]["cycles"]), 0)

    def test_a_markov_head_starts_as_the_bigrams(self):
        follower = list(range(23, 83))
        random.Random(4).shuffle(follower)
        rows = []
        for i in range(30):
            ids = [23 + i]
            while len(ids) < 40:
                ids.append(follower[ids[-1] - 23])
            rows.append({"id": f"r{i}", "conversations": [{"role": "user", "content": "a"}],
                         "ids": ids, "loss": [[2, 40]]})
        corpus = self.write("chains.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
        recipe = self.write("chains.toml", RECIPE.format(model=self.model, corpus=corpus, draft_vocab=64)
                            .replace("rank = 8", "rank = 32"))
        first = {}
        for start in ("fresh", "target"):
            self.train(start, "--set", f"drafter.start='{start}'", "--set", "optimiser.steps=2", "--set",
                       "loss.soft_ce=1", "--set", "optimiser.learning_rate=1e-6", recipe=recipe)
            first[start] = read_json_lines(self.scratch / start / "metrics.jsonl")[0]
        self.assertIn("soft_ce_loss", first["target"])
        self.assertLess(first["target"]["ce_loss"], first["fresh"]["ce_loss"] - 1)

        # From that drafter, over a corpus whose draft vocabulary has other tokens before those.
        rows += [{**rows[i], "id": f"low{i}", "ids": [3 + (i + k) % 8 for k in range(40)]} for i in range(4)]
        corpus = self.write("other.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
        recipe = self.write("other.toml", RECIPE.format(model=self.model, corpus=corpus, draft_vocab=64)
                            .replace("rank = 8", "rank = 32"))
        self.train("other", "--set", f"drafter.start='{self.scratch / 'target/drafter.gguf'}'", "--set",
                   "optimiser.steps=2", "--set", "loss.soft_ce=1", "--set", "optimiser.learning_rate=1e-6",
                   recipe=recipe)
        other = read_json_lines(self.scratch / "other/metrics.jsonl")[0]
        self.assertLess(other["ce_loss"], first["fresh"]["ce_loss"] - 3)

    def test_a_layer_more_begins_with_nothing_to_add(self):
        self.train("base")
        loss = {}
        for layers in (1, 2):
            self.train(f"on{layers}", "--set", f"drafter.start='{self.scratch / 'base/drafter.gguf'}'", "--set",
                       f"drafter.layers={layers}", "--set", "optimiser.steps=2", "--set", "optimiser.learning_rate=1e-7")
            loss[layers] = read_json_lines(self.scratch / f"on{layers}/metrics.jsonl")[0]["loss"]
        self.assertAlmostEqual(loss[1], loss[2], delta=1e-4 * loss[1])
        self.train("learns", "--set", f"drafter.start='{self.scratch / 'base/drafter.gguf'}'", "--set",
                   "drafter.layers=2")
        rows = [r["loss"] for r in read_json_lines(self.scratch / "learns/metrics.jsonl") if r["split"] == "trained"]
        self.assertLess(rows[-1], rows[0])

    def test_bad_recipes(self):
        def refused(text, *parts):
            path = self.write("bad.toml", text)
            result = self.train("bad", recipe=path, code=1)
            for part in parts:
                self.assertIn(part, result.stderr)
        good = pathlib.Path(self.recipe).read_text()
        refused(good.replace("layers = 1", "layer = 1"), "unknown key drafter.layer", "drafter.layers", "bad.toml:")
        refused(good.replace("[optimiser]", "[optimizer]"), "unknown section [optimizer]", "[optimiser]")
        refused(good.replace("batch = 4", 'batch = "4"'), "optimiser.batch: expected a whole number")
        refused(good.replace("layers = 1", "layers = 0"), "drafter.layers: 0, expected 1 to 64")
        refused(good.replace("[data]", "[data"), "bad.toml:")
        refused(good.replace("<|pad|>", "nothing like it"), "is not one token")
        refused(good.replace("taps = [0, 1]", "taps = [0, 99]"), "99")

    def test_other_runs_files_are_refused(self):
        self.train("a", "--set", "optimiser.steps=2")
        result = self.train("a", "--set", "optimiser.steps=4", code=1)
        self.assertIn("another recipe", result.stderr)
        result = self.train("a", "--set", "optimiser.steps=2", "--fresh", code=1)
        self.assertIn("a run is there already", result.stderr)
        state = self.scratch / "a/state.safetensors"
        data = bytearray(state.read_bytes())
        data[-5] ^= 1
        state.write_bytes(data)
        result = self.train("a", "--set", "optimiser.steps=2", code=1)
        self.assertIn("checksum", result.stderr)

    def test_two_processes_learn_what_one_does(self):
        self.train("one", "--set", "run.features=\"fly\"", "--set", "optimiser.steps=4")
        environment = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517"}
        both = [subprocess.Popen([LEARN, self.recipe, "--out", self.scratch / "two", "--set",
                                  "run.features=\"fly\"", "--set", "optimiser.steps=4"],
                                 env={**os.environ, **environment, "RANK": str(rank)},
                                 stderr=subprocess.PIPE, text=True) for rank in range(2)]
        for process in both:
            _, error = process.communicate(timeout=300)
            self.assertEqual(process.returncode, 0, error)
        loss = lambda out: [row["loss"] for row in read_json_lines(self.scratch / out / "metrics.jsonl")
                            if row["split"] == "held_back"][-1]
        self.assertAlmostEqual(loss("one"), loss("two"), delta=0.02 * loss("one"))


main()
