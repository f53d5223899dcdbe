//! The end of a connection, and whether its backend's is waited for.

use std::time::Duration;

use super::pg_connection::PgConnection;
use crate::postgres::observer::Abandoned;

/// The longest that a polite goodbye may take: far more than an idle connection needs, and little enough for a drop.
const GOODBYE: Duration = Duration::from_millis(50);

impl PgConnection {
    /// Whether the server has said that it ends the session and has not hung up yet. Its backend still counts then, so
    /// the end is waited for, if only for a moment.
    pub(super) fn is_left_by_server(&self) -> bool {
        let said = self.observer().is_some_and(|shared| shared.is_broken() && !shared.is_abandoned());
        said && !self.client().is_closed()
    }

    /// Has its drop wait up to `limit` for the backend's end, where there is one to be expected; true when so.
    pub(in crate::postgres) fn part_within(&self, limit: Duration) -> bool {
        let expected = self.is_left_by_server() || !(self.is_lost() || self.is_reply_pending());
        if let (true, Some(shared)) = (expected, self.observer()) {
            shared.parting().set_limit(limit);
        }
        expected
    }
}

impl Drop for PgConnection {
    fn drop(&mut self) {
        if self.is_inherited() {
            // Its end would say goodbye on the parent's socket, and take that out of what the parent waits on: the
            // child has both, and shares them.
            return std::mem::forget(self.client.take());
        }
        let Some(shared) = &self.observer else { return };
        if self.is_left_by_server() {
            shared.set_bound(shared.parting().limit());
        // Dropping the client waits for replies that are due before it says goodbye.
        } else if shared.is_reply_pending() || self.is_lost() {
            shared.abandon(Abandoned::GivenUp);
        } else {
            shared.set_bound(GOODBYE);
        }
    }
}
