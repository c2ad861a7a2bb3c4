"""The commands and their contract (docs/json.md, `dspark --help`), on a tiny random model."""

import json
import re

from program import BARE_MODEL, ProgramTest, json_lines, main

COMMANDS = ["run", "bench", "eval", "data", "tokenize", "render", "score", "convert", "info"]
BYTES = lambda text: [3 + byte for byte in text.encode()]


class Usage(ProgramTest):
    def test_help(self):
        self.assertIn("Examples:", self.expect(0, "--help").stdout)
        for command in COMMANDS:
            self.assertIn("Example", self.expect(0, command, "--help").stdout)
        alone = self.expect(2)
        self.assertEqual(alone.stdout, "")
        self.assertIn("run", alone.stderr)

    def test_version(self):
        for arguments in (["--version"], ["run", "--version"]):
            self.assertRegex(self.expect(0, *arguments).stdout, r"^dspark \d+\.\d+\.\d+\n$")

    def test_unknown_names_the_nearest(self):
        cases = [
            (["rnu"], "run"),
            (["tokenise"], "tokenize"),
            (["--verison"], "--version"),
            (["run", "--temprature", "1"], "--temperature"),
            (["run", "--temp", "1"], "--temperature"),
            (["run", "--max-token=5"], "--max-tokens"),
            (["run", "--promt", "x"], "--prompt"),
            (["run", "-p", "x"], "--prompt"),
            (["-v"], "--version"),
            (["bench", "--suit", "decode"], "--suite"),
            (["bench", "--suite", "decod"], "decode"),
            (["run", "--isa", "avx215"], "avx2"),
            (["run", "--isa", "AVX512"], "avx512"),
            (["run", "--quantize", "q4_2"], "q4_0"),
            (["run", "--drafter", "ngarm"], "ngram"),
            (["run", "--planner", "casual"], "causal"),
            (["run", "--planner", "fixed:0"], "off"),
            (["run", "--verify", "reject"], "rejection"),
            (["run", "smollm2-135n"], "smollm2-135m"),
            (["info", "smolm2-135m"], "smollm2-135m"),
            (["run", "--temperature", "-1"], "0"),
            (["run", "--top-p", "1.5"], "1"),
            (["run", "--max-tokens", "0"], "1"),
            (["score", "--threads", "0"], "1"),
            (["bench", "--suite", "decode", "--prefill-chunk", "5000"], "4096"),
        ]
        for arguments, nearest in cases:
            with self.subTest(arguments=arguments):
                result = self.expect(2, *arguments)
                self.assertEqual(result.stdout, "")
                self.assertRegex(result.stderr, r"(nearest[^\n]* is|only value is) " + re.escape(nearest))

    def test_malformed_values(self):
        cases = [
            ["--max-tokens", "12a"], ["--max-tokens", "1e3"], ["--temperature", "nan"],
            ["--temperature", "inf"], ["--temperature", ""], ["--top-p", "0"], ["--top-p", "1e-50"],
            ["--seed", "-1"], ["--repeat-penalty", "1e39"], ["--logit-bias", "5=1e39"],
            ["--seed", "18446744073709551616"], ["--logit-bias", "5"], ["--logit-bias", "x=1"],
            ["--logit-bias", "5="], ["--logit-bias", "-1=2"], ["--stop", ""], ["--repeat-penalty", "0"],
            ["--concurrency", "0"], ["--threads", "-2"], ["--seed", "1", "--seed", "2"], ["--prompt"],
            ["--logprobs", "3"], ["--all-turns"], ["--raw", "--system", "x"],
            ["--prompt", "x", "--prompts", "y"],
        ]
        for arguments in cases:
            with self.subTest(arguments=arguments):
                result = self.expect(2, "run", self.model, *arguments)
                self.assertIn(arguments[0], result.stderr)
        self.expect(2, "run", self.model, "one-too-many")
        self.expect(2, "bench", self.model)
        self.expect(2, "info")

    def test_models_that_are_not_there(self):
        result = self.expect(1, "run", "missing.gguf", "--prompt", "x")
        self.assertIn("missing.gguf", result.stderr)
        empty = {"XDG_CACHE_HOME": str(self.scratch)}
        result = self.expect(1, "run", "--prompt", "x", env=empty)
        self.assertIn("./setup run", result.stderr)
        self.expect(1, "info", self.write("text.gguf", "not a model"))
        self.expect(1, "run", self.scratch, "--prompt", "x")

    def test_installed_names(self):
        folder = self.scratch / "cache" / "dspark" / "models" / "mine"
        folder.mkdir(parents=True)
        (folder / "a.gguf").write_text("not a model")
        env = {"XDG_CACHE_HOME": str(self.scratch / "cache")}
        self.assertIn("a.gguf", self.expect(1, "info", "mine", env=env).stderr)
        self.assertIn("nearest name is mine", self.expect(2, "info", "mien", env=env).stderr)


class Tokenize(ProgramTest):
    def test_ids(self):
        texts = ["hello", "he", "", "a\u2028b", "\u0085", "nul \0", "é", "<|im_end|>"]
        stdin = "\n".join(json.dumps({"text": text}, ensure_ascii=False).replace("\0", "\\u0000")
                          for text in texts)
        result = self.expect(0, "tokenize", self.model, stdin=stdin + "\n\n  \n")
        self.assertEqual(result.stderr, "")
        ids = [row["ids"] for row in json_lines(result.stdout)]
        self.assertEqual(ids[0], [262])
        self.assertEqual(ids[1], [259])
        self.assertEqual(ids[2:7], [BYTES(text) for text in texts[2:7]])
        self.assertEqual(len(ids[7]), len("<|im_end|>"))
        result = self.expect(0, "tokenize", self.model, "--special", stdin=stdin)
        self.assertEqual(json_lines(result.stdout)[7]["ids"], [1])

    def test_errors_name_the_line(self):
        for line in ["{", "[]", '{"txt": 1}', '{"text": 1}', '{"text": "\\ud800"}']:
            with self.subTest(line=line):
                result = self.expect(1, "tokenize", self.model, stdin='{"text": "a"}\n\n' + line + "\n")
                self.assertIn("line 3", result.stderr)
                self.assertEqual(json_lines(result.stdout), [{"ids": BYTES("a")}])
        self.assertIn("line 1", self.expect(1, "tokenize", self.model, stdin=b'{"text": "\xff"}').stderr)

    def test_model_without_tokenizer(self):
        result = self.expect(1, "tokenize", BARE_MODEL, stdin='{"text": "a"}')
        self.assertIn("tokenizer", result.stderr)


class Render(ProgramTest):
    def test_render(self):
        messages = [{"role": "user", "content": "Hi \u2028\0"}]
        for prompt, ending in ((True, "<|im_start|>assistant\n"), (False, "")):
            row = json.dumps({"messages": messages, "add_generation_prompt": prompt})
            result = self.expect(0, "render", self.model, stdin=row)
            self.assertEqual(json_lines(result.stdout),
                             [{"rendered": "<|im_start|>user\nHi \u2028\0<|im_end|>\n" + ending}])

    def test_errors(self):
        for line in ["{}", '{"messages": 1}']:
            self.assertIn("line 1", self.expect(1, "render", self.model, stdin=line).stderr)
        self.expect(1, "render", BARE_MODEL, stdin='{"messages": []}')


class Score(ProgramTest):
    def test_score(self):
        stdin = '{"ids": [1, 2, 3]}\n{"ids": [5]}\n'
        rows = json_lines(self.expect(0, "score", BARE_MODEL, stdin=stdin).stdout)
        self.assertEqual(len(rows), 2)
        self.assertGreater(rows[0]["nll"], 0)
        self.assertEqual(rows[1]["nll"], 0)
        for row in rows:
            logits = [logit for _, logit in row["top"]]
            self.assertEqual(len(logits), 20)
            self.assertEqual(logits, sorted(logits, reverse=True))
        same = self.expect(0, "score", BARE_MODEL, "--isa", "ref", "--threads", "1", stdin=stdin)
        self.assertEqual(json_lines(same.stdout), rows)

    def test_errors(self):
        for ids in ["[]", "[-1]", "[512]", "[1.5]", '["1"]', "5", "[99999999999999999999]",
                    json.dumps([1] * 2000)]:
            with self.subTest(ids=ids[:40]):
                result = self.expect(1, "score", BARE_MODEL, stdin='{"ids": %s}' % ids)
                self.assertIn("line 1", result.stderr)


class Info(ProgramTest):
    def test_directory(self):
        text = self.expect(0, "info", self.model).stdout
        for part in ["Qwen3ForCausalLM", "156352", "model.embed_tokens.weight", "[512, 64]", "f32",
                     "<|im_end|>", "<|im_start|>assistant"]:
            self.assertIn(part, text)

    def test_safetensors(self):
        text = self.expect(0, "info", self.model / "model.safetensors").stdout
        self.assertIn("46", text)
        self.assertIn("model.norm.weight", text)

    def test_without_tokenizer(self):
        self.assertIn("none", self.expect(0, "info", BARE_MODEL).stdout)


class Bench(ProgramTest):
    def test_suites(self):
        for suite in ("decode", "width", "long"):
            with self.subTest(suite=suite):
                out = self.scratch / f"{suite}.json"
                measured = self.expect(0, "bench", self.model, "--suite", suite, "--json", out)
                self.assertIn("weights", measured.stdout)
                self.assertEqual(measured.stderr, "")
                result = json.loads(out.read_text())
                self.assertEqual(set(result), {"version", "machine", "model", "rows"})
                self.assertTrue(result["rows"])
                self.assertEqual({row["suite"] for row in result["rows"]}, {suite})


if __name__ == "__main__":
    main()
