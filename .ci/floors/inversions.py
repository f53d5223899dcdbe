"""Calls through the traits of the crate.

Whoever calls `<T as Trait>::method` may call any file that implements the trait, so such a call is an arrow to each of
them. A lower file that lets a higher one serve it in this way is an inversion, and a reader must see it: a mod.rs above
the trait declares it, by the name of the trait and of every file that serves, from that folder or from the root:

    //! Inversion: `Kept`, which `keep::tend` implements: <reason>

It excuses the calls by the trait's own file or, where the one that serves stands outside the folder, as a database
layer does, those by the whole folder. Whoever else calls it has an arrow.
"""

from collections import defaultdict, namedtuple

from declared import declarations, within

Inversion = namedtuple("Inversion", "folder trait files")


class Inversions:
    def __init__(self, crate, calls):
        self.crate = crate
        self.calls = calls
        self.all = []
        self.faults = list(self.read())

    def read(self):
        """Takes the declarations, and tells what is wrong with them."""
        for folder, names, reason in declarations(self.crate, "Inversion"):
            where = f"src/{self.crate.file[folder]} declares an inversion"
            if not names or not reason:
                yield f"{where} without a name or a reason"
                continue
            traits = [t for t in self.calls.traits if t[-1] == names[0] and t[: len(folder)] == folder]
            if len(traits) != 1:
                yield f"{where} of `{names[0]}`, which is {'no' if not traits else 'more than one'} trait there"
                continue
            serving = self.calls.implementers[names[0]]
            files = {next((m for m in (within(folder, n), within((), n)) if m in serving), n) for n in names[1:]}
            unknown = sorted(name for name in files if isinstance(name, str))
            yield from (f"{where} of `{names[0]}` by `{name}`, which does not implement it" for name in unknown)
            self.all.append(Inversion(folder, traits[0], files))

    def has(self, name, file):
        """Whether a file is declared to serve through a trait of this name."""
        meant = self.calls.blocks.meant(name)
        return any(i.trait[-1] in meant and file in i.files for i in self.all)

    def allows(self, trait, file, caller):
        return any(trait == i.trait and file in i.files and self.may_call(i, file, caller) for i in self.all)

    def may_call(self, inversion, file, caller):
        folder = inversion.folder
        if file[: len(folder)] != folder:
            return caller[: len(folder)] == folder
        return self.crate.part_of(caller) == self.crate.part_of(inversion.trait[:-1])

    def arrows(self):
        """Who calls whom through a trait, where that is not declared."""
        found = defaultdict(lambda: defaultdict(set))
        for caller, called in self.calls.through_traits.items():
            for trait, method in called:
                for file in self.calls.implementers[trait[-1]]:
                    if file != caller and not self.allows(trait, file, caller):
                        found[caller][file].add(f"{trait[-1]}::{method}")
        return found
