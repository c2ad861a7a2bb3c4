"""dspark profile: what it measures, where it keeps it, who reads it."""

import json

from program import BARE_MODEL, ProgramTest, main

DRAFTER = BARE_MODEL.parent / "draft"


class Profile(ProgramTest):
    def environment(self, name):
        return {"XDG_CACHE_HOME": str(self.scratch / name)}

    def kept(self, name):
        return list((self.scratch / name / "dspark" / "costs").glob("*"))

    def test_what_is_measured_is_kept_and_read(self):
        out = self.scratch / "costs.json"
        environment = self.environment("cache")
        result = self.expect(0, "profile", BARE_MODEL, "--drafter", DRAFTER, "--json", out, "--threads", 1,
                             env=environment)
        self.assertIn("steps of one row", result.stdout)
        costs = json.loads(out.read_text())
        for curve, counts in (("rows", [1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 64]),
                              ("drafts", [1, 2, 4, 8, 16, 32, 64])):
            self.assertEqual([point[0] for point in costs[curve]], counts)
            times = [point[1] for point in costs[curve]]
            self.assertEqual(times, sorted(times))
            self.assertGreater(times[0], 0)
        (file,) = self.kept("cache")
        self.assertIn(str(file), result.stderr)
        stored = json.loads(file.read_text())
        self.assertEqual(stored["rows"], costs["rows"])

        prompts = self.write("prompts.jsonl", json.dumps({"id": 1, "ids": [5, 9, 20, 33]}) + "\n")
        run = ("run", BARE_MODEL, "--drafter", DRAFTER, "--threads", 1, "--prompts", prompts, "--max-tokens", 8)
        self.assertNotIn("cost table", self.expect(0, *run, env=environment).stderr)
        for damaged in ("{", "[]", '{"rows": [[1, 2.0], [1, 3.0]], "drafts": []}',
                        '{"rows": [[1, -2.0], [2, 3.0]], "drafts": []}', '{"rows": 3, "drafts": []}'):
            file.write_text(damaged)
            self.assertIn("no cost table", self.expect(0, *run, env=environment).stderr, damaged)
        # That of another machine, put in this one's place, is not taken for it.
        stored["key"]["cpu"] = "another"
        file.write_text(json.dumps(stored))
        self.assertNotIn("cost table", self.expect(0, *run, env=environment).stderr)

    def test_without_a_drafter_there_are_rows_alone(self):
        out = self.scratch / "rows.json"
        self.expect(0, "profile", BARE_MODEL, "--drafter", "none", "--threads", 1, "--json", out,
                    env=self.environment("plain"))
        self.assertEqual(json.loads(out.read_text())["drafts"], [])


main()
