//! Health by utilisation, with thresholds of one's own.

use std::fmt;

use r2d2::ManageConnection;

use super::data::PoolStatus;
use super::verdict::{SEEN_WITHIN, contact_of_both};
use crate::stats::{BreakerState, Contact, Stats};
use crate::tiers::{Tier, TieredPool};

/// From which utilisation on a tier is worth a warning, and from which it is unhealthy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HealthThresholds {
    /// Percentage of the ceiling in use above which a warning is given. Default 70.
    pub warning_percent: f64,
    /// Percentage of the ceiling in use above which the tier is unhealthy. Default 90.
    pub unhealthy_percent: f64,
}

impl Default for HealthThresholds {
    fn default() -> Self {
        HealthThresholds { warning_percent: 70.0, unhealthy_percent: 90.0 }
    }
}

/// The grades of health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum HealthState {
    /// Nothing to say.
    Healthy,
    /// Still working, and worth a look.
    Warning,
    /// Not full, and whether the server is there is not known: nothing was heard of it within 60 s.
    Unknown,
    /// About to fail its callers, or failing them.
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

/// How full one tier is, judged by thresholds, and never healthy without a server; `Display` is the grade with its
/// reason. What both tiers promise is another matter: see [`Verdict`](super::Verdict).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Health {
    /// The tier's grade.
    pub state: HealthState,
    /// Why, in one sentence.
    pub message: String,
    /// The numbers judged.
    pub status: PoolStatus,
}

impl Health {
    fn of(stats: &Stats, contact: &Contact, thresholds: HealthThresholds) -> Self {
        let status = PoolStatus::of(stats);
        let percent = status.utilization_percent;
        let (state, message) = if stats.breaker != BreakerState::Closed {
            let cause = stats.last_open_failure.as_deref().unwrap_or("no cause known");
            (HealthState::Unhealthy, format!("the circuit breaker is open: {cause}"))
        } else if contact.failure.is_some() {
            (HealthState::Unhealthy, format!("the server cannot be reached: {contact}"))
        } else if percent > thresholds.unhealthy_percent {
            let limit = thresholds.unhealthy_percent;
            (
                HealthState::Unhealthy,
                format!("{percent:.0} % of the connections are in use, above {limit:.0} %"),
            )
        } else if !contact.is_within(SEEN_WITHIN) {
            (HealthState::Unknown, format!("the server was {contact}"))
        } else if status.overflow > status.size {
            let (overflow, size) = (status.overflow, status.size);
            (
                HealthState::Warning,
                format!("{overflow} overflow connections, more than the base size of {size}"),
            )
        } else if percent > thresholds.warning_percent {
            let limit = thresholds.warning_percent;
            (
                HealthState::Warning,
                format!("{percent:.0} % of the connections are in use, above {limit:.0} %"),
            )
        } else {
            (HealthState::Healthy, format!("{percent:.0} % of the connections are in use"))
        };
        Health { state, message, status }
    }

    /// Whether the tier serves its callers: healthy, or with a warning.
    pub fn is_healthy(&self) -> bool {
        matches!(self.state, HealthState::Healthy | HealthState::Warning)
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.state, self.message)
    }
}

impl<M: ManageConnection> TieredPool<M> {
    /// Judges the automation tier by the default thresholds.
    ///
    /// ```
    /// use tierpool::{MemoryManager, Tier, TieredPool};
    ///
    /// let pool = TieredPool::builder().build(|_| MemoryManager)?;
    /// drop(pool.get(Tier::Automation)?); // the server has been seen
    /// let health = pool.check_pool_health();
    /// assert!(health.is_healthy());
    /// assert_eq!(health.to_string(), "healthy: 0 % of the connections are in use");
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn check_pool_health(&self) -> Health {
        self.check_pool_health_with(Tier::Automation, HealthThresholds::default())
    }

    /// Judges a tier by thresholds of one's own. Asks nobody.
    pub fn check_pool_health_with(&self, tier: Tier, thresholds: HealthThresholds) -> Health {
        let (automation, adhoc) = (self.automation().stats(), self.adhoc().stats());
        let contact = contact_of_both(&automation, &adhoc);
        let judged = match tier {
            Tier::Automation => automation,
            Tier::Adhoc => adhoc,
        };
        Health::of(&judged, &contact, thresholds)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn judged(stats: &Stats, contact: &Contact) -> Health {
        Health::of(stats, contact, HealthThresholds::default())
    }

    fn seen(seconds: u64) -> Contact {
        Contact::new(Some(Duration::from_secs(seconds)), None)
    }

    fn stats(in_use: u32, overflow: u32) -> Stats {
        let mut stats = Stats { ceiling: 10, base_size: 2, overflow, ..Stats::default() };
        stats.gauges.in_use = in_use;
        stats
    }

    #[test]
    fn the_grades_begin_above_their_thresholds() {
        let state = |in_use, overflow| judged(&stats(in_use, overflow), &seen(0)).state;
        assert_eq!(state(7, 0), HealthState::Healthy);
        assert_eq!(state(8, 0), HealthState::Warning);
        assert_eq!(state(9, 0), HealthState::Warning);
        assert_eq!(state(10, 0), HealthState::Unhealthy);
        assert_eq!(state(3, 2), HealthState::Healthy);
        assert_eq!(state(3, 3), HealthState::Warning);
    }

    #[test]
    fn an_open_breaker_is_unhealthy_and_names_its_cause() {
        let mut stats = stats(0, 0);
        stats.breaker = BreakerState::Open;
        stats.last_open_failure = Some("refused".into());
        let health = judged(&stats, &seen(0));
        assert!(!health.is_healthy());
        assert_eq!(health.message, "the circuit breaker is open: refused");
    }

    #[test]
    fn a_server_that_was_not_seen_is_never_healthy() {
        let told = |in_use, contact: &Contact| judged(&stats(in_use, 0), contact).to_string();
        assert_eq!(told(0, &seen(60)), "healthy: 0 % of the connections are in use");
        assert_eq!(told(0, &seen(61)), "unknown: the server was last seen 61 s ago");
        assert_eq!(told(0, &Contact::default()), "unknown: the server was not seen yet");
        let failing =
            Contact::new(Some(Duration::from_secs(9)), Some((Duration::from_secs(2), "refused".into())));
        assert_eq!(told(0, &failing), "unhealthy: the server cannot be reached: refused, 2 s ago");
        assert!(told(8, &seen(60)).starts_with("warning: ") && judged(&stats(8, 0), &seen(60)).is_healthy());
        for in_use in [0, 8] {
            assert!(told(in_use, &seen(61)).starts_with("unknown: "));
            assert!(!judged(&stats(in_use, 0), &seen(61)).is_healthy());
        }
    }
}
