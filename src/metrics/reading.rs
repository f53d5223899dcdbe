//! One pool, or one tier of a budget, at one moment.

use r2d2::ManageConnection;

use crate::config::{Settings, WaitMode};
use crate::pool::Pool;
use crate::report::PoolStatus;
use crate::stats::{FleetStatus, Stats};
use crate::tiers::{Tier, TieredPool};

/// What the label `pool` says of a tiered pool that was given no name.
const UNNAMED: &str = "tierpool";

/// What one pool tells, from one snapshot.
pub struct Reading {
    /// The program's pool, whichever tier this is.
    pub pool: String,
    pub tier: Option<Tier>,
    pub stats: Stats,
    pub status: PoolStatus,
    pub settings: Settings,
    /// Told along with the ad-hoc tier.
    pub budget: Option<Budget>,
    /// Told along with the automation tier.
    pub fleet: Option<FleetStatus>,
    /// The slots of its fleet for this tier: those that are taken, and all.
    pub fleet_slots: Option<[u32; 2]>,
}

/// What the tiers have together.
pub struct Budget {
    pub total: u32,
    /// Connections promised to the ad-hoc tier, and what it could have of them now.
    pub reserved: u32,
    pub free: u32,
}

impl Reading {
    pub(super) fn of_pool<M: ManageConnection>(pool: &Pool<M>) -> Self {
        let settings = pool.settings();
        Reading::new(settings.name.clone(), None, pool.stats(), settings)
    }

    pub(super) fn of_tiers<M: ManageConnection>(pool: &TieredPool<M>) -> [Self; 2] {
        let told = pool.figures(None);
        let of = |tier: Tier, stats: Stats| {
            Reading::new(name_of(&stats.pool, tier), Some(tier), stats, pool.tier(tier).settings())
        };
        let budget = Budget { total: told.total_connections, reserved: told.reserved, free: told.guaranteed };
        let slots = |of: fn(&FleetStatus) -> [u32; 2]| told.fleet.as_ref().map(of);
        let fleet_slots = slots(|fleet| [fleet.adhoc_held, fleet.adhoc_slots]);
        let adhoc = Reading { budget: Some(budget), fleet_slots, ..of(Tier::Adhoc, told.adhoc) };
        let fleet_slots = slots(|fleet| [fleet.slots_held, fleet.slots]);
        let automation = Reading { fleet: told.fleet, fleet_slots, ..of(Tier::Automation, told.automation) };
        [automation, adhoc]
    }

    fn new(pool: String, tier: Option<Tier>, stats: Stats, settings: Settings) -> Self {
        let status = PoolStatus::of(&stats);
        Reading { pool, tier, status, stats, settings, budget: None, fleet: None, fleet_slots: None }
    }

    /// How long a checkout waits, in seconds; `None` where it waits for ever.
    pub(super) fn connection_timeout(&self) -> Option<f64> {
        let is_timed = self.settings.wait_mode != WaitMode::Forever;
        is_timed.then_some(self.settings.connection_timeout.as_secs_f64())
    }
}

/// The name of the pool that a tier belongs to: a `PgBuilder` puts it in front of the tier's.
fn name_of(tier_name: &str, tier: Tier) -> String {
    match tier_name.strip_suffix(tier.as_str()) {
        Some("") => UNNAMED.to_owned(),
        Some(name) if name.ends_with('.') => name.trim_end_matches('.').to_owned(),
        _ => tier_name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::name_of;
    use crate::tiers::Tier;

    #[test]
    fn both_tiers_of_a_pool_go_by_its_name() {
        assert_eq!(name_of("billing.adhoc", Tier::Adhoc), "billing");
        assert_eq!(name_of("billing.automation", Tier::Automation), "billing");
        assert_eq!(name_of("automation", Tier::Automation), "tierpool");
        assert_eq!(name_of("nightadhoc", Tier::Adhoc), "nightadhoc", "a name of the program's own");
    }
}
