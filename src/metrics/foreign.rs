//! The names of others, so that dashboards made for them go on to work.

use std::borrow::Cow;

use super::family::{Families, Family, Kind, Label, Times};
use super::own::FIRST_HOLD_MS;
use super::reading::Reading;

/// By OpenTelemetry's conventions for pools of database clients, as its exporters write them for Prometheus.
pub(super) fn opentelemetry(readings: &[Reading]) -> Vec<Family> {
    let name = |r: &Reading| vec![("db_client_connection_pool_name", Cow::Owned(r.stats.pool.clone()))];
    let mut told = Families::new(readings, name);
    let by_state = ("db_client_connection_count", "db_client_connection_state");
    told.add_by(Kind::Gauge, by_state, "Connections by state.", |r| {
        [("idle", r.stats.gauges.idle), ("used", r.stats.gauges.in_use)]
    });
    told.gauge("db_client_connection_max", "The most connections allowed.", |r| r.stats.ceiling);
    let pending = "Threads that wait for a connection.";
    told.gauge("db_client_connection_pending_requests", pending, |r| r.stats.gauges.waiting);
    let timeouts = "Checkouts that were not served in time.";
    told.counter("db_client_connection_timeouts", timeouts, |r| r.stats.checkouts.timed_out);
    let wait = "How long checkouts waited; a direct one counts as 0.";
    told.histogram("db_client_connection_wait_time_seconds", wait, |r| Times::of(&r.stats.wait));
    let hold = "How long connections were held.";
    told.histogram("db_client_connection_use_time_seconds", hold, |r| {
        Times::from_bound(&r.stats.hold, FIRST_HOLD_MS)
    });
    let open = "How long it took to open a connection.";
    told.histogram("db_client_connection_create_time_seconds", open, |r| Times::of(&r.stats.open));
    told.done()
}

/// By HikariCP's names, as Micrometer writes them.
pub(super) fn hikari(readings: &[Reading]) -> Vec<Family> {
    let name = |r: &Reading| -> Vec<Label> { vec![("pool", Cow::Owned(r.stats.pool.clone()))] };
    let mut told = Families::new(readings, name);
    told.gauge("hikaricp_connections", "Connections open.", |r| r.stats.gauges.idle + r.stats.gauges.in_use);
    told.gauge("hikaricp_connections_active", "Connections in use.", |r| r.stats.gauges.in_use);
    told.gauge("hikaricp_connections_idle", "Connections idle.", |r| r.stats.gauges.idle);
    let pending = "Threads that wait for a connection.";
    told.gauge("hikaricp_connections_pending", pending, |r| r.stats.gauges.waiting);
    told.gauge("hikaricp_connections_max", "The most connections allowed.", |r| r.stats.ceiling);
    told.gauge("hikaricp_connections_min", "Connections kept idle.", |r| r.settings.effective_min_idle());
    let timeouts = "Checkouts that were not served in time.";
    told.counter("hikaricp_connections_timeout", timeouts, |r| r.stats.checkouts.timed_out);
    let wait = "How long checkouts waited; a direct one counts as 0.";
    told.histogram("hikaricp_connections_acquire_seconds", wait, |r| Times::of(&r.stats.wait));
    let hold = "How long connections were held.";
    told.histogram("hikaricp_connections_usage_seconds", hold, |r| {
        Times::from_bound(&r.stats.hold, FIRST_HOLD_MS)
    });
    let open = "How long it took to open a connection.";
    told.histogram("hikaricp_connections_creation_seconds", open, |r| Times::of(&r.stats.open));
    told.done()
}
