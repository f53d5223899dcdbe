//! The fleet that a pool may be part of.

use std::borrow::Cow;
use std::sync::Arc;

use super::pg_pool::PgPool;
use crate::config::{Faults, PgBouncer, PgSettings};
use crate::postgres::open::{Admission, PgManager};

/// What a pool is in its fleet.
pub(crate) struct FleetPlan {
    pub(crate) name: String,
    pub(crate) weight: u32,
    pub(crate) total: u32,
    pub(crate) reserve: u32,
}

impl FleetPlan {
    /// The one that settings name, if they do.
    pub(crate) fn of(settings: &PgSettings) -> Option<Self> {
        let name = settings.fleet.clone()?;
        let (weight, total) = (settings.fleet_weight, settings.total_connections);
        Some(FleetPlan { name, weight, total, reserve: settings.reserved })
    }
}

/// A pool's part in a fleet: who lets its connections in, and is told of the pool when that is there.
pub(crate) struct Founded {
    pub(crate) admission: Arc<dyn Admission>,
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

/// Has the automation tier's connections ask their fleet, where the settings name one. Returns who is to be told of the
/// pool.
pub(super) fn found(settings: &PgSettings, automation: &mut PgManager) -> Result<Join, Faults> {
    let Some(plan) = FleetPlan::of(settings) else { return Ok(Box::new(|_| ())) };
    if matches!(settings.pgbouncer, Some(PgBouncer::Transaction)) {
        let mut faults = Faults::new();
        let rule = "must be a session's own: behind a PgBouncer in transaction mode no session keeps a lock";
        faults.push("fleet", plan.name, rule);
        return Err(faults);
    }
    let Founded { admission, join } = plan.found()?;
    automation.admit_by(admission);
    Ok(join)
}
