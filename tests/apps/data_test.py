"""dspark data regenerate by our own engine: rows, resuming after a kill, options."""

import json
import os
import random
import resource
import signal
import subprocess
import time

from data_support import DataTest, prompt_rows
from program import PROGRAM, json_lines, main, read_json_lines


class Regenerate(DataTest):
    def test_rows(self):
        rows, out = prompt_rows(7), self.out()
        self.regenerate(self.prompts(rows), out)
        corpus = read_json_lines(out)
        self.assertEqual([row["id"] for row in corpus], [row["id"] for row in rows])
        self.assertEqual({row["temperature"] for row in corpus}, {0, 1})
        for row, prompt in zip(corpus, rows):
            self.assertEqual(list(row), ["id", "conversations", "status", "temperature", "seed", "finish", "ids",
                                         "loss"])
            self.assertEqual(row["status"], "success")
            roles = [turn["role"] for turn in row["conversations"]]
            self.assertEqual(roles, ["user", "assistant"] * len(prompt["turns"]))
            self.assertEqual([t["content"] for t in row["conversations"][::2]], prompt["turns"])
            self.check_answers(row)

    def check_answers(self, row):
        """Every answer is what `run` gives for the conversation before it."""
        texts = [turn["content"] for turn in row["conversations"][::2]]
        answers, _, _ = self.run_rows(
            [{"id": "x", "turns": texts}], "--all-turns", "--temperature", row["temperature"], "--seed",
            row["seed"], "--max-tokens", "24")
        self.assertEqual([a["text"] for a in answers], [t["content"] for t in row["conversations"][1::2]])
        last = answers[-1]
        self.assertEqual(row["ids"], last["prompt_ids"] + last["ids"])
        self.assertEqual(row["finish"], last["finish"])
        self.assertEqual(row["loss"][-1], [len(last["prompt_ids"]), len(row["ids"])])
        previous = 0
        for begin, end in row["loss"]:
            self.assertLessEqual(previous, begin)
            self.assertLess(begin, end)
            previous = end

    def test_earlier_answers_are_trained_on(self):
        # The tiny model seldom stops: a cut answer has no stop token to learn.
        out = self.out()
        self.regenerate(self.prompts([{"id": 1, "turns": ["one", "two", "three"]}]), out, "--temperatures", "0",
                        "--max-tokens", "5")
        (row,) = read_json_lines(out)
        answers = [turn["content"] for turn in row["conversations"] if turn["role"] == "assistant"]
        self.assertEqual(len(answers), 3)
        ids = row["ids"]
        for begin, end in row["loss"][:-1]:
            # Behind "<|im_start|>assistant\n", whose first token is 2.
            self.assertEqual(ids[begin - 11:begin], [2] + [3 + b for b in b"assistant\n"])
            self.assertEqual(ids[end], 1)

    def test_the_default_models_stop_tokens_are_trained_on(self):
        if subprocess.run([PROGRAM, "info", "smollm2-135m"], capture_output=True).returncode != 0:
            self.skipTest("the default model is not installed")
        out = self.out()
        self.expect(0, "data", "regenerate", "smollm2-135m", "--prompts",
                    self.prompts([{"id": "a", "turns": ["What is 2 + 2?", "Say hello.", "Say hello again."]}]),
                    "--out", out, "--temperatures", "0", "--max-tokens", "100")
        (row,) = read_json_lines(out)
        self.assertEqual(len(row["loss"]), 3)
        texts = [turn["content"] for turn in row["conversations"][1::2]]
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        tokens = [line["ids"] for line in json_lines(self.expect(0, "tokenize", "smollm2-135m", stdin=lines).stdout)]
        for (begin, end), ids in zip(row["loss"], tokens):
            self.assertEqual(row["ids"][begin:end], ids + [2])  # <|im_end|>

    def test_rows_do_not_depend_on_how(self):
        prompts, out = self.prompts(prompt_rows(9)), self.out()
        self.regenerate(prompts, out, "--concurrency", "1")
        wanted = out.read_bytes()
        for arguments in (["--concurrency", "5"], ["--concurrency", "64", "--threads", "2"],
                          ["--isa", "ref"], ["--drafter", "ngram"], ["--prefill-chunk", "3"]):
            out = self.out()
            self.regenerate(prompts, out, *arguments)
            self.assertEqual(out.read_bytes(), wanted, arguments)
        # Nor on their neighbours.
        part = self.out("part.jsonl")
        self.regenerate(prompts, part, "--offset", "5", "--limit", "3")
        self.assertEqual(part.read_bytes().splitlines(), wanted.splitlines()[5:8])

    def test_more_rows_later(self):
        prompts, out = self.prompts(prompt_rows(9)), self.out()
        self.regenerate(prompts, out)
        wanted, out = out.read_bytes(), self.out()
        for limit in (4, 4, 7, 9):
            self.regenerate(prompts, out, "--limit", limit)
            self.assertEqual(out.read_bytes().splitlines(), wanted.splitlines()[:limit])
        result = self.regenerate(prompts, out, "--limit", "3", code=1)
        self.assertIn("expected an id of the chosen prompts", result.stderr)
        self.assertEqual(out.read_bytes(), wanted)

    def test_killed_at_any_moment(self):
        prompts, out = self.prompts(prompt_rows(80)), self.out()
        began = time.monotonic()
        self.regenerate(prompts, out)
        whole_s = time.monotonic() - began
        wanted, out = out.read_bytes(), self.out()
        draw, resumed = random.Random(1), 0
        rounds = 30 if os.environ.get("DSPARK_NIGHTLY") == "1" else 6
        for _ in range(rounds):
            process = self.start(prompts, out, "--concurrency", draw.choice(["3", "16", "40"]))
            if draw.random() < 0.3:
                time.sleep(draw.uniform(0, whole_s / 3))
            else:  # at some row, however slow the machine is just now
                rows = draw.randrange(1, 80)
                while process.poll() is None and not (out.exists() and out.read_bytes().count(b"\n") >= rows):
                    time.sleep(0.002)
            process.kill()
            process.communicate()
            done = out.read_bytes() if out.exists() else b""
            resumed += 0 < done.count(b"\n") < 80
            if draw.random() < 0.4:  # as a write cut short leaves it
                out.write_bytes(done[:max(0, len(done) - draw.randrange(60))])
            if done.count(b"\n") == 80 and draw.random() < 0.5:
                out = self.out()
        self.regenerate(prompts, out)
        self.assertEqual(out.read_bytes(), wanted)
        self.assertGreater(resumed, 0)
        self.assertFalse((self.scratch / "corpus.jsonl.tmp").exists())

    def test_interrupted(self):
        prompts, out = self.prompts(prompt_rows(80)), self.out()
        self.regenerate(prompts, out)
        wanted, out = out.read_bytes(), self.out()
        process = self.start(prompts, out)
        while not (out.exists() and out.stat().st_size > 0):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        if process.returncode != 0:  # not done already
            self.assertEqual(process.returncode, 1)
            self.assertIn("the same command goes on", err.decode())
        self.assertTrue(out.read_bytes().endswith(b"\n"))
        again = self.regenerate(prompts, out)
        self.assertIn("rows are done", again.stderr)
        self.assertEqual(out.read_bytes(), wanted)

    def test_other_options_are_refused(self):
        prompts, out = self.prompts(prompt_rows(3)), self.out()
        self.regenerate(prompts, out)
        before = out.read_bytes()
        for arguments, name in ((["--seed", "1"], "seed was 42, now 1"), (["--temperatures", "0"], "temperatures was"),
                                (["--max-tokens", "25"], "max_tokens was 24, now 25"),
                                (["--top-k", "5"], "top_k"), (["--top-p", "0.5"], "top_p"),
                                (["--min-p", "0.5"], "min_p"), (["--system", "x"], "system was null"),
                                (["--quantize", "q8_0"], "quantize")):
            result = self.regenerate(prompts, out, *arguments, code=1)
            self.assertIn(name, result.stderr)
        other = self.prompts(prompt_rows(4), "other.jsonl")
        self.assertIn("prompts was", self.regenerate(other, out, code=1).stderr)
        self.assertEqual(out.read_bytes(), before)
        meta = self.scratch / "corpus.jsonl.meta.json"
        meta.unlink()
        self.assertIn("meta.json", self.regenerate(prompts, out, code=1).stderr)
        self.assertEqual(out.read_bytes(), before)

    def test_one_writer(self):
        prompts, out = self.prompts(prompt_rows(400)), self.out()
        process = self.start(prompts, out)
        while not (out.exists() and out.stat().st_size > 0):
            time.sleep(0.01)
        result = self.regenerate(prompts, out, code=1) if process.poll() is None else None
        process.kill()
        process.communicate()
        if result:
            self.assertIn("another process is writing", result.stderr)

    def test_full_disk(self):
        prompts, out = self.prompts(prompt_rows(20)), self.out()
        self.regenerate(prompts, out)
        wanted, out = out.read_bytes(), self.out()

        def small():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

        result = subprocess.run([PROGRAM, *map(str, self.command(prompts, out))], preexec_fn=small,
                                capture_output=True)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn(b"cannot write", result.stderr)
        self.regenerate(prompts, out)
        self.assertEqual(out.read_bytes(), wanted)

    def test_no_room_on_the_disk(self):
        result = self.regenerate(self.prompts(prompt_rows(3)), self.out(), "--max-tokens", "2000000000", code=1)
        self.assertIn("free", result.stderr)

    def test_bad_rows(self):
        good, out = prompt_rows(3), self.out()
        prompts = self.write("prompts.jsonl", json.dumps(good[0]) + "\nnonsense\n" + json.dumps(good[1]) + "\n" +
                             json.dumps({"id": "row-0", "turns": ["again"]}) + "\n" +
                             json.dumps({"id": "long", "turns": ["x" * 2000]}) + "\n" + json.dumps(good[2]) + "\n")
        result = self.regenerate(prompts, out)
        for part in ("prompts.jsonl:2: ", "prompts.jsonl:4: ", "prompts.jsonl:5: long: ", "2 rows of the prompts"):
            self.assertIn(part, result.stderr)
        self.assertEqual([row["id"] for row in read_json_lines(out)], ["row-0", "row-1", "row-2"])
        self.assertIn("prompts.jsonl:2: ", self.regenerate(prompts, self.out(), "--strict", code=1).stderr)
        long = self.prompts([{"id": "long", "turns": ["x" * 2000]}], "long.jsonl")
        self.assertIn("long.jsonl:1: long: ", self.regenerate(long, self.out(), "--strict", code=1).stderr)

    def test_a_conversation_ends_with_the_context(self):
        out = self.out()
        self.regenerate(self.prompts([{"id": 1, "turns": ["a", "b" * 600, "c"]}]), out)
        (row,) = read_json_lines(out)
        self.assertEqual([turn["content"] for turn in row["conversations"]][:1], ["a"])
        self.assertEqual(len(row["conversations"]), 2)

    def test_usage(self):
        self.assertIn("regenerate", self.expect(0, "data", "--help").stdout)
        self.assertIn("Example", self.expect(0, "data", "regenerate", "--help").stdout)
        self.assertIn("Example", self.expect(0, "data", "stats", "--help").stdout)
        self.assertIn("regenerate, stats or cache", self.expect(2, "data").stderr)
        self.assertIn("the nearest is regenerate", self.expect(2, "data", "regenrate").stderr)
        self.assertIn("--temperatures", self.expect(2, "data", "regenerate", "--temperature", "1").stderr)
        for arguments in (["--temperatures", "0,x"], ["--temperatures", ""], ["--temperatures", "0,,1"],
                          ["--limit", "0"], ["--verify", "rejection"], ["--server", "https://x"],
                          ["--server", "localhost:80"], ["--server", "http://x:99999"]):
            self.assertIn(arguments[0], self.regenerate("p", "o", *arguments, code=2).stderr)
        self.assertIn("proxy", self.regenerate("p", "o", "--server", "https://x", code=2).stderr)
        self.expect(1, "data", "regenerate", self.model, "--prompts", self.scratch / "none", "--out", self.out())


if __name__ == "__main__":
    main()
