"""What the mod.rs of a folder declares in a paragraph of its documentation, with a reason: circles and inversions."""

import re
from collections import namedtuple

# The folder; the names in backticks, in their order; the words beside them, which are the reason.
Declaration = namedtuple("Declaration", "folder names reason")


def declarations(crate, kind):
    """Every `//! <kind>: …`, up to the end of its paragraph."""
    for folder, file in sorted(crate.file.items()):
        if file.name == "mod.rs" and folder not in crate.test_only:
            text = (crate.src / file).read_text(encoding="utf-8")
            for lines in re.findall(rf"^//! {kind}:(.*(?:\n//! .*)*)", text, re.M):
                words = lines.replace("\n//!", "")
                names = re.findall(r"`([\w:]+)`", words)
                reason = re.findall(r"\w+", re.sub(r"`[^`]*`|\band\b", "", words))
                yield Declaration(folder, names, reason)


def within(folder, name):
    """The path of a module that a folder names."""
    return folder + tuple(name.split("::"))
