"""Small crates for the tests of checks, as the files of their src/."""

MANIFEST = '[package]\nname = "tree"\nedition = "2024"\n[dependencies]\n'

SHARED = """
pub struct Shared { pub(crate) a: u8, pub(crate) b: u8, pub(crate) c: u8, pub(crate) d: u8, pub(crate) e: u8 }
impl Shared { pub fn sum(&self) -> u8 { self.a + self.b + self.c + self.d + self.e } }
pub struct Bag { pub(crate) a: u8 }
"""
# Two files that use each other by methods of one struct alone.
OPEN = "use super::shared::Bag;\nimpl Bag { pub(crate) fn open(&self) { if self.a > 9 { self.close() } } }"
CLOSE = "use super::shared::Bag;\nimpl Bag { pub(crate) fn close(&self) { if self.a > 8 { self.open() } } }"
NO_CALL = "use super::shared::Bag;\nimpl Bag { pub(crate) fn close(&self) {} }"
# A trait, who calls it, and the hub that it is implemented on.
TOLD = "pub(crate) trait Told { fn tell(&self); }\npub(crate) fn tell(told: &dyn Told) { told.tell() }"
TELLS = "use super::low::Told;\nuse super::shared::Shared;\nimpl Told for Shared { fn tell(&self) {} }"


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
