"""`impl` blocks, by the place that the compiler names: of which type, and of which trait."""

import re
from collections import namedtuple

from listing import fail
from rust_text import closing

# `for` between a trait and a type; `for<'a>` is another.
FOR = re.compile(r"\bfor\b(?!\s*<)")
IMPL_AT = re.compile(r"<impl at (src/[^:>]+):(\d+):(\d+): (\d+):(\d+)>")

# The type is "*" where a macro wrote it, and the trait is None for an inherent block; both hold for what is derived.
Block = namedtuple("Block", "type trait")


class Blocks:
    def __init__(self, crate):
        self.crate = crate
        self.renamed = self.all_renamed()
        # The text of files that blocks stand in.
        self.lines = {}

    def all_renamed(self):
        """What each name that a `use … as` or a `type` gives stands for."""
        found = {}
        for module, code in self.crate.code.items():
            for path, name in self.crate.uses(module):
                if name not in ("_", path[-1]):
                    found.setdefault(name, set()).add(path[-1])
            for name, written in re.findall(r"\btype\s+(\w+)[^=;]*=\s*([^;]+);", code):
                found.setdefault(name, set()).add(last_name(written))
        return found

    def meant(self, name):
        """A name, and all that it may stand for elsewhere in the crate: a name that is taken twice counts for both."""
        found, left = set(), [name]
        while left:
            name = left.pop()
            if name not in found:
                found.add(name)
                left += self.renamed.get(name, ())
        return found

    def at(self, name):
        """The block that a function of this name in the listing stands in, if any."""
        place = IMPL_AT.search(name)
        return self.read(*place.groups()) if place else None

    def read(self, file, line, column, last_line, last_column):
        if file not in self.lines:
            self.lines[file] = (self.crate.root / file).read_text(encoding="utf-8").split("\n")
        lines = self.lines[file][int(line) - 1 : int(last_line)]
        if not lines:
            fail(f"there is no line {line} in {file}")
        lines[-1] = lines[-1][: int(last_column) - 1]
        lines[0] = lines[0][int(column) - 1 :]
        text = " ".join(lines)
        begin = re.match(r"(?:unsafe )?impl\s*", text)
        if not begin:
            return Block("*", None)
        rest = text[begin.end() :]
        rest = rest[closing(rest, 0) :] if rest.startswith("<") else rest
        trait, type_ = FOR.split(rest, 1) if FOR.search(rest) else (None, rest)
        if trait and "$" in last_name(trait):
            fail(f"which trait does the macro at {file}:{line} implement? Let it name the trait")
        return Block("*" if "$" in type_ else last_name(type_), last_name(trait) if trait else None)


def last_name(written):
    """`Shared` of `&mut pool::shared::Shared<M>`."""
    bare = re.split(r"<|\bwhere\b|\+", re.sub(r"^\s*(?:&|'\w+|mut\b|dyn\b|\(|\s)*", "", written))[0]
    return bare.strip(" )").split("::")[-1]
