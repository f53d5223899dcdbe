#!/usr/bin/env python3
"""Tests the check of floors on small crates: what must be red is, with the reason that is expected, and no more is."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

FLOORS = Path(__file__).resolve().parent.parent / "floors"
MANIFEST = '[package]\nname = "tree"\nedition = "2024"\n[dependencies]\n'

SHARED = """
pub struct Shared { pub(crate) a: u8, pub(crate) b: u8, pub(crate) c: u8, pub(crate) d: u8, pub(crate) e: u8 }
impl Shared { pub fn sum(&self) -> u8 { self.a + self.b + self.c + self.d + self.e } }
"""
# Two files that use each other by methods of one struct alone.
OPEN = "use super::shared::Shared;\nimpl Shared { pub(crate) fn open(&self) { if self.a > 9 { self.close() } } }"
CLOSE = "use super::shared::Shared;\nimpl Shared { pub(crate) fn close(&self) { if self.b > 9 { self.open() } } }"
NO_CALL = "use super::shared::Shared;\nimpl Shared { pub(crate) fn close(&self) {} }"


def table(*rows):
    return "//! Text.\n//!\n//! | module | job |\n//! | --- | --- |\n" + "".join(f"//! | {row} | x |\n" for row in rows)


def modules(*names, rows=None):
    """A mod.rs with a true table, or with the rows given."""
    rows = [f"`{name}`" for name in names] if rows is None else rows
    return (table(*rows) if rows else "") + "\n" + "".join(f"mod {name};\n" for name in names)


def pool(*names, rows=None, **files):
    """A crate with one room, `pool`: shared.rs, and the files given."""
    whole = {"lib.rs": "mod pool;\n", "pool/shared.rs": SHARED}
    whole["pool/mod.rs"] = modules("shared", *names, rows=rows)
    for name, text in files.items():
        whole[f"pool/{name.replace('__', '/')}.rs"] = text
    return whole


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
            "pool::close -> pool::open: Shared::open",
            "pool::open -> pool::close: Shared::close",
            "3 faults are counted, 0 are recorded",
        )
        self.assertIn("pool::close uses pool::open, which stands below it in the table: Shared::open", told)

    def test_the_same_files_without_the_call_back_are_green(self):
        told = self.assert_green(pool("close", "open", open=OPEN, close=NO_CALL))
        self.assertIn("src/pool: 4 files, 3 arrows between them, 1 by calls alone", told)
        self.assertIn("no circles", told)

    def test_the_list_names_what_is_called_and_what_is_used(self):
        told = self.floors(pool("close", "open", open=OPEN, close=NO_CALL), "--list").stdout
        self.assertIn("pool::open -> pool::close: Shared::close\n", told)
        self.assertIn("pool::open -> pool::shared: use Shared\n", told)

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
        self.assert_only(files, "pool::open uses pool::close, which stands below it in the table: Shared::close")
        files = pool("close", "open", rows=["`shared`", "`open`, `close`"], open=OPEN, close=NO_CALL)
        self.assert_only(files, "pool::open uses pool::close, which stands below it in the table: Shared::close")

    def test_wings_are_folders_too_and_their_tables_are_checked(self):
        user = "impl crate::pool::shared::Shared { pub(crate) fn one(&self) { self.two() } }"
        used = "impl crate::pool::shared::Shared { pub(crate) fn two(&self) {} }"
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
        told = self.assert_green({**files, "pool/supply/mod.rs": "//! Circle: one calls the other.\n" + plain})
        self.assertIn("a circle, declared by pool::supply: pool::supply::close, pool::supply::open", told)
        # Its table may not put either below the other, so the order of those two is nobody's.
        self.assert_green({**files, "pool/supply/mod.rs": "//! Circle: so it is.\n" + modules("close", "open")})
        self.assert_only({**files, "pool/supply/mod.rs": "//! Circle:\n" + plain}, "declares a circle without a reason")

    def test_a_declared_circle_that_is_not_there_is_red(self):
        files = pool("supply", supply__open="", supply__close="")
        files["pool/supply/mod.rs"] = "//! Circle: once it was.\n" + modules("close", "open", rows=())
        self.assert_only(files, "pool::supply declares a circle, and there is none")

    def test_a_circle_that_leaves_the_declared_folder_is_red(self):
        files = pool("supply", "close", close=CLOSE, supply__open=OPEN.replace("super", "super::super"))
        files["pool/supply/mod.rs"] = "//! Circle: part of it is elsewhere.\n" + modules("open")
        self.assert_red(files, "a circle of files: pool::close, pool::supply::open")

    def test_a_second_folder_that_declares_a_circle_is_red(self):
        files = pool("supply", "lend", rows=["`shared`", "`supply`", "`lend`"])
        for folder in ("supply", "lend"):
            for name, text in (("open", OPEN), ("close", CLOSE)):
                text = text.replace("super", "super::super").replace("open", f"open_{folder}")
                files[f"pool/{folder}/{name}.rs"] = text.replace("close", f"close_{folder}")
            files[f"pool/{folder}/mod.rs"] = "//! Circle: a reason.\n" + modules("close", "open", rows=())
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
        """
        user = """fn user() {
            let used = super::low::free().of_many();
            used.by_macro();
            Some(1).map(super::low::Used::mapped);
            (|| used.in_closure())();
            used.generic::<Option<&str>>(None);
        }"""
        told = self.floors(pool("low", "open", low=used, open=user), "--list").stdout
        names = "Many::of_many, Used::by_macro, Used::generic, Used::in_closure, Used::mapped, free"
        self.assertIn(f"pool::open -> pool::low: {names}\n", told)

    def test_calls_through_a_trait_and_those_of_tests_are_none(self):
        text = """pub(crate) trait Told { fn tell(&self); }
        pub(crate) fn tell(told: &dyn Told, other: impl Told) { told.tell(); other.tell(); }
        #[cfg(test)] mod tests { fn test(shared: &super::super::shared::Shared) { shared.close() } }
        """
        close = "impl super::low::Told for super::shared::Shared { fn tell(&self) {} }\n" + NO_CALL
        self.assert_green(pool("low", "close", low=text, close=close))

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
        good = "fn pool::open::open() -> () {\n}\n"
        good += "fn pool::shared::<impl at src/pool/shared.rs:3:1: 3:12>::sum(_1: u8) -> u8 {\n"
        call = "    bb0: {\n        _3 = {}(move _4) -> [return: bb1, unwind continue];\n    }}\n}}\n"
        for listing, reason in {
            "": "it has no function at all",
            "function pool::open::open\n": "line 1: function pool::open::open",
            "fn pool::open::open() -> () {\n}\n": "it has no function of src/pool/shared.rs",
            good + call.replace("{}", "pool::open::unheard", 1): "who is called? _3 = pool::open::unheard(move _4)",
        }.items():
            with self.subTest(reason), tempfile.TemporaryDirectory() as path:
                fake = Path(path) / "cargo"
                fake.write_text(f"#!/bin/sh\ntouch Cargo.lock\ncat <<'END'\n{listing}END\n")
                fake.chmod(0o755)
                self.assert_red(files, reason, path=path)


if __name__ == "__main__":
    unittest.main()
