//! Checkout: the direct path, and everything that happens when it does not lead to a connection.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use r2d2::ManageConnection;

use super::call::{Call, Failure, Patience};
use super::guard::PooledConnection;
use super::prove::{Proof, prove};
use super::queue::{Unlendable, stand_in_line};
use crate::error::{Awaited, Error, ErrorKind};
use crate::lines::is_debug_on;
use crate::pool::fitness::judge::{Fitness, fitness};
use crate::pool::shared::{Checked, Entry, Refusal, Shared};
use crate::pool::supply::demand::ask_for_one;
use crate::pool::tell::accounts;
use crate::pool::tell::evidence::{self, Unserved};
use crate::pool::tell::observe::sample_in_use;
#[cfg(feature = "tracing")]
use crate::pool::tell::trace;
use crate::stats::CloseCause;
use crate::threads;

/// A slow checkout of less than this is measured by a clock of its own: by the pool's, with its grain, a longer one
/// cannot be missed.
const FINE: Duration = Duration::from_millis(100);

/// Takes a connection.
#[inline]
pub(crate) fn checkout<M: ManageConnection>(
    shared: &Arc<Shared<M>>,
    patience: Patience,
    location: &'static Location<'static>,
) -> Result<PooledConnection<M>, Error> {
    let (thread, home) = threads::me();
    let taken = shared.lending.try_take(home);
    if let Some(entry) = taken {
        let now = shared.now();
        let index = entry.seat.index();
        let fit = entry.body.seen == shared.fast.generation()
            && now < entry.body.check_at
            && !shared.fast.is_watched()
            && log::max_level() < log::LevelFilter::Debug;
        if fit {
            entry.body.thread.store(thread, Ordering::Relaxed);
            shared.card(index).lent_directly(thread, location, now);
            if index != home {
                threads::set_home(index);
                sample_in_use(shared);
            }
            return Ok(PooledConnection::new(entry));
        }
        return checkout_closely(shared, Some(entry), patience, location, thread);
    }
    checkout_closely(shared, None, patience, location, thread)
}

/// The checkout of a connection that wants a closer look, or of none. One that finds an idle connection and does no
/// more than look at it is the usual one where each checkout validates: it writes to nothing that threads share.
#[inline(never)]
fn checkout_closely<M: ManageConnection>(
    shared: &Arc<Shared<M>>,
    candidate: Option<Box<Entry<M>>>,
    patience: Patience,
    location: &'static Location<'static>,
    thread: u64,
) -> Result<PooledConnection<M>, Error> {
    // Before any lock. The candidate is the parent's.
    if shared.is_inherited() {
        std::mem::forget(candidate);
        return Err(Error::forked());
    }
    let mut call = Call::new(patience, &shared.fast, shared.now(), location, thread);
    match find(shared, &mut call, candidate) {
        Ok(entry) => Ok(lend(shared, &call, entry)),
        Err(failure) => Err(fail(shared, &call, failure)),
    }
}

/// Looks for a connection that is fit, until the deadline.
fn find<M: ManageConnection>(
    shared: &Arc<Shared<M>>,
    call: &mut Call,
    mut candidate: Option<Box<Entry<M>>>,
) -> Result<Box<Entry<M>>, Failure> {
    let mut in_hand = Unlendable(None);
    let mut begun = candidate.is_some().then_some(call.start);
    loop {
        let now = begun.take();
        let entry = match candidate.take().or_else(|| shared.lending.try_take(threads::me().1)) {
            Some(entry) => entry,
            None if matches!(call.patience, Patience::None) => {
                ask_for_one(shared).map_err(Failure::Refused)?;
                return Err(Failure::Timeout { left: None });
            }
            None => stand_in_line(shared, call, std::mem::replace(&mut in_hand, Unlendable(None)))?,
        };
        drop(in_hand);
        in_hand = match fitness(shared, &entry) {
            Fitness::Fit => return Ok(entry),
            Fitness::Unfit(cause) => Unlendable(Some((entry, cause))),
            Fitness::Unproven => match prove(call, entry, now.unwrap_or_else(Instant::now))? {
                Proof::Checked(Checked::Fit(entry)) => return Ok(entry),
                Proof::Checked(Checked::Dead(entry)) => Unlendable(Some((entry, CloseCause::Invalid))),
                Proof::Gone => Unlendable(None),
            },
        };
    }
}

/// Lends a connection that took the long way.
fn lend<M: ManageConnection>(
    shared: &Arc<Shared<M>>,
    call: &Call,
    entry: Box<Entry<M>>,
) -> PooledConnection<M> {
    let took = (!is_unremarkable(shared, call)).then(|| call.start.elapsed());
    let id = entry.body.id;
    threads::set_home(entry.seat.index());
    entry.body.thread.store(call.thread, Ordering::Relaxed);
    // Whoever listens is told how long it was held; nobody else needs the exact time.
    let since = if shared.fast.is_noisy() { shared.begin_now() } else { shared.now() };
    match took.filter(|_| call.ahead.is_some()) {
        Some(waited) => {
            entry.card().lent(call.thread, call.location, since);
            accounts::count_waited(shared, waited);
        }
        None => entry.card().lent_directly(call.thread, call.location, since),
    }
    // From here on a panic of a handler returns it.
    let guard = PooledConnection::new(entry);
    #[cfg(feature = "tracing")]
    if let Some(waited) = took.filter(|_| call.ahead.is_some()) {
        trace::note_wait(waited);
    }
    if let Some(took) = took {
        accounts::lent(shared, id, took, shared.fast.slow_checkout());
    }
    guard
}

/// Whether there is nothing to tell of a checkout, and so no need to know how long it took: it did not queue, and was
/// over before the pool's clock moved.
fn is_unremarkable<M: ManageConnection>(shared: &Shared<M>, call: &Call) -> bool {
    call.ahead.is_none()
        && !shared.fast.is_noisy()
        && !is_debug_on()
        && shared.fast.slow_checkout() >= FINE
        && !shared.has_moved(call.begun)
}

/// Makes the error of a checkout that failed.
fn fail<M: ManageConnection>(shared: &Shared<M>, call: &Call, failure: Failure) -> Error {
    let (kind, cause, left) = match failure {
        Failure::Timeout { left } => (ErrorKind::Timeout, None, left),
        Failure::QueueFull => (ErrorKind::QueueFull, None, None),
        Failure::Exhausted => (ErrorKind::Exhausted, None, None),
        Failure::Deadlock => (ErrorKind::WouldDeadlock, None, None),
        Failure::Refused(Refusal::Closed) => (ErrorKind::Closed, None, None),
        Failure::Refused(Refusal::CircuitOpen(cause)) => (ErrorKind::CircuitOpen, Some(cause), None),
        Failure::Refused(Refusal::ConnectFailed(cause)) => (ErrorKind::ConnectFailed, Some(cause), None),
    };
    let waited = call.start.elapsed();
    #[cfg(feature = "tracing")]
    if call.ahead.is_some() {
        trace::note_wait(waited);
    }
    if kind == ErrorKind::Timeout {
        // One that would not wait let no time run out; r2d2 tells nothing of `try_get` either.
        let timeout = if let Patience::For(timeout) = call.patience { Some(timeout) } else { None };
        accounts::timed_out(shared, waited, timeout);
    } else {
        accounts::refused(shared, kind);
    }
    let (limit, ahead, thread, in_deadlock) =
        (call.limit, call.ahead.zip(left), call.thread, call.in_deadlock);
    evidence::error(
        shared,
        kind,
        cause,
        Unserved { awaited: Awaited::Connection, waited, limit, ahead, thread, in_deadlock },
    )
}
