//! How long statements take, for the histogram, where it is asked for.

use std::time::Instant;

use super::backend::BackendEvent;
use super::frontend::Request;
use super::state::WireState;

/// Times the statements of one connection. There is one only where `query_times` is set: without, no clock is read.
///
/// What is sent before the last answer is in counts as one statement: a BEGIN that goes along with what it is for, or a
/// COPY with its data. Its time is that of the last request. What the pool sends for itself is none.
#[derive(Default)]
pub(super) struct QueryTimes {
    /// When the last statement was sent, while it is not answered.
    since: Option<Instant>,
}

impl QueryTimes {
    /// Takes note of what the client has asked for.
    pub(super) fn sent(&mut self, request: Request, shared: &WireState) {
        // Also where another is not answered: its rows may have been left unread for long.
        if request == Request::Work && !shared.is_own() {
            self.since = Some(Instant::now());
        }
    }

    /// Takes note of what the server has said, once `shared` has: records the statement that it ends.
    pub(super) fn heard(&mut self, event: BackendEvent, shared: &WireState) {
        let is_end = match event {
            BackendEvent::Ready(_) => !shared.is_reply_pending(),
            // The client goes on from here, perhaps to its next statement before the rest of the answer is read.
            BackendEvent::Error { ends_session, .. } => !ends_session,
            _ => false,
        };
        if !is_end {
            return;
        }
        if let (Some(since), Some(place)) = (self.since.take(), shared.place()) {
            place.record_query(since.elapsed());
        }
    }
}
