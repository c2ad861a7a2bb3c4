#!/usr/bin/env python3
"""The check of include directions finds each kind of fault, and passes what is allowed."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
sys.dont_write_bytecode = True
import check_includes  # noqa: E402

# A sound tree: top -> middle -> bottom.
TREE = {
    "src/bottom/CMakeLists.txt": "dspark_room(bottom SOURCES bottom.cc)  # ROOMS top\n",
    "src/bottom/bottom.h": "#include <vector>\n",
    "src/bottom/hidden.h": "",
    "src/bottom/deep/part.cc": '#include "bottom/hidden.h"\n',
    "src/middle/CMakeLists.txt": "dspark_room(middle\n  SOURCES middle.cc\n  ROOMS bottom\n  LIBS x)\n",
    "src/middle/middle.h": '#include "bottom/bottom.h"\n#include "fmt/format.h"\n',
    "src/top/CMakeLists.txt": "dspark_room(top SOURCES top.cc ROOMS middle)\n",
    "src/top/top.h": '#include "bottom/bottom.h"\n#include "middle/middle.h"\n',
    "src/apps/CMakeLists.txt": "add_executable(tool main.cc)\n",
    "src/apps/main.cc": '#include "apps/other.h"\n#include "bottom/bottom.h"\n#include "top/top.h"\n',
}


class CheckIncludesTest(unittest.TestCase):
    def faults(self, changes):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, content in {**TREE, **changes}.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8")
            return [f.replace(folder + "/", "") for f in check_includes.check(root)[0]]

    def expect(self, changes, *starts):
        faults = self.faults(changes)
        self.assertEqual(len(faults), len(starts), faults)
        for fault, start in zip(sorted(faults), sorted(starts)):
            self.assertTrue(fault.startswith(start), fault)

    def test_sound(self):
        self.expect({})

    def test_upwards(self):
        self.expect({"src/bottom/hidden.h": '\n#include "middle/middle.h"\n'},
                    'src/bottom/hidden.h:2: "middle/middle.h": bottom builds on no other room')
        self.expect({"src/middle/x.inc": '#  include "top/top.h"\n'},
                    'src/middle/x.inc:1: "top/top.h": middle builds on bottom, not on top')
        self.expect({"src/middle/x.cc": "#include <top/top.h>\n"}, "src/middle/x.cc:1")
        self.expect({"src/top/x.cc": '#include "apps/other.h"\n'}, "src/top/x.cc:1")

    def test_private_headers(self):
        self.expect({"src/top/x.cc": '#include "bottom/hidden.h"\n'},
                    'src/top/x.cc:1: "bottom/hidden.h" is private to bottom')
        self.expect({"src/apps/x.cc": '#include "bottom/hidden.h"\n'}, "src/apps/x.cc:1")

    def test_names_from_elsewhere(self):
        self.expect({"src/top/x.cc": '#include "../bottom/hidden.h"\n'}, "src/top/x.cc:1")
        self.expect({"src/top/x.cc": '#include "top.h"\n'}, "src/top/x.cc:1")

    def test_rooms(self):
        self.expect({"src/top/CMakeLists.txt": "dspark_room(top ROOMS middle cellar)"},
                    "src/top/CMakeLists.txt: ROOMS names cellar")
        self.expect({"src/top/CMakeLists.txt": "dspark_room(top ROOMS middle apps)"},
                    "src/top/CMakeLists.txt: ROOMS names apps")
        self.expect({"src/bottom/CMakeLists.txt": "dspark_room(bottom ROOMS middle)"},
                    "room bottom builds on itself", "room middle builds on itself")
        self.expect({"src/bottom/CMakeLists.txt": "add_library(bottom x.cc)"},
                    "src/bottom/CMakeLists.txt: declares no room")

    def test_long_files(self):
        self.expect({"src/top/x.cc": "\n" * 600})
        self.expect({"tests/x.cc": "\n" * 601}, "tests/x.cc: 601 lines, at most 600")


if __name__ == "__main__":
    unittest.main()
