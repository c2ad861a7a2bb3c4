"""An install tree serves hosts: C by pkg-config, C++ by CMake, with the program's own answers."""

import os
import pathlib
import re

from installed_tree import BUILD, DRAFTER, LIBRARY, PROMPTS, ROOT, HostTest, call, main


class InstallTest(HostTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.prefix = cls.scratch / "prefix"
        call("cmake", "--install", BUILD, "--prefix", cls.prefix)
        cls.libraries = next(cls.prefix.rglob("libdspark.so")).parent

    def test_every_part_is_there_and_nothing_of_the_trainer(self):
        for name in ("bin/dspark", "include/dspark/dspark.h", "include/dspark/dspark.hpp",
                     "lib/systemd/system/dspark.service", "libexec/dspark/fetch_model.py",
                     "share/dspark/drafters/smollm2-135m.gguf", "share/doc/dspark/copyright"):
            self.assertTrue((self.prefix / name).is_file(), name)
        self.assertEqual(list(self.prefix.rglob("*learn*")), [])
        self.assertEqual(call(self.prefix / "bin" / "dspark", "--version"), call(BUILD / "dspark", "--version"))

    def test_the_library_exports_its_header_and_nothing_else(self):
        header = (self.prefix / "include/dspark/dspark.h").read_text()
        declared = set(re.findall(r"^DSPARK_API [^;(]*?(dspark_\w+)\(", header, re.M))
        exported = {line.split()[-1].partition("@")[0]
                    for line in call("nm", "-D", "--defined-only", LIBRARY).splitlines()}
        self.assertGreater(len(declared), 10)
        self.assertEqual(exported - {"DSPARK_1"}, declared)

    def test_c_by_pkg_config(self):
        env = {"PKG_CONFIG_PATH": str(next(self.prefix.rglob("dspark.pc")).parent),
               "LD_LIBRARY_PATH": str(self.libraries)}
        flags = call("pkg-config", "--cflags", "--libs", "dspark", env=env).split()
        for name in ("ask", "many"):
            call(os.environ.get("CC", "cc"), "-std=c11", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror",
                 ROOT / "examples" / "c" / f"{name}.c", *flags, "-o", self.scratch / name)
        lines = call(self.scratch / "many", self.model, DRAFTER, *PROMPTS, env=env).splitlines()
        self.assertEqual([[int(word) for word in line.split()] for line in lines],
                         self.answers("--max-tokens", "32", "--temperature", "0.8", "--seed", "7"))
        said = self.expect(0, "run", self.model, "--prompt", PROMPTS[0], "--max-tokens", "64").stdout
        self.assertEqual(call(self.scratch / "ask", self.model, PROMPTS[0], env=env), said)

    def test_cpp_by_cmake(self):
        build = self.scratch / "cpp"
        call("cmake", "-S", ROOT / "examples" / "cpp", "-B", build, f"-DCMAKE_PREFIX_PATH={self.prefix}",
             "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror")
        call("cmake", "--build", build)
        said = self.expect(0, "run", self.model, "--prompt", PROMPTS[0], "--max-tokens", "64").stdout
        self.assertEqual(call(build / "ask", self.model, DRAFTER, PROMPTS[0]), said)


if __name__ == "__main__":
    main()
