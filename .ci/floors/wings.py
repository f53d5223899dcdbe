"""The table in a folder's mod.rs: its modules from the lowest to the highest, named in the first column.

It is written in plain comments where the module is public, so that its documentation is about what can be used.
"""

import re
from collections import Counter


class Table:
    def __init__(self, text, declared):
        self.declared = declared
        tables = [names_of(block) for block in re.findall(r"(?:^//!? \|.*\n)+", text, re.M)]
        # A table that names no module of the folder is about something else.
        self.names = next((names for names in tables if set(names) & set(declared)), [])

    def faults(self):
        if not self.names:
            yield "no table of its modules, from the lowest to the highest"
            return
        for name, times in Counter(self.names).items():
            if times > 1:
                yield f"the table names `{name}` {times} times"
            if name not in self.declared:
                yield f"the table names `{name}`, which is no module here"
        for name in self.declared:
            if name not in self.names:
                yield f"the table lacks `{name}`"

    def is_whole(self):
        return bool(self.names) and not any(self.faults())

    def rank(self, name):
        return self.names.index(name)


def names_of(block):
    """The names in backticks in the first column, row by row."""
    cells = [line.split("|")[1] for line in block.splitlines()]
    return [name for cell in cells for name in re.findall(r"`(\w+)/?`", cell)]
