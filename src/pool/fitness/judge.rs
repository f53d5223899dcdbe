//! The judgement of a connection about to be lent.

use std::time::Duration;

use r2d2::ManageConnection;

use crate::pool::connection::body::Body;
use crate::pool::parts::errand::Check;
use crate::pool::shared::{Entry, Shared};
use crate::pool::tell::notify::guarded;
use crate::stats::CloseCause;
use crate::text::line;

/// What may be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fitness {
    Fit,
    /// Only after it has been validated.
    Unproven,
    /// Not at all.
    Unfit(CloseCause),
}

/// Judges a connection about to be lent.
pub(crate) fn fitness<M: ManageConnection>(shared: &Shared<M>, entry: &Entry<M>) -> Fitness {
    let now = shared.now();
    let body = &entry.body;
    if shared.generations.is_evicted(body.born) {
        Fitness::Unfit(CloseCause::Evicted)
    } else if guarded(shared, "is_lost", || shared.hooks.is_lost(&body.conn)).unwrap_or(true) {
        Fitness::Unfit(CloseCause::Broken)
    } else if body.is_worn(now, Some(shared.fast.max_uses())) {
        Fitness::Unfit(CloseCause::Expired)
    } else if shared.generations.is_suspect(body.seen) || body.check_at <= now {
        Fitness::Unproven
    } else {
        Fitness::Fit
    }
}

/// The validation that settles whether a connection can be lent.
pub(crate) fn validation_of<M: ManageConnection>(shared: &Shared<M>, body: &Body<M::Connection>) -> Check {
    Check::Validate { suspect: shared.generations.is_suspect(body.seen) }
}

/// Looks at a connection about to be lent, where that says enough. It says nothing of the server, which was not asked:
/// so nothing is written that threads share.
pub(crate) fn probe<M: ManageConnection>(
    shared: &Shared<M>,
    body: &mut Body<M::Connection>,
    limit: Duration,
) -> Option<Result<(), String>> {
    // From before the call, so that a suspicion raised meanwhile still applies.
    let generation = shared.fast.generation();
    match guarded(shared, "probe", || shared.hooks.probe(&mut body.conn, limit)) {
        Ok(None) => None,
        Ok(Some(Ok(()))) => {
            body.seen = generation;
            body.fresh();
            Some(Ok(()))
        }
        Ok(Some(Err(error))) => Some(Err(told(shared, error))),
        Err(panic) => Some(Err(panic.into())),
    }
}

/// Validates or resets on the present thread; a connection that comes out well is as good as new. The error says what
/// was wrong with it.
pub(crate) fn perform<M: ManageConnection>(
    shared: &Shared<M>,
    body: &mut Body<M::Connection>,
    check: Check,
    limit: Duration,
) -> Result<(), String> {
    // From before the call, so that a suspicion raised meanwhile still applies.
    let generation = shared.fast.generation();
    let conn = &mut body.conn;
    let hooks = &shared.hooks;
    let outcome = match check {
        Check::Validate { suspect: false } => guarded(shared, "is_valid", || hooks.validate(conn, limit)),
        Check::Validate { suspect: true } => {
            guarded(shared, "is_valid", || hooks.validate_suspect(conn, limit))
        }
        Check::Reset { suspect } => guarded(shared, "reset", || hooks.reset(conn, suspect, limit)),
    };
    match outcome {
        Ok(Ok(())) => {
            body.seen = generation;
            shared.supply.breaker().ping_answered();
            shared.supply.contact().seen(shared.exact_now());
            body.fresh();
            Ok(())
        }
        Ok(Err(error)) => Err(told(shared, error)),
        Err(panic) => Err(panic.into()),
    }
}

/// The text of an error, which goes to the error handler.
fn told<M: ManageConnection>(shared: &Shared<M>, error: M::Error) -> String {
    let why = guarded(shared, "an error's text", || line(&error)).unwrap_or_else(String::from);
    let _ = guarded(shared, "the error handler", || shared.hooks.handle_error(error));
    why
}
