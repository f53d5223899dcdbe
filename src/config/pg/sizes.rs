//! Sizes and budget: what was said of one gives the other, so that no default beats what somebody has set.
//!
//! | said | what follows |
//! | --- | --- |
//! | no budget | the budget is the ceiling and the reserve |
//! | a budget, no base size | the base size is what reserve and overflow leave of the budget, at least 1 |
//! | a budget and a base size, no overflow | the overflow is the default, or less where the budget leaves less |
//! | all | nothing; whether they fit is for `check` to tell |
//!
//! A ceiling stands for base size and overflow. The sizes of a profile, and those for a pooler, count as said.

use super::check::BUDGET;
use super::merge::Merged;
use super::table::rows::Key;
use super::table::source::{Source, Sourced};
use super::table::value::Value;
use crate::config::faults::Faults;

pub(super) struct Sizes {
    pub base: Sourced<u32>,
    pub overflow: Sourced<u32>,
    pub total: Sourced<u32>,
}

impl Sizes {
    pub fn of(merged: &Merged, faults: &mut Faults) -> Sizes {
        let (base, overflow) = by_ceiling(merged, faults);
        let Some(reserved) = given(merged, Key::Reserved) else { unreachable!("BUG: no default reserve") };
        let total = given(merged, Key::TotalConnections);
        let is_readable = !BUDGET.iter().any(|key| merged.unreadable.contains(key));
        match total {
            Some(total) if is_readable => within(total, base, overflow, reserved.value),
            total => {
                let total = total.unwrap_or_else(|| sum(&base, &overflow, &reserved));
                Sizes { base, overflow, total }
            }
        }
    }
}

fn given(merged: &Merged, key: Key) -> Option<Sourced<u32>> {
    match merged.get(key) {
        Sourced { value: Some(Value::Count(count)), source } => Some(Sourced::new(*count, source.clone())),
        _ => None,
    }
}

/// The sizes within a budget that was set.
fn within(total: Sourced<u32>, base: Sourced<u32>, overflow: Sourced<u32>, reserved: u32) -> Sizes {
    let follows = |value| Sourced::new(value, follows(&[(Key::TotalConnections, &total.source)]));
    let left = |used: u32| total.value.saturating_sub(reserved).saturating_sub(used);
    let is_said = |size: &Sourced<u32>| size.source != Source::Default;
    let (base, overflow) = match (is_said(&base), is_said(&overflow)) {
        // Of nothing left one is made, so that the fault tells the budget that would do.
        (false, _) => (follows(left(overflow.value).max(1)), overflow),
        (true, false) if overflow.value > left(base.value) => {
            let rest = follows(left(base.value));
            (base, rest)
        }
        (true, _) => (base, overflow),
    };
    Sizes { base, overflow, total }
}

/// The budget that holds these sizes.
fn sum(base: &Sourced<u32>, overflow: &Sourced<u32>, reserved: &Sourced<u32>) -> Sourced<u32> {
    let total = base.value.saturating_add(overflow.value).saturating_add(reserved.value);
    let parts = [(Key::BaseSize, base), (Key::MaxOverflow, overflow), (Key::Reserved, reserved)];
    Sourced::new(total, follows(&parts.map(|(key, size)| (key, &size.source))))
}

/// The source of what follows from others: the default where all of them are.
fn follows(others: &[(Key, &Source)]) -> Source {
    let mut names: Vec<String> = vec![];
    for (key, source) in others {
        let name = match source {
            Source::Default => continue,
            Source::Profile { .. } => source.to_string(),
            Source::Detected { from } => from.clone(),
            source => source.spelled(key.setting().name),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() { Source::Default } else { Source::Follows { of: names.join(" + ") } }
}

/// Base size and overflow of the automation tier, also where a ceiling is given instead.
fn by_ceiling(merged: &Merged, faults: &mut Faults) -> (Sourced<u32>, Sourced<u32>) {
    let (Some(base), Some(overflow)) = (given(merged, Key::BaseSize), given(merged, Key::MaxOverflow)) else {
        unreachable!("BUG: base size or overflow has no default")
    };
    let Some(ceiling) = given(merged, Key::MaxSize) else { return (base, overflow) };
    let rank = ceiling.source.rank();
    if base.source.rank() < rank || overflow.source.rank() < rank {
        return (base, overflow);
    }
    let from_ceiling = |value| Sourced::new(value, ceiling.source.clone());
    match (base.source.rank() == rank, overflow.source.rank() == rank) {
        (false, false) => (from_ceiling(ceiling.value), from_ceiling(0)),
        (true, false) if base.value <= ceiling.value => {
            let rest = ceiling.value - base.value;
            (base, from_ceiling(rest))
        }
        (false, true) if overflow.value <= ceiling.value => {
            let rest = ceiling.value - overflow.value;
            (from_ceiling(rest), overflow)
        }
        (true, true) if base.value.checked_add(overflow.value) == Some(ceiling.value) => (base, overflow),
        (with_base, with_overflow) => {
            let mut parts = vec![];
            for (is_given, key, size) in
                [(with_base, Key::BaseSize, &base), (with_overflow, Key::MaxOverflow, &overflow)]
            {
                if is_given {
                    parts.push(format!("{} = {}", size.source.spelled(key.setting().name), size.value));
                }
            }
            let rule = format!("contradicts {}; it is their sum, or stands alone", parts.join(" and "));
            faults.push(ceiling.source.spelled("max_size"), ceiling.value, rule);
            (base, overflow)
        }
    }
}
