//! What may be done to a pool by way of the admin socket.

use std::fmt;

use r2d2::ManageConnection;

use crate::pool::Pool;
use crate::tiers::{Tier, TieredPool};

/// One thing to be done.
pub(super) enum Act {
    /// Replaces the connections of a tier, or of both.
    Drain(Option<Tier>),
    /// Stops lending.
    Suspend(Option<Tier>),
    /// Lends again.
    Resume(Option<Tier>),
    /// Changes sizes.
    Reconfigure(Sizes),
    /// Has the statement of a checkout cancelled, by the number of its connection.
    Cancel(u64),
}

/// Sizes to be changed; what is not given stays.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) total_connections: Option<u32>,
    pub(super) reserved: Option<u32>,
    pub(super) base_size: Option<u32>,
    pub(super) max_overflow: Option<u32>,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, tier) = match self {
            Act::Drain(tier) => ("drain", tier),
            Act::Suspend(tier) => ("suspend", tier),
            Act::Resume(tier) => ("resume", tier),
            Act::Cancel(id) => return write!(f, "cancel connection {id}"),
            Act::Reconfigure(sizes) => return write!(f, "reconfigure{sizes}"),
        };
        match tier {
            Some(tier) => write!(f, "{verb} {tier}"),
            None => write!(f, "{verb} both tiers"),
        }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = [
            ("total_connections", self.total_connections),
            ("reserved", self.reserved),
            ("base_size", self.base_size),
            ("max_overflow", self.max_overflow),
        ];
        for (name, size) in sizes {
            if let Some(size) = size {
                write!(f, " {name}={size}")?;
            }
        }
        Ok(())
    }
}

impl Act {
    /// Does it. Whether anything was done; of settings that cannot be, why.
    pub(super) fn on<M: ManageConnection>(&self, pool: &TieredPool<M>) -> Result<bool, String> {
        // Each of both, whatever the first says.
        let any = |tier: &Option<Tier>, each: &dyn Fn(&Pool<M>) -> bool| {
            let meant = |other: Tier| tier.is_none_or(|tier| tier == other);
            let both = [Tier::Automation, Tier::Adhoc].into_iter().filter(|tier| meant(*tier));
            both.fold(false, |done, tier| each(pool.tier(tier)) | done)
        };
        match self {
            Act::Drain(tier) => Ok(any(tier, &|pool| {
                pool.drain();
                true
            })),
            Act::Suspend(tier) => Ok(any(tier, &|pool| pool.suspend())),
            Act::Resume(tier) => Ok(any(tier, &|pool| pool.resume())),
            Act::Cancel(id) => Ok(any(&None, &|pool| pool.cancel_checkout(*id))),
            Act::Reconfigure(sizes) => sizes.adopt(pool).map(|()| true),
        }
    }
}

impl Sizes {
    fn adopt<M: ManageConnection>(&self, pool: &TieredPool<M>) -> Result<(), String> {
        let put = |place: &mut u32, size: Option<u32>| *place = size.unwrap_or(*place);
        let changed = pool.reconfigure(|settings| {
            put(&mut settings.total_connections, self.total_connections);
            put(&mut settings.reserved, self.reserved);
            put(&mut settings.automation.base_size, self.base_size);
            put(&mut settings.automation.max_overflow, self.max_overflow);
        });
        changed.map_err(|error| error.to_string())
    }
}
