//! What the caller's own span is told: the wait for a connection.

use std::time::Duration;

/// By the name that OpenTelemetry's conventions have for the time to get a connection, in seconds.
const WAIT: &str = "db.client.connection.wait";

/// Records how long the caller stood in line, in a span that has the field; others pass it over. The subscriber is
/// foreign code: no lock is held here, and a connection lent has its guard.
pub(crate) fn note_wait(waited: Duration) {
    tracing::Span::current().record(WAIT, waited.as_secs_f64());
}
