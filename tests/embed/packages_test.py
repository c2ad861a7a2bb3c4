"""The Debian packages and the wheel hold what works: unpacked, they answer as the program does."""

import os
import pathlib
import shutil
import subprocess
import sys
import unittest

from installed_tree import BUILD, PROMPTS, ROOT, HostTest, call, main


def builder_of_wheels():
    """A Python that can, or None: ours may be one without its packages."""
    for python in (sys.executable, "/usr/bin/python3"):
        code = "import setuptools, wheel, importlib.util as u; assert u.find_spec('pip')"
        if os.path.exists(python) and subprocess.run([python, "-c", code], capture_output=True).returncode == 0:
            return python
    return None


class PackagesTest(HostTest):
    @unittest.skipUnless(shutil.which("dpkg-shlibdeps"), "dpkg-dev is not here")
    def test_debian_packages(self):
        packages = {}
        for path in call(ROOT / "scripts" / "build_deb", BUILD).split():
            packages[call("dpkg-deb", "--field", path, "Package").strip()] = path
        self.assertEqual(set(packages), {"dspark", "libdspark1", "libdspark-dev"})
        self.assertIn("libfmt", call("dpkg-deb", "--field", packages["dspark"], "Depends"))
        self.assertIn("libdspark1 (= ", call("dpkg-deb", "--field", packages["libdspark-dev"], "Depends"))
        root = self.scratch / "root"
        for path in packages.values():
            call("dpkg-deb", "--extract", path, root)
        prompt = ("run", self.model, "--prompt", PROMPTS[0], "--max-tokens", "20")
        self.assertEqual(call(root / "usr/bin/dspark", *prompt), self.expect(0, *prompt).stdout)
        # The way to a model that is missing is named, and the drafter that comes with it found.
        nothing = self.scratch / "nothing"
        missing = subprocess.run([root / "usr/bin/dspark", "run", "--prompt", "x"], capture_output=True, text=True,
                                 env={**os.environ, "XDG_CACHE_HOME": str(nothing)})
        self.assertIn(f"`{root}/usr/libexec/dspark/fetch_model.py` fetches it", missing.stderr)
        misspelt = subprocess.run([root / "usr/bin/dspark", "run", self.model, "--drafter", "smollm2-135n", "--prompt", "x"],
                                  capture_output=True, text=True, env={**os.environ, "XDG_CACHE_HOME": str(nothing)})
        self.assertIn("the nearest name is smollm2-135m", misspelt.stderr)
        unit = (root / "usr/lib/systemd/system/dspark.service").read_text()
        self.assertIn("ExecStart=/usr/bin/dspark serve", unit)
        if shutil.which("systemd-analyze"):
            unit = unit.replace("/usr/bin/dspark", str(root / "usr/bin/dspark"))
            call("systemd-analyze", "verify", self.write("dspark.service", unit))

    @unittest.skipUnless(builder_of_wheels(), "no Python with pip, setuptools and wheel is here")
    def test_wheel(self):
        wheel = call(ROOT / "scripts" / "build_wheel", BUILD, env={"PYTHON": builder_of_wheels()}).strip()
        self.assertRegex(pathlib.Path(wheel).name, r"^dspark-[0-9.]+-py3-none-linux_\w+\.whl$")
        unpacked = self.scratch / "wheel"
        shutil.unpack_archive(wheel, unpacked, "zip")
        code = ("import sys, dspark; engine = dspark.Engine(sys.argv[1], threads=1);"
                "print(engine.generate(sys.argv[2], max_tokens=20).text);"
                "sys.stderr.write(open('/proc/self/maps').read())")
        result = subprocess.run([sys.executable, "-c", code, str(self.model), PROMPTS[0]], capture_output=True,
                                text=True, env={"PYTHONPATH": str(unpacked)})
        self.assertEqual(result.returncode, 0, result.stderr)
        libraries = list((unpacked / "dspark" / "lib").iterdir())
        self.assertGreater(len(libraries), 1)
        for library in libraries:  # its own, not the system's
            self.assertIn(str(library), result.stderr)
        said = self.expect(0, "run", self.model, "--prompt", PROMPTS[0], "--max-tokens", "20").stdout
        self.assertEqual(result.stdout, said)


if __name__ == "__main__":
    main()
