"""`dspark run` and its contract (docs/json.md), on a tiny random model."""

import json
import os
import signal
import subprocess

from program import BARE_MODEL, PROGRAM, ProgramTest, main, read_json_lines

BYTES = lambda text: [3 + byte for byte in text.encode()]


class Run(ProgramTest):
    def test_one_prompt(self):
        out = self.scratch / "one.jsonl"
        result = self.expect(0, "run", self.model, "--prompt", "hello", "--max-tokens", "8",
                             "--ignore-eos", "--json", out)
        completion, last = read_json_lines(out)
        self.assertEqual(result.stdout, completion["text"] + "\n")
        self.assertEqual(completion["prompt_ids"],
                         [2, *BYTES("user\n"), 262, 1, *BYTES("\n"), 2, *BYTES("assistant\n")])
        self.assertEqual((len(completion["ids"]), completion["finish"]), (8, "length"))
        self.assertEqual(completion["cycles"], [{"drafted": 0, "verified": 0, "accepted": 0}] * 7)
        self.assertEqual(set(completion["timing"]), {"prefill_ms", "decode_ms", "tok_per_s"})
        summary = last["summary"]
        self.assertLessEqual(
            {"model", "drafter", "isa", "threads", "planner", "verify", "concurrency", "requests",
             "prompt_tokens", "tokens", "wall_ms", "load_ms", "tok_per_s", "tau", "peak_rss_bytes",
             "warnings"}, set(summary))
        self.assertEqual((summary["requests"], summary["tokens"], summary["tau"]), (1, 8, 1.0))
        self.assertEqual((summary["planner"], summary["verify"], summary["warnings"]),
                         ("off", "greedy", []))

    def test_prompt_forms(self):
        def ids(*arguments, stdin=""):
            out = self.scratch / "form.jsonl"
            self.expect(0, "run", self.model, "--max-tokens", "1", "--json", out, *arguments, stdin=stdin)
            return read_json_lines(out)[0]["prompt_ids"]
        chat = ids("--prompt", "hello")
        self.assertEqual(ids(stdin="hello\n"), chat)
        self.assertEqual(ids("--prompt=hello"), chat)
        self.assertEqual(ids("--raw", "--prompt", "hello"), [262])
        self.assertEqual(len(ids("--raw", "--prompt", "<|im_end|>")), len("<|im_end|>"))
        self.assertEqual(ids("--prompt", "<|im_end|>").count(1), 2)
        self.assertEqual(ids("--raw", "--prompt", "--seed"), BYTES("--seed"))
        self.assertEqual(ids("--system", "hello", "--prompt", ""),
                         [2, *BYTES("system\n"), 262, 1, *BYTES("\n"), 2, *BYTES("user\n"), 1,
                          *BYTES("\n"), 2, *BYTES("assistant\n")])
        self.expect(1, "run", self.model, stdin="")
        self.expect(1, "run", self.model, "--raw", "--prompt", "")

    def test_batch_equals_alone_in_any_order(self):
        rows = [{"id": f"r{i}", "ids": [(7 * i + k) % 500 for k in range(3 + 5 * i)]} for i in range(9)]
        reference, _, _ = self.run_rows(rows, "--max-tokens", "12", "--ignore-eos")
        want = {row["id"]: row["ids"] for row in reference}
        self.assertEqual(list(want), [row["id"] for row in rows])
        for arguments in (["--concurrency", "4"], ["--concurrency", "32", "--prefill-chunk", "7"],
                          ["--threads", "1"], ["--isa", "ref"]):
            got, summary, _ = self.run_rows(rows[::-1], "--max-tokens", "12", "--ignore-eos", *arguments)
            self.assertEqual([row["id"] for row in got], [row["id"] for row in rows[::-1]])
            self.assertEqual({row["id"]: row["ids"] for row in got}, want)
        self.assertEqual(summary["requests"], 9)
        self.assertEqual(summary["prompt_tokens"], sum(len(row["ids"]) for row in rows))

    def test_sampling_is_a_function_of_the_seed(self):
        rows = [{"id": i, "ids": [10 + i]} for i in range(4)]
        def run(*arguments):
            answers, summary, result = self.run_rows(rows, "--temperature", "1.5", "--max-tokens", "10",
                                                     "--ignore-eos", *arguments)
            return [row["ids"] for row in answers], summary, result
        first, summary, _ = run("--seed", "7")
        self.assertEqual((summary["verify"], summary["seed"]), ("coupled", 7))
        self.assertEqual(run("--seed", "7", "--concurrency", "4")[0], first)
        self.assertNotEqual(run("--seed", "8")[0], first)
        drawn, summary, result = run()
        self.assertIn(f"seed {summary['seed']}\n", result.stderr)
        self.assertEqual(run("--seed", summary["seed"])[0], drawn)

    def test_text_is_in_input_order(self):
        rows = [{"id": "a", "turns": ["hello", "unused"]}, {"id": "b", "turns": ["x" * 40], "source": 3}]
        answers, _, result = self.run_rows(rows, "--max-tokens", "6", "--concurrency", "2")
        self.assertEqual(result.stdout, "".join(row["text"] + "\n" for row in answers))
        self.assertEqual([row["id"] for row in answers], ["a", "b"])

    def test_all_turns(self):
        rows = [{"id": "a", "turns": ["hello", "he", "ll"]}, {"id": "b", "turns": ["x"]}]
        answers, summary, _ = self.run_rows(rows, "--all-turns", "--max-tokens", "4", "--concurrency", "2")
        self.assertEqual([row["id"] for row in answers], ["a/1", "a/2", "a/3", "b/1"])
        self.assertEqual(summary["requests"], 4)
        first, second = answers[0]["prompt_ids"], answers[1]["prompt_ids"]
        self.assertEqual(second[:len(first)], first)
        self.assertGreater(len(second), len(first))

    def test_stop_bias_and_logprobs(self):
        rows = [{"id": 1, "ids": [4, 5]}]
        biased = ["--logit-bias", "100=1000", "--max-tokens", "5", "--ignore-eos"]
        answers, _, _ = self.run_rows(rows, *biased, "--logprobs", "3")
        self.assertEqual(answers[0]["ids"], [100] * 5)
        self.assertEqual(answers[0]["text"], "a" * 5)
        for place in answers[0]["logprobs"]:
            self.assertEqual(place["id"], 100)
            self.assertEqual(len(place["top"]), 3)
        answers, _, _ = self.run_rows(rows, *biased)
        self.assertNotIn("logprobs", answers[0])
        answers, _, _ = self.run_rows(rows, *biased, "--stop", "[x]", "--stop", "aaa")
        self.assertEqual((answers[0]["ids"], answers[0]["text"], answers[0]["finish"]),
                         ([100] * 3, "", "stop"))
        answers, _, _ = self.run_rows(rows, "--logit-bias", "1=1000")
        self.assertEqual((answers[0]["ids"], answers[0]["text"], answers[0]["finish"]), ([1], "", "stop"))
        self.expect(1, "run", self.model, "--prompt", "x", "--logit-bias", "512=1")

    def test_grammar_and_schema(self):
        rows = [{"id": i, "ids": [4, i]} for i in range(4, 10)]
        schema = self.write("schema.json", json.dumps(
            {"type": "array", "items": {"enum": ["x", 7]}, "minItems": 2, "maxItems": 3}))
        answers, _, _ = self.run_rows(rows, "--json-schema", schema, "--max-tokens", "200", "--temperature", "1",
                                      "--seed", "3", "--concurrency", "3")
        for answer in answers:
            self.assertEqual(answer["finish"], "stop")
            self.assertIn(len(json.loads(answer["text"])), (2, 3))
        grammar = self.write("two.gbnf", 'root ::= word "-" word # two\nword ::= [a-z]{2}\n')
        answers, _, _ = self.run_rows(rows, "--grammar", grammar, "--drafter", "ngram")
        for answer in answers:
            self.assertRegex(answer["text"], "^[a-z]{2}-[a-z]{2}$")
        broken = self.write("broken.gbnf", 'root ::= word\nword ::= "a')
        self.assertIn("broken.gbnf:2:10", self.expect(1, "run", self.model, "--grammar", broken, "--prompt", "x").stderr)
        refused = self.write("refused.json", '{"items": {"pattern": "a"}}')
        self.assertIn('refused.json: #/items: "pattern"', self.expect(
            1, "run", self.model, "--json-schema", refused, "--prompt", "x").stderr)
        self.expect(2, "run", self.model, "--grammar", grammar, "--json-schema", schema, "--prompt", "x")
        self.expect(2, "run", self.model, "--grammar", grammar, "--ignore-eos", "--prompt", "x")

    def test_model_without_tokenizer(self):
        answers, _, result = self.run_rows([{"id": "a", "ids": [1, 2, 3]}], "--max-tokens", "5",
                                           "--ignore-eos", model=BARE_MODEL)
        self.assertEqual((len(answers[0]["ids"]), answers[0]["text"]), (5, ""))
        self.assertEqual(result.stdout, "\n")
        self.assertIn("tokenizer", self.expect(1, "run", BARE_MODEL, "--prompt", "x").stderr)

    def test_context(self):
        answers, summary, _ = self.run_rows([{"id": "a", "ids": [9] * 508}], "--ignore-eos")
        self.assertEqual((len(answers[0]["ids"]), answers[0]["finish"]), (4, "length"))
        self.assertIn("context", summary["warnings"][0])
        answers, summary, _ = self.run_rows(
            [{"id": "long", "ids": [9] * 600}, {"id": "bad", "ids": [512]}, {"id": "good", "ids": [9]}],
            "--max-tokens", "3", "--ignore-eos", code=1)
        self.assertEqual([row["finish"] for row in answers], ["error", "error", "length"])
        self.assertEqual(len(summary["warnings"]), 2)

    def test_prompt_file_errors_name_the_line(self):
        good = '{"id": 1, "ids": [1]}\n'
        for line in ["{", "[]", '{"id": 1}', '{"id": 1, "turns": []}', '{"id": 1, "turns": "x"}',
                     '{"id": 1, "turns": [1]}', '{"id": 1, "ids": []}', '{"id": 1, "ids": [-1]}',
                     '{"id": 1, "ids": [1], "turns": ["x"]}', '{"id": [], "ids": [1]}']:
            with self.subTest(line=line):
                path = self.write("bad.jsonl", good + "\n" + line + "\n")
                self.assertIn("bad.jsonl:3", self.expect(1, "run", self.model, "--prompts", path).stderr)
        self.expect(1, "run", self.model, "--prompts", self.write("empty.jsonl", "\n"))
        self.expect(1, "run", self.model, "--prompts", self.scratch / "missing.jsonl")

    def test_outputs_that_cannot_be_written(self):
        self.expect(1, "run", self.model, "--prompt", "x", "--json", self.scratch / "no" / "file")
        self.expect(1, "run", self.model, "--prompt", "x", "--json", self.scratch)
        with open("/dev/full", "w") as full:
            result = subprocess.run([PROGRAM, "run", self.model, "--prompt", "x", "--max-tokens", "4"],
                                    stdout=full, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.assertEqual(result.returncode, 1)

    def test_interrupt_leaves_a_whole_file(self):
        rows = [{"id": i, "ids": [3 + i]} for i in range(400)]
        prompts = self.write("many.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        out = self.scratch / "cut.jsonl"
        process = subprocess.Popen(
            [PROGRAM, "run", self.model, "--prompts", prompts, "--json", out, "--ignore-eos", "--isa",
             "ref", "--concurrency", "4", "--max-tokens", "500"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
        process.stdout.readline()  # the first row has ended
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, errors)
        *answers, last = read_json_lines(out)
        self.assertEqual([row["id"] for row in answers], list(range(len(answers))))
        self.assertIn("cancelled", [row["finish"] for row in answers])
        self.assertLess(len(answers), len(rows))
        self.assertIn("interrupted", " ".join(last["summary"]["warnings"]))
        self.assertEqual([name for name in os.listdir(self.scratch) if name.startswith("cut.jsonl.")], [])


    def test_every_option_at_once(self):
        # Values that leave the answer alone, and what is counted of it.
        out = self.scratch / "options.jsonl"
        arguments = {
            "--drafter": "ngram", "--planner": "fixed:3", "--verify": "greedy", "--draft-max": "4",
            "--draft-candidates": "8", "--temperature": "0", "--top-k": "40", "--top-p": "0.9",
            "--min-p": "0.1", "--seed": "5", "--max-tokens": "6", "--concurrency": "2", "--threads": "2",
            "--isa": "auto", "--stop": "not in the text", "--repeat-penalty": "1", "--presence-penalty": "0",
            "--frequency-penalty": "0", "--logit-bias": "5=0", "--logprobs": "2", "--prefill-chunk": "4",
            "--context": "64", "--cache-mb": "8", "--quantize": "f32", "--prompt": "hello", "--json": str(out)}
        flags = ["--ignore-eos", "--raw"]
        result = self.expect(0, "run", self.model, *flags, *(word for pair in arguments.items() for word in pair))
        completion, last = read_json_lines(out)
        self.assertEqual(result.stdout, completion["text"] + "\n")
        self.assertEqual(completion["prompt_ids"], [262])
        self.expect(0, "run", self.model, "--raw", "--ignore-eos", "--prompt", "hello", "--max-tokens", "6",
                    "--quantize", "f32", "--json", out)
        self.assertEqual(read_json_lines(out)[0]["ids"], completion["ids"])
        self.assertEqual(last["summary"]["concurrency"], 2)

    def test_figures_agree(self):
        rows = [{"id": i, "ids": [5 + i] * 20} for i in range(5)]
        answers, summary, result = self.run_rows(rows, "--max-tokens", "9", "--ignore-eos", "--concurrency", "3")
        for row in answers:
            timing = row["timing"]
            self.assertEqual(sum(cycle["accepted"] + 1 for cycle in row["cycles"]), len(row["ids"]) - 1)
            self.assertGreater(timing["prefill_ms"], 0)
            self.assertAlmostEqual(timing["tok_per_s"] * timing["decode_ms"] / 1e3, len(row["ids"]) - 1)
        self.assertEqual(summary["tokens"], sum(len(row["ids"]) for row in answers))
        self.assertAlmostEqual(summary["tok_per_s"] * summary["wall_ms"] / 1e3, summary["tokens"])
        self.assertGreater(summary["load_ms"], 0)
        self.assertGreater(summary["peak_rss_bytes"], 1 << 20)
        self.assertEqual(summary["model"], str(self.model))
        self.assertIn("5 completions", result.stderr)


if __name__ == "__main__":
    main()
