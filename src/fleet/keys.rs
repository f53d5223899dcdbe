//! The keys of a fleet's locks.
//!
//! PostgreSQL has keys of two numbers of 32 bits. The first is made of the fleet's name and says what is meant; the
//! second says which, and of a member's mark, which budget. A fleet has 256 first numbers of 2³², all of them below 0:
//! so small is the chance that a program which hashes keys of its own meets them, and 2⁻²³ that two names of fleets
//! have the same.

use super::core::Budget;

/// The most marks that a process may have, which is its weight.
pub(super) const MOST_WEIGHT: u32 = 100;
/// The greatest budget that a key can carry.
pub(super) const MOST_TOTAL: u32 = 0xffff;
/// So many programs have a number of their own in a mark of those who want.
pub(super) const PROGRAMS: u32 = 1 << 16;

/// The longest name, as in the server's own names.
const LONGEST_NAME: usize = 63;

/// Whether a fleet can have this name.
pub(super) fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= LONGEST_NAME && !name.chars().any(char::is_control)
}

/// The numbers of the kinds of locks, above the first number of the fleet.
pub(super) const PLACE: u32 = 1;
pub(super) const WANT: u32 = 2;
pub(super) const ADHOC: u32 = 3;
pub(super) const MARK: u32 = 8;
/// So many first numbers are one fleet's.
pub(super) const KINDS: u32 = 256;

/// A lock, by the two numbers that its functions take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(pub(super) i32, pub(super) i32);

/// The first of a fleet's first numbers, whatever its budget, as the server's table of locks shows it.
pub(super) fn first_of(fleet: &str) -> u32 {
    // FNV-1a: the same in each version and on each machine, since all members have to agree.
    let hash = fleet.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let folded = (hash >> 32) as u32 ^ hash as u32;
    0x8000_0000 | (folded & !(KINDS - 1))
}

/// The keys of one fleet, as a process with this budget uses them.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// The first of its first numbers, that of its slots.
    first: u32,
    budget: Budget,
    /// The number of this program in marks of its own.
    program: u32,
}

impl Keys {
    pub(super) fn new(fleet: &str, budget: Budget) -> Self {
        Keys { first: first_of(fleet), budget, program: fastrand::u32(..PROGRAMS) }
    }

    /// The first of the first numbers, as the server's table of locks shows it.
    pub(super) fn first(&self) -> u32 {
        self.first
    }

    /// The first number of a kind of lock, as functions take it.
    pub(super) fn kind(&self, kind: u32) -> i32 {
        (self.first + kind) as i32
    }

    pub(super) fn slot(&self, number: u32) -> Key {
        Key(self.kind(0), number as i32)
    }

    /// A slot of the reserve.
    pub(super) fn adhoc_slot(&self, number: u32) -> Key {
        Key(self.kind(ADHOC), number as i32)
    }

    /// The kind of one of these keys.
    pub(super) fn kind_of(&self, key: Key) -> u32 {
        key.0 as u32 - self.first
    }

    /// The number of this program: by chance, and two of the same count as one.
    pub(super) fn program(&self) -> u32 {
        self.program
    }

    /// A mark of a member.
    pub(super) fn mark(&self, index: u32) -> Key {
        Key(self.kind(MARK + index), self.budget_number() as i32)
    }

    /// The second number of a mark.
    pub(super) fn budget_number(&self) -> u32 {
        self.budget.total() << 16 | self.budget.reserve()
    }

    /// The budget that a mark's second number stands for, where it is one.
    pub(super) fn budget_of(number: u32) -> Option<Budget> {
        Budget::new(number >> 16, number & MOST_TOTAL).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(fleet: &str) -> Keys {
        Keys::new(fleet, Budget::new(60, 5).unwrap())
    }

    #[test]
    fn a_name_has_the_same_keys_for_ever_and_another_name_has_others() {
        assert_eq!(keys("news").first(), 0xc573_3e00, "programs of another version would count apart");
        assert_ne!(keys("news").first(), keys("mews").first());
        assert!(keys("").kind(0) < 0 && keys("x").kind(KINDS - 1) < 0);
    }

    #[test]
    fn a_mark_tells_its_budget() {
        for (total, reserve) in [(60, 5), (9, 0), (MOST_TOTAL, 1000)] {
            let budget = Budget::new(total, reserve).unwrap();
            assert_eq!(Keys::budget_of(Keys::new("news", budget).budget_number()), Some(budget));
        }
        assert_eq!(Keys::budget_of(7), None);
    }
}
