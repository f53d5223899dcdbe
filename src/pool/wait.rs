//! Waiting until pools have what they keep open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use r2d2::ManageConnection;

use super::parts::counters::Counted;
use super::shared::Shared;
use super::supply::demand::demand;
use super::supply::filled::{has_open, kept};
use super::tell::accounts;
use super::tell::evidence::{self, Unserved};
use crate::clock::Deadline;
use crate::error::{Awaited, Error, ErrorKind, LimitSetBy};
use crate::stats::BreakerState;
use crate::threads;

/// How long whoever waits for pools to be filled keeps hoping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hope {
    /// Until the time is up, whatever the cause of a failure.
    ToTheEnd,
    /// Until there is a cause that waiting will not cure.
    UntilPermanent,
}

/// What a pool has to have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Least {
    /// What it keeps: nothing, for a pool that keeps nothing.
    Kept,
    /// That, and in any case one connection, which is opened for whoever waits. It is kept no longer than any other.
    #[cfg(feature = "postgres")]
    First,
    /// As `First`, and a breaker that is not open: the server has been seen.
    Ready,
}

/// How often whoever waits is told of in the log.
const TELL_EVERY: Duration = Duration::from_secs(3);

/// A pool that is being filled, for whoever waits.
pub(crate) struct Filling<'a, M: ManageConnection> {
    pool: &'a Arc<Shared<M>>,
    limit: LimitSetBy,
    end: Deadline,
    /// There for as long as the pool has to have a connection that it need not keep.
    first: Option<Counted>,
    least: Least,
}

impl<'a, M: ManageConnection> Filling<'a, M> {
    /// The time begins now, and so does the opening of what is wanted.
    pub(super) fn new(pool: &'a Arc<Shared<M>>, limit: LimitSetBy, least: Least) -> Self {
        let first = (least != Least::Kept).then(|| pool.supply.await_first());
        if first.is_some() && !pool.is_inherited() {
            demand(pool);
        }
        Filling { pool, limit, end: Deadline::of(limit.time()), first, least }
    }

    fn is_filled(&self) -> bool {
        if self.least == Least::Ready && self.pool.supply.breaker().state() != BreakerState::Closed {
            return false;
        }
        has_open(self.pool, kept(self.pool).max(u32::from(self.first.is_some())))
    }

    /// Whether there is nothing to wait for any more.
    fn is_hopeless(&self, hope: Hope) -> bool {
        let is_locked = || self.pool.supply.breaker().is_locked(self.pool.exact_now());
        self.pool.lending.is_closed() || (hope == Hope::UntilPermanent && is_locked())
    }

    fn error(&self, waited: Duration) -> Error {
        let kind = if self.pool.lending.is_closed() {
            ErrorKind::Closed
        } else if self.pool.supply.breaker().is_permanent() {
            ErrorKind::ConnectFailed
        } else {
            ErrorKind::Timeout
        };
        let thread = threads::me().0;
        let unserved = Unserved {
            awaited: if kept(self.pool) == 0 { Awaited::First } else { Awaited::Filling },
            waited,
            limit: Some(self.limit),
            ahead: None,
            thread,
            in_deadlock: false,
        };
        evidence::error(self.pool, kind, None, unserved)
    }
}

/// Waits until each of the pools has had what it has to have open, and says so in the log now and then. The first for
/// which there is no hope, or no time, ends it. Of several pools all share a budget.
pub(crate) fn wait_filled<M: ManageConnection>(
    mut awaited: Vec<Filling<'_, M>>,
    hope: Hope,
) -> Result<(), Error> {
    if awaited.iter().any(|one| one.pool.is_inherited()) {
        return Err(Error::forked());
    }
    let begun = Instant::now();
    let Some(changed) = awaited.first().map(|first| Arc::clone(&first.pool.changed)) else { return Ok(()) };
    debug_assert!(
        awaited.iter().all(|one| Arc::ptr_eq(&one.pool.changed, &changed)),
        "BUG: nobody tells of all"
    );
    loop {
        let left = awaited.iter().map(|one| one.end.left()).fold(TELL_EVERY, Duration::min);
        let mut filled = Vec::new();
        changed.wait_until(Deadline::of(left), || {
            filled.extend(awaited.extract_if(.., |one| one.is_filled()));
            awaited.is_empty() || awaited.iter().any(|one| one.is_hopeless(hope))
        });
        // Not before, when others who wait are kept waiting by it.
        filled.into_iter().for_each(|one| accounts::ready(one.pool));
        let is_over = |one: &&Filling<'_, M>| one.is_hopeless(hope) || one.end.left().is_zero();
        if let Some(failed) = awaited.iter().find(is_over) {
            return Err(failed.error(begun.elapsed()));
        }
        if awaited.is_empty() {
            return Ok(());
        }
        for one in &awaited {
            accounts::still_filling(one.pool, begun.elapsed(), one.limit.time());
        }
    }
}
