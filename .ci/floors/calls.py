"""Who calls whom, told by the compiler: an inherent method needs no `use` line, so text does not show it.

rustc prints the crate's MIR, where every function stands under the module that its `impl` block is in, and every call
is resolved. A call of a function, an associated function or an inherent method is an arrow to the module that defines
it, and so is a function that is only named; a closure counts for the function that it stands in. A call through a
trait of the crate, `<T as Trait>::method`, is told apart: inversions.py makes arrows of it. One through a trait of
another crate, `<pool::open::Type as std::ops::Deref>::deref`, is an arrow to who implements it for that type. Not seen:
what is called through a closure or a pointer to a function, by code of another crate, and by the end of a value.

The listing is unstable: the compiler promises nothing of it, and a toolchain may change it with every release. This was
written against rustc 1.95.0. What it must print, with `-Zunpretty=mir -Zmir-opt-level=0 -Ztrim-diagnostic-paths=no`:

  - a function as `fn pool::open::open(_1: &T) -> u8 {`, in the first column, up to a `}` there; one of an `impl` block
    as `fn pool::open::<impl at src/pool/open.rs:3:1: 3:12>::open(…`, with the module that the block is in;
  - the type of every local in that line or as `let mut _3: T;`; the receiver of a method as `debug self => _1;`;
  - a call as `_3 = callee(move _4) -> [return: bb1, …`, and with `-> unwind …` where it does not return;
  - a callee with its whole path, of this crate without the crate's name: `pool::open::open`, `pool::open::Type::new`,
    `pool::open::<impl pool::shared::Shared>::open`, `<T as pool::low::Told>::tell`; a function that is only named as
    `{pool::open::open}`;
  - a field with its number and its type, behind the place that has it: `((*_1).4: pool::parts::line::Line)`.

What is not understood ends the check, since a check that skips it would pass every tree; there is no falling back to
`use` lines, which tell half. When the compiler changes: print the listing of this crate (listing.py has the command)
with the old one and the new, compare the two, mend the patterns here, in listing.py, impls.py and places.py, run
`.ci/tests/floors.py`, see that `floors --list` prints the same arrows as before, and write the new version above.
"""

import re
from collections import defaultdict

from impls import Blocks, last_name
from listing import bodies, fail, listing_of
from places import projections
from rust_text import closing, fields_of

# A callee that is a value: a pointer to a function.
BY_VALUE = re.compile(r"(?:move|copy) ")
# What a type stands behind that is a receiver.
POINTERS = r"(?:&(?:'\w+ )?(?:mut )?|std::(?:sync::Arc|rc::Rc|boxed::Box|pin::Pin)<)*"


class Calls:
    """What the listing tells, all of it by module.

    `arrows`: who calls whom, with the names called; `through_traits`: which methods of which traits of the crate are
    called, and `implementers`: where a trait of a name is implemented; `fields`: which fields of the struct `hub` are
    named; `reached`: which fields of its parts; `hub_blocks`: the traits that the `impl` blocks of the hub are of.
    """

    def __init__(self, crate, hub):
        self.crate = crate
        listing = listing_of(crate)
        self.blocks = Blocks(crate)
        self.hub = "::".join(hub)
        self.hub_fields = fields_of(crate.code.get(hub[:-1], ""), hub[-1])
        if self.hub_fields is None and hub[:1] in crate.code:
            fail(f"there is no struct {self.hub} with named fields; name the one that a pool shares")
        rooms = sorted({m[0] for m in crate.code if m})
        # Rooms with the name of another crate.
        lock = (crate.root / "Cargo.lock").read_text(encoding="utf-8")
        others = {"core", "std", "alloc", *re.findall(r'^name = "(.+)"$', lock, re.M)}
        self.shadowed = {name.replace("-", "_") for name in others} & set(rooms)
        self.path = re.compile(rf"(?<![\w:])(?:{'|'.join(rooms)})(?:::\w+)+")
        self.arrows = defaultdict(lambda: defaultdict(set))
        self.through_traits = defaultdict(set)
        self.implementers = defaultdict(set)
        # The same, for a type of a name.
        self.implementers_for = defaultdict(set)
        self.fields = defaultdict(set)
        self.reached = defaultdict(set)
        self.hub_blocks = defaultdict(set)
        self.traits = {(*m, t) for m, code in crate.code.items() for t in re.findall(r"\btrait\s+(\w+)", code)}
        found = bodies(crate, listing)
        keys = {self.key_of_header(*whole) for whole in found}
        # A tuple struct or a variant is listed as a function; where its name stands is a type, or has a `use` line.
        self.constructors = {key for key in keys if re.match(r"[A-Z]\w*[a-z]", key[2])}
        self.known = keys - self.constructors
        self.absent = sorted(self.absent_modules({key[0] for key in keys}))
        types = {whole: types_of(lines) for whole, lines in found.items()}
        self.parts = self.parts_of_hub(found, types)
        judged = [whole for whole in found if crate.is_judged(whole[0])]
        for module, name in judged:
            self.read_block(module, name, found[module, name], types[module, name])
        for module, name in judged:
            for line in statements(found[module, name]):
                self.read_fields(module, line, types[module, name])
                self.read_calls(module, line)

    def absent_modules(self, listed):
        """The modules with code of which the compiler shows none."""
        for module, code in self.crate.code.items():
            if self.crate.is_judged(module) and module not in listed and re.search(r"\bfn \w+[^;{]*\{", code):
                if not self.crate.may_be_absent(module):
                    fail(f"it has no function of src/{self.crate.file[module]}")
                yield module

    def key_of_header(self, module, name):
        """(module, type, function); "*" for a type that the text does not tell."""
        block = self.blocks.at(name)
        if not block:
            rest = name.split("::")[len(module) :]
            rest = [part for part in rest if re.fullmatch(r"\w+", part)]
            return (module, rest[-2] if len(rest) > 1 else None, rest[-1] if rest else "")
        function = re.search(r"<impl at [^>]*>::(\w+)", name)
        return (module, None if block.trait else block.type, function.group(1) if function else "")

    def parts_of_hub(self, found, types):
        """The types of the crate that the hub's fields have, each with the field's name."""
        if not self.hub_fields:
            return {}
        lines = ((line, types[whole]) for whole in found for line in statements(found[whole]))
        places = (place for line, its_types in lines for place in projections(line, its_types))
        touched = [(number, own) for of, number, own in places if self.is_hub(of)]
        if not touched:
            fail(f"no function touches a field of {self.hub}")
        if not any(map(has_receiver, found.values())):
            fail("no function has a receiver")
        own_types = ((number, self.path.search(own)) for number, own in touched)
        return {type_.group(0): self.hub_fields[number] for number, type_ in own_types if type_}

    def is_hub(self, written):
        return bool(self.hub_fields) and re.match(rf"{re.escape(self.hub)}\b(?!::)", written) is not None

    def read_block(self, module, name, lines, types):
        block = self.blocks.at(name)
        if not block:
            return
        if block.trait:
            for meant in self.blocks.meant(block.trait):
                self.implementers[meant].add(module)
            self.implementers_for[block.trait, block.type].add(module)
        receiver = types.get("1", "") if has_receiver(lines) else ""
        is_named = self.hub.split("::")[-1] in self.blocks.meant(block.type)
        if is_named or self.is_hub(re.sub(rf"^{POINTERS}", "", receiver)):
            self.hub_blocks[module].add(block.trait)

    def read_fields(self, module, line, types):
        for of, number, _ in projections(line, types) if self.hub_fields else ():
            if self.is_hub(of):
                self.fields[module].add(self.hub_fields[number])
            elif (type_ := re.match(r"[\w:]+", of)) and type_.group(0) in self.parts:
                self.reached[module].add((*type_.group(0).split("::"), number))

    def read_calls(self, module, line):
        callee = callee_of(line)
        if callee is not None and line[callee] == "<":
            self.read_foreign_trait(module, line[callee + 1 : closing(line, callee) - 1])
        if callee is not None and not re.match(r"\w+::|<", line[callee:]) and not BY_VALUE.match(line, callee):
            fail(f"who is called? {line.strip()[:300]}")
        for match in self.path.finditer(line):
            if line[match.end() :].startswith("::{"):
                continue
            if method := method_of_trait(line, match):
                self.read_trait(module, match.group(0), method, line)
                continue
            key = self.key_of_use(line, match)
            if key in self.known or (key[0], "*", key[2]) in self.known:
                if key[0] != module:
                    self.arrows[module][key[0]].add("::".join(filter(None, key[1:])))
            elif match.start() == callee or line[match.start() - 1] == "{" or method_of_dyn(line, match):
                if key not in self.constructors and self.is_ours(match.group(0)):
                    fail(f"who is called? {line.strip()[:300]}")

    def read_trait(self, module, path, method, line):
        of = self.crate.nearest(tuple(path.split("::")))
        trait = (*of, path.split("::")[-1])
        if trait in self.traits:
            self.through_traits[module].add((trait, method))
        elif self.is_ours(path):
            fail(f"which trait is it? {line.strip()[:300]}")

    def read_foreign_trait(self, module, qualified):
        """`Type as Trait`: a trait of another crate, for a type of this one."""
        type_, trait = in_halves(qualified)
        if self.path.match(re.sub(r"^(?:&(?:'\w+ )?(?:mut )?)*", "", type_)) and not self.path.match(trait):
            for file in self.implementers_for[last_name(trait), last_name(type_)] - {module}:
                self.arrows[module][file].add(f"{last_name(type_)} as {last_name(trait)}")

    def is_ours(self, path):
        """False for a path of another crate that has the name of a room, and for what stands in a nameless constant."""
        path = tuple(path.split("::"))
        if "_" in path:
            return False
        module = self.crate.nearest(path)
        if path[0] not in self.shadowed or path == module:
            return True
        code = self.crate.code[module]
        item = r"\b(?:fn|struct|enum|union|trait|type|const|static|mod)\s+(?:mut\s+)?"
        return re.search(rf"{item}(?:{path[len(module)]}\b|\$)", code) is not None

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
        elif method := method_of_dyn(line, match):
            path += (method,)
        module = self.crate.nearest(path)
        rest = path[len(module) :]
        return (module, rest[-2] if len(rest) > 1 else None, rest[-1] if rest else "")


def types_of(lines):
    """The type of every local, by its number."""
    types = {}
    for line in lines:
        if declared := re.match(r"\s*let (?:mut )?_(\d+): (.*);$", line):
            types[declared.group(1)] = declared.group(2)
        elif not line.startswith(" "):
            types |= dict(re.findall(r"\b_(\d+): ([^,)]*)", line))
    return types


def has_receiver(lines):
    """True for a method whose first argument is `self`."""
    return any(line.strip() == "debug self => _1;" for line in lines)


def statements(lines):
    """What is done in a function, without the text of strings."""
    for line in lines:
        if line.startswith(" ") and not re.match(r"\s*(?:let|debug|scope|Storage\w+)\b", line):
            yield re.sub(r'"(?:\\.|[^"\\])*"', '""', line)


def callee_of(line):
    """Where the callee begins, in a line that is a call."""
    if not re.search(r"\) -> (?:\[return|unwind|bb\d)", line) or line.lstrip().startswith("drop("):
        return None
    start = len(line) - len(line.lstrip())
    # The place for the result may have a type in it, which may have a `=`.
    end = closing(line, start) if line[start] == "(" else start
    result = re.match(r"[^\s(]* = ", line[end:])
    if not result:
        fail(f"who is called? {line.strip()[:300]}")
    return end + result.end()


def in_halves(qualified):
    """The type and the trait of `Type as Trait`; no trait where there is none."""
    depth = 0
    for match in re.finditer(r"->|[<(\[]|[>)\]]| as ", qualified):
        if match.group(0) == " as " and depth == 0:
            return qualified[: match.start()], qualified[match.end() :]
        depth += {"->": 0, " as ": 0}.get(match.group(0), 1 if match.group(0) in "<([" else -1)
    return qualified, ""


def method_of_trait(line, match):
    """`tell` for a match of `pool::low::Told` in `<T as pool::low::Told>::tell`."""
    if not re.search(r" as (?:for<[^<>]*> )?$", line[: match.start()]):
        return None
    end = closing(line, match.end()) if line.startswith("<", match.end()) else match.end()
    method = re.match(r">::(\w+)", line[end:])
    return method.group(1) if method else None


def method_of_dyn(line, match):
    """`twice` for a match of `pool::low::Told` in `<(dyn pool::low::Told + 'static)>::twice`."""
    if not re.search(r"(?<![\w:])<\(?dyn (?:for<[^<>]*> )?$", line[: match.start()]):
        return None
    end = closing(line, match.end()) if line.startswith("<", match.end()) else match.end()
    method = re.match(r"(?: \+ [^<>()]*\))?>::(\w+)", line[end:])
    return method.group(1) if method else None
