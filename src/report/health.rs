//! Health as endpoints tell it: the one verdict, with the load and what to say of it.

use std::fmt;

use r2d2::ManageConnection;

use super::data::{PoolStats, PoolStatus};
use super::judgement::{Judgement, Tiers};
use super::verdict::{HIGH_LOAD, Load, Verdict};
use crate::stats::Stats;
use crate::tiers::{Tier, TieredPool};

/// From which utilisation on a tier's load is worth a warning, and from which it is high.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HealthThresholds {
    /// Percentage of the ceiling in use above which a warning is given. Default 70.
    pub warning_percent: f64,
    /// Percentage of the ceiling in use from which on the load is [`Load::High`]. Default 90.
    pub high_percent: f64,
}

impl Default for HealthThresholds {
    fn default() -> Self {
        HealthThresholds { warning_percent: 70.0, high_percent: HIGH_LOAD }
    }
}

/// The grades of health.
///
/// There may be more of them one day, so a `match` needs an arm for the rest:
///
/// ```compile_fail,E0004
/// use tierpool::report::HealthState;
///
/// fn is_fine(state: HealthState) -> bool {
///     match state {
///         HealthState::Healthy | HealthState::Warning => true,
///         HealthState::Unknown | HealthState::Unhealthy => false,
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum HealthState {
    /// Nothing to say.
    Healthy,
    /// Healthy, and the load is worth a look.
    Warning,
    /// Whether the server is there is not known: the verdict is [`Verdict::Unknown`].
    Unknown,
    /// Any other verdict but [`Verdict::Healthy`].
    Unhealthy,
}

impl HealthState {
    /// The name used in messages and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            HealthState::Healthy => "healthy",
            HealthState::Warning => "warning",
            HealthState::Unknown => "unknown",
            HealthState::Unhealthy => "unhealthy",
        }
    }
}

impl fmt::Display for HealthState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The verdict on both tiers with the load of one, in the form of a health endpoint; `Display` is the message.
///
/// In JSON (feature `serde`) it is `healthy`, `message` and `pool_stats`, and nothing else.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Health {
    /// Whether the verdict is [`Verdict::Healthy`]: the same as [`DatabaseStats::is_healthy`](super::DatabaseStats),
    /// whatever the load.
    pub healthy: bool,
    /// `Pool healthy`; else why not, or what there is to say of the load, in one line.
    pub message: String,
    /// The numbers of the tier.
    pub pool_stats: PoolStats,
    /// What is known of the server and the reserve.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub verdict: Verdict,
    /// How much of the tier is in use.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub load: Load,
    /// Verdict and load as one grade.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub state: HealthState,
}

impl Health {
    fn of(judgement: Judgement, tier: &Stats, thresholds: HealthThresholds) -> Self {
        let pool_stats = PoolStats::from(PoolStatus::of(tier));
        let load = Load::of(tier, thresholds.high_percent);
        let PoolStats { pool_size, checked_out, utilization_percent: percent, .. } = pool_stats;
        let used = format!("{checked_out} of {} connections in use ({percent:.1} %)", tier.ceiling);
        let (state, message) = match (judgement.verdict, load) {
            (Verdict::Unknown, _) => (HealthState::Unknown, judgement.message),
            (verdict, _) if verdict != Verdict::Healthy => (HealthState::Unhealthy, judgement.message),
            (_, Load::High) => (HealthState::Warning, format!("High load: {used}")),
            (_, Load::Overflow) => {
                (HealthState::Warning, format!("Overflow: {used}, more than the base size of {pool_size}"))
            }
            (_, Load::Normal) if percent > thresholds.warning_percent => {
                (HealthState::Warning, format!("Pool healthy, and filling: {used}"))
            }
            (_, Load::Normal) => (HealthState::Healthy, "Pool healthy".to_owned()),
        };
        let (verdict, healthy) = (judgement.verdict, judgement.verdict == Verdict::Healthy);
        Health { healthy, message, pool_stats, verdict, load, state }
    }

    /// Whether the verdict is [`Verdict::Healthy`].
    pub fn is_healthy(&self) -> bool {
        self.healthy
    }

    /// The same without a cause, which may name a server, a role or a database.
    #[cfg(feature = "http")]
    pub(crate) fn in_brief(self) -> Self {
        let message = match self.verdict {
            Verdict::Unreachable => "Unreachable",
            Verdict::CircuitOpen => "Circuit open",
            Verdict::Exhausted => "EXHAUSTED: no connection left for ad-hoc work",
            Verdict::Healthy | Verdict::Unknown | Verdict::Suspended | Verdict::Closed => return self,
        };
        Health { message: message.to_owned(), ..self }
    }

    /// What an endpoint answers that a load balancer asks: 200 where the pool is healthy and its load normal, else
    /// 503, so that no more work is sent here.
    pub fn http_status(&self) -> u16 {
        if self.healthy && self.load == Load::Normal { 200 } else { 503 }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<M: ManageConnection> TieredPool<M> {
    /// Tells the verdict, with the load of the automation tier by the default thresholds. Asks nobody.
    ///
    /// ```
    /// use tierpool::{MemoryManager, Tier, TieredPool};
    ///
    /// let pool = TieredPool::builder().build(|_| MemoryManager)?;
    /// drop(pool.get(Tier::Automation)?); // the server has been seen
    /// let health = pool.check_pool_health();
    /// assert!(health.is_healthy());
    /// assert_eq!((health.to_string().as_str(), health.http_status()), ("Pool healthy", 200));
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn check_pool_health(&self) -> Health {
        self.check_pool_health_with(Tier::Automation, HealthThresholds::default())
    }

    /// Tells the verdict, with the load of a tier by thresholds of one's own. Asks nobody.
    pub fn check_pool_health_with(&self, tier: Tier, thresholds: HealthThresholds) -> Health {
        let (automation, adhoc) = (self.automation().stats(), self.adhoc().stats());
        let judgement = Judgement::of(Tiers {
            automation: &automation,
            adhoc: &adhoc,
            reserved: self.reserved(),
            adhoc_is_apart: self.adhoc_is_apart(),
        });
        let judged = match tier {
            Tier::Automation => automation,
            Tier::Adhoc => adhoc,
        };
        Health::of(judgement, &judged, thresholds)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::stats::{BreakerState, Contact, ContactFailure};

    fn seen(seconds: u64) -> Contact {
        Contact { last_seen: Some(Duration::from_secs(seconds)), failure: None }
    }

    fn stats(in_use: u32) -> Stats {
        let mut stats = Stats { ceiling: 20, base_size: 16, ..Stats::default() };
        (stats.gauges.in_use, stats.lent) = (in_use, in_use);
        stats
    }

    fn judged(automation: &Stats, contact: &Contact) -> Health {
        let adhoc = Stats { ceiling: 5, base_size: 5, contact: contact.clone(), ..Stats::default() };
        let tiers = Tiers { automation, adhoc: &adhoc, reserved: 5, adhoc_is_apart: false };
        let judgement = Judgement::of(tiers);
        Health::of(judgement, automation, HealthThresholds::default())
    }

    #[test]
    fn a_load_is_told_and_leaves_the_pool_healthy() {
        let told = |in_use| {
            let health = judged(&stats(in_use), &seen(0));
            assert!(health.is_healthy(), "{health}");
            (health.state, health.load, health.http_status(), health.message)
        };
        assert_eq!(told(14), (HealthState::Healthy, Load::Normal, 200, "Pool healthy".to_owned()));
        let filling = "Pool healthy, and filling: 15 of 20 connections in use (75.0 %)".to_owned();
        assert_eq!(told(15), (HealthState::Warning, Load::Normal, 200, filling));
        let overflow =
            "Overflow: 17 of 20 connections in use (85.0 %), more than the base size of 16".to_owned();
        assert_eq!(told(17), (HealthState::Warning, Load::Overflow, 503, overflow));
        let high = "High load: 18 of 20 connections in use (90.0 %)".to_owned();
        assert_eq!(told(18), (HealthState::Warning, Load::High, 503, high));
    }

    #[test]
    fn an_open_breaker_is_unhealthy_names_its_cause_and_leaves_nothing_available() {
        let mut stats = stats(0);
        stats.breaker = BreakerState::Open;
        stats.last_open_failure = Some("refused".into());
        let health = judged(&stats, &seen(0));
        assert!(!health.is_healthy());
        assert_eq!((health.message.as_str(), health.http_status()), ("Circuit open: refused", 503));
        assert_eq!(health.pool_stats.available, 0);
    }

    #[test]
    fn a_server_that_was_not_seen_is_never_healthy() {
        let told = |in_use, contact: &Contact| {
            let health = judged(&stats(in_use), contact);
            assert_eq!(health.healthy, health.verdict == Verdict::Healthy);
            (health.state, health.message)
        };
        assert_eq!(told(0, &seen(60)).0, HealthState::Healthy);
        assert_eq!(
            told(0, &seen(61)),
            (HealthState::Unknown, "Unknown: the server was last seen 61.0 s ago".to_owned())
        );
        let failure = ContactFailure::new(Duration::from_secs(3), Duration::from_secs(2), "refused".into());
        let failing = Contact { failure: Some(failure), ..seen(9) };
        for in_use in [0, 18] {
            let unreachable = (HealthState::Unhealthy, "Unreachable: refused, 2.0 s ago".to_owned());
            assert_eq!(told(in_use, &failing), unreachable);
            assert_eq!(told(in_use, &Contact::default()).0, HealthState::Unknown);
        }
    }
}
