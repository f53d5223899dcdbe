//! The numbers of both tiers in one value.

use std::fmt;
use std::time::Duration;

use log::Level;
use r2d2::ManageConnection;

use super::judgement::{Judgement, Tiers, available};
use super::verdict::{HIGH_LOAD, Load, Verdict};
use crate::config::utilization;
use crate::lines::say;
use crate::stats::{Contact, FleetStatus, Gauges, Holder, Stats, Waiting};
use crate::tiers::{Tier, TieredPool};

/// Holds longer than this are shown in the status box.
const LONG_HOLD: Duration = Duration::from_secs(10);

/// Both tiers at one moment; `Display` is the status box.
///
/// The first fields are the automation tier's view, as the box shows it; [`DatabaseStats::automation`] and
/// [`DatabaseStats::adhoc`] hold everything that each tier counts.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct DatabaseStats {
    /// Automation connections in use.
    pub in_use: u32,
    /// Automation connections that could still be taken: idle, or not opened yet. With the circuit open none, since
    /// none can be opened and those that are idle may be as dead as the server; and none where nothing is lent.
    pub available: u32,
    /// Automation connections above the base size.
    pub overflow: u32,
    /// The automation tier's ceiling.
    pub total_possible: u32,
    /// Connections that are the ad-hoc tier's own.
    pub reserved: u32,
    /// Ad-hoc connections that nobody has: what is left of the reserve, as far as it is there. With the circuit open
    /// none, nor where nothing is lent.
    pub guaranteed: u32,
    /// The budget of both tiers.
    pub total_connections: u32,
    /// The fleet that the budget is shared in, where it is; see [`guide::fleet`](crate::guide).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub fleet: Option<FleetStatus>,
    /// What the budget is called: by whose limit it is set.
    pub limit_name: &'static str,
    /// Whether the verdict is [`Verdict::Healthy`]. A high load is none of it: see [`DatabaseStats::load`].
    pub is_healthy: bool,
    /// Whether the pool lends, and server and reserve are there, as far as that is known without asking.
    pub verdict: Verdict,
    /// The verdict with its reason, in one line: the last one of the box, but for a high load.
    pub message: String,
    /// How much of the automation tier is in use.
    pub load: Load,
    /// When the server was last seen by either tier, and what has failed since. Where each tier has a server or a role
    /// of its own, of that which the verdict speaks of; [`Stats::contact`] has each.
    pub contact: Contact,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) adhoc_is_apart: bool,
    /// The automation tier.
    pub automation: Stats,
    /// The ad-hoc tier.
    pub adhoc: Stats,
    /// Checkouts of either tier that are out for longer than 10 s, the longest first.
    pub long_holders: Vec<Holder>,
    /// Threads waiting in either tier, automation's queue first.
    pub waiters: Vec<Waiting>,
}

/// One tier's sizes, by SQLAlchemy's names; `Display` is one line. In JSON the utilisation has one decimal.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PoolStatus {
    /// The base size.
    pub size: u32,
    /// Idle connections.
    pub checked_in: u32,
    /// Connections in use.
    pub checked_out: u32,
    /// Connections above the base size.
    pub overflow: u32,
    /// Connections open or being opened.
    pub total_connections: u32,
    /// Connections that could still be taken: idle, or not opened yet. With the circuit open none, since none can be
    /// opened and those that are idle may be as dead as the server; and none where nothing is lent.
    pub available: u32,
    /// Connections in use as a percentage of the ceiling.
    #[cfg_attr(feature = "serde", serde(serialize_with = "one_decimal"))]
    pub utilization_percent: f64,
}

/// What health endpoints tell of one tier; `Display` is one line. In JSON the utilisation has one decimal.
///
/// ```
/// use tierpool::{MemoryManager, TieredPool};
///
/// let pool = TieredPool::builder().build(|_| MemoryManager)?;
/// let stats = pool.get_pool_stats();
/// assert_eq!((stats.pool_size, stats.available, stats.utilization_percent), (50, 55, 0.0));
/// # Ok::<(), tierpool::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PoolStats {
    /// The base size.
    pub pool_size: u32,
    /// Connections in use.
    pub checked_out: u32,
    /// Connections above the base size.
    pub overflow: u32,
    /// Connections open or being opened.
    pub total_connections: u32,
    /// As [`PoolStatus::available`].
    pub available: u32,
    /// Connections in use as a percentage of the ceiling.
    #[cfg_attr(feature = "serde", serde(serialize_with = "one_decimal"))]
    pub utilization_percent: f64,
}

impl From<PoolStatus> for PoolStats {
    fn from(status: PoolStatus) -> Self {
        let PoolStatus {
            size, checked_out, overflow, total_connections, available, utilization_percent, ..
        } = status;
        PoolStats {
            pool_size: size,
            checked_out,
            overflow,
            total_connections,
            available,
            utilization_percent,
        }
    }
}

impl fmt::Display for PoolStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PoolStats { pool_size, checked_out, overflow, total_connections, available, .. } = self;
        write!(f, "pool_size={pool_size} checked_out={checked_out} overflow={overflow}")?;
        write!(f, " total_connections={total_connections} available={available}")?;
        write!(f, " utilization_percent={:.1}", self.utilization_percent)
    }
}

#[cfg(feature = "serde")]
fn one_decimal<S: serde::Serializer>(percent: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((percent * 10.0).round() / 10.0)
}

impl PoolStatus {
    pub(crate) fn of(stats: &Stats) -> Self {
        let gauges = stats.gauges;
        PoolStatus {
            size: stats.base_size,
            checked_in: gauges.idle,
            checked_out: gauges.in_use,
            overflow: stats.overflow,
            total_connections: gauges.size(),
            available: available(stats),
            utilization_percent: utilization(gauges.in_use, stats.ceiling),
        }
    }
}

impl fmt::Display for PoolStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PoolStatus { size, checked_in, checked_out, overflow, utilization_percent, .. } = self;
        write!(f, "{checked_out} in use ({utilization_percent:.0} %), {checked_in} idle")?;
        write!(f, ", base size {size}, {overflow} above it, {} available", self.available)
    }
}

impl DatabaseStats {
    /// The same with who has had a connection for long, and who waits.
    pub(crate) fn with_people(self, long_holders: Vec<Holder>, waiters: Vec<Waiting>) -> Self {
        DatabaseStats { long_holders, waiters, ..self }
    }
}

impl<M: ManageConnection> TieredPool<M> {
    /// Returns the numbers of both tiers. Asks nobody: whether the server is there is told from what was seen of it
    /// within 60 s, and else not known.
    ///
    /// ```
    /// use tierpool::report::Verdict;
    /// use tierpool::{MemoryManager, Tier, TieredPool};
    ///
    /// let pool = TieredPool::builder().build(|_| MemoryManager)?; // has opened nothing yet
    /// assert_eq!(pool.get_database_stats().verdict, Verdict::Unknown);
    /// let conn = pool.get(Tier::Automation)?;
    /// let stats = pool.get_database_stats();
    /// assert_eq!((stats.in_use, stats.available, stats.total_possible), (1, 54, 55));
    /// assert!(stats.is_healthy);
    /// # drop(conn);
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn get_database_stats(&self) -> DatabaseStats {
        self.database_stats(None)
    }

    /// The numbers after a question to the server, with the gauges of the ad-hoc tier from before it: the connection
    /// that the question took may still be on its way back.
    pub(super) fn database_stats(&self, adhoc_gauges: Option<Gauges>) -> DatabaseStats {
        let mut waiters = self.automation().waiters();
        waiters.extend(self.adhoc().waiters());
        self.figures(adhoc_gauges).with_people(self.long_holders(), waiters)
    }

    /// Who has had a connection for long, in either tier, the longest first.
    pub(crate) fn long_holders(&self) -> Vec<Holder> {
        let mut holders = self.automation().holders();
        holders.extend(self.adhoc().holders());
        holders.retain(|holder| holder.held > LONG_HOLD);
        holders.sort_by_key(|holder| std::cmp::Reverse(holder.held));
        holders
    }

    /// The numbers alone, without who has connections and who waits: what that takes does not grow with them.
    pub(crate) fn figures(&self, adhoc_gauges: Option<Gauges>) -> DatabaseStats {
        let (automation, mut adhoc) = (self.automation().stats(), self.adhoc().stats());
        adhoc.gauges = adhoc_gauges.unwrap_or(adhoc.gauges);
        let status = PoolStatus::of(&automation);
        let (reserved, adhoc_is_apart) = (self.reserved(), self.adhoc_is_apart());
        let judgement =
            Judgement::of(Tiers { automation: &automation, adhoc: &adhoc, reserved, adhoc_is_apart });
        DatabaseStats {
            in_use: status.checked_out,
            available: judgement.available,
            overflow: status.overflow,
            total_possible: automation.ceiling,
            reserved,
            guaranteed: judgement.guaranteed,
            total_connections: self.total_connections(),
            fleet: self.fleet(),
            limit_name: self.limit_name(),
            is_healthy: judgement.verdict == Verdict::Healthy,
            verdict: judgement.verdict,
            message: judgement.message,
            load: Load::of(&automation, HIGH_LOAD),
            contact: judgement.contact,
            adhoc_is_apart,
            automation,
            adhoc,
            long_holders: Vec::new(),
            waiters: Vec::new(),
        }
    }

    /// Returns a tier's sizes, by SQLAlchemy's names.
    ///
    /// ```
    /// use tierpool::{MemoryManager, Tier, TieredPool};
    ///
    /// let pool = TieredPool::builder().build(|_| MemoryManager)?;
    /// drop(pool.get(Tier::Adhoc)?);
    /// let status = pool.get_pool_status(Tier::Adhoc);
    /// assert_eq!((status.size, status.checked_out, status.available), (5, 0, 5));
    /// assert_eq!(status.to_string(), "0 in use (0 %), 1 idle, base size 5, 0 above it, 5 available");
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn get_pool_status(&self, tier: Tier) -> PoolStatus {
        PoolStatus::of(&self.tier(tier).stats())
    }

    /// Returns what health endpoints tell of the automation tier.
    pub fn get_pool_stats(&self) -> PoolStats {
        self.get_pool_status(Tier::Automation).into()
    }

    /// Logs the figures of each tier in a line, at info, with the tier's log target.
    pub fn log_pool_stats(&self) {
        for tier in [Tier::Automation, Tier::Adhoc] {
            let pool = self.tier(tier);
            let waiting = pool.gauges().waiting;
            let stats = PoolStats::from(self.get_pool_status(tier));
            say!(
                Level::Info,
                pool.origin(),
                [
                    pool_size = stats.pool_size,
                    checked_out = stats.checked_out,
                    overflow = stats.overflow,
                    total_connections = stats.total_connections,
                    available = stats.available,
                    utilization_percent = stats.utilization_percent,
                    waiting = waiting,
                ],
                "{stats} waiting={waiting}"
            );
        }
    }
}
