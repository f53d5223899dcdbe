//! The end of a connection, and whether its backend's is waited for.
//!
//! | it | the server is sent | and then |
//! | --- | --- | --- |
//! | works, and no reply is due | `Terminate`, behind the ends of prepared statements that are still to go out | its backend's end is waited for |
//! | was told that the server ends the session, also in a check or in the midst of its drop | nothing, for the server hangs up by itself | the same |
//! | has a reply pending whose end is not there within 20 ms (asked in a pool only), or is given up by pool or borrower amid one | `Flush` and `Terminate`, where the client is not amid a message and the stream takes them at once | the stream is closed at once |
//! | works, and its client has stopped reading for a reader of its own that was forgotten | nothing, since the client gets no further | the same |
//! | is lost | nothing | the same |
//! | is a parent's, in a child process | nothing | the parent has it |
//!
//! PgBouncer makes no difference between the end of a stream and a `Terminate` ahead of it. Before 1.21 it takes a
//! server for free in either case where one of several requests was answered and nothing has come since: the `Flush` is
//! for that. The guide says what is left.
//!
//! Over a Unix socket the client itself waits for the replies that are due, and sends `Terminate` then.

use std::time::Duration;

use postgres::fallible_iterator::FallibleIterator;

use super::pg_connection::PgConnection;
use crate::foreign::caught;
use crate::postgres::observer::{Abandoned, WireState};

/// The longest that a polite goodbye may take: far more than an idle connection needs, and little enough for a drop.
const GOODBYE: Duration = Duration::from_millis(50);

/// How long a worker waits for a backend to end. A server that answers ends a session in milliseconds, on an
/// overloaded machine in a few hundred; one that does not would not open another either.
pub(in crate::postgres) const PARTING: Duration = Duration::from_millis(400);

/// Whether the server has said that it ends the session, and nobody has given the connection up. Its backend may still
/// count then, so its end is waited for: which is over at once where it has hung up.
fn is_left_by_server(shared: &WireState) -> bool {
    shared.errors().ending().is_some() && !shared.is_abandoned()
}

impl PgConnection {
    /// Has its drop wait up to [`PARTING`] for the backend's end where there is one to be expected, and for nothing
    /// else.
    ///
    /// # Blocking
    ///
    /// For the end of a pending reply, which is on its way after an error: some 20 ms at the most.
    pub(in crate::postgres) fn part(&mut self) {
        // A client whose reader was forgotten gets no further, not even to its goodbye.
        let is_through = !self.is_lost() && self.end_reply().unwrap_or(false);
        let is_useless = !is_through || self.is_lost() || self.is_reply_pending();
        match self.observer() {
            Some(shared) if is_left_by_server(shared) || !is_useless => shared.parting().set_limit(PARTING),
            _ => self.abandon(),
        }
    }
}

impl Drop for PgConnection {
    fn drop(&mut self) {
        if self.is_inherited() {
            // Its end would say goodbye on the parent's socket, and take that out of what the parent waits on: the
            // child has both, and shares them.
            return std::mem::forget(self.client.take());
        }
        let is_lost = self.is_lost();
        let (Some(shared), Some(client)) = (&self.observer, &mut self.client) else { return };
        if is_left_by_server(shared) {
            shared.set_bound(shared.parting().limit());
            // One that has the server's word in its buffer fails by that, without a read. Its drop comes to one then.
            // In the midst of a runtime, where no client may be waited for, this panics, and so does that drop.
            let _ =
                caught(
                    || {
                        while let Ok(Some(_)) = client.notifications().timeout_iter(Duration::ZERO).next() {}
                    },
                );
        // Dropping the client waits for replies that are due before it says goodbye.
        } else if shared.is_reply_pending() || is_lost {
            return shared.abandon(Abandoned::GivenUp);
        } else {
            shared.set_bound(GOODBYE);
        }
        shared.parting().begin();
    }
}
