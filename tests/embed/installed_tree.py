"""What the tests of packages share: an install tree, and what the program itself answers.

A test script is called with three arguments: the program, the repository's root and the shared library.
"""

import os
import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(sys.argv[2]) / "tests" / "apps"))
from program import BARE_MODEL, PROGRAM, ROOT, ProgramTest, main  # noqa: E402,F401

BUILD = pathlib.Path(PROGRAM).parent
LIBRARY = os.path.abspath(sys.argv[3])
DRAFTER = BARE_MODEL.parent / "draft"
PROMPTS = ["hello", "hello hell", "What is h\u00e9?", "llllllll"]


def call(*command, **options):
    """Its stdout; an AssertionError with all that it said where it fails."""
    env = {**os.environ, **options.pop("env", {})}
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=env, **options)
    if result.returncode != 0:
        raise AssertionError(f"{command}: exit code {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout


class HostTest(ProgramTest):
    def answers(self, *arguments):
        """The program's ids for PROMPTS."""
        rows = [{"id": i, "turns": [text]} for i, text in enumerate(PROMPTS)]
        done, _, _ = self.run_rows(rows, "--drafter", "none", *arguments)
        return [row["ids"] for row in done]
