#!/usr/bin/env python3
"""Tests what `.ci/run` tells its caller: three short programs stand in for its steps, one in each row."""

import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

RUN = Path(__file__).resolve().parent.parent / "run"
ROWS = {"FIRST": "lengths", "TESTS": "tree", "BESIDE": "loom"}


class Rows(unittest.TestCase):
    def run_all(self, **steps):
        """How a run of all rows ends, each of one step twice, and what it prints; a step is `true` unless told otherwise."""
        with tempfile.TemporaryDirectory() as folder:
            ci = Path(folder) / ".ci"
            ci.mkdir()
            shutil.copy(RUN, ci / "run")
            text = (ci / "run").read_text()
            for row, step in ROWS.items():
                text, found = re.subn(rf"^{row}=\(.*\)$", f"{row}=({step} {step})", text, flags=re.M)
                self.assertEqual(found, 1, f"the row {row} is not there")
                (ci / step).write_text(steps.get(step, "true") + "\n")
            (ci / "run").write_text(text)
            kept = Path(folder) / "kept"
            kept.mkdir()
            env = {"PATH": "/usr/bin:/bin", "TMPDIR": str(kept)}
            done = subprocess.run(["bash", ci / "run"], env=env, capture_output=True, text=True, timeout=60)
            self.assertEqual(list(kept.iterdir()), [], "files are left")
            return done.returncode, done.stdout + done.stderr

    def test_a_run_of_which_all_passed_succeeds(self):
        status, told = self.run_all()
        self.assertIn("all passed, in ", told)
        self.assertEqual(status, 0, told)

    def test_a_step_that_fails_fails_the_run_in_every_row(self):
        for step in ROWS.values():
            status, told = self.run_all(**{step: "false"})
            self.assertIn(f"==> {step}: FAILED", told)
            self.assertIn("FAILED: see the lines", told)
            self.assertEqual(status, 1, told)

    def test_what_runs_beside_is_waited_for_and_shown_last(self):
        status, told = self.run_all(loom="sleep 1; echo said beside")
        self.assertEqual(status, 0, told)
        self.assertLess(told.index("==> tree: passed"), told.index("said beside"), told)


if __name__ == "__main__":
    unittest.main()
