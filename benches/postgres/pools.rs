//! The pools that are compared, all on one server, in plain text.

use r2d2_postgres::PostgresConnectionManager;
use r2d2_postgres::postgres::{Config, NoTls};
use tierpool::postgres::PgManager;
use tierpool::{Builder, PgBuilder, PgPool};

use crate::support::cluster::Cluster;

pub type R2d2 = r2d2::Pool<PostgresConnectionManager<NoTls>>;

/// Ours at its defaults but for the automation tier's size; all of it open.
pub fn ours(cluster: &Cluster, size: u32) -> PgPool {
    ours_with(cluster, size, |builder| builder)
}

/// As [`ours`], of the server behind this URL.
pub fn ours_at(url: &str, size: u32) -> PgPool {
    sized(PgBuilder::new().url(url), size).build().unwrap()
}

/// As [`ours`], with the time of each statement recorded.
pub fn ours_timed(cluster: &Cluster, size: u32) -> PgPool {
    sized(PgBuilder::new().url(cluster.plain_url()).query_times(true), size).build().unwrap()
}

fn sized(builder: PgBuilder, size: u32) -> PgBuilder {
    builder.app_name("bench").base_size(size).max_overflow(0).min_size(size)
}

/// As [`ours`], with the automation tier's pool changed.
pub fn ours_with(
    cluster: &Cluster,
    size: u32,
    change: impl FnOnce(Builder<PgManager>) -> Builder<PgManager> + 'static,
) -> PgPool {
    sized(PgBuilder::new().url(cluster.plain_url()), size).automation(change).build().unwrap()
}

/// r2d2 at its defaults but for its size; all of it open. `tested` is its `test_on_check_out`, by default on.
pub fn r2d2(cluster: &Cluster, size: u32, tested: bool) -> R2d2 {
    r2d2_at(cluster.plain_url().parse().unwrap(), size, tested)
}

/// As [`r2d2`], of this server.
pub fn r2d2_at(config: Config, size: u32, tested: bool) -> R2d2 {
    let manager = PostgresConnectionManager::new(config, NoTls);
    r2d2::Pool::builder().max_size(size).test_on_check_out(tested).build(manager).unwrap()
}
