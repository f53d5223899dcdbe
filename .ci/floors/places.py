"""Places in the compiler's listing: which field of which type a statement reads, writes or borrows.

A field of a place is written with the type that it has, `((*_1).4: pool::parts::line::Line)`, so the type of each place
that a field is taken of is either written too, or that of a local.
"""

import re

from listing import fail

FIELD = re.compile(r"\.(\d+): ")
# What a dereference takes away.
POINTER = re.compile(r"(?:&(?:'\w+ )?(?:mut )?|\*(?:const|mut) )(.*)")


def projections(line, types):
    """For every field that a line names: the type of the place that it is taken of, its number, and its own type."""
    for match in FIELD.finditer(line):
        start = base_start(line, match.start())
        of = type_of(line[start : match.start()], types)
        if of is not None:
            yield of, int(match.group(1)), line[match.end() : own_end(line, match.end())]


def base_start(line, end):
    """Where the place begins that ends at `end`: a local, or what stands in brackets."""
    if end == 0 or line[end - 1] != ")":
        return re.search(r"\w*$", line[:end]).start()
    depth = 0
    for i in range(end - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(line[i], 0)
        if depth == 0:
            return i
    fail(f"no bracket opens: {line[:end].strip()}")


def own_end(line, start):
    """Where the type ends that begins at `start`: at the bracket that closes its field."""
    depth = 0
    for i in range(start, len(line)):
        depth += {"(": 1, ")": -1}.get(line[i], 0)
        if depth < 0:
            return i
    return len(line)


def type_of(place, types):
    """The type of a place as it is printed; None for a part of a list or a variant."""
    if local := re.fullmatch(r"_(\d+)", place):
        if local.group(1) not in types:
            fail(f"nothing tells the type of {place}")
        return types[local.group(1)]
    if not place.startswith("(") or not place.endswith(")"):
        return None
    inner = place[1:-1]
    if inner.startswith("*"):
        return pointee(type_of(inner[1:], types))
    for match in FIELD.finditer(inner):
        # The field that is taken last: all before it is one place.
        if base_start(inner, match.start()) == 0:
            return inner[match.end() :]
    return None


def pointee(written):
    found = POINTER.match(written or "")
    return found.group(1) if found else None
