"""What the tests of dspark data share: rows of prompts, and the command on a tiny random model."""

import json
import random
import subprocess

from program import PROGRAM, ProgramTest

WORDS = "river stone cloud lamp garden winter letter music paper bridge".split()


def prompt_rows(count, turns=2):
    draw = random.Random(count)
    text = lambda: " ".join(draw.choice(WORDS) for _ in range(draw.randrange(1, 4)))
    return [{"id": f"row-{i}", "turns": [text() for _ in range(1 + i % turns)]} for i in range(count)]


class DataTest(ProgramTest):
    def prompts(self, rows, name="prompts.jsonl"):
        return self.write(name, "".join(json.dumps(row) + "\n" for row in rows))

    def out(self, name="corpus.jsonl"):
        for path in (self.scratch / name, self.scratch / (name + ".meta.json")):
            path.unlink(missing_ok=True)
        return self.scratch / name

    def command(self, prompts, out, *arguments):
        most = [] if "--max-tokens" in arguments else ["--max-tokens", "24"]
        # One thread: several wait for each other long where other tests run.
        threads = [] if "--threads" in arguments else ["--threads", "1"]
        return ["data", "regenerate", self.model, "--prompts", prompts, "--out", out, *most, *threads, *arguments]

    def regenerate(self, prompts, out, *arguments, code=0):
        return self.expect(code, *self.command(prompts, out, *arguments))

    def start(self, prompts, out, *arguments):
        return subprocess.Popen([PROGRAM, *map(str, self.command(prompts, out, *arguments))],
                                stderr=subprocess.PIPE)
