//! The prepared statements that a connection keeps for the next call with the same text.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use lru::LruCache;
use parking_lot::Mutex;
use postgres::{Client, Statement};

use crate::postgres::error::is_stale_plan;
use crate::postgres::sqlstate::{Meaning, means};

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
    /// Calls that found their statement.
    pub hits: u64,
    /// Calls that had to prepare it, or tried to. With the cache off, all calls.
    pub misses: u64,
    /// Statements closed to make room for another.
    pub evictions: u64,
    /// How often all statements of a connection were dropped: the schema had changed below one of them, or a reset
    /// had dropped them on the server.
    pub clears: u64,
}

/// Texts remembered of a connection for having gone stale, and of a manager for going stale again and again. Programs
/// have fewer; what is forgotten beyond that costs another refusal.
const MOST_STALE: usize = 64;
const MOST_UNSTEADY: usize = 1024;

/// What the caches of all connections of a manager share: their sums, those of connections closed meanwhile included,
/// and the texts that are not worth keeping.
///
/// Every call counts up one of the sums beside a round trip to the server, which takes a hundred times as long.
/// `Relaxed`: they are sums for people, and order nothing.
#[derive(Default)]
pub(in crate::postgres) struct CacheTotals {
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
    clears: AtomicU64,
    /// The texts that are prepared at each use, by their hashes. Its lock is held for a look.
    unsteady: Mutex<HashSet<u64>>,
    /// Spares the lock while there are none. `Relaxed`: who reads it too early meets one more refusal.
    has_unsteady: AtomicBool,
}

/// The same for all connections.
fn hash(sql: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    sql.hash(&mut hasher);
    hasher.finish()
}

impl CacheTotals {
    fn is_unsteady(&self, sql: &str) -> bool {
        self.has_unsteady.load(Relaxed) && self.unsteady.lock().contains(&hash(sql))
    }

    fn note_unsteady(&self, sql: u64) {
        let mut unsteady = self.unsteady.lock();
        if unsteady.len() < MOST_UNSTEADY {
            unsteady.insert(sql);
            self.has_unsteady.store(true, Relaxed);
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

/// The statements of one connection by their text, the least recently used first to go.
///
/// A statement is closed on the server when the last clone of its handle drops: the client sends the message along with
/// its next request and does not wait for the answer.
#[derive(Default)]
pub(in crate::postgres) struct StatementCache {
    /// Without a bound of its own: that one would reserve memory for all of `size` at once.
    kept: Option<LruCache<Box<str>, Statement>>,
    size: usize,
    /// How often the server had refused a statement of this connection when that was last looked at.
    refused: u64,
    /// The texts whose result type has changed once on this connection, by their hashes.
    stale: Vec<u64>,
    own: StatementCacheStats,
    totals: Arc<CacheTotals>,
}

impl StatementCache {
    /// Makes an empty cache of so many statements; zero for none.
    pub fn new(size: u32, totals: Arc<CacheTotals>) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let kept = (size > 0).then(LruCache::unbounded);
        StatementCache {
            kept,
            size,
            refused: 0,
            stale: Vec::new(),
            own: StatementCacheStats::default(),
            totals,
        }
    }

    /// Returns the statement with this text, prepared now if need be. A hit allocates nothing.
    pub fn get(&mut self, client: &mut Client, sql: &str) -> Result<Statement, postgres::Error> {
        let is_unsteady = self.totals.is_unsteady(sql);
        if let Some(statement) = self.kept.as_mut().filter(|_| !is_unsteady).and_then(|kept| kept.get(sql)) {
            self.own.hits += 1;
            self.totals.hits.fetch_add(1, Relaxed);
            return Ok(statement.clone());
        }
        self.own.misses += 1;
        self.totals.misses.fetch_add(1, Relaxed);
        let statement = client.prepare(sql)?;
        // Only now that there is something to keep another has to go.
        if let Some(kept) = self.kept.as_mut().filter(|_| !is_unsteady) {
            if kept.len() >= self.size && kept.pop_lru().is_some() {
                self.own.evictions += 1;
                self.totals.evictions.fetch_add(1, Relaxed);
            }
            kept.put(sql.into(), statement.clone());
        }
        Ok(statement)
    }

    /// Forgets all statements when the server has refused any since the last time, in whichever call: what happened to
    /// one happened to others.
    pub fn note_refused(&mut self, refused: u64) {
        if refused != self.refused {
            self.refused = refused;
            self.clear();
        }
    }

    /// Forgets all statements, as the server has refused the one with this text for this reason.
    ///
    /// One that goes stale twice does so for something else than a change of the schema: a `search_path` that leads it
    /// to one tenant's table and then to another's. It is prepared at each use from then on.
    pub fn drop_refused(&mut self, sql: &str, why: &postgres::Error) {
        self.clear();
        if !is_stale_plan(why) {
            return;
        }
        let sql = hash(sql);
        if self.stale.contains(&sql) {
            self.totals.note_unsteady(sql);
        } else {
            self.stale.truncate(MOST_STALE - 1);
            self.stale.insert(0, sql);
        }
    }

    /// Keeps none from now on.
    pub fn switch_off(&mut self) {
        self.kept = None;
    }

    /// Forgets all statements.
    pub fn clear(&mut self) {
        if let Some(kept) = self.kept.as_mut().filter(|kept| !kept.is_empty()) {
            kept.clear();
            self.own.clears += 1;
            self.totals.clears.fetch_add(1, Relaxed);
        }
    }

    /// How many statements it holds.
    fn len(&self) -> usize {
        self.kept.as_ref().map_or(0, LruCache::len)
    }

    pub fn stats(&self) -> StatementCacheStats {
        self.own
    }
}

impl fmt::Debug for StatementCache {
    /// Without the texts, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatementCache")
            .field("len", &self.len())
            .field("stats", &self.own)
            .finish_non_exhaustive()
    }
}

/// Whether the server refused to begin with a prepared statement: its result type has changed (0A000), or the server
/// does not know it any more (26000). Nothing of it was executed.
///
/// An error with a context comes from within a function that the statement called, and not from the statement.
pub(in crate::postgres) fn is_refused(error: &postgres::Error) -> bool {
    let Some(reported) = error.as_db_error().filter(|error| error.where_().is_none()) else { return false };
    means(reported.code().code(), Meaning::StatementUnknown) || is_stale_plan(error)
}

/// Whether SQL of the user's may drop prepared statements on the server: `DISCARD ALL` or `DEALLOCATE`. What hides
/// from this is found by its 26000.
pub(super) fn drops_statements(sql: &str) -> bool {
    let mut before = "";
    let words = sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    for word in words {
        let discards_all = before.eq_ignore_ascii_case("discard") && word.eq_ignore_ascii_case("all");
        if discards_all || word.eq_ignore_ascii_case("deallocate") {
            return true;
        }
        before = word;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_that_drops_statements_is_recognised() {
        for sql in ["DISCARD ALL", "reset all; discard\n all;", "DEALLOCATE ALL", "deallocate s1"] {
            assert!(drops_statements(sql), "{sql}");
        }
        for sql in
            ["", "DISCARD TEMP; RESET ALL", "CLOSE ALL; DISCARD SEQUENCES", "SELECT discarded FROM all_of_it"]
        {
            assert!(!drops_statements(sql), "{sql}");
        }
    }
}
