"""Reads Rust as text: without comments, strings and tests; its `use` trees; balanced brackets."""

import re

TOKENS = r'//[^\n]*|/\*.*?\*/|b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|\'(?:\\.[^\']*|[^\'\\])\''
PAIRS = {"<": ">", "(": ")", "[": "]", "{": "}"}


def blank(match):
    """Empties a comment or a string, and keeps the lines."""
    return re.sub(r"[^\n]", " ", match.group(0))


def code_of(path):
    """The text without comments, strings, and what `#[cfg(test)]` stands before."""
    text = re.sub(TOKENS, blank, path.read_text(encoding="utf-8"), flags=re.S)
    while match := re.search(r"#\[cfg\((?:test\b|all\(test\b)[^\n]*\]", text):
        end = match.end()
        depth = 0
        while end < len(text):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
            if depth == 0 and text[end - 1] in ";}":
                break
        text = text[: match.start()] + text[end:]
    return text


def leaves(tree):
    """The paths of a use tree with the names they get: `a::{b, c as d}` gives (a::b, b) and (a::c, d)."""
    tree = tree.strip()
    head, brace, rest = tree.partition("{")
    if not brace:
        path, _, name = tree.partition(" as ")
        path = [part.strip() for part in path.split("::") if part.strip()]
        return [(path, name.strip() or path[-1])] if path else []
    prefix = [part.strip() for part in head.split("::") if part.strip()]
    found, depth, start = [], 0, 0
    body = rest[: rest.rindex("}")]
    for i, char in enumerate(body + ","):
        depth += {"{": 1, "}": -1}.get(char, 0)
        if char == "," and depth == 0:
            for path, name in leaves(body[start:i]):
                named_self = path == ["self"]
                name = prefix[-1] if named_self and prefix else name
                found.append((prefix if named_self else prefix + path, name))
            start = i + 1
    return found


def closing(text, start):
    """The index behind the bracket that closes the one at `start`; the `>` of an arrow closes nothing."""
    opened = []
    for i in range(start, len(text)):
        char = text[i]
        if char in PAIRS:
            opened.append(PAIRS[char])
        elif opened and char == opened[-1] and not (char == ">" and text[i - 1] in "-="):
            opened.pop()
            if not opened:
                return i + 1
    raise ValueError(f"no bracket closes: {text[start:start + 200]}")


def fields_of(code, struct):
    """The names of a struct's fields in their order; None where there is no such struct with named fields."""
    head = re.search(rf"\bstruct {struct}\b[^;{{(]*\{{", code)
    if not head:
        return None
    body = code[head.end() : closing(code, head.end() - 1) - 1]
    found, depth = [], 0
    for match in re.finditer(r"[<({\[]|(?<![-=])>|[)}\]]|(\w+)\s*:(?!:)", body):
        if match.group(1):
            found += [match.group(1)] if depth == 0 else []
        else:
            depth += 1 if match.group(0) in PAIRS else -1
    return found
