//! What the pool tells of itself: statistics, holders, waiters, and the evidence in errors.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use r2d2::ManageConnection;

use super::control::Directory;
use super::shared::{Counters, Shared};
use crate::core::Counts;
use crate::error::{Error, ErrorKind, Evidence, OpenFailure, Outage};
use crate::stats::{Checkouts, ClosedBy, Gauges, Histogram, Holder, OpenFailures, Stats, Waiting};
use crate::threads;

/// Holders that an error carries.
const HOLDERS_IN_ERROR: usize = 8;

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl<M: ManageConnection> Shared<M> {
    pub(crate) fn gauges(&self) -> Gauges {
        self.gauges_of(&self.lending.counts())
    }

    fn gauges_of(&self, counts: &Counts) -> Gauges {
        Gauges {
            idle: count(counts.idle),
            in_use: count(counts.in_use),
            opening: count(counts.opening),
            waiting: count(counts.waiting),
            // Relaxed: a gauge of its own.
            zombies: self.counters.zombies.load(Ordering::Relaxed) + count(counts.leaving),
        }
    }

    /// Everything counted, as one snapshot.
    pub(crate) fn stats(&self) -> Stats {
        self.sample_in_use();
        let settings = self.settings();
        let c = &self.counters;
        // Relaxed: sums. What ends is read before what begins, so that an end is never seen without its beginning.
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let closed = ClosedBy(std::array::from_fn(|i| read(&c.closed[i])));
        let opened = read(&c.opened);
        let mut hold = Histogram::default();
        self.lending.slots().for_each(|slot| hold.add(&slot.card.hold()));
        let direct: u64 = self.lending.slots().map(|slot| slot.card.direct()).sum();
        let mut wait = c.wait.snapshot();
        wait.counts[0] += direct;
        let counts = self.lending.counts();
        let (breaker, breaker_openings, last_open_failure) = {
            let breaker = self.breaker.lock();
            (breaker.state(), breaker.openings(), breaker.last().map(|failure| failure.to_string()))
        };
        let [transient, exhausted, permanent] = std::array::from_fn(|i| read(&c.open_failures[i]));
        Stats {
            pool: settings.name.clone(),
            gauges: self.gauges_of(&counts),
            ceiling: settings.ceiling(),
            base_size: settings.base_size,
            max_waiting: settings.max_waiting,
            overflow: count(counts.size()).saturating_sub(settings.base_size),
            peak_in_use: c.peak_in_use.load(Ordering::Relaxed).max(count(counts.peak_in_use)),
            peak_waiting: count(counts.peak_waiting),
            checkouts: Checkouts {
                direct: direct + read(&c.unqueued),
                waited: read(&c.waited),
                timed_out: read(&c.timed_out),
                rejected: read(&c.rejected),
            },
            opened,
            closed,
            open_failures: OpenFailures { transient, exhausted, permanent },
            returned_dirty: read(&c.returned_dirty),
            slow_checkouts: read(&c.slow_checkouts),
            long_holds: read(&c.long_holds),
            stuck_cancelled: read(&c.stuck_cancelled),
            stuck_terminated: read(&c.stuck_terminated),
            slow_queries: read(&c.slow_queries),
            suspicions: read(&c.suspicions),
            user_panics: read(&c.user_panics),
            events_lost: read(&c.events_lost),
            wait,
            busy: hold.sum,
            hold,
            open: c.open.snapshot(),
            oldest_waiter: self.line.lock().values().map(|card| card.since.elapsed()).max(),
            breaker,
            breaker_openings,
            last_open_failure,
        }
    }

    /// Checkouts that are out, longest first.
    pub(crate) fn holders(&self) -> Vec<Holder> {
        let now = self.clock.precise_ms();
        let mut holders: Vec<_> = self.lending.slots().filter_map(|slot| slot.card.holder(now)).collect();
        holders.sort_by_key(|holder| Reverse(holder.held));
        holders
    }

    /// Threads in the queue, in its order.
    pub(crate) fn waiters(&self) -> Vec<Waiting> {
        let mut line: Vec<_> = {
            let line = self.line.lock();
            line.iter().map(|(ticket, card)| (*ticket, card.thread, card.location, card.since)).collect()
        };
        line.sort_by_key(|(ticket, ..)| *ticket);
        let told = |(_, thread, location, since): (_, u64, _, std::time::Instant)| Waiting {
            thread: threads::name(thread),
            location,
            waited: since.elapsed(),
        };
        line.into_iter().map(told).collect()
    }

    /// Makes the error of a checkout, with all that is known.
    pub(crate) fn error(
        &self,
        kind: ErrorKind,
        cause: Option<Arc<OpenFailure>>,
        waited: Duration,
        ahead: Option<(usize, usize)>,
        thread: u64,
    ) -> Error {
        let settings = self.settings();
        let (last, open_failures, outage) = {
            let breaker = self.breaker.lock();
            let outage = breaker.outage(self.clock.precise_ms());
            (breaker.last_within(waited).cloned(), breaker.attempts(), outage)
        };
        let mut holders = self.holders();
        holders.truncate(HOLDERS_IN_ERROR);
        let evidence = Evidence {
            pool: settings.name.clone(),
            waited,
            ahead,
            max_waiting: settings.max_waiting,
            gauges: self.gauges(),
            ceiling: settings.ceiling(),
            open_failures,
            outage: outage.map(|(since, next)| Outage {
                since: Duration::from_millis(since),
                next_attempt_in: Duration::from_millis(next),
            }),
            holders,
            own: self.held_by(thread),
        };
        // The newest failure tells more than the one that the caller was refused for.
        Error::new(kind, evidence, last.or(cause))
    }
}

impl<M: ManageConnection> Directory for Shared<M> {
    fn pool_name(&self) -> String {
        self.settings().name.clone()
    }

    fn holder_at(&self, index: usize) -> Option<Holder> {
        self.lending.slot(index).card.holder(self.clock.precise_ms())
    }

    fn count_slow_query(&self) {
        Counters::bump(&self.counters.slow_queries);
    }
}
