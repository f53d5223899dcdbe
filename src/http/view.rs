//! What of a pool is told, without keeping it open.

use std::time::SystemTime;

use r2d2::ManageConnection;
use serde::Serialize;

#[cfg(unix)]
use super::acts::Act;
#[cfg(unix)]
use crate::event::EventReceiver;
use crate::metrics;
use crate::report::{DatabaseStats, Health};
use crate::stats::{Contact, Holder, Waiting};
use crate::text::Ago;
use crate::tiers::{Answer, Asked, Asker, Tier, TieredPool, WeakTieredPool};

/// Waiters of a tier that are listed; the gauge `waiting` counts them all.
const WAITERS_LISTED: usize = 1000;

/// Events of a tier that are kept for who listens.
#[cfg(unix)]
pub(super) const EVENTS_KEPT: usize = 1000;

/// For how long a sign of life says that a server answers that cannot be asked.
const SEEN_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);

/// Something of each tier.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Tiers<T> {
    pub(super) automation: T,
    pub(super) adhoc: T,
}

impl<T> Tiers<T> {
    fn of(mut each: impl FnMut(Tier) -> T) -> Self {
        Tiers { automation: each(Tier::Automation), adhoc: each(Tier::Adhoc) }
    }
}

/// What is drawn of a tier.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Sample {
    in_use: u32,
    waiting: u32,
    ceiling: u32,
}

/// Everything that a pool tells of itself.
#[derive(Serialize)]
pub(super) struct Everything {
    #[serde(flatten)]
    pub(super) stats: DatabaseStats,
    /// Who has connections, the longest first.
    pub(super) holders: Tiers<Vec<Holder>>,
    /// Who waits, in the order of the queues.
    pub(super) queues: Tiers<Vec<Waiting>>,
    /// By which numbers the server knows the connections, where that is known.
    backend_pids: Tiers<Vec<i32>>,
    /// For how long a checkout waits at the most.
    connection_timeout_seconds: Tiers<f64>,
    /// Seconds since 1970.
    taken_at: f64,
}

impl Everything {
    fn of<M: ManageConnection>(pool: &TieredPool<M>) -> Self {
        let queues = Tiers::of(|tier| pool.tier(tier).first_waiters(WAITERS_LISTED));
        let waiters = queues.automation.iter().chain(&queues.adhoc).take(WAITERS_LISTED).cloned().collect();
        let long_holders = pool.long_holders();
        Everything {
            stats: pool.figures(None).with_people(long_holders, waiters),
            holders: Tiers::of(|tier| pool.tier(tier).holders()),
            queues,
            backend_pids: Tiers::of(|tier| pool.tier(tier).backend_pids()),
            connection_timeout_seconds: Tiers::of(|tier| pool.tier(tier).connection_timeout().as_secs_f64()),
            taken_at: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64(),
        }
    }
}

/// A pool as the handlers see it; each answer is `None` once its last handle is gone.
pub(super) trait View: Send + Sync {
    /// Everything that it tells.
    fn everything(&self) -> Option<Everything>;

    /// Its verdict and load.
    fn health(&self) -> Option<Health>;

    /// What is scraped of it.
    fn metrics(&self) -> Option<String>;

    /// A moment of both tiers.
    fn sample(&self) -> Option<Tiers<Sample>>;

    /// Asks the database whether it answers, within the limit that the database layer has for that. Blocks.
    fn check(&self) -> Option<Answer>;

    /// What happens from now on, of each tier as much as is kept. Costs checkouts something for as long.
    #[cfg(unix)]
    fn subscribe(&self) -> Option<Tiers<EventReceiver>>;

    /// Does something to it.
    #[cfg(unix)]
    fn act(&self, act: &Act) -> Option<Result<bool, String>>;
}

impl<M: ManageConnection> View for WeakTieredPool<M> {
    fn everything(&self) -> Option<Everything> {
        Some(Everything::of(&self.upgrade()?))
    }

    fn health(&self) -> Option<Health> {
        Some(self.upgrade()?.check_pool_health())
    }

    fn metrics(&self) -> Option<String> {
        Some(metrics::text(&self.upgrade()?))
    }

    fn sample(&self) -> Option<Tiers<Sample>> {
        let pool = self.upgrade()?;
        Some(Tiers::of(|tier| {
            let (pool, gauges) = (pool.tier(tier), pool.tier(tier).gauges());
            Sample { in_use: gauges.in_use, waiting: gauges.waiting, ceiling: pool.max_size() }
        }))
    }

    fn check(&self) -> Option<Answer> {
        let pool = self.upgrade()?;
        let asked = pool.ask_server(Asker::Probe);
        let contact = || pool.figures(None).contact;
        Some(match asked {
            Some(Asked::Found(answer)) => answer,
            Some(Asked::NoConnection) => unasked(&contact()),
            None => by_contact(&contact()),
        })
    }

    #[cfg(unix)]
    fn subscribe(&self) -> Option<Tiers<EventReceiver>> {
        let pool = self.upgrade()?;
        Some(Tiers::of(|tier| pool.tier(tier).subscribe(EVENTS_KEPT)))
    }

    #[cfg(unix)]
    fn act(&self, act: &Act) -> Option<Result<bool, String>> {
        Some(act.on(&self.upgrade()?))
    }
}

/// What is known of a server that could be asked, had the pool a connection for it: it is there until something has
/// failed. How long ago it was seen says nothing, for connections that are out may rest.
fn unasked(contact: &Contact) -> Answer {
    let (healthy, brief) = match contact.failure {
        None => (true, "not asked, since no connection was free; nothing has failed"),
        Some(_) => (false, "not asked, since no connection was free; what was tried last has failed"),
    };
    Answer { healthy, message: format!("not asked, since no connection was free: {contact}"), brief }
}

/// What is known of a server that cannot be asked.
fn by_contact(contact: &Contact) -> Answer {
    let (message, brief) = match (&contact.failure, contact.last_seen) {
        (None, Some(ago)) => (format!("the server was seen {}", Ago(ago)), "by the last sign of life"),
        (None, None) => (contact.to_string(), "not seen yet"),
        (Some(_), _) => (contact.to_string(), "what was tried last has failed"),
    };
    Answer { healthy: contact.is_within(SEEN_WITHIN), message, brief }
}
