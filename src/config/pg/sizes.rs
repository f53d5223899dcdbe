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
use super::settings::PgSettings;
use super::table::rows::Key;
use super::table::source::{Overruled, Source, Sourced};
use super::table::value::Value;
use crate::config::faults::Faults;

pub(super) struct Sizes {
    pub base: Sourced<u32>,
    pub overflow: Sourced<u32>,
    pub total: Sourced<u32>,
    /// Where the ceiling came from: what set it, else its parts.
    pub ceiling: Source,
    /// A ceiling that was set and does not hold, since a stronger source has set a part of it.
    pub overruled: Option<Overruled>,
}

impl Sizes {
    pub fn of(merged: &Merged, faults: &mut Faults) -> Sizes {
        let Parts { base, overflow, overruled } = by_ceiling(merged, faults);
        let Some(reserved) = given(merged, Key::Reserved) else { unreachable!("BUG: no default reserve") };
        let total = given(merged, Key::TotalConnections);
        let is_readable = !BUDGET.iter().any(|key| merged.unreadable.contains(key));
        let (base, overflow, total) = match total {
            Some(total) if is_readable => within(total, base, overflow, reserved.value),
            total => {
                let total = total.unwrap_or_else(|| sum(&base, &overflow, &reserved));
                (base, overflow, total)
            }
        };
        let set = &merged.get(Key::MaxSize).source;
        let ceiling = match overruled {
            None if set.is_explicit() => set.clone(),
            _ => following([(Key::BaseSize, &base), (Key::MaxOverflow, &overflow)]),
        };
        Sizes { base, overflow, total, ceiling, overruled }
    }
}

fn given(merged: &Merged, key: Key) -> Option<Sourced<u32>> {
    match merged.get(key) {
        Sourced { value: Some(Value::Count(count)), source } => Some(Sourced::new(*count, source.clone())),
        _ => None,
    }
}

/// The sizes within a budget that was set, and the budget.
fn within(
    total: Sourced<u32>,
    base: Sourced<u32>,
    overflow: Sourced<u32>,
    reserved: u32,
) -> (Sourced<u32>, Sourced<u32>, Sourced<u32>) {
    let follows = |value| Sourced::new(value, following([(Key::TotalConnections, &total)]));
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
    (base, overflow, total)
}

impl PgSettings {
    /// These settings with the budget that the limits of the roles come to, and with the sizes that follow it. The
    /// reserve is that of the settings, or `reserve` where nobody has set one.
    ///
    /// Fails with every fault that they have then.
    pub(crate) fn with_total_of_role(&self, total: u32, reserve: Option<u32>) -> Result<PgSettings, Faults> {
        let mut changed = self.clone();
        let follows = following([(Key::TotalConnections, &self.sized(Key::TotalConnections, total))]);
        let count = |size: &Sourced<u32>| Sourced::new(Some(Value::Count(size.value)), size.source.clone());
        if let (Some(reserve), false) = (reserve, self.is_said(Key::Reserved)) {
            changed.set(Key::Reserved, count(&Sourced::new(reserve, follows)));
        }
        let total = self.sized(Key::TotalConnections, total);
        let base = self.sized(Key::BaseSize, self.automation.base_size);
        let overflow = self.sized(Key::MaxOverflow, self.automation.max_overflow);
        let (base, overflow, total) = within(total, base, overflow, changed.reserved);
        changed.set(Key::TotalConnections, count(&total));
        changed.set(Key::BaseSize, count(&base));
        changed.set(Key::MaxOverflow, count(&overflow));
        if !self.is_said(Key::MaxSize) {
            let ceiling = following([(Key::BaseSize, &base), (Key::MaxOverflow, &overflow)]);
            changed.set(Key::MaxSize, Sourced::new(None, ceiling));
        }
        changed.total_from_role = false;
        let faults = changed.check();
        if faults.is_empty() { Ok(changed) } else { Err(faults) }
    }

    /// A size with its source: the default where nobody has set it.
    fn sized(&self, key: Key, size: u32) -> Sourced<u32> {
        let source = match self.source(key) {
            _ if !self.is_said(key) => Source::Default,
            Source::Default => Source::Follows { of: "the program".to_owned() },
            source => source.clone(),
        };
        Sourced::new(size, source)
    }
}

/// The budget that holds these sizes.
fn sum(base: &Sourced<u32>, overflow: &Sourced<u32>, reserved: &Sourced<u32>) -> Sourced<u32> {
    let total = base.value.saturating_add(overflow.value).saturating_add(reserved.value);
    let parts = [(Key::BaseSize, base), (Key::MaxOverflow, overflow), (Key::Reserved, reserved)];
    Sourced::new(total, following(parts))
}

/// The source of what follows from these sizes.
fn following<const N: usize>(sizes: [(Key, &Sourced<u32>); N]) -> Source {
    Source::following(&sizes.map(|(key, size)| (key.setting().name, &size.source)))
}

/// The two parts of a ceiling.
struct Parts {
    base: Sourced<u32>,
    overflow: Sourced<u32>,
    overruled: Option<Overruled>,
}

/// Base size and overflow of the automation tier, also where a ceiling is given instead.
fn by_ceiling(merged: &Merged, faults: &mut Faults) -> Parts {
    let (Some(base), Some(overflow)) = (given(merged, Key::BaseSize), given(merged, Key::MaxOverflow)) else {
        unreachable!("BUG: base size or overflow has no default")
    };
    let parts = |base, overflow| Parts { base, overflow, overruled: None };
    let Some(ceiling) = given(merged, Key::MaxSize) else { return parts(base, overflow) };
    let rank = ceiling.source.rank();
    let stronger: Vec<_> = [(Key::BaseSize, &base), (Key::MaxOverflow, &overflow)]
        .iter()
        .filter(|(_, size)| size.source.rank() < rank)
        .map(|(key, size)| size.source.spelled(key.setting().name))
        .collect();
    if !stronger.is_empty() {
        let setting = ceiling.source.spelled("max_size");
        let overruled = Overruled { setting, value: ceiling.value, by: stronger.join(" + ") };
        return Parts { base, overflow, overruled: Some(overruled) };
    }
    let named = |key: Key, size: &Sourced<u32>| size.source.spelled(key.setting().name);
    let from_ceiling = |value| Sourced::new(value, ceiling.source.clone());
    match (base.source.rank() == rank, overflow.source.rank() == rank) {
        (false, false) => parts(from_ceiling(ceiling.value), from_ceiling(0)),
        (true, false) if base.value <= ceiling.value => {
            let rest = ceiling.value - base.value;
            parts(base, from_ceiling(rest))
        }
        (false, true) if overflow.value == ceiling.value && ceiling.value > 0 => {
            let (of, size) = (named(Key::MaxOverflow, &overflow), overflow.value);
            let rule = format!("must be above {of}, {size}: the rest is the base size, at least 1");
            faults.push(ceiling.source.spelled("max_size"), ceiling.value, rule);
            parts(base, overflow)
        }
        (false, true) if overflow.value <= ceiling.value => {
            let rest = ceiling.value - overflow.value;
            parts(from_ceiling(rest), overflow)
        }
        (true, true) if base.value.checked_add(overflow.value) == Some(ceiling.value) => {
            parts(base, overflow)
        }
        (with_base, with_overflow) => {
            let mut with = vec![];
            for (is_given, key, size) in
                [(with_base, Key::BaseSize, &base), (with_overflow, Key::MaxOverflow, &overflow)]
            {
                if is_given {
                    with.push(format!("{} = {}", named(key, size), size.value));
                }
            }
            let rule = format!("contradicts {}; it is their sum, or stands alone", with.join(" and "));
            faults.push(ceiling.source.spelled("max_size"), ceiling.value, rule);
            parts(base, overflow)
        }
    }
}
