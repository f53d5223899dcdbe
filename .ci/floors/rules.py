"""What the house asks of the arrows between files. Every rule gives faults: a text, and how many it counts as."""

import re
from collections import namedtuple

from graph import circles, together
from wings import Table

FLOORS = {
    "core": 0,
    "clock": 1, "config": 1, "error": 1, "event": 1, "memory": 1, "stats": 1, "text": 1, "threads": 1,
    "pool": 2,
    "postgres": 3, "tiers": 3,
    "batch": 4, "http": 4, "report": 4,
    "bin": 5,
}
# Rooms that must have a table of their modules.
WINGED = ("pool", "postgres", "config")
# The struct whose fields are the pool's components, the most of them that a file may name, and who may name more.
HUB = ("pool", "shared", "Shared")
MOST_COMPONENTS = 4
MAY_NAME_ALL = {("pool", "shared"), ("pool", "builder"), ("pool", "life")}

Fault = namedtuple("Fault", "text weight", defaults=(1,))


def name(module):
    return "::".join(module) or "crate"


class House:
    """A crate with its arrows: `names[user][used]` tells what is used."""

    def __init__(self, crate, names, fields):
        self.crate = crate
        self.names = names
        self.fields = fields
        self.files = together(names, crate.part_of)
        self.circles = circles(self.files)

    def floors(self):
        """No file uses a higher floor, and no two rooms use each other."""
        for user, used_all in sorted(self.names.items()):
            for used in sorted(used_all):
                if not used:
                    yield Fault(f"src/{self.crate.file[user]} uses something that lib.rs itself has")
                    continue
                low, high = FLOORS.get(user[0], 9), FLOORS.get(used[0], -1)
                if user[0] != used[0] and high > low:
                    what = ", ".join(sorted(used_all[used]))
                    user_file = self.crate.file[user]
                    yield Fault(f"src/{user_file}, on floor {low}, uses {name(used)}, on floor {high}: {what}")
        for room in sorted({m[0] for m in self.crate.code if m} - {*FLOORS, *self.crate.NO_FLOOR}):
            yield Fault(f"src/{room} has no floor: name it in .ci/floors")
        rooms = together(self.names, lambda module: module[:1] or None)
        for group in circles(rooms):
            yield Fault(self.describe("a circle of rooms", group, rooms))

    def describe(self, what, group, edges):
        lines = [f"{what}: {', '.join(map(name, group))}"]
        for user in group:
            for used in sorted(set(group) & edges.get(user, set())):
                lines.append(f"    {name(user)} -> {name(used)}: {', '.join(self.what(user, used))}")
        return "\n".join(lines)

    def what(self, user, used):
        """What the files of one part use of another's."""
        found = set()
        for module, others in self.names.items():
            for other in others:
                if module[: len(user)] == user and other[: len(used)] == used:
                    found |= others[other]
        return sorted(found)

    def declared(self):
        """The folders that declare a circle, with the reason."""
        found = {}
        for module, file in self.crate.file.items():
            if file.name == "mod.rs":
                text = (self.crate.src / file).read_text(encoding="utf-8")
                if reason := re.search(r"^//! Circle:(.*)$", text, re.M):
                    found[module] = reason.group(1).strip()
        return found

    def excused(self, group):
        """The folder that declares this circle."""
        return next((f for f in self.declared() if all(m[: len(f)] == f and m != f for m in group)), None)

    def file_circles(self):
        """No circle of files, but one that its folder declares."""
        declared = self.declared()
        for group in self.circles:
            if self.excused(group) is None:
                yield Fault(self.describe("a circle of files", group, self.files), len(group))
        for folder, reason in declared.items():
            if not reason:
                yield Fault(f"{name(folder)} declares a circle without a reason")
            if not any(self.excused(group) == folder for group in self.circles):
                yield Fault(f"{name(folder)} declares a circle, and there is none")
        if len(declared) > 1:
            folders = ", ".join(map(name, sorted(declared)))
            yield Fault(f"more than one folder declares a circle: {folders}", len(declared) - 1)

    def tables(self):
        """Every table of modules names them all, and each uses only what stands above it."""
        for folder, file in sorted(self.crate.file.items()):
            if not folder or file.name != "mod.rs" or folder in self.crate.test_only:
                continue
            declared = self.crate.declared(folder)
            table = Table((self.crate.src / file).read_text(encoding="utf-8"), declared)
            wings = together(self.names, lambda m, f=folder: m[: len(f) + 1] if m[: len(f)] == f and m != f else None)
            if folder in [(room,) for room in WINGED] or table.names:
                yield from (Fault(f"src/{file}: {text}") for text in table.faults())
                if table.is_whole():
                    yield from self.upward(folder, table, wings)
                else:
                    for group in circles(wings):
                        yield Fault(self.describe("a circle of wings", group, wings), len(group))

    def upward(self, folder, table, wings):
        in_circle = {m: n for n, group in enumerate(self.circles) if self.excused(group) == folder for m in group}
        for user, used_all in sorted(wings.items()):
            for used in sorted(used_all):
                declared = user in in_circle and in_circle[user] == in_circle.get(used)
                if table.rank(used[-1]) > table.rank(user[-1]) and not declared:
                    what = ", ".join(self.what(user, used))
                    yield Fault(f"{name(user)} uses {name(used)}, which stands below it in the table: {what}")

    def components(self):
        """No file of the pool but a few names more than four of its components."""
        room, _, struct = HUB
        parts = {}
        for module, named in self.fields.items():
            parts.setdefault(self.crate.part_of(module), set()).update(named)
        for part, named in sorted(parts.items()):
            if part[0] == room and part not in MAY_NAME_ALL and len(named) > MOST_COMPONENTS:
                file = self.crate.file[part]
                what = f"{len(named)} fields of {struct}, above {MOST_COMPONENTS}"
                yield Fault(f"src/{file} names {what}: {', '.join(sorted(named))}")
