//! The settings of two tiers and their budget, and the rules between them.

use super::Tier;
use crate::config::{Faults, Settings};

/// What [`TieredPool::reconfigure`](super::TieredPool::reconfigure) changes in one step.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TieredSettings {
    /// The budget: the connections that both tiers may have on the server together.
    pub total_connections: u32,
    /// How many of them are the ad-hoc tier's own. Where this is changed, its base size follows it, without overflow.
    pub reserved: u32,
    /// The automation tier.
    pub automation: Settings,
    /// The ad-hoc tier.
    pub adhoc: Settings,
}

impl TieredSettings {
    /// Has the ad-hoc tier's size follow a `reserved` that was changed, unless that size itself was changed.
    pub(super) fn completed(mut self, before: &TieredSettings) -> Self {
        let sizes = |settings: &TieredSettings| (settings.adhoc.base_size, settings.adhoc.max_overflow);
        if self.reserved != before.reserved && sizes(&self) == sizes(before) {
            (self.adhoc.base_size, self.adhoc.max_overflow) = (self.reserved, 0);
        }
        self.automation = self.automation.completed(&before.automation);
        self.adhoc = self.adhoc.completed(&before.adhoc);
        self
    }

    pub(super) fn check(&self) -> Faults {
        let mut faults = Faults::new();
        let tiers = [(Tier::Automation, self.automation.check()), (Tier::Adhoc, self.adhoc.check())];
        push(&mut faults, &tiers);
        check_budget(self.total_connections, self.reserved, &self.automation, &self.adhoc, &mut faults);
        let ceiling = self.adhoc.ceiling();
        let rule = format!("must be the ceiling of the ad-hoc tier, which is {ceiling}");
        faults.require(self.reserved == ceiling, "reserved", self.reserved, rule);
        faults
    }
}

/// Takes over the faults of each tier, with its name.
pub(super) fn push(faults: &mut Faults, tiers: &[(Tier, Faults)]) {
    for (tier, found) in tiers {
        for fault in found {
            faults.push(format!("{tier}.{}", fault.setting), &fault.found, fault.rule.clone());
        }
    }
}

/// The rules of the budget.
pub(super) fn check_budget(
    total: u32,
    reserved: u32,
    automation: &Settings,
    adhoc: &Settings,
    faults: &mut Faults,
) {
    faults.require(reserved > 0, "reserved", reserved, "must be at least 1");
    let parts = [automation.base_size, automation.max_overflow, adhoc.base_size, adhoc.max_overflow];
    let sum: u64 = parts.into_iter().map(u64::from).sum();
    faults.require(
        sum <= u64::from(total),
        "total_connections",
        total,
        format!(
            "must be at least {sum}: automation {} + overflow {} + reserved {}",
            automation.base_size,
            automation.max_overflow,
            adhoc.ceiling()
        ),
    );
}
