//! What the outcome of an attempt, or of a validation, means for the breaker and for those who wait.

use std::sync::Arc;
use std::time::Duration;

use log::Level;
use r2d2::ManageConnection;

use crate::clock::Millis;
use crate::error::{FailureClass, OpenFailure};
use crate::lines::say;
use crate::pool::connection::body::spread;
use crate::pool::parts::breaker::Reaction;
use crate::pool::parts::errand::Purpose;
use crate::pool::shared::{Refusal, Seat, Shared};
use crate::pool::tell::accounts;
use crate::stats::BreakerState;
use crate::text::Limit;

/// An attempt has opened a connection.
pub(crate) fn succeeded<M: ManageConnection>(shared: &Arc<Shared<M>>) {
    shared.supply.contact().seen(shared.exact_now());
    let (was_open, refused) = {
        let mut breaker = shared.supply.breaker();
        let was_open = breaker.state() != BreakerState::Closed;
        let refused = breaker.succeeded();
        if refused {
            shared.lending.stop_refusing();
        }
        (was_open, refused)
    };
    if was_open {
        accounts::breaker_closed(shared, "the server is back");
    } else if refused {
        say!(Level::Warn, shared.origin(), [], "connections can be opened again");
    }
}

/// An attempt that began at `begun` has failed.
pub(crate) fn failed<M: ManageConnection>(
    shared: &Arc<Shared<M>>,
    seat: Seat<M>,
    purpose: Purpose,
    begun: Millis,
    failure: Arc<OpenFailure>,
) {
    accounts::open_failed(shared, &failure);
    let now = shared.exact_now();
    match failure.class() {
        // It is there, and said so.
        FailureClass::Exhausted => shared.supply.contact().seen(now),
        _ => shared.supply.contact().failed(begun, now, || failure.to_string()),
    }
    let reaction = {
        let mut breaker = shared.supply.breaker();
        let probe = purpose == Purpose::Probe;
        let reaction = breaker.failed(now, begun, Arc::clone(&failure), spread(), probe);
        // Only now, so that nobody finds the seat free and the back-off not yet begun.
        drop(seat);
        react(shared, reaction, &failure);
        reaction
    };
    tell(shared, reaction, &failure);
    shared.helpers.wake_keeper();
}

/// A validation did not answer in time.
pub(crate) fn ping_timed_out<M: ManageConnection>(shared: &Arc<Shared<M>>, limit: Duration) {
    let attempts = shared.supply.breaker().attempts();
    let text = format!("a validation had no answer within {}", Limit(limit));
    let failure = Arc::new(OpenFailure::from_text(text, FailureClass::Transient, attempts));
    let now = shared.exact_now();
    let begun = now.less(Millis::of(limit));
    shared.supply.contact().failed(begun, now, || failure.to_string());
    let reaction = {
        let mut breaker = shared.supply.breaker();
        let reaction = breaker.ping_timed_out(now, begun, Arc::clone(&failure));
        react(shared, reaction, &failure);
        reaction
    };
    tell(shared, reaction, &failure);
    shared.helpers.wake_keeper();
}

/// What a failure means for those who wait. Called under the breaker's lock, so that a success and a failure
/// take effect in the order in which the breaker saw them; it wakes threads and calls nothing foreign.
fn react<M: ManageConnection>(shared: &Shared<M>, reaction: Reaction, failure: &Arc<OpenFailure>) {
    match reaction {
        Reaction::None => {}
        Reaction::Closed => shared.lending.stop_refusing(),
        Reaction::Opened | Reaction::StillOpen => {
            shared.lending.refuse_until_further_notice(&Refusal::CircuitOpen(Arc::clone(failure)));
        }
        Reaction::Refuse => {
            let refusal = Refusal::ConnectFailed(Arc::clone(failure));
            if shared.lending.counts().size() == 0 {
                shared.lending.refuse_until_further_notice(&refusal);
            } else {
                shared.lending.refuse(&refusal);
            }
        }
    }
}

fn tell<M: ManageConnection>(shared: &Arc<Shared<M>>, reaction: Reaction, failure: &Arc<OpenFailure>) {
    match reaction {
        Reaction::Closed => {
            accounts::breaker_closed(shared, "the server answers, and has no connection left");
        }
        Reaction::Opened => accounts::breaker_opened(shared, failure),
        Reaction::None | Reaction::StillOpen | Reaction::Refuse => {}
    }
    shared.changed.tell();
}
