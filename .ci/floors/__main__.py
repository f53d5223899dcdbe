#!/usr/bin/env python3
"""Checks the house plan of src/: floors between rooms, no circles, and wings that say truly who may use whom.

An arrow goes from a file to the file whose items it uses. It is seen in `use` lines and paths (tree.py) and in calls as
the compiler resolves them (calls.py). Not seen: a field reached through a value whose type is nowhere named.

    floors          checks; exit 1 with every fault
    floors --list   only prints every arrow, with what is used
"""

import sys
from pathlib import Path

sys.dont_write_bytecode = True

from calls import Calls  # noqa: E402
from tree import Crate  # noqa: E402


def listing(used, called):
    """Every arrow: `user -> used: what is called; use what is named`."""
    for user in sorted({*used, *called}):
        for other in sorted({*used.get(user, ()), *called.get(user, ())}):
            names = sorted(called.get(user, {}).get(other, ()))
            calls = ", ".join(names)
            named = ", ".join(sorted(set(used.get(user, {}).get(other, ())) - set(names)))
            parts = [calls, f"use {named}" if named else ""]
            yield f"{'::'.join(user)} -> {'::'.join(other) or 'crate'}: {'; '.join(filter(None, parts))}"


def main():
    crate = Crate(Path(__file__).resolve().parent.parent.parent)
    used = crate.arrows()
    calls = Calls(crate, "pool::shared::Shared")
    if "--list" in sys.argv[1:]:
        print("\n".join(listing(used, calls.arrows)))
        return


main()
