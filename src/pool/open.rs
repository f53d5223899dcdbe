//! Opening: how many connections are wanted, and the attempts to get them, off the callers' threads.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use r2d2::ManageConnection;

use super::body::{Body, plan_keepalive, spread};
use super::breaker::{Advice, Reaction};
use super::control::{Directory, Opened, Place};
use super::shared::{Counters, Entry, Errand, Refusal, Seat, Shared};
use super::sinks::Warning;
use super::watch::{Progress, Purpose, Task};
use crate::core::Counts;
use crate::error::{FailureClass, OpenFailure};
use crate::event::{AcquireEvent, BreakerEvent, Event};
use crate::stats::{BreakerState, CloseCause};

/// Counts a renewal under way for as long as it lives.
struct Renewing<M: ManageConnection>(Arc<Shared<M>>);

impl<M: ManageConnection> Drop for Renewing<M> {
    fn drop(&mut self) {
        // Relaxed: a count; nothing else is published by it.
        self.0.renewing.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a hung attempt is given beyond the limit that the database layer was told.
const OPEN_GRACE: Duration = Duration::from_secs(1);

impl<M: ManageConnection> Shared<M> {
    /// How many connections should be in the making for those who wait and for what the pool keeps.
    fn wanted(&self, counts: &Counts) -> usize {
        let settings = self.settings();
        // Relaxed: a hint that is lost is given again.
        let hinted = usize::from(counts.idle == 0 && self.hint.load(Ordering::Relaxed));
        // While lending is suspended callers wait beside idle connections that will serve them.
        let callers = counts.waiting.saturating_sub(counts.idle).max(hinted);
        let open = counts.idle + counts.in_use;
        let for_size = (settings.min_size as usize).saturating_sub(open);
        let kept = settings.effective_min_idle() as usize;
        // Where nothing is said of idle ones the base size is kept open, idle or not: keeping as many idle besides
        // those in use would open overflow that nobody asked for.
        let counted = if settings.min_idle.is_some() { counts.idle } else { open };
        callers.max(for_size).max(kept.saturating_sub(counted))
    }

    /// How many connections are due, or soon will be, and have no replacement under way. A pool with idle ones to
    /// spare needs no replacement before it closes one.
    fn renewals_wanted(&self, counts: &Counts) -> usize {
        if counts.waiting == 0 && counts.idle > 1 {
            return 0;
        }
        let settings = self.settings();
        // The keeper's period ahead, since that is how often it looks; less for short lives.
        let ahead = settings.max_lifetime.map_or(Duration::ZERO, |life| settings.reaper_rate.min(life / 10));
        let horizon = self.clock.coarse_ms().saturating_add(super::body::ms(ahead));
        let due = self.lending.slots().filter(|slot| {
            let due_at = slot.card.due_at();
            due_at != 0 && due_at <= horizon
        });
        let under_way = self.renewing.load(Ordering::Relaxed) + self.credits.load(Ordering::Relaxed);
        due.count().saturating_sub(under_way as usize)
    }

    /// Starts as many attempts as are wanted and allowed. Called whenever either may have changed, with no lock held.
    pub(crate) fn demand(self: &Arc<Self>) {
        while let Some((seat, purpose)) = self.next_attempt() {
            let shared = Arc::clone(self);
            let renewing = (purpose == Purpose::Renewal).then(|| {
                self.renewing.fetch_add(1, Ordering::Relaxed);
                Renewing(Arc::clone(self))
            });
            self.openers.submit(Box::new(move || {
                shared.attempt(seat, purpose);
                drop(renewing);
                shared.demand();
                shared.progressed();
            }));
        }
    }

    /// Claims a seat for the next attempt, if there is to be one now.
    fn next_attempt(self: &Arc<Self>) -> Option<(Seat<M>, Purpose)> {
        if self.lending.is_closed() {
            return None;
        }
        let now = self.clock.precise_ms();
        // Held over the decision and the claim, so that two threads do not both find one attempt missing.
        let mut breaker = self.breaker.lock();
        let counts = self.lending.counts();
        match breaker.advice(now) {
            Advice::AwaitProbe => None,
            Advice::NotBefore(_) => {
                // Nobody could serve whoever waits: with a permanent cause they hear of it at once.
                if let Some(cause) = breaker.last()
                    && breaker.is_locked(now)
                    && counts.size() == 0
                {
                    self.lending.refuse(&Refusal::ConnectFailed(Arc::clone(cause)), true);
                }
                None
            }
            Advice::Probe => {
                breaker.begin_probe();
                match Seat::claim(&self.lending) {
                    Some(seat) => Some((seat, Purpose::Probe)),
                    None => {
                        breaker.probe_abandoned();
                        self.lending.stop_refusing();
                        drop(breaker);
                        self.tell_recovery("no capacity is left for a probe");
                        None
                    }
                }
            }
            Advice::Open(allowed) => {
                if breaker.is_permanent() {
                    // The next attempt may be made, and it is made for a caller: let callers stand in line again.
                    self.lending.stop_refusing();
                }
                let wanted = self.wanted(&counts);
                if counts.opening >= allowed {
                    return None;
                }
                if counts.opening < wanted {
                    return Some((Seat::claim(&self.lending)?, Purpose::Demand));
                }
                if self.renewals_wanted(&counts) > 0 {
                    return Some((Seat::claim(&self.lending)?, Purpose::Renewal));
                }
                None
            }
        }
    }

    /// Whether an attempt about to begin is still worth it.
    fn still_wanted(&self, purpose: Purpose) -> bool {
        let counts = self.lending.counts();
        match purpose {
            Purpose::Probe | Purpose::Renewal => !self.lending.is_closed(),
            Purpose::Demand => counts.opening <= self.wanted(&counts) && !self.lending.is_closed(),
        }
    }

    /// One attempt to open a connection, on an opener thread.
    fn attempt(self: &Arc<Self>, seat: Seat<M>, purpose: Purpose) {
        if !self.still_wanted(purpose) {
            return;
        }
        let settings = self.settings();
        let errand = self.watch_attempt(seat, purpose);
        // Relaxed: the epoch before the attempt: an eviction meanwhile hits what it opens.
        let born = self.fast.epoch.load(Ordering::Relaxed);
        let (begun, begun_ms) = (Instant::now(), self.clock.precise_ms());
        let opened = self.connect(settings.connection_timeout, &errand);
        let seat = errand.finish();
        self.forget_errand(&errand);
        let Some(mut seat) = seat else { return self.attempt_came_late(opened, &errand) };
        let Opened { conn, control } = match opened {
            Ok(opened) => opened,
            Err(failure) => return self.attempt_failed(seat, purpose, begun_ms, failure),
        };
        let took = begun.elapsed();
        let now = self.clock.coarse_ms();
        let body = Body::new(conn, born, now, &settings);
        Counters::bump(&self.counters.opened);
        self.counters.open.record(took);
        self.attempt_succeeded();
        self.hint.store(false, Ordering::Relaxed);
        if purpose == Purpose::Renewal {
            self.credits.fetch_add(1, Ordering::Relaxed);
        }
        let id = body.id;
        log::debug!(target: &self.target(), "opened connection {id} in {took:.1?}");
        self.emit(|| Event::Opened(AcquireEvent { id }));
        // Relaxed, both: see `Shared::is_filled`.
        self.introducing.fetch_add(1, Ordering::Relaxed);
        if let Some(control) = &control {
            let directory: Weak<dyn Directory> = Arc::downgrade(&(Arc::clone(self) as Arc<dyn Directory>));
            let place = Place::new(directory, seat.index(), id);
            let _ = self.guarded("placed", || control.placed(place));
        }
        self.lending.slot(seat.index()).card.set_control(id, control);
        seat.opened();
        self.welcome(body, seat, now);
        self.introducing.fetch_sub(1, Ordering::Relaxed);
    }

    /// Puts an attempt on the keeper's list, who gives it up when the database layer does not.
    fn watch_attempt(self: &Arc<Self>, seat: Seat<M>, purpose: Purpose) -> Arc<Errand<M>> {
        let limit = self.connect_limit();
        let progress = Progress::new(seat, limit);
        let task = Task::Open(purpose);
        let errand = Errand { progress: Mutex::new(progress), customer: None, seen: 0, id: 0, task };
        errand.begin(limit);
        let errand = Arc::new(errand);
        self.errands.lock().push(Arc::clone(&errand));
        errand
    }

    /// After which time a connect counts as hung.
    fn connect_limit(&self) -> Duration {
        let limit = self.settings().connection_timeout;
        let told = self.guarded("connect_limit", || self.driver.connect_limit(&self.manager, limit));
        told.unwrap_or(limit).min(limit).saturating_add(OPEN_GRACE)
    }

    /// The keeper gives up an attempt that hangs: it has failed, and its thread and what it may still open are lost.
    pub(crate) fn attempt_hung(self: &Arc<Self>, seat: Seat<M>, purpose: Purpose) {
        let limit = self.connect_limit();
        let attempts = self.breaker.lock().attempts() + 1;
        let text = format!("opening a connection had no answer within {limit:.1?}");
        let failure = OpenFailure::from_text(text, FailureClass::Transient, attempts);
        let begun = self.clock.precise_ms().saturating_sub(super::body::ms(limit));
        self.attempt_failed(seat, purpose, begun, Arc::new(failure));
    }

    /// An attempt that was given up has ended after all: what it opened is closed, and the zombie is gone.
    fn attempt_came_late(
        self: &Arc<Self>,
        opened: Result<Opened<M::Connection>, Arc<OpenFailure>>,
        errand: &Arc<Errand<M>>,
    ) {
        if let Ok(Opened { conn, .. }) = opened {
            self.let_go(conn, true);
        }
        self.take_back_thread(errand);
        // Relaxed: a gauge; pairs with the count in `bury_alive`.
        self.counters.zombies.fetch_sub(1, Ordering::Relaxed);
    }

    /// Puts a new connection to use.
    fn welcome(self: &Arc<Self>, mut body: Body<M::Connection>, seat: Seat<M>, now: u64) {
        let index = seat.index();
        let settings = self.settings();
        let card = &self.lending.slot(index).card;
        card.opened(body.id, now, body.expires_at(), plan_keepalive(now, settings.keepalive));
        // Also where a waiter is there to take it: the waiter may leave in the same moment.
        body.rests(now, settings.pre_ping.threshold().map_or(super::card::NEVER, super::body::ms));
        let entry = Box::new(Entry { body, seat, shared: Arc::clone(self) });
        if let Err(entry) = self.lending.admit(index, entry) {
            self.dispose(entry, CloseCause::Closed);
        }
    }

    /// Opens and customizes; nothing of the user's can do worse than fail.
    fn connect(
        self: &Arc<Self>,
        limit: Duration,
        errand: &Errand<M>,
    ) -> Result<Opened<M::Connection>, Arc<OpenFailure>> {
        let attempts = self.breaker.lock().attempts() + 1;
        let opened = self.guarded("connect", || self.driver.connect(&self.manager, limit));
        let mut conn = match opened {
            Ok(Ok(conn)) => conn,
            Ok(Err(error)) => return Err(self.open_failure(error, attempts)),
            Err(panic) => {
                return Err(Arc::new(OpenFailure::from_text(
                    panic.into(),
                    FailureClass::Transient,
                    attempts,
                )));
            }
        };
        errand.allow(limit.saturating_add(OPEN_GRACE));
        match self.guarded("on_acquire", || self.customizer.on_acquire(&mut conn)) {
            Ok(Ok(())) => {
                let control = self.guarded("control", || self.driver.control(&self.manager, &mut conn));
                Ok(Opened { conn, control: control.unwrap_or(None) })
            }
            failed => {
                let failure = match failed {
                    Ok(Err(error)) => self.open_failure(error, attempts),
                    Err(panic) => {
                        Arc::new(OpenFailure::from_text(panic.into(), FailureClass::Transient, attempts))
                    }
                    Ok(Ok(())) => unreachable!("BUG: a success among the failures"),
                };
                // It never was in the pool, so `on_release` is not its end, as with r2d2.
                let _ = self.guarded("prepare_close", || self.driver.prepare_close(&mut conn, true));
                let _ = self.guarded("closing a connection", || drop(conn));
                Err(failure)
            }
        }
    }

    fn open_failure(&self, error: M::Error, attempts: u64) -> Arc<OpenFailure> {
        let class = self.guarded("classify", || self.driver.classify(&error));
        let code = self.guarded("code", || self.driver.code(&error));
        let class = class.unwrap_or(FailureClass::Transient);
        let code = code.unwrap_or(None);
        let told = self.guarded("an error's text", || OpenFailure::new(&error, class, code, attempts));
        let failure = told.unwrap_or_else(|panic| OpenFailure::from_text(panic.into(), class, attempts));
        let failure = Arc::new(failure);
        let _ = self.guarded("the error handler", || self.error_handler.handle_error(error));
        failure
    }

    fn attempt_succeeded(self: &Arc<Self>) {
        let (was_open, refused) = {
            let mut breaker = self.breaker.lock();
            let was_open = breaker.state() != BreakerState::Closed;
            let refused = breaker.succeeded();
            if refused {
                self.lending.stop_refusing();
            }
            (was_open, refused)
        };
        if was_open {
            self.tell_recovery("the server is back");
        } else if refused {
            log::warn!(target: &self.target(), "connections can be opened again");
        }
    }

    /// Tells that the breaker has closed. Called with no lock held.
    pub(crate) fn tell_recovery(self: &Arc<Self>, why: &str) {
        log::warn!(target: &self.target(), "circuit breaker closed: {why}");
        self.emit_aside(|| Event::Breaker(BreakerEvent { state: BreakerState::Closed, cause: None }));
    }

    fn attempt_failed(
        self: &Arc<Self>,
        seat: Seat<M>,
        purpose: Purpose,
        begun: u64,
        failure: Arc<OpenFailure>,
    ) {
        Counters::bump(&self.counters.open_failures[failure.class() as usize]);
        self.warn(Warning::OpenFailed, || format!("could not open a connection: {failure}"));
        let now = self.clock.precise_ms();
        let reaction = {
            let mut breaker = self.breaker.lock();
            let probe = purpose == Purpose::Probe;
            let reaction = breaker.failed(now, begun, Arc::clone(&failure), spread(), probe);
            // Only now, so that nobody finds the seat free and the back-off not yet begun.
            drop(seat);
            self.react(reaction, &failure);
            reaction
        };
        self.tell(reaction, &failure);
        self.keeper.wake();
    }

    /// A validation did not answer in time.
    pub(crate) fn ping_timed_out(self: &Arc<Self>, limit: Duration) {
        let attempts = self.breaker.lock().attempts();
        let text = format!("a validation had no answer within {limit:.1?}");
        let failure = Arc::new(OpenFailure::from_text(text, FailureClass::Transient, attempts));
        let reaction = {
            let mut breaker = self.breaker.lock();
            let now = self.clock.precise_ms();
            let begun = now.saturating_sub(super::body::ms(limit));
            let reaction = breaker.ping_timed_out(now, begun, Arc::clone(&failure));
            self.react(reaction, &failure);
            reaction
        };
        self.tell(reaction, &failure);
        self.keeper.wake();
    }

    /// What a failure means for those who wait. Called under the breaker's lock, so that a success and a failure
    /// take effect in the order in which the breaker saw them; it wakes threads and calls nothing foreign.
    fn react(&self, reaction: Reaction, failure: &Arc<OpenFailure>) {
        match reaction {
            Reaction::None => {}
            Reaction::Closed => self.lending.stop_refusing(),
            Reaction::Opened | Reaction::StillOpen => {
                self.lending.refuse(&Refusal::CircuitOpen(Arc::clone(failure)), true);
            }
            Reaction::Refuse => {
                let standing = self.lending.counts().size() == 0;
                self.lending.refuse(&Refusal::ConnectFailed(Arc::clone(failure)), standing);
            }
        }
    }

    fn tell(self: &Arc<Self>, reaction: Reaction, failure: &Arc<OpenFailure>) {
        if reaction == Reaction::Closed {
            self.tell_recovery("the server answers, and has no connection left");
        }
        if reaction == Reaction::Opened {
            log::error!(target: &self.target(), "circuit breaker open: {failure}");
            let cause = Some(failure.to_string());
            self.emit_aside(|| Event::Breaker(BreakerEvent { state: BreakerState::Open, cause }));
        }
        self.progressed();
    }
}
