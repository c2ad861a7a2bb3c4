"""dspark calibrate on tiny random models: what it stores, shows and refuses, and that a run that was
killed goes on to the same bytes."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
import xml.etree.ElementTree

from program import FIXTURES, PROGRAM, ProgramTest, main

CHECKPOINT = FIXTURES / "qwen3_dspark_vanilla" / "draft"
EAGLE3 = FIXTURES / "qwen3_eagle3" / "draft"
SLOTS = 7
MODES = ["greedy", "coupled", "rejection"]


class Calibrate(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        draw = random.Random(5)
        rows = [{"id": i, "ids": [draw.randrange(3, 500) for _ in range(6)]} for i in range(12)]
        cls.data = cls.scratch / "held.jsonl"
        cls.data.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def setUp(self):
        self.drafter = self.scratch / "drafter.gguf"
        for path in self.scratch.glob("drafter.gguf*"):
            path.unlink()
        self.expect(0, "convert", CHECKPOINT, self.drafter)

    def arguments(self, *more, drafter=None, data=None, tokens=24, threads=1):
        return ["calibrate", self.model, "--drafter", drafter or self.drafter, "--data", data or self.data,
                "--max-tokens", str(tokens), "--threads", str(threads), *more]

    def calibrate(self, *more, code=0, **options):
        return self.expect(code, *self.arguments(*more, **options))

    def work_files(self):
        return sorted(path.name for path in self.scratch.glob("*.calibrate-*.jsonl"))

    def recorded_lines(self):
        return sum(path.read_bytes().count(b"\n") for path in self.scratch.glob("*.calibrate-*.jsonl"))

    def test_stores_shows_and_applies(self):
        out, plots = self.scratch / "c.json", self.scratch / "plots"
        shutil.rmtree(plots, ignore_errors=True)
        result = self.calibrate("--json", out, "--plots", plots)
        self.assertEqual(self.work_files(), [])
        json_file = json.loads(out.read_text())
        self.assertEqual([row["mode"] for row in json_file["rows"]], MODES)
        self.assertEqual(json_file["data"][0]["name"], "held.jsonl")
        for row in json_file["rows"]:
            self.assertEqual(row["temperature"], 0 if row["mode"] == "greedy" else 1)
            self.assertEqual(len(row["temperatures"]), SLOTS)
            for extra in ("offsets", "weights"):
                self.assertEqual(len(row[extra]), SLOTS if row["form"] == "scale_offset" else 0)
            held = row["held_out"]
            self.assertEqual((row["prompts"], held["prompts"]), (12, 6))
            for form in ("raw", "sts", "scale_offset"):
                low, high = held[form]["ece_interval"]
                self.assertTrue(0 <= low <= high <= 1)
                self.assertEqual(len(held[form]["by_position"]), SLOTS)
            chosen = held[row["form"]]
            if row["form"] == "scale_offset":
                self.assertLess(chosen["ece"], held["sts"]["ece"])
        for mode in MODES:
            self.assertIn(mode, result.stdout)
            for when in ("before", "after"):
                root = xml.etree.ElementTree.parse(plots / f"reliability-{mode}-{when}.svg").getroot()
                self.assertTrue(root.tag.endswith("svg"))

        text = self.expect(0, "info", self.drafter).stdout
        for part in ("greedy, temperature 0", "coupled, temperature 1", "rejection, temperature 1",
                     "12 prompts of held.jsonl"):
            self.assertIn(part, text)

        # eval scores raw and calibrated; the raw figures are those of the drafter without.
        evaluated, raw = self.scratch / "e.json", self.scratch / "r.json"
        common = ["--data", self.data, "--max-tokens", "24", "--rounds", "0"]
        shown = self.expect(0, "eval", self.model, "--drafter", self.drafter, "--json", evaluated,
                            "--plots", plots, *common)
        self.expect(0, "eval", self.model, "--drafter", CHECKPOINT, "--json", raw, *common)
        with_, without = (json.loads(path.read_text()) for path in (evaluated, raw))
        self.assertEqual(with_["protocol"]["calibration"],
                         {"mode": "greedy", "temperature": 0, "form": json_file["rows"][0]["form"]})
        self.assertIsNone(without["protocol"]["calibration"])
        with_, without = with_["rows"][0]["confidence"], without["rows"][0]["confidence"]
        calibrated, learned = with_.pop("calibrated"), without.pop("learned")
        self.assertEqual((with_.pop("learned"), without.pop("calibrated")), (None, None))
        self.assertEqual(learned["count"], without["count"])
        self.assertEqual(with_, without)
        low, high = with_["ece_interval"]
        self.assertTrue(low <= with_["ece"] <= high)
        self.assertEqual(calibrated["count"], with_["count"])
        self.assertLess(calibrated["ece"], with_["ece"])  # of the prompts that it was fitted to
        self.assertIn("calibrated for greedy at temperature 0", shown.stdout)
        self.assertTrue((plots / "reliability-calibrated-held.svg").exists())

        # The engine says where it has none, once.
        rows = [{"id": i, "ids": [5, 6 + i]} for i in range(3)]
        for drafter, count in ((self.drafter, 0), (CHECKPOINT, 1)):
            _, summary, ran = self.run_rows(rows, "--drafter", drafter, "--max-tokens", "9")
            self.assertEqual(len(summary["warnings"]), count, summary["warnings"])
            self.assertEqual(ran.stderr.count("uncalibrated"), count)

    def test_same_bytes_and_only_its_own_place(self):
        copy = self.scratch / "drafter.gguf.copy.gguf"
        shutil.copy(self.drafter, copy)
        self.calibrate("--modes", "coupled", "--temperature", "0.5")
        self.calibrate("--modes", "rejection,greedy", "--concurrency", "3", threads=2)
        self.calibrate("--modes", "greedy,rejection", drafter=copy, data=self.data)
        self.calibrate("--modes", "coupled", "--temperature", "0.5", drafter=copy)
        self.assertEqual(self.drafter.read_bytes(), copy.read_bytes())
        before = self.drafter.read_bytes()
        self.calibrate("--modes", "greedy")  # in the place of the old one
        self.assertEqual(self.drafter.read_bytes(), before)
        self.calibrate("--modes", "coupled", "--temperature", "0.25")
        text = self.expect(0, "info", self.drafter).stdout
        for part in ("coupled, temperature 0.25", "coupled, temperature 0.5", "greedy, temperature 0"):
            self.assertIn(part, text)

    def test_other_forms_go_to_a_new_file(self):
        self.assertIn("--out FILE.gguf", self.calibrate("--modes", "greedy", drafter=CHECKPOINT, code=1).stderr)
        out = self.scratch / "drafter.gguf.new.gguf"
        self.calibrate("--modes", "greedy", "--out", out, drafter=CHECKPOINT)
        self.calibrate("--modes", "greedy")
        self.assertEqual(out.read_bytes(), self.drafter.read_bytes())
        folder = self.scratch / "drafter.gguf.folder"
        shutil.rmtree(folder, ignore_errors=True)
        result = self.expect(0, "convert", out, folder)
        self.assertIn("no place for calibrations", result.stderr)
        kept = self.scratch / "drafter.gguf.kept.gguf"
        self.assertNotIn("calibration", self.expect(0, "convert", out, kept).stderr)
        self.assertEqual(kept.read_bytes(), out.read_bytes())
        shutil.rmtree(folder)

    def test_killed_and_resumed(self):
        whole, out, figures = (self.scratch / name for name in ("whole.gguf", "cut.gguf", "cut.json"))
        wanted = self.scratch / "whole.json"
        slow = ["--isa", "ref", "--concurrency", "2"]
        self.calibrate("--out", whole, "--json", wanted, *slow)
        draw, kills = random.Random(3), 0
        for _ in range(30 if os.environ.get("DSPARK_NIGHTLY") == "1" else 8):
            process = subprocess.Popen([PROGRAM, *map(str, self.arguments("--out", out, "--json", figures, *slow))],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            # At some record, however slow the machine is, or at any moment.
            wanted_lines = self.recorded_lines() + draw.randrange(3) if draw.random() < 0.7 else 0
            if wanted_lines == 0:
                time.sleep(draw.uniform(0, 0.3))
            while process.poll() is None and self.recorded_lines() < wanted_lines:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            _, errors = process.communicate()
            if process.returncode == 0:
                break
            self.assertEqual(process.returncode, -signal.SIGKILL, errors)
            kills += 1
            for name in self.work_files():  # torn as a power cut would leave it
                path = self.scratch / name
                if path.stat().st_size > 3000 and draw.random() < 0.3:
                    os.truncate(path, path.stat().st_size - draw.randrange(1, 200))
        self.assertGreater(kills, 0)
        if not out.exists():
            self.calibrate("--out", out, "--json", figures, *slow)
        self.assertEqual(out.read_bytes(), whole.read_bytes())
        self.assertEqual(figures.read_bytes(), wanted.read_bytes())
        self.assertEqual(self.work_files(), [])

    def interrupted(self, out):
        """A run that was ended after its first records; gives its work file."""
        work = self.scratch / (out.name + ".calibrate-greedy.jsonl")
        process = subprocess.Popen(
            [PROGRAM, *map(str, self.arguments("--modes", "greedy", "--out", out, "--isa", "ref", "--concurrency", "1",
                                               tokens=200))], stderr=subprocess.PIPE, text=True)
        while not work.exists() or work.read_bytes().count(b"\n") < 3:
            time.sleep(0.01)
            self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, errors)
        self.assertIn("the same command goes on", errors)
        self.assertFalse(out.exists())
        return work

    def test_work_file_is_checked(self):
        out = self.scratch / "w.gguf"
        work = self.interrupted(out)
        again = ["--modes", "greedy", "--out", out, "--concurrency", "8"]  # on any instruction set
        recorded = work.read_bytes()
        self.assertIn("other settings (max_tokens 200, now 24)", self.calibrate(*again, code=1).stderr)
        self.assertIn("other settings (seed 980406, now 1)",
                      self.calibrate(*again, "--seed", "1", code=1, tokens=200).stderr)
        self.assertEqual(work.read_bytes(), recorded)
        work.write_bytes(b"precious notes")
        self.assertIn("not the recordings", self.calibrate(*again, code=1, tokens=200).stderr)
        self.assertEqual(work.read_bytes(), b"precious notes")
        lines = recorded.split(b"\n")
        lines[1] = lines[1].replace(b"1", b"2", 1)
        work.write_bytes(b"\n".join(lines) + b'{"xxh3":"torn')
        self.assertIn("jsonl:2: damaged", self.calibrate(*again, tokens=200).stderr)
        fresh = self.scratch / "fresh.gguf"
        self.calibrate("--modes", "greedy", "--out", fresh, tokens=200)
        self.assertEqual(out.read_bytes(), fresh.read_bytes())

    def test_two_at_a_time(self):
        out = self.scratch / "two.gguf"
        work = self.scratch / "two.gguf.calibrate-greedy.jsonl"
        first = subprocess.Popen(
            [PROGRAM, *map(str, self.arguments("--modes", "greedy", "--out", out, "--isa", "ref", "--concurrency", "1",
                                               tokens=400))], stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL)
        while not work.exists():
            time.sleep(0.01)
        time.sleep(0.1)
        self.assertIn("another process", self.calibrate("--modes", "greedy", "--out", out, tokens=400,
                                                         code=1).stderr)
        first.kill()
        first.wait()
        work.unlink()

    def test_refusals(self):
        self.assertIn("no confidence head", self.calibrate(drafter=EAGLE3, code=1).stderr)
        self.assertIn("missing.jsonl", self.calibrate(data=self.scratch / "missing.jsonl", code=1).stderr)
        bad = self.write("bad.jsonl", '{"ids": [5]}\n{\n')
        self.assertIn("bad.jsonl:2", self.calibrate(data=bad, code=1).stderr)
        one = self.write("one.jsonl", '{"ids": [5, 6, 7]}\n')
        self.assertIn("more prompts", self.calibrate("--modes", "greedy", data=one, code=1).stderr)
        for path in self.scratch.glob("*.calibrate-*.jsonl"):
            path.unlink()
        nowhere = self.scratch / "no" / "where.gguf"
        self.assertIn("cannot create", self.calibrate("--out", nowhere, code=1).stderr)
        self.assertIn("cannot create", self.calibrate("--json", nowhere, code=1).stderr)
        self.assertEqual(self.work_files(), [])

    def test_usage(self):
        for arguments, words in ((["--modes", "greedy,block"], "the nearest is"),
                                 (["--modes", "greedy,greedy"], "names greedy twice"),
                                 (["--temperature", "0"], "above 0"),
                                 (["--out", self.scratch / "folder"], "named *.gguf"),
                                 (["--planner", "full"], "unknown option --planner"),
                                 (["--concurrency", "0"], "nearest valid value is 1")):
            self.assertIn(words, self.calibrate(*arguments, code=2).stderr)
        self.assertEqual(self.expect(2, "calibrate", self.model, "--data", self.data).stdout, "")


if __name__ == "__main__":
    main()
