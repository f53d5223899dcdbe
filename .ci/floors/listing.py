"""The compiler's listing of the crate: how it is asked for, and its functions apart."""

import os
import re
import subprocess
import sys
from pathlib import Path

# `fn a::b(…`, `const a::B: …`, and `a::b::{constant#0}: …` for a constant within an expression.
KIND = r"(?:const |unsafe |extern \S+ )*(?:fn|const|static|static mut) "
HEADER = re.compile(rf"(?:{KIND}|(?=.+\{{constant#))((?:<[^>]*>|[^(<])+?)(?:\(|: )")
OTHER = re.compile(r"//|\}|alloc\d+ \(|$")


def fail(why):
    this = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.strip()
    sys.exit(
        f"floors: the compiler's listing is not understood: {why}\n"
        f"    The head of .ci/floors/calls.py tells what it must be, of which compiler, and what to do. This is {this}"
    )


def listing_of(crate):
    """The crate's MIR, with paths in full."""
    command = ["cargo", "rustc", "--quiet", "--lib", "--all-features", "--profile", "check", "--"]
    # Nothing is written, so cargo never takes the crate for fresh.
    command += ["-Zunpretty=mir", "-Zmir-opt-level=0", "-Ztrim-diagnostic-paths=no"]
    env = {**os.environ, "RUSTC_WORKSPACE_WRAPPER": str(Path(__file__).resolve().parent / "unstable")}
    done = subprocess.run(command, cwd=crate.root, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"floors: the crate does not build, so nobody can tell who calls whom:\n{done.stderr}")
    return done.stdout


def bodies(crate, listing):
    """The lines of every function and constant, by its module and its whole name."""
    found = {}
    lines = []
    for number, line in enumerate(listing.split("\n"), 1):
        if line.startswith(" "):
            lines.append(line)
        elif header := HEADER.match(line):
            name = header.group(1)
            module = crate.nearest(tuple(re.split(r"::(?=\w)|::<|<", name)))
            lines = found.setdefault((module, name), [])
            lines.append(line)
        elif OTHER.match(line):
            lines = lines if line == "}" or line == "" else []
        else:
            fail(f"line {number}: {line[:200]}")
    if not found:
        fail("it has no function at all")
    return found
