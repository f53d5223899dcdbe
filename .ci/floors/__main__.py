#!/usr/bin/env python3
"""Checks the house plan of src/: floors between rooms, no circles, and tables that tell truly who may use whom.

An arrow goes from a file to the file whose items it uses. It is seen in `use` lines and paths (tree.py) and in calls,
as the compiler resolves them (calls.py), also through a trait of the crate (inversions.py). A file `x.rs` and the files
of `x/` are one file in parts; what only tests use does not count. Not seen: a field reached through a value whose type
is nowhere named, what calls.py names, and calls in code that is built on another system or without a feature alone.

  - No file uses a room on a higher floor, and no rooms use each other in a circle.
  - No files do, but for one folder whose mod.rs has a paragraph `//! Circle: <reason>`, which names in backticks every
    file of the circle and no other.
  - The mod.rs of pool, postgres and config has a table whose first column names its modules in backticks from the
    lowest to the highest; each uses only what is named before it. Another folder's table is held to that too.
  - Where a lower file calls a higher one through a trait, a mod.rs has a paragraph `//! Inversion: <reason>`, which
    names in backticks the trait and the files that implement it.
  - No file of the pool but shared, builder and life names more than four fields of `Shared`, none but shared and the
    field's own touches a field of such a field, unless it is plain data, and no file but shared has an `impl` block of
    `Shared`, unless for a trait that is declared an inversion.

Faults against the first rule are never let pass. Those against the others are counted, and the count is compared with
the one in .ci/floors.recorded: it may only fall, and who makes it fall records the new one.

    floors              checks
    floors --list       prints every arrow, with what is called and what else is named
    floors --faults     prints the faults that are counted
    floors --root DIR   of another crate
"""

import argparse
import re
import sys
from collections import defaultdict
from pathlib import Path

sys.dont_write_bytecode = True

from calls import Calls  # noqa: E402
from inversions import Inversions  # noqa: E402
from rules import HUB, House, name  # noqa: E402
from tree import Crate  # noqa: E402


def listing(used, called):
    for user in sorted({*used, *called}):
        for other in sorted({*used[user], *called[user]}):
            calls = ", ".join(sorted(called[user][other]))
            named = ", ".join(sorted(used[user][other] - called[user][other]))
            parts = [calls, f"use {named}" if named else ""]
            yield f"{name(user)} -> {name(other)}: {'; '.join(filter(None, parts))}"


def united(*kinds):
    found = defaultdict(lambda: defaultdict(set))
    for arrows in kinds:
        for user in arrows:
            for other in arrows[user]:
                found[user][other] |= arrows[user][other]
    return found


def summary(house, used):
    """Files and arrows of every room, and the circles."""
    part_of = house.crate.part_of
    parts = {part_of(m) for m in house.crate.code if m and m not in house.crate.test_only}
    seen = {(part_of(user), part_of(other)) for user in used for other in used[user]}
    for room in sorted({part[0] for part in parts}):
        inside = [(a, b) for a in house.files for b in house.files[a] if a[0] == room and b[:1] == (room,)]
        if inside:
            files = sum(part[0] == room for part in parts)
            only = sum(arrow not in seen for arrow in inside)
            yield f"src/{room}: {files} files, {len(inside)} arrows between them, {only} by calls alone"
    total = sum(map(len, house.files.values()))
    yield f"src: {len(parts)} files, {total} arrows"
    for group in house.circles:
        folder = house.excused(group)
        where = f"declared by {name(folder)}" if folder else "not declared"
        yield f"a circle, {where}: {', '.join(map(name, group))}"
    if not house.circles:
        yield "no circles"


def recorded(root):
    file = root / ".ci" / "floors.recorded"
    if not file.exists():
        return 0
    line = re.match(r"(\d+) #", file.read_text(encoding="utf-8"))
    return int(line.group(1)) if line else sys.exit(f"{file} does not begin with a number and a comment")


def judge(house, limit):
    """What is wrong, or nothing."""
    hard = list(dict.fromkeys(house.floors()))
    rules = (house.file_circles, house.tables, house.components)
    rules += (house.declared_inversions, house.hub_blocks, house.reaching_through)
    counted = [fault for rule in rules for fault in rule()]
    count = sum(fault.weight for fault in counted)
    wrong = [fault.text for fault in hard]
    if count > limit:
        wrong += [fault.text for fault in counted]
        wrong.append(f"{count} faults are counted, {limit} are recorded in .ci/floors.recorded")
    elif count < limit:
        wrong.append(f"{count} faults are counted: well done; record that in .ci/floors.recorded in place of {limit}")
    return wrong, counted, count


def main():
    options = argparse.ArgumentParser(prog="floors", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--list", action="store_true")
    options.add_argument("--faults", action="store_true")
    options.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent.parent)
    options = options.parse_args()

    crate = Crate(options.root.resolve())
    if not crate.code:
        sys.exit(f"no module found below {crate.src}")
    used = crate.arrows()
    calls = Calls(crate, HUB)
    inversions = Inversions(crate, calls)
    called = united(calls.arrows, inversions.arrows())
    if options.list:
        print("\n".join(listing(used, called)))
        return

    house = House(crate, united(used, called), calls, inversions)
    wrong, counted, count = judge(house, recorded(crate.root))
    if options.faults:
        print("\n".join(fault.text for fault in counted))
        return
    for module in calls.absent:
        print(f"not built here, so its calls are not seen: src/{crate.file[module]}")
    print("\n".join(summary(house, used)))
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        sys.exit(1)
    print(f"no file uses a higher floor; faults of other kinds: {count}, as recorded")


main()
