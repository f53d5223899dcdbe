//! One statement of a feed's, as a session of its own.

use crate::postgres::{Ending, Last, PgError, PgManager, SessionOptions};
use crate::tiers::{Tier, TieredPool};

/// Makes it, in one round trip.
pub(super) fn ask<'e, T: 'e>(
    pool: &TieredPool<PgManager>,
    tier: Tier,
    mut last: impl FnMut() -> Last<'e, T>,
) -> Result<T, PgError> {
    pool.session_ending_with(tier, &SessionOptions::new(), |_| Ok(Ending::Last(last())))
}
