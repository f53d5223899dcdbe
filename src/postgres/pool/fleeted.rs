//! The fleet that a pool may be part of.

use std::borrow::Cow;
use std::sync::Arc;

use super::pg_pool::PgPool;
use crate::config::{Faults, Key, PgBouncer, PgSettings};
use crate::postgres::open::{Admission, PgManager};

/// What a pool is in its fleet.
pub(crate) struct FleetPlan {
    pub(crate) name: String,
    pub(crate) weight: u32,
    pub(crate) total: u32,
    pub(crate) reserve: u32,
    /// The ad-hoc tier is in the same database as automation.
    pub(crate) adhoc_is_beside: bool,
    /// Name, weight and total as whoever set them wrote them.
    pub(crate) spelled: [String; 3],
}

impl FleetPlan {
    /// The one that settings name, if they do; they have one server for both tiers.
    pub(crate) fn of(settings: &PgSettings) -> Option<Self> {
        let name = settings.fleet.clone()?;
        let spelled = [
            (Key::Fleet, "fleet"),
            (Key::FleetWeight, "fleet_weight"),
            (Key::TotalConnections, "total_connections"),
        ];
        Some(FleetPlan {
            name,
            weight: settings.fleet_weight,
            total: settings.total_connections,
            reserve: settings.reserved,
            adhoc_is_beside: true,
            spelled: spelled.map(|(key, name)| settings.source(key).spelled(name)),
        })
    }
}

/// A pool's part in a fleet: who lets its tiers' connections in, and is told of the pool when that is there.
pub(crate) struct Founded {
    /// Of the automation tier, and of the ad-hoc tier.
    pub(crate) admissions: [Arc<dyn Admission>; 2],
    pub(crate) join: Join,
}

/// Is told of the pool, when that is there.
pub(super) type Join = Box<dyn FnOnce(&PgPool)>;

/// Makes a part in a fleet of a plan.
pub(crate) trait Founding {
    /// Fails with every fault of the plan.
    fn found(self) -> Result<Founded, Faults>;
}

/// The settings that count for a pool that may be meant to stay outside of the fleet that they name.
pub(super) fn taken_in(settings: &PgSettings, is_outside: bool) -> Cow<'_, PgSettings> {
    let mut settings = Cow::Borrowed(settings);
    if is_outside {
        settings.to_mut().fleet = None;
    }
    settings
}

/// Has the connections of both tiers ask their fleet, where the settings name one. Returns who is to be told of the
/// pool.
pub(super) fn found(settings: &PgSettings, managers: [&mut PgManager; 2]) -> Result<Join, Faults> {
    let Some(plan) = FleetPlan::of(settings) else { return Ok(Box::new(|_| ())) };
    let is_pooled = |manager: &PgManager| matches!(manager.options().pgbouncer, Some(PgBouncer::Transaction));
    if managers.iter().any(|manager| is_pooled(manager)) {
        let mut faults = Faults::new();
        let rule = "must be a session's own: behind a PgBouncer in transaction mode no session keeps a lock";
        faults.push("fleet", plan.name, rule);
        return Err(faults);
    }
    let plan = FleetPlan { adhoc_is_beside: managers[0].leads_where(managers[1]), ..plan };
    let Founded { admissions, join } = plan.found()?;
    for (manager, admission) in managers.into_iter().zip(admissions) {
        manager.admit_by(admission);
    }
    Ok(join)
}
