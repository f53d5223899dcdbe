//! One question to the server, within one limit.

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};
use postgres::Client;

use crate::clock::Deadline;
use crate::pool::{Pool, PooledConnection};
use crate::postgres::error::PgError;
use crate::postgres::open::PgManager;
use crate::tiers::TieredPool;

/// What is left of a limit when the checkout has taken all of it: a server that answers does so within this.
const LEAST: Duration = Duration::from_millis(1);

/// The limit in force for this pool's questions.
pub(super) fn limit(pool: &TieredPool<PgManager>) -> Duration {
    pool.adhoc().manager().options().inquiry_timeout
}

/// Whose rights a question needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rights {
    /// Anybody's.
    Any,
    /// Those of the ad-hoc tier's role, which may see and end what automation's may not.
    Adhoc,
}

/// Asks by way of an ad-hoc connection, all of it within [`limit`]; in a fleet by way of one that automation has idle,
/// where it has one with the same rights.
#[track_caller]
pub(super) fn ask<T: Send + 'static>(
    pool: &TieredPool<PgManager>,
    tag: &'static str,
    question: impl FnOnce(&mut Client) -> Result<T, postgres::Error> + Send + 'static,
) -> Result<T, PgError> {
    ask_with(pool, Rights::Adhoc, tag, question)
}

/// As [`ask`], with the rights that it needs.
#[track_caller]
pub(super) fn ask_with<T: Send + 'static>(
    pool: &TieredPool<PgManager>,
    rights: Rights,
    tag: &'static str,
    question: impl FnOnce(&mut Client) -> Result<T, postgres::Error> + Send + 'static,
) -> Result<T, PgError> {
    let end = Deadline::of(limit(pool));
    if !shares_reserve(pool, rights) {
        return ask_over(pool.adhoc(), limit(pool), tag, question);
    }
    match spare(pool, end) {
        Some(conn) => ask_by(pool.automation(), left(end), tag, |_| Ok(conn), question),
        None => ask_over(pool.adhoc(), left(end), tag, question),
    }
}

/// Whether ad-hoc connections are few in all programs of a fleet together, and automation's lead to the same database
/// and have these rights.
fn shares_reserve(pool: &TieredPool<PgManager>, rights: Rights) -> bool {
    let (automation, adhoc) = (pool.automation().manager(), pool.adhoc().manager());
    let has_rights = rights == Rights::Any || automation.user() == adhoc.user();
    adhoc.is_admitted() && has_rights && automation.leads_where(adhoc)
}

/// Takes a connection that automation has idle: a question of the pool's own takes none from people. Half of the time
/// is left to ask otherwise.
#[track_caller]
fn spare(pool: &TieredPool<PgManager>, end: Deadline) -> Option<PooledConnection<PgManager>> {
    let automation = pool.automation();
    if automation.gauges().idle == 0 {
        return None;
    }
    checkout(automation, Deadline::of(left(end) / 2)).ok()
}

/// Takes a connection of a tier and asks, all of it within a limit.
#[track_caller]
pub(super) fn ask_over<T: Send + 'static>(
    tier: &Pool<PgManager>,
    limit: Duration,
    tag: &'static str,
    question: impl FnOnce(&mut Client) -> Result<T, postgres::Error> + Send + 'static,
) -> Result<T, PgError> {
    ask_by(tier, limit, tag, |end| checkout(tier, end), question)
}

/// Asks by way of a connection of a tier, which `take` takes; all of it within a limit.
fn ask_by<T: Send + 'static>(
    tier: &Pool<PgManager>,
    limit: Duration,
    tag: &'static str,
    take: impl FnOnce(Deadline) -> Result<PooledConnection<PgManager>, PgError>,
    question: impl FnOnce(&mut Client) -> Result<T, postgres::Error> + Send + 'static,
) -> Result<T, PgError> {
    let (begun, end) = (Instant::now(), Deadline::of(limit));
    let outcome = take(end).and_then(|mut conn| {
        conn.tag(tag);
        match conn.is_observed() {
            true => conn.bounded_own(left(end), question),
            false => ask_aside(conn, left(end), question),
        }
    });
    // Said in one way, whichever of the limits on the way found it; the pool's own says more.
    let outcome = outcome.map_err(|error| {
        let is_late = end.left().is_zero() && error.sqlstate().is_none() && error.as_checkout().is_none();
        if is_late { PgError::unanswered(limit) } else { error }
    });
    match &outcome {
        Ok(_) => tier.note_answer(),
        Err(error) if tells_of_server(tier, error) => {
            tier.note_unanswered(begun.elapsed(), error.to_string());
        }
        Err(_) => {}
    }
    outcome
}

/// Whether a failed question says that the server cannot be reached: not where lending is suspended, and not where
/// borrowers have all connections.
fn tells_of_server(tier: &Pool<PgManager>, error: &PgError) -> bool {
    match error.as_checkout() {
        // What else can be wrong is noted by the pool itself, or is none of the server's.
        Some(checkout) => checkout.is_timeout() && lends(tier),
        None => is_silence(error),
    }
}

/// Whether a tier has a connection to ask with, or room for one.
pub(super) fn lends(tier: &Pool<PgManager>) -> bool {
    !tier.is_suspended() && !tier.is_lent_out()
}

/// Whether a question that was put has failed by the server's silence: not where it has refused it, and not where it
/// was not asked at all.
fn is_silence(error: &PgError) -> bool {
    error.is_connection_lost() || (error.sqlstate().is_none() && !error.is_not_done())
}

/// Takes a connection that neither side has closed.
///
/// Whatever the pre-ping policy, one that the server closed while it was idle says nothing of the server as it is now.
/// The look costs no round trip over TCP; over a Unix socket it is a ping, which is bounded, and which keeps the thread
/// of [`ask_aside`] from being left on a frozen server.
#[track_caller]
fn checkout(tier: &Pool<PgManager>, end: Deadline) -> Result<PooledConnection<PgManager>, PgError> {
    let mut conn = tier.get_timeout(left(end))?;
    // All that are idle may be closed, and then a new one comes.
    for _ in 0..tier.max_size() {
        match conn.probe(left(end)) {
            Err(_) if !end.left().is_zero() => {
                drop(conn);
                conn = tier.get_timeout(left(end))?;
            }
            outcome => return outcome.map(|()| conn),
        }
    }
    Ok(conn)
}

fn left(end: Deadline) -> Duration {
    end.left().max(LEAST)
}

/// Asks on a thread of its own, for a connection on which nothing ends a wait. On expiry that thread keeps the
/// connection until the server answers, and it goes back to the pool then; so there can be no more such threads than
/// connections.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_was_not_asked_says_nothing_of_it() {
        assert!(is_silence(&PgError::unanswered(LEAST)));
        assert!(!is_silence(&PgError::refused("no thread could be started")));
    }
}
