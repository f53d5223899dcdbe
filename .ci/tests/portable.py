#!/usr/bin/env python3
"""Tests how `.ci/portable` reads what rustup, cargo and compilers say: programs of their names stand in for them."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

PORTABLE = Path(__file__).resolve().parent.parent / "portable"
ALL = 'echo "$0 $*" >>"$CALLS"\n'
FAKES = {
    "rustc": "echo host: x86_64-unknown-linux-gnu",
    "rustup": ":",
    "cargo": ":",
    # For this machine alone.
    "cc": '[ "$1" != -m32 ]',
}


class Portable(unittest.TestCase):
    def portable(self, patience=None, given=None, **fakes):
        """Its end, what it printed, and the calls that it made."""
        with tempfile.TemporaryDirectory() as root:
            tree, path = Path(root) / "tree", Path(root) / "bin"
            (tree / ".ci").mkdir(parents=True)
            path.mkdir()
            shutil.copy(PORTABLE, tree / ".ci" / "portable")
            (tree / "Cargo.toml").write_text('rust-version = "1.2"\n')
            if patience:
                fakes["timeout"] = f'shift; exec {shutil.which("timeout")} {patience} "$@"'
            for name, text in {**FAKES, **fakes}.items():
                if text is not None:
                    (path / name).write_text("#!/bin/bash\n" + ALL + text + "\n")
                    (path / name).chmod(0o755)
            calls = Path(root) / "calls"
            calls.touch()
            env = {"PATH": f"{path}:/usr/bin:/bin", "CALLS": str(calls), **(given or {})}
            # A machine's own cross compiler must not be found.
            for name in ("x86_64-w64-mingw32-gcc", "rustup", "cargo"):
                if fakes.get(name, FAKES.get(name)) is None and shutil.which(name, path="/usr/bin:/bin"):
                    self.skipTest(f"there is a {name} in /usr/bin")
            command = ["bash", tree / ".ci" / "portable"]
            done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
            return done.returncode, done.stdout + done.stderr, calls.read_text().replace(f"{path}{os.sep}", "")

    def test_what_can_be_brought_is_checked(self):
        status, told, calls = self.portable()
        self.assertEqual(status, 0, told)
        self.assertIn("portable: 10 checked, 3 left out, 0 failed\n", told)
        self.assertIn("left out: aarch64-apple-darwin, default and all features: no C compiler for", told)
        self.assertIn("rustup toolchain install 1.2 --profile minimal", calls)
        check = "check --lib --bins --locked --target x86_64-unknown-linux-gnu"
        for features in (" --no-default-features", " --no-default-features --features postgres", "", " --all-features"):
            self.assertIn(f"cargo +1.2 {check}{features}\n", calls)

    def test_a_c_compiler_for_the_target_brings_more_checks(self):
        status, told, calls = self.portable(**{"x86_64-w64-mingw32-gcc": ":", "cc": ":"})
        self.assertEqual(status, 0, told)
        self.assertIn("portable: 14 checked, 1 left out, 0 failed\n", told)
        self.assertIn("cargo check --lib --bins --locked --target x86_64-pc-windows-gnu --all-features\n", calls)

        status, told, calls = self.portable(given={"CC_aarch64_apple_darwin": "apple -x"}, apple='[ "$1" = -x ]')
        self.assertIn("portable: 12 checked, 2 left out, 0 failed\n", told)
        self.assertIn("cargo check --lib --bins --locked --target aarch64-apple-darwin --all-features\n", calls)

    def test_a_check_that_fails_fails_all_and_the_others_run(self):
        status, told, _ = self.portable(cargo='[[ "$*" != *check*windows*postgres* ]]')
        self.assertEqual(status, 1)
        self.assertIn("portable: 9 checked, 3 left out, 1 failed\n", told)
        self.assertIn("FAILED: x86_64-pc-windows-gnu, --no-default-features --features postgres\n", told)

    def test_what_cannot_be_brought_is_left_out_with_the_reason(self):
        status, told, calls = self.portable(rustup='[[ $* != *i686* ]] || { echo a; echo "no such target"; exit 1; }')
        self.assertEqual(status, 0, told)
        reason = "`rustup target add i686-unknown-linux-gnu` failed: no such target"
        self.assertIn(f"portable: left out: i686-unknown-linux-gnu: {reason}\n", told)
        self.assertIn("portable: 8 checked, 3 left out, 0 failed\n", told)
        self.assertNotIn("--target i686", calls)

        status, told, _ = self.portable(cargo='[[ $* != fetch*apple* ]] || { echo "no network"; exit 101; }')
        self.assertEqual(status, 0, told)
        self.assertIn("left out: aarch64-apple-darwin: `cargo fetch --locked --target aarch64-apple-darwin` failed", told)

    def test_without_rustup_all_is_left_out(self):
        status, told, _ = self.portable(rustup=None)
        self.assertEqual(status, 0, told)
        self.assertIn("portable: left out: Rust 1.2: there is no rustup here\n", told)
        self.assertIn("portable: 0 checked, 4 left out, 0 failed\n", told)

    def test_a_rustup_that_hangs_is_given_up(self):
        status, told, _ = self.portable(patience=0.2, rustup="exec sleep 50")
        self.assertEqual(status, 0, told)
        self.assertIn("`rustup target add i686-unknown-linux-gnu` did not end within", told)
        self.assertIn("portable: 0 checked, 4 left out, 0 failed\n", told)


if __name__ == "__main__":
    unittest.main()
