//! Queues of the extension pgmq as a feed, by calls of its functions.

use std::sync::Arc;
use std::time::Duration;

use postgres::Row;

use super::claims::Claims;
use super::statement::ask;
use crate::batch::claimed::{Claimed, Fate, Feed, FeedError, Pace, Room};
use crate::postgres::{Ending, Last, PgError, PgManager, Session};
use crate::tiers::{Tier, TieredPool};

const FUNCTIONS: &str =
    "SELECT to_regnamespace('pgmq') IS NOT NULL AND to_regproc('pgmq.list_queues') IS NOT NULL";
const IS_THERE: &str = "SELECT EXISTS (SELECT FROM pgmq.list_queues() WHERE queue_name = $1)";
const READ: &str = "SELECT msg_id, read_ct, message::text FROM pgmq.read($1, $2::integer, $3::integer)";
const IS_EMPTY: &str = "SELECT (pgmq.metrics($1)).queue_length = 0";
/// It raises 22012 where it removes nothing, so that COMMIT can go along with it.
const DELETE: &str = "SELECT 1 / pgmq.delete($1, $2::bigint)::integer";
const ARCHIVE: &str = "SELECT 1 / pgmq.archive($1, $2::bigint)::integer";
const ARCHIVE_ALL: &str = "SELECT pgmq.archive($1, m) FROM unnest($2::bigint[]) AS m";
const SET_VISIBLE: &str = "SELECT (pgmq.set_vt($1, m, $3::integer)).read_ct FROM unnest($2::bigint[]) AS m";

/// A queue of the extension [pgmq](https://github.com/pgmq/pgmq), claimed for [`run`](super::run) by plain calls of its
/// functions. The extension has to be in the pool's database, and the automation tier's role has to be allowed to use
/// it.
///
/// A message is removed in the transaction of its work, so that it takes effect exactly once in this database, whatever
/// dies. Of the [`Claims`] count:
///
/// | setting | with pgmq |
/// | --- | --- |
/// | `lease` | the visibility timeout, in whole seconds, upwards; renewed at a third of it |
/// | `attempts` | reads of a message (`read_ct`). What was read and given back at the end of a batch counts too. Beyond them it is archived: pgmq has no dead letters and keeps no error |
/// | `backoff` | as everywhere, in whole seconds, upwards |
/// | `bytes` | not looked at before a claim: as many messages are read as there are places for |
/// | `until_empty` | until the queue has no message, invisible ones included |
///
/// What pgmq does not know is whose claim is whose: a host that was cut off for longer than its lease may put a message
/// off, or have it seen early, that another has claimed meanwhile. That costs a delivery, and no second effect.
///
/// # Examples
///
/// ```no_run
/// use tierpool::batch::Options;
/// use tierpool::batch::queue::{self, Claims, Pgmq};
/// use tierpool::{PgError, PgPool};
///
/// let pool = PgPool::from_env()?;
/// let feed = Pgmq::open(&pool, "mails", Claims::new().until_empty(true))?;
/// let report = queue::run(&pool, &feed, Options::new(), |tx, message| {
///     tx.execute_cached("INSERT INTO sent SELECT ($1::text)::jsonb ->> 'to'", &[&message.json()])?;
///     Ok::<_, PgError>(())
/// });
/// println!("{report}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pgmq {
    pool: TieredPool<PgManager>,
    name: String,
    claims: Claims,
    removal: &'static str,
}

/// A message of pgmq, claimed for some time. `Debug` does not show what it says.
#[derive(Clone)]
pub struct Message {
    id: i64,
    reads: i32,
    json: String,
}

impl Message {
    /// Other versions of the extension may have other columns.
    fn of(row: &Row) -> Result<Self, PgError> {
        Ok(Message { id: row.try_get(0)?, reads: row.try_get(1)?, json: row.try_get(2)? })
    }

    /// Its number in the queue (`msg_id`).
    pub fn id(&self) -> i64 {
        self.id
    }

    /// How often it was read (`read_ct`), this time included.
    pub fn reads(&self) -> u32 {
        self.reads.unsigned_abs()
    }

    /// What it says, as JSON text.
    pub fn json(&self) -> &str {
        &self.json
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("reads", &self.reads)
            .field("bytes", &self.json.len())
            .finish()
    }
}

impl Pgmq {
    /// Opens a queue that is there; `SELECT pgmq.create('mails')` makes one.
    ///
    /// # Errors
    ///
    /// [`Claims`] that cannot be used; no pgmq in this database, or no such queue; what the server says.
    pub fn open(pool: &TieredPool<PgManager>, name: &str, claims: Claims) -> Result<Pgmq, PgError> {
        claims.check()?;
        let feed = Pgmq { pool: pool.clone(), name: name.to_owned(), claims, removal: DELETE };
        if !feed.is(|| Last::query(FUNCTIONS))? {
            return Err(PgError::refused("there is no pgmq in this database: CREATE EXTENSION pgmq"));
        }
        if !feed.is(|| Last::query(IS_THERE).with(name))? {
            let shown = crate::text::harmless(name);
            return Err(PgError::refused(format!("pgmq has no queue \"{shown}\" in this database")));
        }
        Ok(feed)
    }

    /// Sets whether messages that took effect are archived, in place of deleted. Default false.
    pub fn archive(mut self, archive: bool) -> Self {
        self.removal = if archive { ARCHIVE } else { DELETE };
        self
    }

    fn ask<'e, T: 'e>(&self, last: impl FnMut() -> Last<'e, T>) -> Result<T, PgError> {
        ask(&self.pool, Tier::Automation, last)
    }

    /// The answer to a question of yes or no.
    fn is<'e>(&self, last: impl FnMut() -> Last<'e, Vec<postgres::Row>>) -> Result<bool, PgError> {
        Ok(self.ask(last)?.first().is_some_and(|row| row.get(0)))
    }

    /// Has messages seen by all once so many seconds are over. The reads of each that is there.
    fn set_visible(&self, ids: &[i64], seconds: i32) -> Result<Vec<i32>, PgError> {
        let rows = self.ask(|| Last::query(SET_VISIBLE).with(&self.name).with(ids).with(seconds))?;
        Ok(rows.iter().filter_map(|row| row.get(0)).collect())
    }

    fn lease(&self) -> i32 {
        seconds(self.claims.lease)
    }
}

impl Feed for Pgmq {
    type Item = Message;

    fn claim(&self, room: Room) -> Result<Claimed<Message>, FeedError> {
        let most = i32::try_from(room.items).unwrap_or(i32::MAX);
        let rows = self.ask(|| Last::query(READ).with(&self.name).with(self.lease()).with(most))?;
        if rows.is_empty() && self.claims.until_empty && self.is(|| Last::query(IS_EMPTY).with(&self.name))? {
            return Ok(Claimed::over());
        }
        let read: Vec<_> = rows.iter().map(Message::of).collect::<Result<_, _>>()?;
        let (mut messages, dead): (Vec<_>, Vec<_>) =
            read.into_iter().partition(|message| message.reads() <= self.claims.attempts);
        messages.sort_unstable_by_key(Message::id);
        let dead: Vec<_> = dead.iter().map(Message::id).collect();
        // Where that fails they come back after the lease, as the others would be lost for as long.
        let is_archived = dead.is_empty()
            || self.ask(|| Last::query(ARCHIVE_ALL).with(&self.name).with(&dead).map(drop)).is_ok();
        Ok(Claimed::new(messages).with_dead(if is_archived { dead.len() as u64 } else { 0 }))
    }

    fn size(&self, message: &Message) -> usize {
        message.json.len()
    }

    fn pace(&self) -> Pace {
        let lease = Duration::from_secs(u64::from(self.lease().unsigned_abs()));
        Pace { lease: Some(lease), poll: self.claims.poll, bytes: self.claims.bytes }
    }

    fn renew(&self, messages: &[Arc<Message>]) -> Result<(), FeedError> {
        self.set_visible(&ids(messages), self.lease())?;
        Ok(())
    }

    fn remove<'i>(&'i self, _: &mut Session<'_>, message: &'i Message) -> Result<Ending<'i, ()>, PgError> {
        Ok(Ending::Last(Last::query(self.removal).with(&self.name).with(message.id).map(drop)))
    }

    fn removes_once(&self) -> bool {
        true
    }

    fn failed(&self, message: &Message, _: &str) -> Result<Fate, FeedError> {
        if message.reads() >= self.claims.attempts {
            let archived = self.is(|| {
                Last::query("SELECT pgmq.archive($1, $2::bigint)").with(&self.name).with(message.id)
            })?;
            return Ok(if archived { Fate::Dead } else { Fate::Settled });
        }
        let delay = self.claims.delay_after(message.reads()).mul_f64(1.0 + fastrand::f64());
        Ok(match self.set_visible(&[message.id], seconds(delay))?.first() {
            Some(reads) if *reads == message.reads => Fate::PutOff,
            Some(_) => Fate::TakenOver,
            None => Fate::Settled,
        })
    }

    fn give_back(&self, messages: &[Arc<Message>]) -> Result<(), FeedError> {
        self.set_visible(&ids(messages), 0)?;
        Ok(())
    }
}

fn ids(messages: &[Arc<Message>]) -> Vec<i64> {
    messages.iter().map(|message| message.id).collect()
}

/// Whole ones, upwards, as pgmq takes them.
fn seconds(time: Duration) -> i32 {
    let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    i32::try_from(whole).unwrap_or(i32::MAX)
}
