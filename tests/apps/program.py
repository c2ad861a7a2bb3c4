"""The program under test, run as a user would, and a tiny model directory to run it on.

A test script is called with two arguments: the program and the repository's root.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(sys.argv[1])
ROOT = pathlib.Path(sys.argv[2]).resolve()
FIXTURES = ROOT / "tests" / "fixtures"
# The target of the tiny Qwen3 fixtures: random weights, 512 tokens, context 512, no tokenizer.
BARE_MODEL = FIXTURES / "qwen3_dspark_vanilla" / "target"
SKIP = 77

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def dspark(*arguments, stdin="", env=None, timeout=300):
    """Runs the program; text in and out is UTF-8 and passes unchanged."""
    result = subprocess.run(
        [PROGRAM, *map(str, arguments)],
        input=stdin if isinstance(stdin, bytes) else stdin.encode(),
        capture_output=True,
        env={**os.environ, **(env or {})},
        timeout=timeout,
    )
    result.stdout = result.stdout.decode()
    result.stderr = result.stderr.decode()
    return result


def json_lines(text):
    return [json.loads(line) for line in text.split("\n") if line]


def read_json_lines(path):
    return json_lines(pathlib.Path(path).read_bytes().decode())


def byte_characters():
    """The printable character that byte-level BPE writes for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters, extra = {}, 0
    for byte in range(256):
        if byte in printable:
            characters[byte] = chr(byte)
        else:
            characters[byte] = chr(256 + extra)
            extra += 1
    return characters


def make_model(folder, template=TEMPLATE):
    """The bare model with a byte-level tokenizer: 0 to 2 control tokens, 3 + b the byte b, then merges."""
    folder = pathlib.Path(folder)
    shutil.copytree(BARE_MODEL, folder)
    for path in [folder, *folder.iterdir()]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    specials = ["<|pad|>", "<|im_end|>", "<|im_start|>"]
    vocab = {text: i for i, text in enumerate(specials)}
    for byte, character in byte_characters().items():
        vocab[character] = 3 + byte
    merges = ["h e", "l l", "he ll", "hell o"]
    for merge in merges:
        vocab[merge.replace(" ", "")] = len(vocab)
    tokenizer = {
        "version": "1.0",
        "added_tokens": [
            {"id": i, "content": text, "special": True, "single_word": False, "lstrip": False,
             "rstrip": False, "normalized": False}
            for i, text in enumerate(specials)
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                          "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                    "use_regex": True},
        "model": {"type": "BPE", "vocab": vocab, "merges": merges},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"eos_token": "<|im_end|>", "chat_template": template, "add_bos_token": False}),
        encoding="utf-8")
    return folder


class ProgramTest(unittest.TestCase):
    """A scratch folder for each class, with the tiny model in it."""

    TEMPLATE = TEMPLATE

    @classmethod
    def setUpClass(cls):
        cls.scratch = pathlib.Path(tempfile.mkdtemp(prefix="dspark_test_"))
        cls.model = make_model(cls.scratch / "model", cls.TEMPLATE)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.scratch)

    def write(self, name, text):
        path = self.scratch / name
        path.write_bytes(text.encode())
        return path

    def expect(self, code, *arguments, **options):
        result = dspark(*arguments, **options)
        self.assertEqual(result.returncode, code, f"{arguments}\n{result.stderr}")
        return result

    def run_rows(self, rows, *arguments, code=0, model=None):
        """run --prompts over rows; gives (completions, summary, result)."""
        prompts = self.write("prompts.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        out = self.scratch / "out.jsonl"
        out.unlink(missing_ok=True)
        result = self.expect(code, "run", model or self.model, "--prompts", prompts, "--json", out,
                             *arguments)
        *completions, last = read_json_lines(out)
        self.assertEqual(list(last), ["summary"])
        return completions, last["summary"], result


def main():
    unittest.main(argv=sys.argv[:1], verbosity=2)
