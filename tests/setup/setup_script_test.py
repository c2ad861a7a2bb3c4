#!/usr/bin/env python3
"""The script `setup` with the system's programs replaced by ones that note how they were called."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Each stand-in notes its name and arguments; then does as CASES tells.
STAND_IN = """#!/bin/bash
echo "${0##*/} $*" >> "$CALLS"
case "${0##*/} $*" in
%s
esac
"""
JUNIT = '<testsuite name="x"\\n\\ttests="%d"\\n\\tfailures="%d"\\n\\tdisabled="0"\\n\\tskipped="%d"\\n>'


class SetupTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tree = pathlib.Path(folder.name) / "a clone"
        self.bin = pathlib.Path(folder.name) / "bin"
        self.calls = pathlib.Path(folder.name) / "calls"
        for name in ("build/release", "build/asan", "build/tsan", "scripts"):
            (self.tree / name).mkdir(parents=True)
        self.bin.mkdir()
        shutil.copy(ROOT / "setup", self.tree / "setup")
        self.stand_in(self.tree / "build/release/dspark", '*) for a; do echo "<$a>"; done;;')
        self.stand_in(self.tree / "scripts/format_check.sh")
        for name in ("cmake", "python3", "apt-get"):
            self.stand_in(self.bin / name)
        self.stand_in(self.bin / "setarch", '*) shift 2; "$@";;')
        self.stand_in(self.bin / "sudo", '*) "$@";;')
        self.stand_in(self.bin / "dpkg-query", "*) echo installed;;")
        self.count_tests(10, 0, 0)

    def stand_in(self, path, cases=""):
        path.write_text(STAND_IN % cases, encoding="utf-8")
        path.chmod(0o755)

    def count_tests(self, tests, failures, skipped, status=0):
        self.stand_in(self.bin / "ctest", f"""*) while [[ $1 != --output-junit ]]; do shift; done
          printf '{JUNIT % (tests, failures, skipped)}' > "$2"; exit {status};;""")

    def run_setup(self, *arguments):
        environment = {**os.environ, "PATH": f"{self.bin}:/usr/bin:/bin", "CALLS": str(self.calls)}
        self.calls.write_text("", encoding="utf-8")
        result = subprocess.run([str(self.tree / "setup"), *arguments], env=environment, cwd="/",
                                capture_output=True, text=True, timeout=60, check=False)
        self.called = self.calls.read_text(encoding="utf-8").splitlines()
        return result

    def last_line(self, result):
        return result.stdout.splitlines()[-1]

    def test_help_and_usage(self):
        self.assertIn("usage:", self.run_setup("--help").stdout)
        self.assertEqual(self.called, [])
        self.assertEqual(self.run_setup().returncode, 2)
        self.assertEqual(self.run_setup("test", "more").returncode, 2)
        unknown = self.run_setup("walk")
        self.assertEqual((unknown.returncode, unknown.stdout), (2, ""))
        self.assertIn('"walk"', unknown.stderr)

    def test_run(self):
        result = self.run_setup("run")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.splitlines()[:2], ["<run>", "<--prompt>"])
        self.assertEqual(len(result.stdout.splitlines()), 3)
        self.assertFalse([c for c in self.called if c.startswith(("apt-get", "sudo"))])
        arguments = ["--prompt", "two words", "--seed", "1"]
        result = self.run_setup("run", *arguments)
        self.assertEqual(result.stdout.splitlines(), ["<run>"] + [f"<{a}>" for a in arguments])

    def test_installs_what_is_missing_alone(self):
        self.stand_in(self.bin / "dpkg-query",
                      '*" cmake") exit 1;; *" clang") echo config-files;; *) echo installed;;')
        self.assertEqual(self.run_setup("run").returncode, 0)
        installs = [c for c in self.called if c.startswith("apt-get install")]
        self.assertEqual(installs, ["apt-get install -y --no-install-recommends cmake clang"])
        self.assertEqual(any(c.startswith("sudo") for c in self.called), os.geteuid() != 0)

    def test_failures_end_a_run(self):
        self.stand_in(self.bin / "cmake", '"cmake --build"*) exit 1;;')
        self.assertNotEqual(self.run_setup("run").returncode, 0)
        self.assertFalse([c for c in self.called if c.startswith("dspark")])
        self.stand_in(self.bin / "cmake")
        self.stand_in(self.bin / "python3", "*fetch_model*) exit 1;;")
        self.assertNotEqual(self.run_setup("run").returncode, 0)
        self.assertFalse([c for c in self.called if c.startswith("dspark")])

    def test_counts(self):
        result = self.run_setup("test")
        self.assertEqual(result.returncode, 0, result.stderr)
        # Two checks, and for each of three presets its build and ten tests.
        self.assertEqual(self.last_line(result), "35 passed, 0 failed")
        tsan = [c for c in self.called if c.startswith("cmake --build --preset tsan")]
        self.assertEqual(
            tsan, ["cmake --build --preset tsan --target test_base test_kernels test_engine test_embed"])

    def test_counts_failures_and_skips(self):
        self.count_tests(10, 2, 1, status=8)
        result = self.run_setup("test")
        self.assertEqual((result.returncode, self.last_line(result)),
                         (1, "26 passed, 6 failed, 3 skipped"))
        self.count_tests(10, 0, 0, status=8)  # ctest says that it failed: so did it
        result = self.run_setup("test")
        self.assertEqual((result.returncode, self.last_line(result)), (1, "32 passed, 3 failed"))

    def test_a_failed_build_or_check_counts_and_the_rest_runs(self):
        self.stand_in(self.bin / "cmake", '"cmake --build --preset asan"*) exit 1;;')
        self.stand_in(self.tree / "scripts/format_check.sh", "*) exit 1;;")
        result = self.run_setup("test")
        self.assertEqual((result.returncode, self.last_line(result)), (1, "23 passed, 2 failed"))

    def test_without_a_model_the_tests_run(self):
        self.stand_in(self.bin / "python3", "*fetch_model*) exit 1;;")
        result = self.run_setup("test")
        self.assertEqual((result.returncode, self.last_line(result)), (0, "35 passed, 0 failed"))
        self.assertIn("no model", result.stderr)


if __name__ == "__main__":
    unittest.main()
