"""The modules of src/, and who uses whom by `use` declarations and paths that begin with crate, super or self."""

import re
from collections import defaultdict
from pathlib import Path

from rust_text import code_of, leaves


class Crate:
    # Text, shown by rustdoc: examples in it may use everything.
    NO_FLOOR = {"guide"}

    def __init__(self, root):
        self.root = root
        self.src = root / "src"
        files = sorted(self.src.rglob("*.rs"))
        self.code = {self.module_of(path): code_of(path) for path in files if self.module_of(path)[:1] != ("bin",)}
        self.file = {self.module_of(path): path.relative_to(self.src) for path in files}
        self.test_only = self.modules_of_tests()
        self.exports = {module: self.exports_of(module) for module in self.code}

    def module_of(self, path):
        parts = list(path.relative_to(self.src).with_suffix("").parts)
        return tuple(parts[:-1] if parts[-1] in ("mod", "lib", "main") else parts)

    def modules_of_tests(self):
        """Modules whose declaration stands behind `#[cfg(test)]`: gone from the code, there as a file."""
        found = {m for m in self.code if m and m[-1] not in self.declared(m[:-1])}
        return {m for m in self.code if any(m[: len(t)] == t for t in found)}

    def is_judged(self, module):
        """True where it counts whom this module uses."""
        return bool(module) and module not in self.test_only and module[0] not in self.NO_FLOOR

    def declared(self, module):
        """The names of the modules that a file declares, in its order, without those of tests."""
        return re.findall(r"\bmod\s+(\w+)\s*;", self.code.get(module, ""))

    def may_be_absent(self, module):
        """True for a module that is declared behind `#[cfg(not(…))]`: in a build with all features it may not be."""
        declaration = rf"#\[cfg\(not\([^\n]*\]\s*(?:pub(?:\([^)]*\))?\s+)?mod\s+{module[-1]}\s*;"
        return bool(re.search(declaration, self.code.get(module[:-1], "")))

    def uses(self, module, only_public=False):
        visibility = r"\bpub(?:\([^)]*\))?\s+use" if only_public else r"\buse"
        for declaration in re.findall(visibility + r"\s+([^;]+);", self.code[module]):
            yield from leaves(declaration)

    def exports_of(self, module):
        found = {}
        for path, name in self.uses(module, only_public=True):
            target = self.absolute(module, path)
            if target is not None:
                found[name] = target
        return found

    def absolute(self, module, path):
        """A path from the crate's root; None for another crate's."""
        path = list(path)
        if path[0] == "crate":
            return tuple(path[1:])
        if path[0] in ("super", "self"):
            base = module
            while path and path[0] in ("super", "self"):
                base = base[:-1] if path.pop(0) == "super" else base
            return base + tuple(path)
        return module + tuple(path) if module + (path[0],) in self.code else None

    def nearest(self, path):
        """The module that a path from the root begins with."""
        return next(path[:length] for length in range(len(path), -1, -1) if path[:length] in self.code)

    def home(self, target, seen=()):
        """The module that has the item at this path, followed through re-exports."""
        module = self.nearest(target)
        rest = target[len(module) :]
        if rest and rest[0] in self.exports.get(module, {}) and target not in seen:
            return self.home(self.exports[module][rest[0]] + rest[1:], (*seen, target))
        return module

    def arrows(self):
        """Who uses whom, as modules, with the names used; re-exports themselves are no use."""
        found = defaultdict(lambda: defaultdict(set))
        for module in self.code:
            if not self.is_judged(module):
                continue
            exported = {tuple(path) for path, _ in self.uses(module, only_public=True)}
            paths = [path for path, _ in self.uses(module) if tuple(path) not in exported]
            body = re.sub(r"\buse\s+[^;]+;", "", self.code[module])
            paths += [p.split("::") for p in re.findall(r"\b(?:crate|super|self)(?:::\w+)+", body)]
            children = {m[-1] for m in self.code if m[:-1] == module and m}
            bare = [p.split("::") for p in re.findall(r"(?<![\w:])\w+(?:::\w+)+", body)]
            paths += [path for path in bare if path[0] in children]
            for path in paths:
                target = self.absolute(module, path)
                if target is None:
                    continue
                home = self.home(tuple(part for part in target if part != "*"))
                if home != module and home not in self.test_only:
                    of_type = len(path) > 1 and path[-2][0].isupper()
                    found[module][home].add("::".join(path[-2:] if of_type else path[-1:]))
        return found

    def part_of(self, module):
        """`x.rs` and `x/y.rs` are one file in parts; `x/mod.rs` and `x/y.rs` are two."""
        for length in range(1, len(module)):
            if self.file.get(module[:length], Path("mod.rs")).name != "mod.rs":
                return module[:length]
        return module
