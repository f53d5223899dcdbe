//! The prepared statements that a connection keeps for the next call with the same text.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use lru::LruCache;
use postgres::types::{Type, WrongType};
use postgres::{Client, Statement};

use super::cache_totals::{CacheTotals, StatementCacheStats, hash};
use super::known_types::{KnownTypes, Ready, are_common, are_kept};
use crate::postgres::error::is_stale_plan;
use crate::postgres::sqlstate::{Meaning, means};

/// Texts remembered of a connection for having gone stale. Programs have fewer; what is forgotten beyond that costs
/// another refusal.
const MOST_STALE: usize = 64;

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
    /// What this connection alone knows of statements that it does not keep; `None`: it prepares at each call.
    types: Option<KnownTypes>,
    /// The texts that have gone stale once on this connection, by their hashes.
    stale: Vec<u64>,
    /// How many texts were unsteady when those kept were last looked through for them.
    unsteady_seen: u64,
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
            types: None,
            refused: 0,
            stale: Vec::new(),
            unsteady_seen: 0,
            own: StatementCacheStats::default(),
            totals,
        }
    }

    /// Returns the statement with this text, prepared now if need be. A hit allocates nothing.
    pub fn get(&mut self, client: &mut Client, sql: &str) -> Result<Statement, postgres::Error> {
        self.drop_unsteady();
        if let Some(statement) = self.kept.as_mut().and_then(|kept| find(kept, sql)) {
            self.count_hit();
            return Ok(statement);
        }
        self.own.misses += 1;
        self.totals.misses.fetch_add(1, Relaxed);
        let statement = client.prepare(sql)?;
        if self.totals.is_unsteady(sql) {
            return Ok(statement);
        }
        self.learn(sql, &statement);
        // Only now that there is something to keep another has to go.
        if let Some(kept) = &mut self.kept {
            if kept.len() >= self.size && kept.pop_lru().is_some() {
                self.own.evictions += 1;
                self.totals.evictions.fetch_add(1, Relaxed);
            }
            kept.put(sql.into(), statement.clone());
        }
        Ok(statement)
    }

    /// Returns how to run the statement with this text and so many parameters: by their types where no statements are
    /// kept, which may be known, else prepared.
    pub fn ready(&mut self, client: &mut Client, sql: &str, params: usize) -> Result<Ready, postgres::Error> {
        match self.known_types(sql).filter(|types| types.len() == params) {
            Some(types) => {
                self.count_hit();
                Ok(Ready::Typed(types))
            }
            None => self.ready_anew(client, sql, params),
        }
    }

    /// The same by what the server says now, where the statement is not kept.
    pub fn ready_anew(
        &mut self,
        client: &mut Client,
        sql: &str,
        params: usize,
    ) -> Result<Ready, postgres::Error> {
        let statement = self.get(client, sql)?;
        // What was prepared may be on another server already. A wrong number of parameters is told by the driver, and
        // of a prepared statement only, without sending it.
        let by_types = self.types.is_some() && statement.params().len() == params;
        Ok(if by_types { Ready::Typed(statement.params().into()) } else { Ready::Prepared(statement) })
    }

    /// The same, where the driver could not make values of the types that it was ready with.
    ///
    /// Types that are still the same are not at fault: the caller's values are, and nothing is held against the text.
    pub fn ready_instead(
        &mut self,
        client: &mut Client,
        sql: &str,
        params: usize,
        before: &Ready,
    ) -> Result<Ready, postgres::Error> {
        self.forget_types(sql);
        let ready = self.ready_anew(client, sql, params)?;
        if ready.types() != before.types() {
            self.note_stale(hash(sql));
            // What was just learnt is not to be taken for known.
            if self.totals.is_unsteady(sql) {
                self.forget_types(sql);
            }
        }
        Ok(ready)
    }

    fn known_types(&mut self, sql: &str) -> Option<Arc<[Type]>> {
        let own = self.types.as_mut()?;
        let now = Instant::now();
        own.get(sql, now).or_else(|| self.totals.types.lock().get(sql, now))
    }

    /// Takes note of the types that preparing a statement has told, where it is not kept.
    fn learn(&mut self, sql: &str, statement: &Statement) {
        let Some(own) = &mut self.types else { return };
        if !are_kept(statement) {
            return;
        }
        let now = Instant::now();
        match are_common(statement) {
            true => self.totals.types.lock().learn(sql, statement.params(), now),
            false => own.learn(sql, statement.params(), now),
        }
    }

    fn count_hit(&mut self) {
        self.own.hits += 1;
        self.totals.hits.fetch_add(1, Relaxed);
    }

    /// Drops those of its statements that have turned out not to be worth keeping.
    fn drop_unsteady(&mut self) {
        let so_far = self.totals.unsteady_so_far.load(Relaxed);
        if so_far != self.unsteady_seen {
            self.unsteady_seen = so_far;
            self.drop_those_unsteady();
        }
    }

    #[cold]
    fn drop_those_unsteady(&mut self) {
        let Some(kept) = &mut self.kept else { return };
        let unsteady: Vec<_> =
            kept.iter().map(|(sql, _)| sql).filter(|sql| self.totals.is_unsteady(sql)).cloned().collect();
        for sql in unsteady {
            kept.pop(&sql);
        }
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
    fn drop_refused(&mut self, sql: &str, why: &postgres::Error) {
        self.clear();
        if !is_stale_plan(why) {
            return;
        }
        self.note_stale(hash(sql));
    }

    /// Forgets the types of the parameters of this text, as they did not do. Where they do not the next time either it
    /// is prepared at each use from then on.
    fn drop_types(&mut self, sql: &str) {
        self.forget_types(sql);
        self.note_stale(hash(sql));
    }

    fn forget_types(&mut self, sql: &str) {
        self.types.iter_mut().for_each(|own| own.forget(sql));
        self.totals.types.lock().forget(sql);
    }

    fn note_stale(&mut self, sql: u64) {
        if self.stale.contains(&sql) {
            self.totals.note_unsteady(sql);
        } else {
            self.stale.truncate(MOST_STALE - 1);
            self.stale.insert(0, sql);
        }
    }

    /// Takes note of the error of a call, and says whether another preparation may help.
    pub fn note_failed(&mut self, sql: &str, ready: &Ready, error: &postgres::Error) -> Failed {
        match ready {
            Ready::Prepared(_) if is_refused(error) => self.drop_refused(sql, error),
            // Functions say so at run time too, without a context, when others have had their effects.
            Ready::Typed(_) if is_of_types(error) => {
                self.drop_types(sql);
                return Failed::ForGood;
            }
            Ready::Typed(_) if is_unsent(error) => return Failed::Unsent,
            _ => return Failed::ForGood,
        }
        if error.as_db_error().is_some_and(|error| error.where_().is_none()) {
            Failed::Refused
        } else {
            Failed::ForGood
        }
    }

    /// Keeps none from now on.
    pub fn switch_off(&mut self) {
        self.kept = None;
    }

    /// Has those that it does not keep run by the types of their parameters: what serves the next call may be another
    /// server.
    pub fn go_by_types(&mut self) {
        if self.kept.is_none() {
            self.types = Some(KnownTypes::of_one());
        }
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

/// The statement with this text, which is the one used last from now on. Most often it was so before, which is seen
/// without a hash of the text.
fn find(kept: &mut LruCache<Box<str>, Statement>, sql: &str) -> Option<Statement> {
    match kept.peek_mru() {
        Some((last, statement)) if **last == *sql => Some(statement.clone()),
        _ => kept.get(sql).cloned(),
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

/// What the failure of a call means for another preparation of its statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::postgres) enum Failed {
    /// It would not help, or something of the statement may have been executed.
    ForGood,
    /// It may help, and nothing was sent.
    Unsent,
    /// It may help, and nothing of the statement was executed. In a transaction that has failed by it.
    Refused,
}

/// Whether the server says that the types of parameters do not fit their places, or that it has none such any more.
///
/// A function that the statement calls may say so too, and one that is built in without a context: it does not follow
/// that nothing was executed.
fn is_of_types(error: &postgres::Error) -> bool {
    error.code().is_some_and(|code| means(code.code(), Meaning::TypesUnfit))
}

/// Whether the driver cannot make a value of the parameter's type out of what it was given.
fn is_unsent(error: &postgres::Error) -> bool {
    error.source().is_some_and(|cause| cause.is::<WrongType>())
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
