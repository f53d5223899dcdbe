//! Checkout: the direct path, and everything that happens when it does not lead to a connection.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use r2d2::ManageConnection;

use super::body::Fitness;
use super::errand::Customer;
use super::guard::PooledConnection;
use super::shared::Entry;
use super::shared::{Counters, InLine, Refusal, Shared};
use super::sinks::Warning;
use super::watch::Chore;
use crate::core::{Joined, Outcome, Ticket, Waiter};
use crate::error::{Error, ErrorKind};
use crate::event::{CheckoutEvent, Event, SlowCheckoutEvent, TimeoutEvent};
use crate::stats::{BreakerState, CloseCause};
use crate::threads;

/// How long a deadlock must last before it is called one.
const DEADLOCK_GRACE: Duration = Duration::from_millis(100);

/// How long a caller is willing to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// As the settings say, which the direct path need not know.
    Configured,
    /// Not at all.
    None,
    /// At most so long.
    For(Duration),
    Forever,
}

/// One caller's checkout under way.
struct Call {
    start: Instant,
    deadline: Option<Instant>,
    patience: Patience,
    location: &'static Location<'static>,
    thread: u64,
    /// Its place in line, kept when it has to come back.
    ticket: Option<Ticket>,
    /// Waiters ahead when it joined.
    ahead: Option<usize>,
}

impl<M: ManageConnection> Shared<M> {
    #[inline]
    pub(crate) fn checkout(
        self: &Arc<Self>,
        patience: Patience,
        location: &'static Location<'static>,
    ) -> Result<PooledConnection<M>, Error> {
        let (thread, home) = threads::me();
        let taken = self.lending.try_take(home);
        if let Some(entry) = taken {
            let now = self.clock.coarse_ms();
            let index = entry.seat.index();
            // Relaxed: see `Fast`.
            let fit = entry.body.seen == self.fast.epoch.load(Ordering::Relaxed)
                && now < entry.body.check_at
                && !self.is_noisy()
                && log::max_level() < log::LevelFilter::Debug;
            if fit {
                entry.body.thread.store(thread, Ordering::Relaxed);
                self.lending.slot(index).card.lent(thread, location, now, true);
                if index != home {
                    threads::set_home(index);
                    self.sample_in_use();
                }
                return Ok(PooledConnection::new(entry));
            }
            return self.checkout_closely(Some(entry), patience, location, thread);
        }
        self.checkout_closely(None, patience, location, thread)
    }

    #[cold]
    fn checkout_closely(
        self: &Arc<Self>,
        candidate: Option<Box<Entry<M>>>,
        patience: Patience,
        location: &'static Location<'static>,
        thread: u64,
    ) -> Result<PooledConnection<M>, Error> {
        let start = Instant::now();
        let patience = match patience {
            Patience::Configured => Patience::configured(&self.settings()),
            said => said,
        };
        // A deadline too far away to be expressed is none.
        let deadline = match patience {
            Patience::None => Some(start),
            Patience::For(limit) => start.checked_add(limit),
            Patience::Forever => None,
            Patience::Configured => unreachable!("BUG: replaced above"),
        };
        let mut call = Call { start, deadline, patience, location, thread, ticket: None, ahead: None };
        let outcome = self.find(&mut call, candidate);
        match outcome {
            Ok(entry) => Ok(self.lend(&call, entry)),
            Err(kind) => Err(self.failed(&call, kind)),
        }
    }

    /// Looks for a connection that is fit, until the deadline.
    fn find(
        self: &Arc<Self>,
        call: &mut Call,
        mut candidate: Option<Box<Entry<M>>>,
    ) -> Result<Box<Entry<M>>, Failure> {
        let mut dead = Dead(None);
        loop {
            let entry = match candidate.take().or_else(|| self.lending.try_take(threads::me().1)) {
                Some(entry) => entry,
                None if matches!(call.patience, Patience::None) => return Err(self.nothing_now()),
                None => self.stand_in_line(call, dead.take())?,
            };
            drop(dead);
            dead = match self.fitness(&entry) {
                Fitness::Fit => return Ok(entry),
                Fitness::Unfit(cause) => Dead(Some((entry, cause))),
                Fitness::Unproven => match self.prove(call, entry)? {
                    Proof::Fit(entry) => return Ok(entry),
                    Proof::Dead(entry) => Dead(Some((entry, CloseCause::Invalid))),
                    Proof::Gone => Dead(None),
                },
            };
        }
    }

    /// For a caller that does not wait: the pool may grow for its next try.
    fn nothing_now(self: &Arc<Self>) -> Failure {
        if self.lending.is_closed() {
            return Failure::Refused(Refusal::Closed);
        }
        let cause = {
            let breaker = self.breaker.lock();
            breaker.last().filter(|_| breaker.state() != BreakerState::Closed).cloned()
        };
        if let Some(cause) = cause {
            return Failure::Refused(Refusal::CircuitOpen(cause));
        }
        self.hint.store(true, Ordering::Relaxed);
        self.demand();
        Failure::Timeout { left: None }
    }

    /// Judges a connection about to be lent.
    pub(crate) fn fitness(&self, entry: &Entry<M>) -> Fitness {
        let now = self.clock.coarse_ms();
        // Relaxed: see `Fast`.
        if entry.body.is_evicted(self.evicted_before.load(Ordering::Relaxed)) {
            Fitness::Unfit(CloseCause::Evicted)
        } else if entry.body.is_worn(now, self.settings().max_uses) {
            Fitness::Unfit(CloseCause::Expired)
        } else if entry.body.is_suspect(self.suspect_before.load(Ordering::Relaxed))
            || entry.body.check_at <= now
        {
            Fitness::Unproven
        } else {
            Fitness::Fit
        }
    }

    /// Validates a connection within what is left of the caller's time.
    fn prove(self: &Arc<Self>, call: &Call, mut entry: Box<Entry<M>>) -> Result<Proof<M>, Failure> {
        let limit = self.settings().validation_timeout;
        let left = match call.deadline {
            // One that does not wait still has its connection validated: that is not waiting for somebody else.
            Some(deadline) if !matches!(call.patience, Patience::None) => {
                deadline.saturating_duration_since(Instant::now())
            }
            _ => limit,
        };
        // A caller in a hurry must not make a slow answer look like a dead connection.
        if !self.driver.is_bounded() || left < limit {
            return self.prove_aside(call, entry, limit);
        }
        let begun = Instant::now();
        let chore = self.validation_of(&entry);
        match self.do_chore(&mut entry.body, chore, limit) {
            Ok(()) => Ok(Proof::Fit(entry)),
            Err(why) => {
                if begun.elapsed() >= limit {
                    self.ping_timed_out(limit);
                }
                self.found_dead(entry.body.id, entry.body.seen, &why);
                Ok(Proof::Dead(entry))
            }
        }
    }

    fn validation_of(&self, entry: &Entry<M>) -> Chore {
        // Relaxed: see `Fast`.
        Chore::Validate { suspect: entry.body.is_suspect(self.suspect_before.load(Ordering::Relaxed)) }
    }

    fn prove_aside(
        self: &Arc<Self>,
        call: &Call,
        entry: Box<Entry<M>>,
        limit: Duration,
    ) -> Result<Proof<M>, Failure> {
        let deadline = match call.patience {
            Patience::None => Instant::now().checked_add(limit),
            _ => call.deadline,
        };
        let customer = Arc::new(Customer::<M>::new());
        let chore = self.validation_of(&entry);
        self.send_aside(entry, chore, Some(Arc::clone(&customer)));
        match customer.wait(deadline) {
            Outcome::Served(entry) if entry.body.marked_broken => Ok(Proof::Dead(entry)),
            Outcome::Served(entry) => Ok(Proof::Fit(entry)),
            Outcome::Refused(()) => Ok(Proof::Gone),
            // The helper still has it, and puts it back or gives it up.
            Outcome::Nothing => Err(Failure::Timeout { left: None }),
        }
    }

    /// Waits in line, with a dead connection in hand whose seat is freed only then.
    fn stand_in_line(self: &Arc<Self>, call: &mut Call, dead: Dead<M>) -> Result<Box<Entry<M>>, Failure> {
        let max_waiting = self.settings().max_waiting.map(|max| max as usize);
        let joined = self.lending.join(call.ticket, max_waiting);
        drop(dead);
        let (waiter, ticket) = match joined {
            Joined::Got(entry) => return Ok(entry),
            Joined::Full => return Err(Failure::QueueFull),
            Joined::Refused(refusal) => return Err(Failure::Refused(refusal)),
            Joined::Closed => return Err(Failure::Refused(Refusal::Closed)),
            Joined::InLine { waiter, ticket, ahead } => {
                call.ahead.get_or_insert(ahead);
                (waiter, ticket)
            }
        };
        call.ticket = Some(ticket);
        let card = InLine { thread: call.thread, location: call.location, since: call.start };
        self.line.lock().insert(ticket, card);
        self.demand();
        let deadlocked = self.settings().deadlock_detection && self.is_deadlocked(call, &waiter);
        let outcome = if deadlocked { waiter.leave() } else { waiter.wait(call.deadline) };
        self.line.lock().remove(&ticket);
        match outcome {
            Outcome::Served(entry) => {
                self.lending.recycle(waiter);
                Ok(entry)
            }
            Outcome::Refused(refusal) => {
                self.lending.recycle(waiter);
                Err(Failure::Refused(refusal))
            }
            Outcome::Nothing => {
                let left = self.lending.ahead_of(ticket);
                self.lending.forget(waiter, ticket);
                Err(if deadlocked { Failure::Deadlock } else { Failure::Timeout { left: Some(left) } })
            }
        }
    }

    /// Whether nobody is left who could serve this caller, looked at twice: a guard that was passed to another thread
    /// shows itself in between by being used or returned.
    fn is_deadlocked(self: &Arc<Self>, call: &Call, waiter: &Waiter<Entry<M>, Refusal>) -> bool {
        if !self.completes_deadlock(call.thread) {
            return false;
        }
        let grace = Instant::now() + DEADLOCK_GRACE;
        if call.deadline.is_some_and(|deadline| deadline <= grace) {
            return false;
        }
        !waiter.watch(Some(grace)) && self.completes_deadlock(call.thread)
    }

    /// The accounts of a checkout that took the long way.
    fn lend(self: &Arc<Self>, call: &Call, entry: Box<Entry<M>>) -> PooledConnection<M> {
        let took = call.start.elapsed();
        let now = self.clock.coarse_ms();
        let id = entry.body.id;
        let index = entry.seat.index();
        threads::set_home(index);
        entry.body.thread.store(call.thread, Ordering::Relaxed);
        let card = &self.lending.slot(index).card;
        card.lent(call.thread, call.location, now, false);
        let counter = if call.ahead.is_some() { &self.counters.waited } else { &self.counters.unqueued };
        Counters::bump(counter);
        self.counters.wait.record(if call.ahead.is_some() { took } else { Duration::ZERO });
        let guard = PooledConnection::new(entry);
        log::debug!(target: &self.target(), "connection {id} lent after {took:.1?}");
        self.emit(|| Event::CheckedOut(CheckoutEvent { id, duration: took }));
        if self.settings().slow_checkout.is_some_and(|limit| took > limit) {
            Counters::bump(&self.counters.slow_checkouts);
            self.warn(Warning::Slow, || format!("a checkout took {took:.1?}"));
            self.emit(|| Event::SlowCheckout(SlowCheckoutEvent { id, duration: took }));
        }
        guard
    }

    /// The accounts of a checkout that failed, and its error.
    fn failed(&self, call: &Call, failure: Failure) -> Error {
        let (kind, cause, left) = match failure {
            Failure::Timeout { left } => (ErrorKind::Timeout, None, left),
            Failure::QueueFull => (ErrorKind::QueueFull, None, None),
            Failure::Deadlock => (ErrorKind::WouldDeadlock, None, None),
            Failure::Refused(Refusal::Closed) => (ErrorKind::Closed, None, None),
            Failure::Refused(Refusal::CircuitOpen(cause)) => (ErrorKind::CircuitOpen, Some(cause), None),
            Failure::Refused(Refusal::ConnectFailed(cause)) => (ErrorKind::ConnectFailed, Some(cause), None),
        };
        let waited = call.start.elapsed();
        if kind == ErrorKind::Timeout {
            Counters::bump(&self.counters.timed_out);
            self.counters.wait.record(waited);
            // One that would not wait let no time run out; r2d2 tells nothing of `try_get` either.
            if let Patience::For(timeout) = call.patience {
                self.emit(|| Event::TimedOut(TimeoutEvent { timeout }));
            }
        } else {
            Counters::bump(&self.counters.rejected);
        }
        let ahead = call.ahead.zip(left);
        self.error(kind, cause, waited, ahead, call.thread)
    }
}

/// Why a checkout ended without a connection.
enum Failure {
    /// With the number of waiters still ahead, for one that stood in line.
    Timeout {
        left: Option<usize>,
    },
    QueueFull,
    Deadlock,
    Refused(Refusal),
}

/// What a validation came to.
enum Proof<M: ManageConnection> {
    Fit(Box<Entry<M>>),
    Dead(Box<Entry<M>>),
    /// A helper still has it.
    Gone,
}

/// A connection that could not be lent, closed when this is dropped: once its caller stands in line again or has
/// found another, for until then the next connection in its seat would go to somebody behind the caller.
struct Dead<M: ManageConnection>(Option<(Box<Entry<M>>, CloseCause)>);

impl<M: ManageConnection> Dead<M> {
    fn take(&mut self) -> Self {
        Dead(self.0.take())
    }
}

impl<M: ManageConnection> Drop for Dead<M> {
    fn drop(&mut self) {
        if let Some((entry, cause)) = self.0.take() {
            let shared = Arc::clone(&entry.shared);
            shared.dispose(entry, cause);
        }
    }
}
