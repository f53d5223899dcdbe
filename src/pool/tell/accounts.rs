//! What is counted, logged and told when something happens to a connection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use log::Level;
use r2d2::ManageConnection;

use super::notify::{emit, emit_aside, may_warn};
use crate::clock::Millis;
use crate::config::WaitMode;
use crate::error::{ErrorKind, OpenFailure};
use crate::event::{
    AcquireEvent, BreakerEvent, CheckinEvent, CheckoutEvent, Event, LongHoldEvent, ReleaseEvent,
    SlowCheckoutEvent, StuckEvent, StuckStep, SuspectEvent, TimeoutEvent,
};
use crate::lines::say;
use crate::pool::connection::body::Body;
use crate::pool::connection::card::Returned;
use crate::pool::parts::sinks::Warning;
use crate::pool::shared::Shared;
use crate::stats::{BreakerState, CloseCause, Holder};
use crate::text::{Limit, Time};

/// A connection has been opened.
pub(crate) fn opened<M: ManageConnection>(shared: &Shared<M>, id: u64, took: Duration) {
    say!(
        Level::Debug,
        shared.origin(),
        [connection_id = id, open_seconds = took.as_secs_f64()],
        "opened connection {id} in {}",
        Time(took)
    );
    emit(shared, || Event::Opened(AcquireEvent { id }));
}

/// Counts an opening; before the breaker lets others follow it.
pub(crate) fn count_opened<M: ManageConnection>(shared: &Shared<M>, took: Duration) {
    shared.counters.opened.bump();
    shared.counters.open.record(took);
}

/// A connection could not be opened.
pub(crate) fn open_failed<M: ManageConnection>(shared: &Shared<M>, failure: &OpenFailure) {
    if failure.was_tried() {
        shared.counters.open_failures[failure.class() as usize].bump();
    }
    if may_warn(shared, Warning::OpenFailed) {
        say!(
            Level::Warn,
            shared.origin(),
            [class = failure.class().as_str(), code = failure.code(), error = failure.to_string()],
            "could not open a connection: {failure}"
        );
    }
}

/// Somebody has waited for a time for what the pool keeps open.
pub(crate) fn still_filling<M: ManageConnection>(shared: &Shared<M>, waited: Duration, limit: Duration) {
    let last = shared.supply.breaker().last().map(|failure| format!(": {failure}"));
    let last = last.as_deref().unwrap_or_default();
    say!(
        Level::Warn,
        shared.origin(),
        [waited_seconds = waited.as_secs_f64(), limit_seconds = limit.as_secs_f64()],
        "still waiting for connections to be opened, for {} of {}{last}",
        Time(waited),
        Limit(limit)
    );
}

/// The pool has opened what it keeps: told once.
pub(crate) fn ready<M: ManageConnection>(shared: &Shared<M>) {
    if !shared.sinks.is_first_ready() {
        return;
    }
    let settings = shared.settings();
    let (open, ceiling) = (shared.lending.size(), settings.ceiling());
    let wait = match settings.wait_mode {
        WaitMode::Timed => format!("wait up to {}", Limit(settings.connection_timeout)),
        WaitMode::NoWait => "do not wait for others".to_owned(),
        WaitMode::Forever => "wait for ever".to_owned(),
    };
    say!(
        Level::Info,
        shared.origin(),
        [
            open = open,
            ceiling = ceiling,
            base_size = settings.base_size,
            max_overflow = settings.max_overflow,
        ],
        "ready: {open} of {ceiling} connections open, base size {} and {} overflow, checkouts {wait}",
        settings.base_size,
        settings.max_overflow
    );
}

/// The breaker has opened.
pub(crate) fn breaker_opened<M: ManageConnection>(shared: &Arc<Shared<M>>, failure: &OpenFailure) {
    say!(
        Level::Error,
        shared.origin(),
        [class = failure.class().as_str(), code = failure.code(), error = failure.to_string()],
        "circuit breaker open: {failure}"
    );
    let cause = Some(failure.to_string());
    emit_aside(shared, || Event::Breaker(BreakerEvent { state: BreakerState::Open, cause }));
}

/// The breaker has closed.
pub(crate) fn breaker_closed<M: ManageConnection>(shared: &Arc<Shared<M>>, why: &str) {
    say!(Level::Warn, shared.origin(), [cause = why], "circuit breaker closed: {why}");
    emit_aside(shared, || Event::Breaker(BreakerEvent { state: BreakerState::Closed, cause: None }));
}

/// A connection has been lent the long way; it is told of where it took longer than `slow`.
pub(crate) fn lent<M: ManageConnection>(shared: &Shared<M>, id: u64, took: Duration, slow: Duration) {
    say!(
        Level::Debug,
        shared.origin(),
        [connection_id = id, checkout_seconds = took.as_secs_f64()],
        "connection {id} lent after {}",
        Time(took)
    );
    emit(shared, || Event::CheckedOut(CheckoutEvent { id, duration: took }));
    if took > slow {
        shared.counters.slow_checkouts.bump();
        if may_warn(shared, Warning::Slow) {
            say!(
                Level::Warn,
                shared.origin(),
                [connection_id = id, checkout_seconds = took.as_secs_f64()],
                "a checkout took {}",
                Time(took)
            );
        }
        emit(shared, || Event::SlowCheckout(SlowCheckoutEvent { id, duration: took }));
    }
}

/// Counts a checkout that stood in line; before its connection can come back. All others the slots' cards count.
pub(crate) fn count_waited<M: ManageConnection>(shared: &Shared<M>, waited: Duration) {
    shared.counters.waited.bump();
    shared.counters.wait.record(waited);
}

/// A checkout's time has run out; `timeout` where the caller gave one.
pub(crate) fn timed_out<M: ManageConnection>(
    shared: &Shared<M>,
    waited: Duration,
    timeout: Option<Duration>,
) {
    shared.counters.timed_out.bump();
    shared.counters.wait.record(waited);
    if let Some(timeout) = timeout {
        emit(shared, || Event::TimedOut(TimeoutEvent { timeout }));
    }
}

/// A checkout was refused.
pub(crate) fn refused<M: ManageConnection>(shared: &Shared<M>, kind: ErrorKind) {
    shared.counters.refused.count(kind);
}

/// A checkout has ended.
pub(crate) fn returned<M: ManageConnection>(shared: &Shared<M>, id: u64, returned: Returned) {
    let held = returned.held.duration();
    say!(
        Level::Debug,
        shared.origin(),
        [connection_id = id, held_seconds = held.as_secs_f64()],
        "connection {id} returned after {}",
        Time(held)
    );
    if returned.warned {
        say!(
            Level::Info,
            shared.origin(),
            [connection_id = id, held_seconds = held.as_secs_f64()],
            "connection {id}, held for long, came back after {}",
            Time(held)
        );
    }
    emit(shared, || Event::CheckedIn(CheckinEvent { id, duration: held }));
}

/// A connection came back in need of a reset.
pub(crate) fn returned_dirty<M: ManageConnection>(shared: &Shared<M>) {
    shared.counters.returned_dirty.bump();
}

/// Counts a connection as closed: before its slot is free, so that `closed` never lags behind what can be seen.
pub(crate) fn count_closed<M: ManageConnection>(shared: &Shared<M>, cause: CloseCause) {
    shared.counters.closed[cause as usize].bump();
}

/// A connection leaves the pool, or has left it; its age is told as of that time.
pub(crate) fn left<M: ManageConnection>(
    shared: &Shared<M>,
    body: &Body<M::Connection>,
    cause: CloseCause,
    at: Millis,
) {
    let (id, age) = (body.id, body.age(at));
    emit(shared, || Event::Closed(ReleaseEvent { id, age, cause }));
    say!(
        Level::Debug,
        shared.origin(),
        [connection_id = id, cause = cause.as_str(), age_seconds = age.as_secs_f64()],
        "connection {id} leaves the pool ({}) after {}",
        cause.as_str(),
        Time(age)
    );
}

/// A connection was found dead.
pub(crate) fn dead<M: ManageConnection>(shared: &Shared<M>, id: u64, why: &str) {
    if may_warn(shared, Warning::Dead) {
        say!(
            Level::Warn,
            shared.origin(),
            [connection_id = id, cause = why],
            "connection {id} is dead: {why}"
        );
    }
}

/// All older connections are suspect, for what was found of this one.
pub(crate) fn suspected<M: ManageConnection>(shared: &Arc<Shared<M>>, id: u64) {
    shared.counters.suspicions.bump();
    emit_aside(shared, || Event::Suspect(SuspectEvent { id }));
}

/// Writes a line on a checkout that lasts, with its holder as fields.
fn warn_of<M: ManageConnection>(shared: &Shared<M>, holder: &Holder, text: fmt::Arguments<'_>) {
    say!(
        Level::Warn,
        shared.origin(),
        [
            connection_id = holder.connection_id,
            thread = holder.thread,
            location = holder.location.to_string(),
            tag = holder.tag,
            held_seconds = holder.held.as_secs_f64(),
        ],
        "{text}"
    );
}

/// A checkout lasts longer than `leak_threshold`.
pub(crate) fn long_hold<M: ManageConnection>(shared: &Arc<Shared<M>>, holder: Option<Holder>) {
    shared.counters.long_holds.bump();
    if let Some(holder) = holder {
        let id = holder.connection_id;
        warn_of(shared, &holder, format_args!("connection {id} held by {holder}"));
        emit_aside(shared, || Event::LongHold(LongHoldEvent { holder }));
    }
}

/// A step is taken against a checkout that lasts too long.
pub(crate) fn stuck<M: ManageConnection>(shared: &Arc<Shared<M>>, holder: Holder, step: StuckStep) {
    let (counter, doing) = match step {
        StuckStep::Cancel => (&shared.counters.stuck_cancelled, "cancelling the statement of"),
        StuckStep::Terminate => (&shared.counters.stuck_terminated, "ending the session of"),
    };
    counter.bump();
    let id = holder.connection_id;
    warn_of(shared, &holder, format_args!("{doing} connection {id}, held by {holder}"));
    emit_aside(shared, || Event::Stuck(StuckEvent { holder, step }));
}
