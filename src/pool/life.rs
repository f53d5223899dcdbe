//! The life of a pool: filling, suspending, draining, changing its settings, closing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use r2d2::ManageConnection;

use super::shared::{Refusal, Shared};
use crate::config::Settings;
use crate::error::{Error, ErrorKind};
use crate::stats::{CloseCause, Gauges, Holder};
use crate::threads;

/// What [`Pool::close`](crate::Pool::close) found at its end.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CloseReport {
    /// Checkouts still out at the end. Calls that waited on their connections have been ended where the driver can do
    /// that; the connections are closed when they come back.
    pub holders: Vec<Holder>,
    /// The gauges at the end: `zombies` are connections whose close had not finished, `opening` attempts that had
    /// not ended, and what is `in_use` without a holder is being validated, reset, or closed beyond `max_zombies`.
    pub gauges: Gauges,
    /// How long closing took.
    pub took: Duration,
}

impl CloseReport {
    /// Whether nothing was left over, and nobody still has a connection, not even one whose session was ended and
    /// replaced (`terminate_stuck_after`), which no gauge counts.
    pub fn is_complete(&self) -> bool {
        self.gauges.size() == 0 && self.gauges.zombies == 0 && self.holders.is_empty()
    }
}

impl<M: ManageConnection> Shared<M> {
    /// Waits until `done`, at most until the deadline; `done` is asked again after each change it may depend on.
    fn wait_until(&self, deadline: Option<Instant>, mut done: impl FnMut() -> bool) -> bool {
        let (lock, changed) = &self.progress;
        let mut guard = lock.lock();
        loop {
            if done() {
                return true;
            }
            match deadline {
                Some(deadline) => {
                    if changed.wait_until(&mut guard, deadline).timed_out() {
                        return done();
                    }
                }
                None => changed.wait(&mut guard),
            }
        }
    }

    /// Whether the pool has what it keeps open.
    fn is_filled(&self) -> bool {
        let settings = self.settings();
        let counts = self.lending.counts();
        let keeps = settings.min_size.max(settings.effective_min_idle()).min(settings.ceiling());
        // Relaxed, and after the counts: one that they found open and not yet idle was announced before, under the
        // desk's lock; where its end is missed, `progressed` has this asked again. Whoever is told that the pool is
        // ready can take a connection at once.
        let introducing = self.introducing.load(Ordering::Relaxed) as usize;
        counts.idle + counts.in_use >= keeps as usize + introducing
    }

    /// Waits until the pool has what it keeps open. With `impatient`, a cause that waiting will not cure ends it.
    pub(crate) fn wait_filled(&self, limit: Duration, impatient: bool) -> Result<(), Error> {
        let begun = Instant::now();
        let mut hopeless = false;
        let filled = self.wait_until(begun.checked_add(limit), || {
            let now = self.clock.precise_ms();
            let breaker = self.breaker.lock();
            hopeless = impatient && (breaker.is_locked(now) || breaker.outage(now).is_some());
            drop(breaker);
            self.is_filled() || hopeless || self.lending.is_closed()
        });
        if filled && self.is_filled() {
            return Ok(());
        }
        let kind = if self.lending.is_closed() {
            ErrorKind::Closed
        } else if self.breaker.lock().last().is_some() {
            ErrorKind::ConnectFailed
        } else {
            ErrorKind::Timeout
        };
        Err(self.error(kind, None, begun.elapsed(), None, threads::me().0))
    }

    /// Has every connection open now replaced: idle ones at once, those in use at their checkin.
    pub(crate) fn evict(self: &Arc<Self>) {
        let epoch = self.next_epoch();
        // Relaxed: see `Fast`.
        self.evicted_before.fetch_max(epoch, Ordering::Relaxed);
        for index in 0..self.lending.slots().count() {
            let Some(entry) = self.lending.take_at(index) else { continue };
            if entry.body.is_evicted(epoch) {
                self.dispose(entry, CloseCause::Evicted);
            } else if let Err(entry) = self.lending.put(index, entry) {
                self.dispose(entry, CloseCause::Closed);
            }
        }
        self.demand();
    }

    /// Closes what is idle just now.
    pub(crate) fn evict_idle(self: &Arc<Self>) {
        for index in 0..self.lending.slots().count() {
            if let Some(entry) = self.lending.take_at(index) {
                self.dispose(entry, CloseCause::Evicted);
            }
        }
    }

    /// Adopts new settings. Shrinking closes idle connections now and those in use at their checkin.
    /// False where somebody else has changed them since they were `before`.
    pub(crate) fn reconfigure(
        self: &Arc<Self>,
        before: &Arc<Settings>,
        settings: Settings,
    ) -> Result<bool, Error> {
        let mut faults = settings.check();
        let rule = format!("must not exceed {}, this pool's part of the budget", self.share);
        faults.require(
            settings.ceiling() <= self.share,
            "base_size + max_overflow",
            settings.ceiling(),
            rule,
        );
        if !faults.is_empty() {
            return Err(Error::invalid(faults));
        }
        let crew = settings.open_concurrency as usize;
        let applying = self.applying.lock();
        if !Arc::ptr_eq(before, &self.settings()) {
            return Ok(false);
        }
        self.lending.set_ceiling(settings.ceiling() as usize);
        let lifted = self.store_settings(settings);
        self.openers.set_limit(crew);
        self.closers.set_limit(crew);
        drop(applying);
        if lifted {
            self.tell_recovery("it has been switched off");
        }
        self.keeper.wake();
        self.demand();
        Ok(true)
    }

    /// Stops lending: refuses all waiters and has every idle connection closed. The rest closes at its checkin.
    pub(crate) fn shut(self: &Arc<Self>) {
        let idle = self.lending.close(&Refusal::Closed);
        for entry in idle {
            self.dispose(entry, CloseCause::Closed);
        }
        self.errands.lock().iter().for_each(|errand| errand.dismiss_customer());
        self.openers.end();
        self.closers.end();
        self.keeper.wake();
        self.progressed();
    }

    /// Stops lending and waits for what is out, at most until the deadline; then ends the calls of those still out.
    pub(crate) fn close(self: &Arc<Self>, limit: Duration) -> CloseReport {
        let begun = Instant::now();
        self.shut();
        let mut gauges = Gauges::default();
        self.wait_until(begun.checked_add(limit), || {
            gauges = self.gauges();
            gauges.size() == 0 && gauges.zombies == 0
        });
        let report = CloseReport { holders: self.holders(), gauges, took: begun.elapsed() };
        self.abandon_borrowed();
        report
    }
}
