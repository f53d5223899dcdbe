//! One attempt to open a connection, from its seat to a connection that is lent, on an opener thread.

use std::sync::{Arc, Weak};
use std::time::Instant;

use r2d2::ManageConnection;

use super::close::{Farewell, close_connection, dispose};
use super::connect::{GRACE, Opened, connect, connect_limit};
use super::outcome;
use crate::clock::Millis;
use crate::error::{FailureClass, OpenFailure};
use crate::pool::connection::body::{Body, plan_keepalive};
use crate::pool::driver::control::{Directory, Place};
use crate::pool::parts::errand::{Purpose, Task};
use crate::pool::shared::{Entry, Errand, Seat, Shared};
use crate::pool::tell::accounts;
use crate::pool::tell::notify::guarded;
use crate::pool::tell::observe::sample;
use crate::stats::CloseCause;
use crate::text::Limit;

/// Opens a connection in this seat, and puts it to use.
pub(crate) fn attempt<M: ManageConnection>(shared: &Arc<Shared<M>>, seat: Seat<M>, purpose: Purpose) {
    let settings = shared.settings();
    let limit = connect_limit(shared);
    // The keeper gives it up when the database layer does not.
    let hung_after = limit.saturating_add(GRACE);
    let errand = Arc::new(Errand::<M>::new(seat, Task::Open(purpose), hung_after));
    errand.begin();
    shared.helpers.watch(&errand);
    // From before the attempt: an eviction meanwhile hits what it opens.
    let born = shared.fast.generation();
    let (begun, begun_at) = (Instant::now(), shared.exact_now());
    let opened = connect(shared, limit, &errand);
    let ended = errand.finish();
    shared.helpers.forget(&errand);
    let Some(mut seat) = ended.seat else {
        // It was given up, and has ended after all: what it opened is closed, and the zombie is gone.
        if let Ok(Opened { conn, control }) = opened {
            let _ = guarded(shared, "dropping a session control", || drop(control));
            close_connection(shared, conn, Farewell::Polite);
        }
        shared.helpers.take_back_thread(errand.task, ended.thread_is_lost);
        drop(ended.zombie);
        return;
    };
    let Opened { conn, control } = match opened {
        Ok(opened) => opened,
        // Most likely for that reason, and nobody is left to be told.
        Err(_) if shared.lending.is_closed() => return drop(seat),
        Err(failure) => return outcome::failed(shared, seat, purpose, begun_at, failure),
    };
    let took = begun.elapsed();
    let body = Body::new(conn, born, shared.begin_now(), &settings);
    accounts::count_opened(shared, took);
    outcome::succeeded(shared);
    if purpose == Purpose::Renewal {
        shared.supply.add_credit();
    }
    accounts::opened(shared, body.id, took);
    if let Some(control) = &control {
        let directory: Weak<dyn Directory> = Arc::downgrade(&(Arc::clone(shared) as Arc<dyn Directory>));
        let place = Place::new(directory, seat.index(), body.id);
        let _ = guarded(shared, "placed", || control.placed(place));
    }
    shared.card(seat.index()).set_control(body.id, control);
    let introducing = shared.supply.introduce();
    seat.opened();
    sample(shared, &shared.lending.counts());
    welcome(shared, body, seat);
    // Not before it can be had: whoever asked meanwhile asked for this one.
    shared.supply.forget_hint();
    drop(introducing);
}

/// The keeper gives up an attempt that hangs: it has failed, and its thread and what it may still open are lost.
pub(crate) fn attempt_hung<M: ManageConnection>(shared: &Arc<Shared<M>>, seat: Seat<M>, purpose: Purpose) {
    let limit = connect_limit(shared);
    let attempts = shared.supply.breaker().attempts() + 1;
    let text = format!("opening a connection had no answer within {} (connect_timeout)", Limit(limit));
    let failure = OpenFailure::from_text(text, FailureClass::Transient, attempts);
    let begun = shared.exact_now().less(Millis::of(limit.saturating_add(GRACE)));
    outcome::failed(shared, seat, purpose, begun, Arc::new(failure));
}

/// Puts a new connection to use.
fn welcome<M: ManageConnection>(shared: &Arc<Shared<M>>, mut body: Body<M::Connection>, seat: Seat<M>) {
    let now = shared.now();
    let index = seat.index();
    let settings = shared.settings();
    shared.card(index).opened(body.id, now, body.expires_at(), plan_keepalive(now, settings.keepalive));
    // Also where a waiter is there to take it: the waiter may leave in the same moment.
    body.rests(now, shared.fast.ping_after());
    let entry = Box::new(Entry { body, seat, shared: Arc::clone(shared) });
    if let Err(entry) = shared.lending.admit(index, entry) {
        dispose(entry, CloseCause::Closed);
    }
}
