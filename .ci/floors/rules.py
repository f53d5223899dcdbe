"""What the house asks of the arrows between files. Every rule gives faults: a text, and how many it counts as."""

from collections import namedtuple

from declared import declarations, within
from graph import circles, together
from rust_text import fields_of
from wings import Table

FLOORS = {
    "core": 0,
    "clock": 1, "config": 1, "error": 1, "event": 1, "foreign": 1, "lines": 1, "memory": 1, "process": 1, "stats": 1,
    "text": 1, "threads": 1,
    "pool": 2,
    "diesel": 3, "postgres": 3, "tiers": 3,
    "batch": 4, "fleet": 4, "http": 4, "metrics": 4, "report": 4,
    "bin": 5,
}
# Rooms that must have a table of their modules.
WINGED = ("pool", "postgres", "config")
# The struct whose fields are the pool's components, the most of them that a file may name, and who may name more.
HUB = ("pool", "shared", "Shared")
MOST_COMPONENTS = 4
MAY_NAME_ALL = {("pool", "shared"), ("pool", "builder"), ("pool", "life")}
# Components that are plain data, whose fields are there for all.
PLAIN = {("pool", "parts", "counters", "Counters"), ("config", "settings", "Settings")}

Fault = namedtuple("Fault", "text weight", defaults=(1,))


def name(module):
    return "::".join(module) or "crate"


def members(declaration):
    return {within(declaration.folder, file) for file in declaration.names}


class House:
    """A crate with its arrows: `names[user][used]` tells what is used."""

    def __init__(self, crate, names, calls, inversions):
        self.crate = crate
        self.names = names
        self.calls = calls
        self.inversions = inversions
        self.files = together(names, crate.part_of)
        self.circles = circles(self.files)
        self.declared = list(declarations(crate, "Circle"))

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

    def excused(self, group):
        """The folder that declares a circle of these files and no others."""
        return next((d.folder for d in self.declared if members(d) == set(group)), None)

    def file_circles(self):
        """No circle of files, but one that its folder declares, with every file of it."""
        for group in self.circles:
            if self.excused(group) is None:
                yield Fault(self.describe("a circle of files", group, self.files), len(group))
        for declaration in self.declared:
            where = f"{name(declaration.folder)} declares a circle"
            if not declaration.names or not declaration.reason:
                yield Fault(f"{where} without {'a reason' if declaration.names else 'naming its files'}")
                continue
            meant = members(declaration)
            group = set(max(self.circles, key=lambda group: len(meant & set(group)), default=()))
            if not meant & group:
                yield Fault(f"{where}, and there is none")
                continue
            more = sorted(file for file in group - meant if file[: len(declaration.folder)] == declaration.folder)
            yield from (Fault(f"{where} without {name(file)}, which is in it") for file in more)
            yield from (Fault(f"{where} with {name(file)}, which is not in it") for file in sorted(meant - group))
        if len(self.declared) > 1:
            folders = ", ".join(name(d.folder) for d in self.declared)
            yield Fault(f"more than one folder declares a circle: {folders}", len(self.declared) - 1)

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
        for module, named in self.calls.fields.items():
            parts.setdefault(self.crate.part_of(module), set()).update(named)
        for part, named in sorted(parts.items()):
            if part[0] == room and part not in MAY_NAME_ALL and len(named) > MOST_COMPONENTS:
                file = self.crate.file[part]
                what = f"{len(named)} fields of {struct}, above {MOST_COMPONENTS}"
                yield Fault(f"src/{file} names {what}: {', '.join(sorted(named))}")

    def reaching_through(self):
        """No file touches a field of a component, but that of the component and that of the hub."""
        for module, fields in sorted(self.calls.reached.items()):
            for *of, number in sorted(fields):
                home = self.crate.nearest(tuple(of))
                if tuple(of) in PLAIN or self.crate.part_of(module) in {HUB[:-1], self.crate.part_of(home)}:
                    continue
                names = fields_of(self.crate.code[home], of[-1])
                field = names[number] if names else number
                component = self.calls.parts["::".join(of)]
                where = f"src/{self.crate.file[module]} reaches through {HUB[-1]}::{component}"
                yield Fault(f"{where} to {of[-1]}::{field}, which belongs to src/{self.crate.file[home]} alone")

    def hub_blocks(self):
        """Nothing is implemented on the hub outside its file, but a trait that is declared an inversion there."""
        for module, traits in sorted(self.calls.hub_blocks.items()):
            for trait in sorted(traits, key=str) if self.crate.part_of(module) != HUB[:-1] else ():
                where = f"src/{self.crate.file[module]} has an impl block of {HUB[-1]}"
                if trait is None:
                    yield Fault(f"{where}, whose methods belong to src/{self.crate.file[HUB[:-1]]}")
                elif not self.inversions.has(trait, module):
                    yield Fault(f"{where} for {trait}, which no mod.rs declares an inversion")

    def declared_inversions(self):
        """Every inversion that is declared is one."""
        yield from map(Fault, self.inversions.faults)
