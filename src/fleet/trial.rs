//! Whether a server's advisory locks are real, which those of some compatible databases are not.

use std::time::Duration;

use super::questions::{explained, number, unreal};
use crate::postgres::{PgConnection, PgError};

/// The first number of the lock that is tried. Fleets have numbers below 0.
const KIND: i32 = 0x7469_6572;

/// Has two sessions try for one lock, and looks whether the server keeps it from the second and counts it. The lock is
/// the first session's own, by its process, so that nobody else is in the way; it is let go of.
///
/// ```no_run
/// use std::time::Duration;
/// use tierpool::{PgPool, Tier};
///
/// let pool = PgPool::builder().outside_fleet().build()?;
/// let [mut first, mut second] = [pool.get(Tier::Adhoc)?, pool.get(Tier::Adhoc)?];
/// tierpool::fleet::try_locks(&mut first, &mut second, Duration::from_secs(5))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Blocking
///
/// Three round trips, each for at most `limit` over TCP; past it the connection is lost.
///
/// # Errors
///
/// Where the server grants the lock to both or does not count it, where the role may not use the functions or see
/// `pg_locks`, and where the server does not answer.
pub fn try_locks(
    first: &mut PgConnection,
    second: &mut PgConnection,
    limit: Duration,
) -> Result<(), PgError> {
    let pid = first.backend_pid()?;
    let take = format!(
        "SELECT pg_catalog.pg_try_advisory_lock({KIND}, {pid})::int4; SELECT count(*) FROM pg_catalog.pg_locks \
         WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND classid::int8 = {KIND} \
         AND pid = pg_catalog.pg_backend_pid()"
    );
    let taken = first.ask(&take, limit).map_err(explained)?;
    let [granted, counted] = [0, 1].map(|at| taken.get(at).and_then(|row| number(row, 0)));
    if granted != Some(1) {
        return Err(unreal("grants none to anybody"));
    }
    if counted != Some(1) {
        return Err(unreal("does not count them"));
    }
    let either = format!(
        "SELECT pg_catalog.pg_try_advisory_lock({KIND}, {pid})::int4 \
         + pg_catalog.pg_try_advisory_lock_shared({KIND}, {pid})::int4"
    );
    let also = second.ask(&either, limit).map_err(explained)?;
    if also.first().and_then(|row| number(row, 0)) != Some(0) {
        return Err(unreal("grants them to everybody"));
    }
    let let_go = format!("SELECT pg_catalog.pg_advisory_unlock({KIND}, {pid})");
    first.ask(&let_go, limit).map_err(explained)?;
    Ok(())
}
