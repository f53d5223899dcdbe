//! One statement of a feed's, as a session of its own.

use postgres::IsolationLevel;

use crate::postgres::{Ending, Last, PgError, PgManager, SessionOptions};
use crate::tiers::{Tier, TieredPool};

/// Each statement of a queue's sees what was committed before it, whatever the role's default is: where a snapshot is
/// kept, a row that another claims or renews meanwhile is an error.
pub(super) fn options() -> SessionOptions {
    SessionOptions::new().isolation(IsolationLevel::ReadCommitted)
}

/// Makes it, in one round trip.
pub(super) fn ask<'e, T: 'e>(
    pool: &TieredPool<PgManager>,
    tier: Tier,
    mut last: impl FnMut() -> Last<'e, T>,
) -> Result<T, PgError> {
    pool.session_ending_with(tier, &options(), |_| Ok(Ending::Last(last())))
}
