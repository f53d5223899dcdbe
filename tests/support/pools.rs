//! Pools of PostgreSQL connections.

use tierpool::{PgBuilder, PgPool};

/// Builds a pool.
///
/// # Panics
///
/// When it cannot be built, with all that its error says.
#[track_caller]
pub fn built(builder: PgBuilder) -> PgPool {
    builder.build().unwrap_or_else(|error| panic!("{error:#}"))
}

/// A pool with at most `size` automation connections, and with what `change` says.
///
/// # Panics
///
/// As [`built`].
#[track_caller]
pub fn pool_of(
    size: u32,
    app_name: &str,
    url: impl Into<String>,
    change: impl FnOnce(PgBuilder) -> PgBuilder,
) -> PgPool {
    built(change(PgPool::builder().url(url).app_name(app_name).base_size(size).max_overflow(0)))
}

/// How many checkouts of the automation tier were served.
pub fn checkouts(pool: &PgPool) -> u64 {
    let checkouts = pool.automation().stats().checkouts;
    checkouts.direct + checkouts.waited
}
