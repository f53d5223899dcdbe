//! What a feed is, whoever keeps its items.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::ErrorKind;
use crate::batch::report::BoxError;
use crate::postgres::{Ending, PgError, PgManager, Session};
use crate::tiers::TieredPool;

/// Where a batch claims its items: a [`Queue`](crate::batch::queue::Queue), or a consumer of the program's own.
///
/// A batch calls it from several threads, never under a lock, and while a call waits no connection is held for it. An
/// item is claimed, worked on, and then exactly one of these happens: it is [removed](Self::remove) in the transaction
/// of its work and [committed](Self::committed) is called; [`failed`](Self::failed) is called; it is among those
/// [given back](Self::give_back); or the process dies and nothing is called.
///
/// **How often an item takes effect** is for the feed to say. Where its items are in the database of the work, `remove`
/// takes them out in the same transaction and fails where they are gone: then an item takes effect once, whatever dies.
/// A broker elsewhere is told after COMMIT, by `committed`, and delivers an item again whose process died in between;
/// work for such a feed writes so that a second time changes nothing.
///
/// # Examples
///
/// A channel as a feed, which loses what a process that dies has claimed:
///
/// ```
/// use std::sync::Arc;
///
/// use crossbeam_channel::{Receiver, Sender};
/// use tierpool::batch::queue::{Claimed, Fate, Feed, FeedError, Room};
///
/// struct Channel(Sender<String>, Receiver<String>);
///
/// impl Feed for Channel {
///     type Item = String;
///
///     fn claim(&self, room: Room) -> Result<Claimed<String>, FeedError> {
///         Ok(Claimed::new(self.1.try_iter().take(room.items).collect()))
///     }
///
///     fn failed(&self, item: &String, error: &str) -> Result<Fate, FeedError> {
///         eprintln!("{item}: {error}");
///         Ok(Fate::Dead)
///     }
///
///     fn give_back(&self, items: &[Arc<String>]) -> Result<(), FeedError> {
///         items.iter().for_each(|item| _ = self.0.send(item.to_string()));
///         Ok(())
///     }
/// }
/// # let (sender, receiver) = crossbeam_channel::unbounded();
/// # sender.send("a".to_owned()).unwrap();
/// # let claimed = Channel(sender, receiver).claim(Room { items: 2, bytes: 100 }).unwrap();
/// # assert_eq!(claimed.items(), ["a"]);
/// ```
pub trait Feed: Sync {
    /// What the work is given.
    type Item: Send + Sync;

    /// Claims as many items as there is room for, or those that there are; none is no error. It does not wait for any:
    /// the batch asks again after [`Pace::poll`]. Should it bring more, they wait, and are given back at a stop.
    ///
    /// # Errors
    ///
    /// One that [passes](FeedError::passing) is waited for, up to [`Options::outage`](crate::batch::Options::outage);
    /// any other ends the batch.
    fn claim(&self, room: Room) -> Result<Claimed<Self::Item>, FeedError>;

    /// Is asked once as a batch begins, ahead of the first claim, with the pool that the work has its sessions from:
    /// whether they can remove what is claimed. Without it each item would be worked on in vain, up to its last
    /// attempt. Default: they can.
    ///
    /// # Errors
    ///
    /// As of [`claim`](Self::claim).
    fn check(&self, pool: &TieredPool<PgManager>) -> Result<(), FeedError> {
        let _ = pool;
        Ok(())
    }

    /// What an item takes of [`Pace::bytes`]. Default 0.
    fn size(&self, item: &Self::Item) -> usize {
        let _ = item;
        0
    }

    /// How often it is to be asked, and how much at once. Asked once, as a batch begins.
    fn pace(&self) -> Pace {
        Pace::default()
    }

    /// Has the claims on all items that were not ended yet go on, at a third of [`Pace::lease`]. Default: nothing.
    ///
    /// # Errors
    ///
    /// Any is logged, and tried again after a second.
    fn renew(&self, items: &[Arc<Self::Item>]) -> Result<(), FeedError> {
        let _ = items;
        Ok(())
    }

    /// Removes an item in the transaction of its work, when that has succeeded. What it returns ends the session: where
    /// the last statement fails by itself when there is nothing to remove, COMMIT can go along with it. Default:
    /// nothing, for a broker that is told after COMMIT.
    ///
    /// # Errors
    ///
    /// Any rolls the work back, and the item has failed.
    fn remove<'i>(&'i self, tx: &mut Session<'_>, item: &'i Self::Item) -> Result<Ending<'i, ()>, PgError> {
        let _ = (tx, item);
        Ok(Ending::Commit(()))
    }

    /// Whether [`remove`](Self::remove) fails where the item was removed before. Then work whose COMMIT had no answer
    /// is done again without harm, as if it were [idempotent](crate::postgres::SessionOptions::idempotent). Default
    /// false.
    fn removes_once(&self) -> bool {
        false
    }

    /// Is told of each item that was committed, on the worker's thread. Default: nothing.
    fn committed(&self, item: &Self::Item) {
        let _ = item;
    }

    /// Is told of each item that failed, with the error on one line of at most 1 KiB, and says what becomes of it.
    ///
    /// # Errors
    ///
    /// One that [passes](FeedError::passing) is tried again, up to
    /// [`Options::outage`](crate::batch::Options::outage) or a stop; after any other the item is left to the end of its
    /// lease.
    fn failed(&self, item: &Self::Item, error: &str) -> Result<Fate, FeedError>;

    /// Gives back what was claimed and not begun, at the end of a batch.
    ///
    /// # Errors
    ///
    /// Any leaves the items to the end of their lease.
    fn give_back(&self, items: &[Arc<Self::Item>]) -> Result<(), FeedError>;
}

/// How much may be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Items, at least 1.
    pub items: usize,
    /// Bytes, at least 1. A single item may have more.
    pub bytes: usize,
}

/// How often a feed is asked, and how much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long a claim holds without being renewed; none where it always does, as by default.
    pub lease: Option<Duration>,
    /// How soon a feed is asked again that had fewer items than there was room for; up to a half longer, at random, so
    /// that hosts do not ask all at once. Default 500 ms.
    pub poll: Duration,
    /// The bytes of items that are claimed and not ended, but for one item more. Default 64 MiB.
    pub bytes: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { lease: None, poll: Duration::from_millis(500), bytes: 64 * 1024 * 1024 }
    }
}

/// What was claimed.
#[derive(Debug)]
pub struct Claimed<I> {
    pub(super) items: Vec<I>,
    pub(super) dead: u64,
    pub(super) is_over: bool,
}

impl<I> Claimed<I> {
    /// These items.
    pub fn new(items: Vec<I>) -> Self {
        Claimed { items, dead: 0, is_over: false }
    }

    /// No item, and none will come: the batch ends when those it has are ended.
    pub fn over() -> Self {
        Claimed { items: Vec::new(), dead: 0, is_over: true }
    }

    /// Adds how many were found dead on the way, for the report.
    pub fn with_dead(mut self, dead: u64) -> Self {
        self.dead = dead;
        self
    }

    /// The items.
    pub fn items(&self) -> &[I] {
        &self.items
    }

    /// How many were found dead on the way.
    pub fn dead(&self) -> u64 {
        self.dead
    }

    /// Whether none will come.
    pub fn is_over(&self) -> bool {
        self.is_over
    }
}

/// What becomes of an item whose attempt has not been committed, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It is tried again later.
    PutOff,
    /// It has failed for good and is kept.
    Dead,
    /// The claim had ended, and somebody else has the item or will have it.
    TakenOver,
    /// The item is gone: it has taken effect, by an attempt whose COMMIT had no answer, or by somebody else's.
    Settled,
}

/// Why a feed could not be asked or told.
#[derive(Debug)]
pub struct FeedError {
    error: BoxError,
    passes: bool,
}

impl FeedError {
    /// One that may pass: the batch asks again.
    pub fn passing(error: impl Into<BoxError>) -> Self {
        FeedError { error: error.into(), passes: true }
    }

    /// One that waiting does not cure.
    pub fn lasting(error: impl Into<BoxError>) -> Self {
        FeedError { error: error.into(), passes: false }
    }

    /// Whether it may pass.
    pub fn passes(&self) -> bool {
        self.passes
    }

    /// The error itself.
    pub fn into_inner(self) -> BoxError {
        self.error
    }
}

impl From<PgError> for FeedError {
    /// What the server, its network or the pool may be over soon passes, as does what came of others' transactions.
    fn from(error: PgError) -> Self {
        let passes = match error.as_checkout().map(crate::Error::kind) {
            Some(ErrorKind::WouldDeadlock) => false,
            Some(ErrorKind::ConnectFailed | ErrorKind::Closed | ErrorKind::Forked) => false,
            Some(_) => true,
            None => {
                error.is_connection_lost()
                    || error.is_retryable()
                    || error.is_statement_timeout()
                    || error.is_lock_timeout()
                    || error.is_read_only()
            }
        };
        FeedError { error: error.into(), passes }
    }
}

impl fmt::Display for FeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl StdError for FeedError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}
