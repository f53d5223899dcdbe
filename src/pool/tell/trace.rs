//! What is there for `tracing` alone: the wait for a connection in the caller's own span, and whether checkouts are to
//! be told.

use std::time::Duration;

use r2d2::ManageConnection;

use crate::pool::shared::Shared;

/// By the name that OpenTelemetry's conventions have for the time to get a connection, in seconds.
const WAIT: &str = "db.client.connection.wait";

/// Records how long the caller stood in line, in a span that has the field; others pass it over. The subscriber is
/// foreign code: no lock is held here, and a connection lent has its guard.
pub(crate) fn note_wait(waited: Duration) {
    tracing::Span::current().record(WAIT, waited.as_secs_f64());
}

/// Looks whether a subscriber may want to be told of checkouts, which a direct one does not ask.
pub(crate) fn look_for_subscribers<M: ManageConnection>(shared: &Shared<M>) {
    shared.fast.look_for_subscribers();
}
