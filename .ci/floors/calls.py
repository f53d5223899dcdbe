"""Who calls whom, told by the compiler: an inherent method needs no `use` line, so text does not show it.

rustc prints the crate's MIR, where every function stands under the module that its `impl` block is in, and every call
is resolved. A call of a function, an associated function or an inherent method is an arrow to the module that defines
it, and so is a function that is only named; a closure counts for the function that it stands in. A call through a
trait is none: `<T as Trait>::method` inverts a dependency.

What is not known ends the check: a listing that is not understood would pass every tree.
"""

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from rust_text import closing, fields_of

# `fn a::b(…`, `const a::B: …`, and `a::b::{constant#0}: …` for a constant within an expression.
KIND = r"(?:const |unsafe |extern \S+ )*(?:fn|const|static|static mut) "
HEADER = re.compile(rf"(?:{KIND}|(?=.+\{{constant#))((?:<[^>]*>|[^(<])+?)(?:\(|: )")
OTHER = re.compile(r"//|\}|alloc\d+ \(|$")
IMPL_AT = re.compile(r"<impl at (src/[^:>]+):(\d+):(\d+): (\d+):(\d+)>")


def fail(why):
    sys.exit(f"floors: the compiler's listing is not understood: {why}")


def listing_of(crate):
    """The crate's MIR, with paths in full."""
    command = ["cargo", "rustc", "--quiet", "--lib", "--all-features", "--profile", "check", "--"]
    # Nothing is written, so cargo never takes the crate for fresh.
    command += ["-Zunpretty=mir", "-Zmir-opt-level=0", "-Ztrim-diagnostic-paths=no"]
    env = {**os.environ, "RUSTC_WORKSPACE_WRAPPER": str(Path(__file__).resolve().parent / "unstable")}
    done = subprocess.run(command, cwd=crate.root, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"floors: the crate does not build, so nobody can tell who calls whom:\n{done.stderr}")
    return done.stdout


class Calls:
    """`arrows`: who calls whom, with the names called; `fields`: which fields of the struct `hub` a module names."""

    def __init__(self, crate, hub):
        self.crate = crate
        bodies = self.bodies(listing_of(crate))
        self.hub = "::".join(hub)
        self.hub_fields = fields_of(crate.code.get(hub[:-1], ""), hub[-1])
        if self.hub_fields is None and hub[:1] in crate.code:
            fail(f"there is no struct {self.hub} with named fields; name the one that a pool shares")
        rooms = sorted({m[0] for m in crate.code if m})
        # Rooms with the name of another crate: what is unknown in such a one's paths is the other's.
        self.shadowed = {"core", *re.findall(r'^name = "(.+)"$', (crate.root / "Cargo.lock").read_text(), re.M)}
        self.path = re.compile(rf"(?<![\w:])(?:{'|'.join(rooms)})(?:::\w+)+")
        self.arrows = defaultdict(lambda: defaultdict(set))
        self.fields = defaultdict(set)
        # The text of files that `impl` blocks stand in.
        self.lines = {}
        keys = {self.key_of_header(*whole) for whole in bodies}
        # A tuple struct or a variant is listed as a function; where its name stands is a type, or has a `use` line.
        self.constructors = {key for key in keys if re.match(r"[A-Z]\w*[a-z]", key[2])}
        self.known = keys - self.constructors
        self.absent = sorted(self.absent_modules({key[0] for key in keys}))
        for (module, _), lines in bodies.items():
            if crate.is_judged(module):
                self.read(module, lines)

    def absent_modules(self, listed):
        """The modules with code of which the compiler shows none."""
        for module, code in self.crate.code.items():
            if self.crate.is_judged(module) and module not in listed and re.search(r"\bfn \w+[^;{]*\{", code):
                if not self.crate.may_be_absent(module):
                    fail(f"it has no function of src/{self.crate.file[module]}")
                yield module

    def bodies(self, listing):
        """The lines of every function and constant, by its module and its whole name."""
        found = {}
        lines = []
        for number, line in enumerate(listing.split("\n"), 1):
            if line.startswith(" "):
                lines.append(line)
            elif header := HEADER.match(line):
                name = header.group(1)
                module = self.crate.nearest(tuple(re.split(r"::(?=\w)|::<|<", name)))
                lines = found.setdefault((module, name), [])
                lines.append(line)
            elif OTHER.match(line):
                lines = lines if line == "}" or line == "" else []
            else:
                fail(f"line {number}: {line[:200]}")
        if not found:
            fail("it has no function at all")
        return found

    def key_of_header(self, module, name):
        """(module, type, function); "*" for a type that the text does not tell."""
        within = IMPL_AT.search(name)
        if not within:
            rest = name.split("::")[len(module) :]
            rest = [part for part in rest if re.fullmatch(r"\w+", part)]
            return (module, rest[-2] if len(rest) > 1 else None, rest[-1] if rest else "")
        function = re.match(r"::(\w+)", name[within.end() :])
        return (module, self.type_of_impl(*within.groups()), function.group(1) if function else "")

    def type_of_impl(self, file, line, column, last_line, last_column):
        """The type whose inherent `impl` block begins there; None for a trait's, "*" for what a macro wrote."""
        if file not in self.lines:
            self.lines[file] = (self.crate.root / file).read_text(encoding="utf-8").split("\n")
        lines = self.lines[file][int(line) - 1 : int(last_line)]
        if not lines:
            fail(f"there is no line {line} in {file}")
        lines[-1] = lines[-1][: int(last_column) - 1]
        lines[0] = lines[0][int(column) - 1 :]
        text = " ".join(lines)
        begin = re.match(r"(?:unsafe )?impl\s*", text)
        if not begin or "$" in text:
            return "*"
        rest = text[begin.end() :]
        rest = rest[closing(rest, 0) :] if rest.startswith("<") else rest
        return None if re.search(r"\bfor\b(?!\s*<)", rest) else last_name(rest)

    def read(self, module, lines):
        types = {}
        for line in lines:
            if declared := re.match(r"\s*let (?:mut )?_(\d+): (.*);$", line):
                types[declared.group(1)] = declared.group(2)
            elif not line.startswith(" "):
                types |= dict(re.findall(r"\b_(\d+): ([^,)]*)", line))
            elif not re.match(r"\s*(?:debug|scope|Storage\w+)\b", line):
                self.read_statement(module, line, types)

    def read_statement(self, module, line, types):
        line = re.sub(r'"(?:\\.|[^"\\])*"', '""', line)
        if self.hub_fields:
            self.fields[module].update(self.hub_fields[n] for n in fields_named(line, types, self.hub))
        call = re.match(r"\s*\S+ = (?=\w+::)", line)
        for match in self.path.finditer(line):
            if line[match.end() :].startswith("::{"):
                continue
            key = self.key_of_use(line, match)
            if key in self.known or (key[0], "*", key[2]) in self.known:
                if key[0] != module:
                    self.arrows[module][key[0]].add("::".join(filter(None, key[1:])))
            elif call and match.start() == call.end() and re.search(r"\) -> (?:\[return|bb\d|unwind)", line):
                if key not in self.constructors and match.group(0).split("::")[0] not in self.shadowed:
                    fail(f"who is called? {line.strip()[:300]}")

    def key_of_use(self, line, match):
        """(module, type, function) of a path that begins at a match."""
        path = tuple(match.group(0).split("::"))
        end = match.end()
        if line.startswith("::<", end):
            last = closing(line, end + 2)
            inner = line[end + 3 : last - 1]
            following = re.match(r"::(\w+)", line[last:])
            if following:
                # `type::<impl another>::function`, or `type::<its parameters>::function`.
                if inner.startswith("impl "):
                    return (self.crate.nearest(path), last_name(inner[len("impl ") :]), following.group(1))
                path += (following.group(1),)
        module = self.crate.nearest(path)
        rest = path[len(module) :]
        return (module, rest[-2] if len(rest) > 1 else None, rest[-1] if rest else "")


def last_name(written):
    """`Shared` of `&mut pool::shared::Shared<M>`."""
    bare = re.split(r"<|\bwhere\b", re.sub(r"^\s*(?:&|'\w+|mut\b|dyn\b|\s)*", "", written))[0]
    return bare.strip().split("::")[-1]


def fields_named(line, types, struct):
    """The numbers of the fields of a struct that a statement reads, writes or borrows."""
    of = rf"(?:&(?:'\w+ )?(?:mut )?)?{re.escape(struct)}\b(?!::)"
    for local, field in re.findall(r"\(\(?\*?_(\d+)\)?\.(\d+): ", line):
        if re.match(of, types.get(local, "")):
            yield int(field)
