//! What the pool tells of its past: everything counted as one snapshot, and what an error carries.

use std::sync::Arc;
use std::time::Duration;

use r2d2::ManageConnection;

use super::contact::{contact, does_not_answer};
use super::notify::guarded;
use super::observe::{
    ceiling, count, gauges_of, held, held_by, holders, lending, longest_wait, opening, resetting, sample,
    sample_in_use, validating,
};
use crate::error::{Awaited, Error, ErrorKind, Evidence, LimitSetBy, OpenFailure};
use crate::pool::shared::Shared;
use crate::stats::{Checkouts, ClosedBy, Histogram, LendingState, OpenFailures, Stats};

/// Holders that an error carries.
const HOLDERS_IN_ERROR: usize = 8;

/// Everything counted, as one snapshot.
pub(crate) fn stats<M: ManageConnection>(shared: &Shared<M>) -> Stats {
    sample_in_use(shared);
    let settings = shared.settings();
    let c = &shared.counters;
    // What ends is read before what begins, so that an end is never seen without its beginning.
    let closed = ClosedBy(std::array::from_fn(|i| c.closed[i].get()));
    let opened = c.opened.get();
    let mut hold = Histogram::default();
    shared.lending.slots().for_each(|slot| hold.add(&slot.card.hold()));
    let direct: u64 = shared.lending.slots().map(|slot| slot.card.direct()).sum();
    let mut wait = c.wait.snapshot();
    wait.counts[0] += direct;
    let counts = shared.lending.counts();
    sample(shared, &counts);
    let now = shared.exact_now();
    let refused = c.refused.snapshot();
    let (breaker, breaker_open_for, breaker_openings, last_open_failure) = {
        let breaker = shared.supply.breaker();
        let open_for = breaker.outage(now).map(|outage| outage.since);
        (breaker.state(), open_for, breaker.openings(), breaker.last().map(|failure| failure.to_string()))
    };
    let [transient, exhausted, permanent] = std::array::from_fn(|i| c.open_failures[i].get());
    Stats {
        pool: settings.name.clone(),
        gauges: gauges_of(shared, &counts),
        lent: held(shared).min(count(counts.in_use)),
        lending: lending(shared),
        ceiling: ceiling(&settings, &counts),
        base_size: settings.base_size,
        max_waiting: settings.max_waiting,
        overflow: count(counts.size()).saturating_sub(settings.base_size),
        peak_in_use: c.peak_in_use.get().max(count(counts.peak_in_use)),
        peak_waiting: count(counts.peak_waiting),
        recent_peak_in_use: c.recent_in_use.get(now),
        recent_peak_waiting: c.recent_waiting.get(now),
        checkouts: Checkouts {
            direct,
            waited: c.waited.get(),
            timed_out: c.timed_out.get(),
            rejected: refused.total(),
            refused,
        },
        opened,
        closed,
        open_failures: OpenFailures { transient, exhausted, permanent },
        returned_dirty: c.returned_dirty.get(),
        slow_checkouts: c.slow_checkouts.get(),
        long_holds: c.long_holds.get(),
        stuck_cancelled: c.stuck_cancelled.get(),
        stuck_terminated: c.stuck_terminated.get(),
        slow_queries: c.slow_queries.get(),
        statement_timeouts: c.statement_timeouts.get(),
        suspicions: c.suspicions.get(),
        user_panics: c.user_panics.get(),
        events_lost: c.events_lost.get(),
        items_committed: c.items_committed.get(),
        items_failed: c.items_failed.get(),
        wait,
        busy: hold.sum,
        hold,
        open: c.open.snapshot(),
        query: c.query.snapshot(),
        oldest_waiter: longest_wait(shared),
        breaker,
        breaker_open_for,
        breaker_openings,
        last_open_failure,
        contact: contact(shared),
    }
}

/// One checkout that failed, as far as its error tells of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unserved {
    pub(crate) awaited: Awaited,
    pub(crate) waited: Duration,
    pub(crate) limit: Option<LimitSetBy>,
    /// Waiters ahead when it joined and when it left, where it stood in line.
    pub(crate) ahead: Option<(usize, usize)>,
    pub(crate) thread: u64,
    /// Every connection was with a thread that waited itself.
    pub(crate) in_deadlock: bool,
}

/// Makes the error of a checkout, with all that is known.
pub(crate) fn error<M: ManageConnection>(
    shared: &Shared<M>,
    kind: ErrorKind,
    cause: Option<Arc<OpenFailure>>,
    unserved: Unserved,
) -> Error {
    let settings = shared.settings();
    let (last, open_failures, outage) = {
        let breaker = shared.supply.breaker();
        let outage = breaker.outage(shared.exact_now());
        (breaker.last_within(unserved.waited).cloned(), breaker.attempts(), outage)
    };
    let counts = shared.lending.counts();
    let mut holders = holders(shared);
    holders.truncate(HOLDERS_IN_ERROR);
    let waits_for = guarded(shared, "opening_waits_for", || shared.hooks.opening_waits_for());
    let evidence = Evidence {
        pool: settings.name.clone(),
        awaited: unserved.awaited,
        waited: unserved.waited,
        limit: unserved.limit,
        ahead: unserved.ahead,
        max_waiting: settings.max_waiting,
        gauges: gauges_of(shared, &counts),
        validating: validating(shared),
        resetting: resetting(shared),
        opening: opening(shared),
        does_not_answer: does_not_answer(shared),
        is_suspended: lending(shared) == LendingState::Suspended,
        ceiling: ceiling(&settings, &counts),
        yet_to_come: settings.ceiling().saturating_sub(count(counts.ceiling)),
        open_failures,
        outage,
        opening_waits_for: waits_for.unwrap_or(None),
        holders,
        own: held_by(shared, unserved.thread),
        in_deadlock: unserved.in_deadlock,
    };
    // The newest failure tells more than the one that the caller was refused for.
    Error::new(kind, evidence, last.or(cause))
}
