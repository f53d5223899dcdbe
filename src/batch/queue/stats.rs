//! What is in a queue.

use std::fmt;
use std::time::{Duration, SystemTime};

use postgres::Row;

use crate::postgres::PgError;
use crate::text::Time;

/// The items of a [`Queue`](super::Queue) by state, at one moment; `Display` prints them on one line. An item is ready,
/// delayed, leased or dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct QueueStats {
    /// Items that can be claimed.
    pub ready: u64,
    /// Of the ready, those whose lease ended before their work did.
    pub expired: u64,
    /// Items whose delay is not over, or whose wait for another attempt.
    pub delayed: u64,
    /// Items that some host has claimed.
    pub leased: u64,
    /// Items that failed for good.
    pub dead: u64,
    /// How long the first of the ready has been.
    pub oldest_ready: Option<Duration>,
}

impl QueueStats {
    pub(super) fn of(row: &Row) -> Result<Self, PgError> {
        let count = |column: usize| Ok::<_, PgError>(row.try_get::<_, i64>(column)?.unsigned_abs());
        let seconds: Option<f64> = row.try_get(5)?;
        Ok(QueueStats {
            ready: count(0)?,
            expired: count(1)?,
            delayed: count(2)?,
            leased: count(3)?,
            dead: count(4)?,
            oldest_ready: seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok()),
        })
    }

    /// All items.
    pub fn items(&self) -> u64 {
        self.ready + self.delayed + self.leased + self.dead
    }
}

impl fmt::Display for QueueStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QueueStats { ready, expired, delayed, leased, dead, oldest_ready } = self;
        write!(f, "{ready} ready")?;
        if let Some(oldest) = oldest_ready {
            write!(f, " (for up to {}", Time(*oldest))?;
            match expired {
                0 => write!(f, ")")?,
                _ => write!(f, "; {expired} by a lease that ended)")?,
            }
        }
        write!(f, ", {delayed} delayed, {leased} leased, {dead} dead")
    }
}

/// An item that failed for good.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct DeadLetter {
    /// Its number in the queue.
    pub id: i64,
    /// How many attempts it had.
    pub attempts: u32,
    /// Since when it is dead, by the server's clock.
    pub since: SystemTime,
    /// The error of its last attempt, on one line of at most 1 KiB.
    pub error: String,
}

impl DeadLetter {
    pub(super) fn of(row: &Row) -> Result<Self, PgError> {
        Ok(DeadLetter {
            id: row.try_get(0)?,
            attempts: row.try_get::<_, i32>(1)?.unsigned_abs(),
            since: row.try_get(2)?,
            // Others can write to the table too.
            error: crate::text::harmless(row.try_get::<_, Option<&str>>(3)?.unwrap_or_default()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_states_are_told_on_one_line() {
        let mut stats = QueueStats { delayed: 2, leased: 3, dead: 4, ..QueueStats::default() };
        assert_eq!(stats.to_string(), "0 ready, 2 delayed, 3 leased, 4 dead");
        (stats.ready, stats.oldest_ready) = (5, Some(Duration::from_secs(90)));
        assert_eq!(stats.to_string(), "5 ready (for up to 90.0 s), 2 delayed, 3 leased, 4 dead");
        stats.expired = 1;
        let told = "5 ready (for up to 90.0 s; 1 by a lease that ended), 2 delayed, 3 leased, 4 dead";
        assert_eq!((stats.to_string().as_str(), stats.items()), (told, 14));
    }
}
