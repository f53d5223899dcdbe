#!/usr/bin/env python3
"""Tests the check of floors on small crates: what must be red is, with the reason that is expected, and no more is."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True

from small_crates import CLOSE, MANIFEST, NO_CALL, OPEN, TELLS, TOLD, modules, pool  # noqa: E402

FLOORS = Path(__file__).resolve().parent.parent / "floors"


class Floors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.built = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.built.cleanup)

    def floors(self, files, *options, recorded=None, path=None):
        with tempfile.TemporaryDirectory() as root:
            for name, text in {"../Cargo.toml": MANIFEST, **files}.items():
                file = (Path(root) / "src" / name).resolve()
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            if recorded is not None:
                (Path(root) / ".ci").mkdir()
                (Path(root) / ".ci" / "floors.recorded").write_text(recorded)
            env = {**os.environ, "CARGO_TARGET_DIR": self.built.name}
            env |= {"PATH": f"{path}:{env['PATH']}"} if path else {}
            command = [sys.executable, FLOORS, "--root", root, *options]
            return subprocess.run(command, env=env, capture_output=True, text=True)

    def assert_green(self, files, **more):
        done = self.floors(files, **more)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout

    def assert_red(self, files, *reasons, **more):
        done = self.floors(files, **more)
        self.assertEqual(done.returncode, 1, done.stdout)
        for reason in reasons:
            self.assertIn(reason, done.stderr)
        return done.stderr

    def assert_only(self, files, *reasons):
        """Red for these reasons alone: no other line begins a fault."""
        told = self.assert_red(files, *reasons)
        lines = [line for line in told.splitlines() if not line.startswith("  ")]
        self.assertEqual(len(lines), len(reasons) + 1, told)

    def test_a_circle_through_methods_of_a_shared_struct_is_red(self):
        told = self.assert_red(
            pool("close", "open", open=OPEN, close=CLOSE),
            "a circle of files: pool::close, pool::open",
            "pool::close -> pool::open: Bag::open",
            "pool::open -> pool::close: Bag::close",
            "3 faults are counted, 0 are recorded",
        )
        self.assertIn("pool::close uses pool::open, which stands below it in the table: Bag::open", told)

    def test_the_same_files_without_the_call_back_are_green(self):
        told = self.assert_green(pool("close", "open", open=OPEN, close=NO_CALL))
        self.assertIn("src/pool: 4 files, 3 arrows between them, 1 by calls alone", told)
        self.assertIn("no circles", told)

    def test_the_list_names_what_is_called_and_what_is_used(self):
        told = self.floors(pool("close", "open", open=OPEN, close=NO_CALL), "--list").stdout
        self.assertIn("pool::open -> pool::close: Bag::close\n", told)
        self.assertIn("pool::open -> pool::shared: use Bag\n", told)

    def test_a_table_that_lies_is_red(self):
        for rows, reason in {
            ("`shared`", "`close`"): "the table lacks `open`",
            ("`shared`", "`close`, `open`", "`open`"): "the table names `open` 2 times",
            ("`shared`", "`close`, `open`", "`shut`"): "the table names `shut`, which is no module here",
            (): "no table of its modules",
        }.items():
            with self.subTest(reason):
                files = pool("close", "open", rows=rows, open=OPEN, close=NO_CALL)
                self.assert_only(files, f"src/pool/mod.rs: {reason}")

    def test_a_table_in_plain_comments_counts(self):
        for rows, fault in (["`shared`", "`close`", "`open`"], None), (["`shared`", "`close`"], "the table lacks `open`"):
            with self.subTest(rows):
                files = pool("close", "open", rows=rows, open=OPEN, close=NO_CALL)
                files["pool/mod.rs"] = files["pool/mod.rs"].replace("//! ", "// ")
                self.assert_only(files, fault) if fault else self.assert_green(files)

    def test_a_wing_that_uses_a_higher_one_is_red(self):
        files = pool("close", "open", rows=["`shared`", "`open`", "`close`"], open=OPEN, close=NO_CALL)
        self.assert_only(files, "pool::open uses pool::close, which stands below it in the table: Bag::close")
        files = pool("close", "open", rows=["`shared`", "`open`, `close`"], open=OPEN, close=NO_CALL)
        self.assert_only(files, "pool::open uses pool::close, which stands below it in the table: Bag::close")

    def test_wings_are_folders_too_and_their_tables_are_checked(self):
        user = "impl crate::pool::shared::Bag { pub(crate) fn one(&self) { self.two() } }"
        used = "impl crate::pool::shared::Bag { pub(crate) fn two(&self) {} }"
        for order in (["two", "one"], ["one", "two"]):
            files = pool("wing", wing__one=user, wing__two=used)
            files["pool/wing/mod.rs"] = modules(*order)
            if order[0] == "two":
                self.assert_green(files)
            else:
                self.assert_only(files, "pool::wing::one uses pool::wing::two, which stands below it in the table")

    def test_a_circle_of_wings_is_red_where_no_table_tells_their_order(self):
        files = pool("close", "open", rows=(), open=OPEN, close=CLOSE)
        self.assert_red(files, "a circle of wings: pool::close, pool::open")

    def test_more_than_four_components_are_red(self):
        five = "use super::shared::Shared;\npub fn five(s: &Shared) -> u8 { four(s) + s.e }\n"
        four = "fn four(s: &Shared) -> u8 { s.a + s.b + s.c + s.d }\n"
        reason = "src/pool/open.rs names 5 fields of Shared, above 4: a, b, c, d, e"
        self.assert_only(pool("open", open=five + four), reason)
        self.assert_green(pool("open", open=(five + four).replace(" + s.e", "")))
        self.assert_green(pool("life", life=five + four))

    def test_components_are_counted_however_the_struct_is_reached(self):
        text = """use std::sync::Arc;
        use super::shared::Shared;
        struct Entry<'a> { shared: &'a Shared }
        struct Held { shared: Arc<Shared>, other: Other }
        struct Other { a: u8, b: u8, c: u8, d: u8, e: u8 }
        fn one(e: &Entry<'_>) -> u8 { e.shared.a }
        fn two(h: &mut Held) -> u8 { h.shared.b }
        fn three(h: Arc<Shared>) -> impl Fn() -> u8 { move || h.c }
        fn four(s: &mut Shared) { s.d = 1 }
        fn none(h: &Held) -> u8 { h.other.a + h.other.b + h.other.c + h.other.d + h.other.e }
        """
        self.assert_green(pool("open", open=text))
        fifth = "fn five(s: &Shared) -> &u8 { &s.e }"
        self.assert_only(pool("open", open=text + fifth), "src/pool/open.rs names 5 fields of Shared")

    def test_a_circle_in_a_folder_that_declares_it_is_green(self):
        files = pool("supply", supply__open=OPEN.replace("super", "super::super"))
        files["pool/supply/close.rs"] = CLOSE.replace("super", "super::super")
        plain = modules("close", "open", rows=())
        reason = "a circle of files: pool::supply::close, pool::supply::open"
        self.assert_only({**files, "pool/supply/mod.rs": plain}, reason)
        named = "//! Circle: `open` and\n//! `close`, since each calls the other.\n//!\n//! `connect` is none of it.\n"
        told = self.assert_green({**files, "pool/supply/mod.rs": named + plain})
        self.assertIn("a circle, declared by pool::supply: pool::supply::close, pool::supply::open", told)
        # Its table may not put either below the other, so the order of those two is nobody's.
        self.assert_green({**files, "pool/supply/mod.rs": named + modules("close", "open")})

    def test_a_circle_has_the_files_that_its_folder_names_and_no_other(self):
        close = CLOSE.replace("self.open()", "self.open(); self.more()")
        more = OPEN.replace("open", "more")
        files = pool("supply")
        for file, text in {"open": OPEN, "close": close, "more": more}.items():
            files[f"pool/supply/{file}.rs"] = text.replace("super", "super::super")
        plain = modules("close", "more", "open", rows=())
        circle = "a circle of files: pool::supply::close, pool::supply::more, pool::supply::open"
        where = "pool::supply declares a circle"
        for line, reasons in {
            "`open`, `close` and `more`, which are one.": (),
            "`open` and `close`, which are one.": (circle, f"{where} without pool::supply::more, which is in it"),
            "`open`, `close`, `more` and `less`, which are one.": (
                circle,
                f"{where} with pool::supply::less, which is not in it",
            ),
            "all are one.": (circle, f"{where} without naming its files"),
            "`open`, `close` and `more`": (f"{where} without a reason",),
        }.items():
            with self.subTest(line):
                files["pool/supply/mod.rs"] = f"//! Circle: {line}\n//!\n{plain}"
                self.assert_only(files, *reasons) if reasons else self.assert_green(files)

    def test_a_declared_circle_that_is_not_there_is_red(self):
        files = pool("supply", supply__open="", supply__close="")
        plain = modules("close", "open", rows=())
        files["pool/supply/mod.rs"] = "//! Circle: `open` and `close`, as once it was.\n" + plain
        self.assert_only(files, "pool::supply declares a circle, and there is none")

    def test_a_circle_that_leaves_the_declared_folder_is_red(self):
        files = pool("supply", "close", close=CLOSE, supply__open=OPEN.replace("super", "super::super"))
        files["pool/supply/mod.rs"] = "//! Circle: `open`, and part of it is elsewhere.\n" + modules("open")
        self.assert_red(files, "a circle of files: pool::close, pool::supply::open")

    def test_a_second_folder_that_declares_a_circle_is_red(self):
        files = pool("supply", "lend", rows=["`shared`", "`supply`", "`lend`"])
        for folder in ("supply", "lend"):
            for name, text in (("open", OPEN), ("close", CLOSE)):
                text = text.replace("super", "super::super").replace("open", f"open_{folder}")
                files[f"pool/{folder}/{name}.rs"] = text.replace("close", f"close_{folder}")
            plain = modules("close", "open", rows=())
            files[f"pool/{folder}/mod.rs"] = "//! Circle: `open` and `close`, for a reason.\n" + plain
        self.assert_only(files, "more than one folder declares a circle: pool::lend, pool::supply")

    def test_a_method_that_a_higher_room_defines_is_red_below(self):
        files = pool("open", open="impl crate::core::cell::Cell { pub(crate) fn up(&self) {} }")
        files |= {"lib.rs": "mod core;\nmod pool;\n", "core/mod.rs": "pub(crate) mod cell;\nmod low;\n"}
        files |= {"core/cell.rs": "pub(crate) struct Cell;", "core/low.rs": "fn low(c: &super::cell::Cell) { c.up() }"}
        # However many are recorded: a floor is never let pass.
        reason = "src/core/low.rs, on floor 0, uses pool::open, on floor 2: Cell::up"
        for recorded in ("0 # none", "1 # one"):
            self.assert_red(files, reason, recorded=recorded)

    def test_a_room_without_a_floor_is_red(self):
        self.assert_red({"lib.rs": "mod attic;\n", "attic.rs": "fn a() {}"}, "src/attic has no floor")

    def test_calls_of_every_kind_are_arrows(self):
        used = """macro_rules! method { ($type:ident, $name:ident) => { impl $type { pub(crate) fn $name(&self) {} } } }
        pub(crate) struct Used;
        method!(Used, by_macro);
        impl Used {
            pub(crate) const LIMIT: u8 = 1;
            pub(crate) fn new() -> Self { Used }
            pub(crate) fn mapped(_: u8) {}
            pub(crate) fn in_closure(&self) {}
            pub(crate) fn generic<T>(&self, _: T) {}
        }
        pub(crate) struct Many<T>(pub T);
        impl<T: Clone> Many<T> where T: Copy { pub(crate) fn of_many(&self) -> Used { Used } }
        pub(crate) fn free() -> Many<u8> { Many(1) }
        pub(crate) trait Told {}
        impl dyn Told { pub(crate) fn twice(&self) {} }
        impl dyn Told + '_ { pub(crate) fn thrice(&self) {} }
        """
        user = """fn user(told: &(dyn super::low::Told + 'static), short: &dyn super::low::Told) {
            told.twice();
            short.thrice();
            let used = super::low::free().of_many();
            used.by_macro();
            Some(1).map(super::low::Used::mapped);
            (|| used.in_closure())();
            used.generic::<Option<&str>>(None);
        }"""
        told = self.floors(pool("low", "open", low=used, open=user), "--list").stdout
        names = "Told::thrice, Told::twice, Used::by_macro, Used::generic, Used::in_closure, Used::mapped, free"
        self.assertIn(f"pool::open -> pool::low: Many::of_many, {names}; use Told\n", told)

    def test_calls_of_tests_are_none(self):
        test = "fn test(bag: &super::super::shared::Bag) { bag.close() }"
        low = f"#[cfg(test)] mod tests {{ {test} }}"
        self.assert_green(pool("low", "close", low=low, close=NO_CALL))

    def test_a_call_through_a_trait_is_an_arrow_to_who_implements_it(self):
        upward = "pool::low uses pool::high, which stands below it in the table: Told::tell"
        circle = "a circle of files: pool::high, pool::low"
        tells = TELLS.replace("Shared", "Bag")
        for told, tells in (
            (TOLD, tells),
            (TOLD.replace("&dyn Told", "impl Told"), tells),
            (TOLD, tells.replace("Told;", "Told as Other;").replace("impl Told", "impl Other")),
        ):
            with self.subTest(tells):
                self.assert_only(pool("low", "high", low=told, high=tells), upward, circle)
        # A trait of another crate counts for the types that it is called for.
        add = "impl std::ops::Not for &super::shared::Bag { type Output = u8; fn not(self) -> u8 { 1 } }"
        files = pool("low", "high", low="fn low(bag: &super::shared::Bag) -> u8 { !bag }", high=add)
        self.assert_only(files, "pool::low uses pool::high, which stands below it in the table: Bag as Not")
        # One that stands lower still, and one in the trait's own file, turn nothing about.
        files = pool("high", "low", low=TOLD, high="fn unused() {}")
        self.assert_green({**files, "pool/low.rs": TOLD + "\nstruct Own;\nimpl Told for Own { fn tell(&self) {} }"})

    def test_an_inversion_is_declared_with_trait_and_file(self):
        files = pool("low", "mid", "high", low=TOLD, mid="fn unused() {}", high=TELLS)
        mod = files["pool/mod.rs"]
        told = "src/pool/mod.rs declares an inversion"
        upward = "pool::low uses pool::high, which stands below it in the table: Told::tell"
        circle = "a circle of files: pool::high, pool::low"
        block = "src/pool/high.rs has an impl block of Shared for Told, which no mod.rs declares an inversion"
        for line, reasons in {
            "`Told`, which `high` implements, since low is told of nothing.": (),
            "`Told`, which `pool::high` implements,\n//! since low is told of nothing.": (),
            "`Told` and `high`": (upward, circle, block, f"{told} without a name or a reason"),
            "`Told`, which `mid` has.": (
                *(upward, circle, block),
                f"{told} of `Told` by `mid`, which does not implement it",
            ),
            "`Tell`, which `high` has.": (upward, circle, block, f"{told} of `Tell`, which is no trait there"),
        }.items():
            with self.subTest(line):
                files["pool/mod.rs"] = mod.replace("//! Text.", f"//! Inversion: {line}")
                self.assert_only(files, *reasons) if reasons else self.assert_green(files)
        # Only the trait's own file may have itself served so.
        files["pool/mod.rs"] = mod.replace("//! Text.", "//! Inversion: `Told`, which `high` has.")
        files["pool/mid.rs"] = "use super::low::Told;\nfn mid(told: impl Told) { told.tell() }"
        self.assert_only(files, "pool::mid uses pool::high, which stands below it in the table: Told::tell")

    def test_a_trait_that_a_higher_room_implements_is_declared_too(self):
        files = pool("low", "mid", low=TOLD, mid="fn mid(told: &dyn super::low::Told) { told.tell() }")
        files |= {"lib.rs": "mod pool;\nmod postgres;\n", "postgres/mod.rs": modules("layer")}
        files["postgres/layer.rs"] = "struct Own;\nimpl crate::pool::low::Told for Own { fn tell(&self) {} }"
        files["pool/mod.rs"] = files["pool/mod.rs"].replace("mod low", "pub(crate) mod low")
        self.assert_red(files, "src/pool/low.rs, on floor 2, uses postgres::layer, on floor 3: Told::tell")
        inversion = "//! Inversion: `Told`, which `postgres::layer` implements, since it stands above.\n//!\n"
        self.assert_green({**files, "pool/mod.rs": inversion + files["pool/mod.rs"]})

    def test_an_impl_block_of_the_hub_in_another_file_is_red(self):
        use = "use super::shared::Shared;\n"
        own = "has an impl block of Shared, whose methods belong to src/pool/shared.rs"
        for text, reason in {
            "impl Shared { fn more(&self) {} }": own,
            "impl Shared { fn more() {} }": own,
            "type Hub = Shared;\nimpl Hub { fn more() {} }": own,
            "macro_rules! more { ($t:ty) => { impl $t { fn more(&self) {} } } }\nmore!(Shared);": own,
            "impl Drop for Shared { fn drop(&mut self) {} }": "has an impl block of Shared for Drop, which no mod.rs",
            "impl From<&Shared> for u8 { fn from(s: &Shared) -> u8 { s.a } }": None,
        }.items():
            with self.subTest(text):
                files = pool("open", open=use + text)
                self.assert_only(files, f"src/pool/open.rs {reason}") if reason else self.assert_green(files)

    def test_reaching_through_a_component_is_red(self):
        line = "pub struct Line { pub(crate) count: u8 }\nimpl Line { pub fn count(&self) -> u8 { self.count } }"
        shared = "use std::sync::Arc;\nuse super::line::Line;\npub struct Shared { LINE }\nimpl Shared { SUM }"
        shared = shared.replace("SUM", "pub fn sum(&self) -> u8 { self.line.count }")
        reason = "src/pool/open.rs reaches through Shared::line to Line::count, which belongs to src/pool/line.rs alone"
        for kind in ("Line", "Arc<Line>"):
            files = pool("open", line=line, rows=["`line`", "`shared`", "`open`"])
            files["pool/shared.rs"] = shared.replace("LINE", f"pub(crate) line: {kind}")
            files["pool/mod.rs"] += "mod line;\n"
            for text in (
                "s.line.count",
                "{ let line = &s.line; let there = &line.count; *there }",
                "match &s.line { line => (|| line.count)() }",
            ):
                with self.subTest(f"{kind}: {text}"):
                    files["pool/open.rs"] = f"fn open(s: &super::shared::Shared) -> u8 {{ {text} }}"
                    self.assert_only(files, reason)
            files["pool/open.rs"] = "fn open(s: &super::shared::Shared) -> u8 { s.line.count() }"
            self.assert_green(files)

    def test_a_component_that_is_plain_data_may_be_reached_through(self):
        files = pool("parts", "open", parts__counters="pub struct Counters { pub(crate) one: u8 }")
        files["pool/mod.rs"] = modules("parts", "shared", "open")
        files["pool/parts/mod.rs"] = modules("counters").replace("mod ", "pub mod ")
        files["pool/shared.rs"] = "pub struct Shared { pub(crate) counters: super::parts::counters::Counters }"
        files["pool/shared.rs"] += "\nimpl Shared { pub fn sum(&self) -> u8 { self.counters.one } }"
        files["pool/open.rs"] = "fn open(s: &super::shared::Shared) -> u8 { s.counters.one }"
        self.assert_green(files)

    def test_a_file_that_is_not_built_is_told(self):
        files = pool("open", open="pub(crate) fn open() {}")
        mod = files["pool/mod.rs"]
        files["pool/mod.rs"] = mod.replace("mod open", '#[cfg(not(feature = "any"))]\nmod open')
        self.assertNotIn("not built", self.assert_green(files))
        files["pool/mod.rs"] = mod.replace("mod open", "#[cfg(not(unix))]\nmod open")
        self.assertIn("not built here, so its calls are not seen: src/pool/open.rs", self.assert_green(files))
        files["pool/mod.rs"] = mod.replace("mod open", "#[cfg(windows)]\nmod open")
        self.assert_red(files, "it has no function of src/pool/open.rs")

    def test_a_file_and_its_folder_are_one(self):
        files = pool("open", open="mod part;\n" + OPEN, open__part=CLOSE.replace("super", "super::super"))
        self.assertIn("src/pool: 3 files, 1 arrows", self.assert_green(files))

    def test_the_recorded_number_may_only_fall(self):
        files = pool("close", "open", open=OPEN, close=CLOSE)
        self.assert_red(files, "3 faults are counted, 2 are recorded", recorded="2 # two")
        self.assertIn("other kinds: 3, as recorded", self.assert_green(files, recorded="3 # three"))
        self.assert_red(files, "3 faults are counted: well done; record that", recorded="4 # four")
        self.assert_red(files, "does not begin with a number", recorded="some")

    def test_what_is_not_understood_is_red(self):
        files = pool("open", open="pub(crate) fn open() {}")
        self.assert_red({**files, "pool/open.rs": "fn open() { nothing() }"}, "the crate does not build")
        self.assert_red({**files, "pool/shared.rs": "struct Other;"}, "there is no struct pool::shared::Shared")
        files |= {"lib.rs": "mod core;\nmod pool;\n", "core/mod.rs": "mod cell;\n", "core/cell.rs": "fn open() {}"}
        good = "fn pool::open::open() -> () {\n}\nfn core::cell::open() -> () {\n}\n"
        method = "fn pool::shared::<impl at src/pool/shared.rs:3:1: 3:12>::sum(_1: &pool::shared::Shared) -> u8 {\n"
        receiver = "    debug self => _1;\n"
        field = "    bb0: {\n        _2 = copy ((*_1).0: u8);\n"
        good += method + receiver + field
        call = "        _3 = {} -> [return: bb1, unwind continue];\n    }}\n}}\n".format
        for listing, reason in {
            "": "it has no function at all",
            "function pool::open::open\n": "line 1: function pool::open::open",
            "fn pool::open::open() -> () {\n}\n": "it has no function of src/",
            good.replace(field, "") + "}\n": "no function touches a field of pool::shared::Shared",
            good.replace(receiver, "") + "}\n}\n": "no function has a receiver",
            good + call("pool::open::unheard(move _4)"): "who is called? _3 = pool::open::unheard(move _4)",
            good + call("call pool::open::open()"): "who is called? _3 = call pool::open::open()",
            good + call("move _4({pool::open::unheard})"): "who is called? _3 = move _4({pool::open::unheard})",
            good + call("<T as pool::open::Unheard>::a(_4)"): "which trait is it? _3 = <T as pool::open::Unheard>",
            good + call("<dyn pool::open::Told>::unheard(_4)"): "who is called? _3 = <dyn pool::open::Told>::unheard",
            good + call("move (_4.0: u8)()"): "nothing tells the type of _4",
            # A room may have the name of a crate: what the room itself has is its own.
            good + call("core::cell::Cell::unheard(move _4)"): None,
            good + call("core::panicking::unheard(move _4)"): None,
            good.replace("fn core::cell::open", "fn core::cell::closed") + call("core::cell::open()"): (
                "who is called? _3 = core::cell::open()"
            ),
        }.items():
            with self.subTest(reason), tempfile.TemporaryDirectory() as path:
                fake = Path(path) / "cargo"
                fake.write_text(f"#!/bin/sh\ntouch Cargo.lock\ncat <<'END'\n{listing}END\n")
                fake.chmod(0o755)
                if reason:
                    place = "The head of .ci/floors/calls.py tells what it must be"
                    self.assert_red(files, f"the compiler's listing is not understood: {reason}", place, path=path)
                else:
                    self.assert_green(files, path=path)


if __name__ == "__main__":
    unittest.main()
