//! One question to the server, within one limit.

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};
use postgres::Client;

use crate::pool::PooledConnection;
use crate::postgres::{PgError, PgManager, PgPool};

/// What is left of a limit when the checkout has taken all of it: a server that answers does so within this.
const LEAST: Duration = Duration::from_millis(1);

/// The limit in force for this pool's questions.
pub(super) fn limit(pool: &PgPool) -> Duration {
    pool.adhoc().shared().manager.options().inquiry_timeout
}

/// Takes an ad-hoc connection and asks, all of it within [`limit`].
#[track_caller]
pub(super) fn ask<T: Send + 'static>(
    pool: &PgPool,
    tag: &'static str,
    question: impl FnOnce(&mut Client) -> Result<T, postgres::Error> + Send + 'static,
) -> Result<T, PgError> {
    let limit = limit(pool);
    let end = Instant::now() + limit;
    let mut conn = pool.adhoc().get_timeout(limit)?;
    conn.tag(tag);
    let left = || end.saturating_duration_since(Instant::now()).max(LEAST);
    let outcome = if conn.is_observed() {
        conn.bounded(left(), question)
    } else {
        // A sign of life first: it is bounded there, and keeps the thread below from being left on a frozen server.
        conn.ping(left()).and_then(|()| ask_aside(conn, left(), question))
    };
    // Said in one way, whichever of the limits on the way found it.
    outcome.map_err(|error| {
        match error.is_client_timeout() || Instant::now() >= end && error.sqlstate().is_none() {
            true => PgError::unanswered(limit),
            false => error,
        }
    })
}

/// Asks on a thread of its own, for a connection on which nothing ends a wait. On expiry that thread keeps the
/// connection until the server answers, and it goes back to the pool then; so there can be no more such threads than
/// ad-hoc connections.
fn ask_aside<T: Send + 'static>(
    mut conn: PooledConnection<PgManager>,
    limit: Duration,
    question: impl FnOnce(&mut Client) -> Result<T, postgres::Error> + Send + 'static,
) -> Result<T, PgError> {
    let (answer, answered) = bounded(1);
    let asking = move || {
        let outcome = question(&mut conn);
        drop(conn);
        // Nobody listens any more after an expiry.
        let _ = answer.send(outcome);
    };
    if let Err(error) = thread::Builder::new().name("tierpool-inquiry".to_owned()).spawn(asking) {
        return Err(PgError::refused(format!(
            "the server was not asked, as no thread could be started: {error}"
        )));
    }
    match answered.recv_timeout(limit) {
        Ok(outcome) => Ok(outcome?),
        Err(RecvTimeoutError::Timeout) => Err(PgError::unanswered(limit)),
        Err(RecvTimeoutError::Disconnected) => unreachable!("BUG: a question panicked"),
    }
}
