//! A queue in a table: made, filled, looked at.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::Type;

use super::claims::LONGEST_DELAY;
use super::name::Name;
use super::sql;
use super::statement::{ask, options};
use super::stats::{DeadLetter, QueueStats};
use crate::postgres::{Last, PgError, PgManager, Session};
use crate::text::{Time, harmless};
use crate::tiers::{Tier, TieredPool};

/// Larger ones belong into a file or a table of their own, and their place into the queue: each worker has one in
/// memory, and each claim sends it over the network.
const LARGEST: usize = 16 * 1024 * 1024;

/// A queue in a table of the user's own PostgreSQL, which many hosts push to and claim from.
///
/// An item is bytes with a number, and in the queue until its work is committed: the work and the removal are one
/// transaction, so that it takes effect exactly once, whatever dies. Who works on it is told by
/// [`run`](super::run).
///
/// The table has the name of the queue. It can be looked at and joined like any other; a row's columns are for this
/// crate to write. Who pushes needs the rights INSERT and SELECT on it, who works on its items SELECT, UPDATE and
/// DELETE.
///
/// All calls are made on a connection of the automation tier, unless [`on`](Self::on) says otherwise.
///
/// # Examples
///
/// ```no_run
/// use tierpool::batch::queue::Queue;
/// use tierpool::PgPool;
///
/// let pool = PgPool::from_env()?;
/// let queue = Queue::create(&pool, "pages")?;
/// queue.push("https://site.example")?;
/// queue.push_many((1..=10_000).map(|n| format!("https://site.example/{n}")))?;
/// println!("{}", queue.stats()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Queue {
    pool: TieredPool<PgManager>,
    tier: Tier,
    name: Arc<Name>,
}

impl Queue {
    /// Opens a queue, and makes its table where there is none.
    ///
    /// A name is `table` or `schema.table`, of letters, digits and underscores; upper case is kept. Without a schema
    /// the table is in the first of the role's `search_path`.
    ///
    /// # Errors
    ///
    /// A name that is none; a table of that name that is no queue; what the server says, as when the role may not make
    /// tables there.
    pub fn create(pool: &TieredPool<PgManager>, name: &str) -> Result<Queue, PgError> {
        Queue::create_filled(pool, name, |_, _| Ok(())).map(|(queue, _)| queue)
    }

    /// As [`create`](Self::create), and has `fill` push the first items where the table was not there, in the same
    /// transaction: of many processes that begin at once, one fills the queue, and the others wait for that. Returns
    /// whether it was this one.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create), and those of `fill`: then there is no table either.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let pool = tierpool::PgPool::from_env()?;
    /// use std::time::Duration;
    /// use tierpool::batch::queue::Queue;
    ///
    /// let (queue, is_new) = Queue::create_filled(&pool, "numbers", |queue, tx| {
    ///     queue.push_many_in(tx, (0..1_000).map(|n| n.to_string()), Duration::ZERO).map(drop)
    /// })?;
    /// # let _ = (queue, is_new);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create_filled(
        pool: &TieredPool<PgManager>,
        name: &str,
        fill: impl FnOnce(&Queue, &mut Session<'_>) -> Result<(), PgError>,
    ) -> Result<(Queue, bool), PgError> {
        let queue = Queue::named(pool, name)?;
        let mut fill = Some(fill);
        let is_new = pool.session_with(queue.tier, &options(), |tx| {
            tx.execute(sql::TAKE_TURNS, &[&queue.table()])?;
            if queue.is_there(tx)? {
                return Ok(false);
            }
            tx.batch_execute(&sql::create(&queue.table()))?;
            fill.take().map_or(Ok(()), |fill| fill(&queue, tx))?;
            Ok::<_, PgError>(true)
        })?;
        Ok((queue, is_new))
    }

    /// Opens a queue that is there.
    ///
    /// # Errors
    ///
    /// A name that is none; no such table; one that is no queue; what the server says.
    pub fn open(pool: &TieredPool<PgManager>, name: &str) -> Result<Queue, PgError> {
        Queue::open_on(pool, Tier::Automation, name)
    }

    /// As [`open`](Self::open), on connections of this tier: a tool in a person's hand takes [`Tier::Adhoc`].
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_on(pool: &TieredPool<PgManager>, tier: Tier, name: &str) -> Result<Queue, PgError> {
        let queue = Queue::named(pool, name)?.on(tier);
        // It only reads: done with the answer, where that to its COMMIT need not be waited for.
        match pool.session_with(tier, &options().read_only(true), |tx| queue.is_there(tx))? {
            true => Ok(queue),
            false => Err(queue.missing()),
        }
    }

    /// The same queue, with its own statements on connections of this tier.
    pub fn on(mut self, tier: Tier) -> Queue {
        self.tier = tier;
        self
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.name.to_string()
    }

    /// Adds an item, and returns its number.
    ///
    /// # Errors
    ///
    /// A payload above 16 MiB, which is not sent; what the server says. Where
    /// [nobody knows](PgError::is_outcome_unknown) whether the item is there, pushing it again may have it twice.
    pub fn push(&self, payload: impl AsRef<[u8]>) -> Result<i64, PgError> {
        self.push_after(Duration::ZERO, payload)
    }

    /// As [`push`](Self::push), for nobody to claim within `delay`, at most ten years.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push), and a longer delay.
    pub fn push_after(&self, delay: Duration, payload: impl AsRef<[u8]>) -> Result<i64, PgError> {
        let payload = payload.as_ref();
        check_size(payload, None)?;
        let seconds = checked(delay)?;
        let statement = sql::push(&self.table());
        let pushed = self.ask(|| Last::query(statement.as_str()).with(payload).with(seconds))?;
        first(&pushed).try_get(0).map_err(PgError::from)
    }

    /// Adds items by one COPY, all of them or none, and returns how many they were. It holds a connection while it
    /// iterates, and no more than one of the items.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push), with the place of an item that is too large.
    ///
    /// # Panics
    ///
    /// When `payloads` does; nothing is added then.
    pub fn push_many<P: AsRef<[u8]>>(&self, payloads: impl IntoIterator<Item = P>) -> Result<u64, PgError> {
        let mut payloads = Some(payloads);
        self.pool.session_with(self.tier, &options(), |tx| match payloads.take() {
            Some(payloads) => self.push_many_in(tx, payloads, Duration::ZERO),
            None => unreachable!("BUG: a session that is not repeated ran twice"),
        })
    }

    /// Adds an item within a session of the program's own: it is there when that is committed, with all else that the
    /// session did.
    ///
    /// # Errors
    ///
    /// As [`push_after`](Self::push_after).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let pool = tierpool::PgPool::from_env()?;
    /// # let queue = tierpool::batch::queue::Queue::open(&pool, "mails")?;
    /// use std::time::Duration;
    /// use tierpool::PgError;
    ///
    /// pool.session(|tx| {
    ///     tx.execute("INSERT INTO users (name) VALUES ('ann')", &[])?;
    ///     queue.push_in(tx, "welcome ann", Duration::from_secs(60))?; // a minute after, and not without the user
    ///     Ok::<_, PgError>(())
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn push_in(
        &self,
        tx: &mut Session<'_>,
        payload: impl AsRef<[u8]>,
        delay: Duration,
    ) -> Result<i64, PgError> {
        let payload = payload.as_ref();
        check_size(payload, None)?;
        let row = tx
            .query_one_cached(&sql::push(&self.table()), &[&payload, &checked(delay)?])
            .map_err(|error| self.explained(error))?;
        Ok(row.try_get(0)?)
    }

    /// Adds items within a session of the program's own, by one COPY, and returns how many they were.
    ///
    /// # Errors
    ///
    /// As [`push_many`](Self::push_many) and [`push_after`](Self::push_after). The session cannot go on then.
    pub fn push_many_in<P: AsRef<[u8]>>(
        &self,
        tx: &mut Session<'_>,
        payloads: impl IntoIterator<Item = P>,
        delay: Duration,
    ) -> Result<u64, PgError> {
        let due: SystemTime = tx.query_one_cached(sql::DUE, &[&checked(delay)?])?.try_get(0)?;
        let writer = tx.copy_in(&sql::push_many(&self.table())).map_err(|error| self.explained(error))?;
        let mut writer = BinaryCopyInWriter::new(writer, &[Type::BYTEA, Type::TIMESTAMPTZ]);
        for (place, payload) in (1..).zip(payloads) {
            let payload = payload.as_ref();
            check_size(payload, Some(place))?;
            writer.write(&[&payload, &due])?;
        }
        Ok(writer.finish()?)
    }

    /// Counts the items by state. It reads the whole table.
    ///
    /// # Errors
    ///
    /// What the server says, or that there is no such queue.
    pub fn stats(&self) -> Result<QueueStats, PgError> {
        let statement = sql::stats(&self.table());
        QueueStats::of(first(&self.ask(|| Last::query(statement.as_str()))?))
    }

    /// Returns dead letters, the latest first, at most so many.
    ///
    /// # Errors
    ///
    /// As [`stats`](Self::stats).
    pub fn dead_letters(&self, most: u32) -> Result<Vec<DeadLetter>, PgError> {
        let statement = sql::dead_letters(&self.table());
        let rows = self.ask(|| Last::query(statement.as_str()).with(i64::from(most)))?;
        rows.iter().map(DeadLetter::of).collect()
    }

    /// Has all dead letters tried again, with all their attempts, and returns how many they were.
    ///
    /// # Errors
    ///
    /// As [`stats`](Self::stats).
    pub fn retry_dead(&self) -> Result<u64, PgError> {
        let statement = sql::retry_dead(&self.table());
        self.ask(|| Last::execute(statement.as_str()))
    }

    fn named(pool: &TieredPool<PgManager>, name: &str) -> Result<Queue, PgError> {
        Ok(Queue { pool: pool.clone(), tier: Tier::Automation, name: Arc::new(Name::new(name)?) })
    }

    /// The table, as it stands in statements.
    pub(super) fn table(&self) -> String {
        self.name.quoted()
    }

    /// The pool that it was opened with, whose database it is in.
    pub(super) fn pool(&self) -> &TieredPool<PgManager> {
        &self.pool
    }

    /// Makes one statement, as a session of its own, in one round trip.
    pub(super) fn ask<'e, T: 'e>(&self, last: impl FnMut() -> Last<'e, T>) -> Result<T, PgError> {
        ask(&self.pool, self.tier, last).map_err(|error| self.explained(error))
    }

    /// Whether the table is there and a queue.
    fn is_there(&self, tx: &mut Session<'_>) -> Result<bool, PgError> {
        tx.query_opt(sql::LOOK, &[&self.table()])?.map_or(Ok(false), |row| self.is_marked(&row))
    }

    /// Whether sessions of a pool can remove items of this queue.
    pub(super) fn check_removal(&self, pool: &TieredPool<PgManager>) -> Result<(), PgError> {
        let rows = ask(pool, Tier::Automation, || Last::query(sql::LOOK).with(self.table()))?;
        let row = rows.first().ok_or_else(|| self.missing())?;
        self.is_marked(row)?;
        if row.try_get(1)? {
            return Ok(());
        }
        let role = harmless(row.try_get::<_, &str>(2)?);
        Err(PgError::refused(format!(
            "the role {role} may not remove items of the queue \"{}\", so nothing is claimed: batches need SELECT, \
             UPDATE and DELETE on its table",
            self.name
        )))
    }

    /// Whether what was looked at is a queue.
    fn is_marked(&self, row: &postgres::Row) -> Result<bool, PgError> {
        match row.try_get::<_, Option<&str>>(0)? {
            Some(sql::MARK) => Ok(true),
            _ => Err(PgError::refused(format!(
                "\"{}\" is there and no queue of this version: its table has no comment {:?}",
                self.name,
                sql::MARK
            ))),
        }
    }

    fn missing(&self) -> PgError {
        PgError::refused(format!(
            "there is no queue \"{}\" in this database: Queue::create or `tierpool queue push --create` makes one",
            self.name
        ))
    }

    /// What a statement for the table has met.
    pub(super) fn explained(&self, error: PgError) -> PgError {
        const UNDEFINED_TABLE: &str = "42P01";
        const UNDEFINED_SCHEMA: &str = "3F000";
        match error.sqlstate() {
            Some(UNDEFINED_TABLE | UNDEFINED_SCHEMA) => self.missing(),
            _ => error,
        }
    }
}

fn first(rows: &[postgres::Row]) -> &postgres::Row {
    rows.first().unwrap_or_else(|| unreachable!("BUG: a statement that always returns a row returned none"))
}

/// A payload of a size that is taken; with its place, where it is one of many.
fn check_size(payload: &[u8], place: Option<u64>) -> Result<(), PgError> {
    if payload.len() <= LARGEST {
        return Ok(());
    }
    let which = place.map_or(String::new(), |place| format!(" of item {place}"));
    Err(PgError::refused(format!(
        "the payload{which} has {} bytes, and a queue takes at most {LARGEST} (16 MiB): put it elsewhere, and its \
         place into the queue",
        payload.len()
    )))
}

/// A delay in seconds.
fn checked(delay: Duration) -> Result<f64, PgError> {
    if delay <= LONGEST_DELAY {
        return Ok(delay.as_secs_f64());
    }
    Err(PgError::refused(format!("the delay is {}, and can be at most {}", Time(delay), Time(LONGEST_DELAY))))
}
