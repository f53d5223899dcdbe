//! Whether a server's advisory locks are real, which those of some compatible databases are not.

use std::time::Duration;

use super::questions::{explained, number, unreal};
use crate::postgres::{PgConnection, PgError};

/// The first number of the lock that is tried. Fleets have numbers below 0.
const KIND: i32 = 0x7469_6572;

/// Has two sessions try for one lock, and looks whether the server keeps it from the second and shows it. The lock is
/// the first session's own, by its process, so that nobody else is in the way; it is let go of. Returns why this server
/// cannot hold the locks of a fleet, or not for this role; `None` where it can.
///
/// ```no_run
/// use std::time::Duration;
/// use tierpool::{PgPool, Tier};
///
/// let pool = PgPool::builder().outside_fleet().build()?;
/// let [mut first, mut second] = [pool.get(Tier::Adhoc)?, pool.get(Tier::Adhoc)?];
/// if let Some(why) = tierpool::fleet::try_locks(&mut first, &mut second, Duration::from_secs(5))? {
///     eprintln!("no fleet here: {why}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Blocking
///
/// Four round trips, each for at most `limit` over TCP; past it the connection is lost.
///
/// # Errors
///
/// Where the server does not answer.
pub fn try_locks(
    first: &mut PgConnection,
    second: &mut PgConnection,
    limit: Duration,
) -> Result<Option<String>, PgError> {
    match tried(first, second, limit) {
        Ok(found) => Ok(found.map(|what| unreal(what).to_string())),
        Err(error) if error.sqlstate().is_some() => Ok(Some(explained(error).to_string())),
        Err(error) => Err(error),
    }
}

fn tried(
    first: &mut PgConnection,
    second: &mut PgConnection,
    limit: Duration,
) -> Result<Option<&'static str>, PgError> {
    let pid = first.backend_pid()?;
    let take = format!(
        "SELECT pg_catalog.pg_try_advisory_lock({KIND}, {pid})::int4; SELECT count(*) FROM pg_catalog.pg_locks \
         WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND classid::int8 = {KIND} \
         AND pid = pg_catalog.pg_backend_pid()"
    );
    let taken = first.ask(&take, limit)?;
    let [granted, counted] = [0, 1].map(|at| taken.get(at).and_then(|row| number(row, 0)));
    if granted != Some(1) {
        return Ok(Some("grants none to anybody"));
    }
    if counted != Some(1) {
        return Ok(Some("does not show them"));
    }
    let either = format!(
        "SELECT pg_catalog.pg_try_advisory_lock({KIND}, {pid})::int4 \
         + pg_catalog.pg_try_advisory_lock_shared({KIND}, {pid})::int4"
    );
    let also = second.ask(&either, limit)?;
    if also.first().and_then(|row| number(row, 0)) != Some(0) {
        return Ok(Some("grants them to everybody"));
    }
    first.ask(&format!("SELECT pg_catalog.pg_advisory_unlock({KIND}, {pid})"), limit)?;
    Ok(None)
}
