//! What is known of one connection, and the switches that end a wait on it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::abandoned::Abandoned;
use super::allowance::Allowance;
use super::errors::Errors;
use super::exchange::{Exchange, Pending};
use super::listening::Listening;
use super::parting::Parting;
use super::probe::{Probe, ProbeStep};
use super::route::{Route, ServerRole};
use super::settings::SessionSettings;
use crate::pool::Place;
use crate::postgres::observer::along::Along;
use crate::postgres::observer::arrivals::Arrivals;
use crate::postgres::observer::task::is_same;

/// Stands for "no limit" and "never" in the times below.
const NONE: u64 = u64::MAX;

/// The state that the wrapped stream writes and the connection's owner reads.
///
/// **Orderings.** `postgres::Client` does its I/O on the thread that calls it, so the stream runs on the thread that
/// owns the connection, and whatever hands the connection to another thread orders these writes before that thread's
/// reads. The atomics only spare a lock and let other threads read a recent value for a report: `Relaxed` is enough for
/// all. The one exchange between threads is [`WireState::abandon`] against [`WireState::listen`], which the mutex
/// around the waker orders.
pub(crate) struct WireState {
    epoch: Instant,
    /// `I`, `T` or `E`; 0 until the handshake is done.
    status: AtomicU8,
    backend_pid: AtomicI32,
    /// That of the socket; negative where it is not known.
    descriptor: AtomicI32,
    /// What is known of what there is to read; see `notes`.
    at_rest: AtomicU8,
    /// The owner is in a call in which nothing can fork, and has asked for the process.
    in_one_call: AtomicBool,
    exchange: Exchange,
    allowance: Allowance,
    broken: AtomicBool,
    statements_mixed_up: AtomicBool,
    route: Route,
    settings: SessionSettings,
    listening: Listening,
    errors: Errors,
    /// What is sent is the pool's own, and no statement of a borrower.
    own: AtomicBool,
    /// Nanoseconds since `epoch` at which the server was last known to be alive: a lower bound.
    heard: AtomicU64,
    /// Nanoseconds of silence allowed while a reply is due; `NONE` for no limit.
    socket_timeout: AtomicU64,
    /// Nanoseconds since `epoch` by which the call under way must end; `NONE` outside of bounded calls.
    bound: AtomicU64,
    /// How long that call may take, in nanoseconds.
    bound_limit: AtomicU64,
    parting: Parting,
    probe: Probe,
    /// An [`Abandoned`] as a number; 0 while it is not.
    abandoned: AtomicU8,
    along: Along,
    /// The task that waits for the socket. Guards nothing else; held for a clone or a wake only.
    reader: Mutex<Option<Waker>>,
    /// Where it stands in its pool.
    place: OnceLock<Place>,
    /// The time from which on a statement is slow, if any is.
    slow_query: Option<Duration>,
    /// The time of each statement is recorded.
    query_times: bool,
}

impl WireState {
    pub fn new(socket_timeout: Option<Duration>) -> Self {
        let shared = WireState {
            epoch: Instant::now(),
            status: AtomicU8::new(0),
            backend_pid: AtomicI32::new(0),
            descriptor: AtomicI32::new(-1),
            at_rest: AtomicU8::new(notes::READING),
            in_one_call: AtomicBool::new(false),
            exchange: Exchange::default(),
            allowance: Allowance::default(),
            broken: AtomicBool::new(false),
            statements_mixed_up: AtomicBool::new(false),
            route: Route::default(),
            settings: SessionSettings::default(),
            listening: Listening::default(),
            errors: Errors::default(),
            own: AtomicBool::new(false),
            heard: AtomicU64::new(0),
            socket_timeout: AtomicU64::new(NONE),
            bound: AtomicU64::new(NONE),
            bound_limit: AtomicU64::new(NONE),
            parting: Parting::default(),
            probe: Probe::default(),
            abandoned: AtomicU8::new(0),
            along: Along::default(),
            reader: Mutex::new(None),
            place: OnceLock::new(),
            slow_query: None,
            query_times: false,
        };
        shared.set_socket_timeout(socket_timeout);
        shared
    }

    /// Has statements logged that take so long. Before the stream is wrapped.
    pub fn with_slow_query(mut self, slow_query: Option<Duration>) -> Self {
        self.slow_query = slow_query;
        self
    }

    pub fn slow_query(&self) -> Option<Duration> {
        self.slow_query
    }

    /// Has the time of each statement recorded. Before the stream is wrapped.
    pub fn with_query_times(mut self, query_times: bool) -> Self {
        self.query_times = query_times;
        self
    }

    pub fn query_times(&self) -> bool {
        self.query_times
    }

    /// Set once, when the connection has its place in a pool.
    pub fn set_place(&self, place: Place) {
        let _ = self.place.set(place);
    }

    pub fn place(&self) -> Option<&Place> {
        self.place.get()
    }

    /// A watch on the socket, for the owner of the connection, which is open.
    pub fn watch_arrivals(&self) -> Option<Arrivals> {
        let descriptor = self.descriptor.load(Relaxed);
        (descriptor >= 0).then(|| Arrivals::of(descriptor)).flatten()
    }

    /// Nanoseconds since this connection's first byte.
    pub fn now(&self) -> u64 {
        nanos(self.epoch.elapsed())
    }

    pub fn instant(&self, at: u64) -> Instant {
        self.epoch + Duration::from_nanos(at)
    }

    // Written by the stream.

    pub fn note_heard(&self, at: u64) {
        self.heard.store(at, Relaxed);
    }

    /// Whether what is sent now is the pool's own: for as long as its owner says so, and while it is being opened.
    pub fn is_own(&self) -> bool {
        self.own.load(Relaxed) || !self.is_open()
    }

    pub fn note_lost(&self) {
        self.broken.store(true, Relaxed);
    }

    /// Remembers whom to wake on [`WireState::abandon`]; returns whether the connection has been abandoned already.
    ///
    /// Either `abandon` takes the lock after this and wakes the waker, or it took it before, and then its store is
    /// visible to the load below.
    pub fn listen(&self, waker: &Waker) -> bool {
        {
            let mut reader = self.reader.lock();
            if !reader.as_ref().is_some_and(|known| is_same(known, waker)) {
                *reader = Some(waker.clone());
            }
        }
        self.is_abandoned()
    }

    /// As [`WireState::listen`], by the stream, which alone listens while it reads and writes: whom it told before is
    /// still known, since only `abandon` forgets whom to wake, and is woken where that is missed here.
    pub fn listen_again(&self, told: &mut Option<Waker>, waker: &Waker) -> bool {
        if told.as_ref().is_some_and(|told| is_same(told, waker)) {
            return self.is_abandoned();
        }
        *told = Some(waker.clone());
        self.listen(waker)
    }

    /// Whether a reply is drained, and that has taken as much or as long as it may.
    pub fn is_drained_enough(&self) -> bool {
        self.probe.is_drained_enough(|| self.now())
    }

    /// Called when there is nothing to read: what the stream does next for a probe.
    pub fn step_probe(&self) -> Option<ProbeStep> {
        self.probe.step(|| self.exchange.pending())
    }

    pub fn bound(&self) -> Option<u64> {
        some(self.bound.load(Relaxed))
    }

    /// How long a bounded call may take.
    pub fn bound_limit(&self) -> Duration {
        Duration::from_nanos(self.bound_limit.load(Relaxed))
    }

    pub fn socket_timeout(&self) -> Option<u64> {
        some(self.socket_timeout.load(Relaxed))
    }

    /// How much the server may still send.
    pub fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// Whether any reply is due, one to housekeeping included.
    pub fn awaits_reply(&self) -> bool {
        self.exchange.awaits_reply()
    }

    /// Whether it is the client's turn, in a `COPY` to the server.
    pub fn is_copying_in(&self) -> bool {
        self.exchange.pending() == Pending::Client
    }

    // For the owner of the connection.

    /// The transaction status, as the owner is to believe it: with a BEGIN that is held it is in a transaction.
    pub fn status(&self) -> u8 {
        self.along.believed().unwrap_or_else(|| self.status.load(Relaxed))
    }

    /// What goes along with the client's requests.
    pub fn along(&self) -> &Along {
        &self.along
    }

    pub fn backend_pid(&self) -> i32 {
        self.backend_pid.load(Relaxed)
    }

    /// Requests since the connection is open whose answer was waited for.
    pub fn round_trips(&self) -> u64 {
        self.exchange.round_trips()
    }

    pub fn is_open(&self) -> bool {
        self.exchange.is_open()
    }

    /// Says whether what the owner sends from here on is the pool's own.
    pub fn set_own(&self, own: bool) {
        self.own.store(own, Relaxed);
    }

    pub fn errors(&self) -> &Errors {
        &self.errors
    }

    pub fn settings(&self) -> &SessionSettings {
        &self.settings
    }

    pub fn listening(&self) -> &Listening {
        &self.listening
    }

    /// Whether the answer to work is still due.
    pub fn is_reply_pending(&self) -> bool {
        self.exchange.is_reply_pending()
    }

    /// Says whether a call is under way in which nothing can fork, in the process of the connection.
    pub fn set_in_one_call(&self, in_one_call: bool) {
        self.in_one_call.store(in_one_call, Relaxed);
    }

    pub fn is_in_one_call(&self) -> bool {
        self.in_one_call.load(Relaxed)
    }

    /// Whether each reply was read to its end, and the last read found nothing, between two messages.
    pub fn is_at_rest(&self) -> bool {
        self.at_rest.load(Relaxed) == notes::DRY && !self.is_reply_pending()
    }

    pub fn is_broken(&self) -> bool {
        self.broken.load(Relaxed)
    }

    /// Whether anything was sent at all.
    pub fn has_sent(&self) -> bool {
        self.exchange.sent() > 0
    }

    /// What is missing to the end of the present exchange.
    pub fn pending(&self) -> Pending {
        self.exchange.pending()
    }

    pub fn is_misrouted(&self) -> bool {
        self.route.is_misrouted()
    }

    /// What the server says it has become since the connection was opened.
    pub fn changed_role(&self) -> Option<ServerRole> {
        self.route.changed()
    }

    /// Whether the server missed a prepared statement that the client has, or had one that it has not: behind a
    /// pooler, the sign of another server or another client's statement.
    pub fn are_statements_mixed_up(&self) -> bool {
        self.statements_mixed_up.load(Relaxed)
    }

    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Relaxed) != 0
    }

    /// Why it was abandoned.
    pub fn abandoned(&self) -> Abandoned {
        Abandoned::of(self.abandoned.load(Relaxed))
    }

    /// Whether the pool has ended it on purpose while it was out.
    pub fn is_ended_by_pool(&self) -> bool {
        self.is_abandoned() && matches!(self.abandoned(), Abandoned::HeldTooLong | Abandoned::PoolClosed)
    }

    /// How long ago the server was last known to be alive; an upper bound.
    pub fn silence(&self) -> Duration {
        Duration::from_nanos(self.now().saturating_sub(self.heard.load(Relaxed)))
    }

    pub fn set_socket_timeout(&self, limit: Option<Duration>) {
        self.socket_timeout.store(limit.map_or(NONE, nanos), Relaxed);
    }

    /// Ends the call that follows after `limit`, until [`WireState::clear_bound`].
    pub fn set_bound(&self, limit: Duration) {
        // An opening has its own for all that it does.
        if self.is_open() {
            self.allowance.limit_check(self.is_reply_pending());
        }
        self.bound_limit.store(nanos(limit), Relaxed);
        self.bound.store(self.now().saturating_add(nanos(limit)).min(NONE - 1), Relaxed);
    }

    pub fn clear_bound(&self) {
        self.bound.store(NONE, Relaxed);
        if self.is_open() {
            self.allowance.lift();
        }
    }

    pub fn parting(&self) -> &Parting {
        &self.parting
    }

    /// Begins a probe that ends with the pending reply, of which no more is read than that in the time from now on.
    pub fn start_draining(&self, most_bytes: u64, limit: Duration) {
        self.probe.start_draining(most_bytes, self.now().saturating_add(nanos(limit)));
    }

    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    /// Makes the call that waits on this connection, and every later one, fail at once. From any thread.
    pub fn abandon(&self, why: Abandoned) {
        // The first reason is the one that the borrower's call failed for.
        let _ = self.abandoned.compare_exchange(0, why as u8, Relaxed, Relaxed);
        // Pairs with `listen`. Woken outside of the lock: a waker may run foreign code.
        let reader = self.reader.lock().take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NONE - 1).min(NONE - 1)
}

fn some(at: u64) -> Option<u64> {
    (at != NONE).then_some(at)
}

mod notes;
#[cfg(test)]
mod tests;
