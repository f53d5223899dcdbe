//! What the statement caches of all connections of a manager have in common.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::known_types::KnownTypes;

/// What the statement cache of a connection, or those of all connections of a manager, have done so far.
///
/// ```
/// use tierpool::postgres::{PgManager, PgOptions};
///
/// let manager = PgManager::new("host=db.example user=app".parse().unwrap(), PgOptions::default()).unwrap();
/// assert_eq!(manager.statement_cache_stats().hits, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StatementCacheStats {
    /// Calls that found their statement; behind transaction pooling, where none are kept, those that found the types of
    /// its parameters.
    pub hits: u64,
    /// Calls that had to prepare it, or tried to. With the cache off, all calls but those.
    pub misses: u64,
    /// Statements closed to make room for another.
    pub evictions: u64,
    /// How often all statements of a connection were dropped: the schema had changed below one of them, or a reset
    /// had dropped them on the server.
    pub clears: u64,
}

/// Texts remembered for going stale again and again. Programs have fewer; what is forgotten beyond that costs another
/// refusal.
const MOST_UNSTEADY: usize = 1024;

/// After so long a text is given another chance: what made it go stale twice may have been a change of the schema in
/// two steps. One that deserves none costs two more refusals.
const UNSTEADY_FOR: Duration = Duration::from_secs(600);

/// What the caches of all connections of a manager share: their sums, those of connections closed meanwhile included,
/// and the texts that are not worth keeping.
///
/// Every call counts up one of the sums beside a round trip to the server, which takes a hundred times as long.
/// `Relaxed`: they are sums for people, and order nothing.
pub(in crate::postgres) struct CacheTotals {
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) evictions: AtomicU64,
    pub(super) clears: AtomicU64,
    /// The texts that are prepared at each use, by their hashes, and since when. Its lock is held for a look.
    unsteady: Mutex<HashMap<u64, Instant>>,
    /// How many there were so far. It spares those who find their statement the lock. `Relaxed`: who reads it too early
    /// meets one more refusal.
    pub(super) unsteady_so_far: AtomicU64,
    /// What all connections know that keep no statements. Its lock is held for a look, beside a round trip.
    pub(super) types: Mutex<KnownTypes>,
}

impl Default for CacheTotals {
    fn default() -> Self {
        CacheTotals {
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
            clears: AtomicU64::new(0),
            unsteady: Mutex::default(),
            unsteady_so_far: AtomicU64::new(0),
            types: Mutex::new(KnownTypes::of_all()),
        }
    }
}

/// The same for all connections.
pub(super) fn hash(sql: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    sql.hash(&mut hasher);
    hasher.finish()
}

/// Whether a text that has been unsteady since then still is.
fn lasts(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < UNSTEADY_FOR
}

impl CacheTotals {
    pub(super) fn is_unsteady(&self, sql: &str) -> bool {
        if self.unsteady_so_far.load(Relaxed) == 0 {
            return false;
        }
        self.is_unsteady_at(hash(sql), Instant::now())
    }

    fn is_unsteady_at(&self, sql: u64, now: Instant) -> bool {
        let mut unsteady = self.unsteady.lock();
        let Some(since) = unsteady.get(&sql) else { return false };
        let lasts = lasts(*since, now);
        if !lasts {
            unsteady.remove(&sql);
        }
        lasts
    }

    pub(super) fn note_unsteady(&self, sql: u64) {
        self.note_unsteady_at(sql, Instant::now());
    }

    fn note_unsteady_at(&self, sql: u64, now: Instant) {
        let mut unsteady = self.unsteady.lock();
        if unsteady.len() >= MOST_UNSTEADY {
            unsteady.retain(|_, since| lasts(*since, now));
        }
        if unsteady.len() < MOST_UNSTEADY {
            unsteady.insert(sql, now);
            self.unsteady_so_far.fetch_add(1, Relaxed);
        }
    }

    pub fn stats(&self) -> StatementCacheStats {
        StatementCacheStats {
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
            evictions: self.evictions.load(Relaxed),
            clears: self.clears.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(1);

    #[test]
    fn an_unsteady_text_is_given_another_chance_after_its_time() {
        let (totals, begun) = (CacheTotals::default(), Instant::now());
        totals.note_unsteady_at(1, begun);
        let ends = begun + UNSTEADY_FOR;
        assert!(totals.is_unsteady_at(1, ends - SHORT) && !totals.is_unsteady_at(2, begun));
        assert!(!totals.is_unsteady_at(1, ends));
        assert!(!totals.is_unsteady_at(1, begun), "it is forgotten");
        // Stale again.
        totals.note_unsteady_at(1, ends);
        assert!(totals.is_unsteady_at(1, ends + UNSTEADY_FOR - SHORT));
    }

    #[test]
    fn no_more_unsteady_texts_are_remembered_than_there_is_room_for_and_those_past_make_room() {
        let (totals, begun) = (CacheTotals::default(), Instant::now());
        let most = MOST_UNSTEADY as u64;
        (0..most).for_each(|sql| totals.note_unsteady_at(sql, begun + SHORT * (sql % 2) as u32));
        totals.note_unsteady_at(most, begun);
        assert!(!totals.is_unsteady_at(most, begun));
        totals.note_unsteady_at(most, begun + UNSTEADY_FOR);
        assert_eq!(totals.unsteady.lock().len(), MOST_UNSTEADY / 2 + 1);
        assert!(totals.is_unsteady_at(most, begun + UNSTEADY_FOR) && totals.is_unsteady_at(1, begun));
    }
}
