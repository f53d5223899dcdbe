//! Which requests have had their answer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::postgres::observer::frontend::Request;

/// Stands for "not open yet" in [`Exchange::opening_work`].
const NOT_OPEN: u64 = u64::MAX;

/// What is missing to the end of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    Nothing,
    /// The rest of a reply.
    Server,
    /// `COPY` data, or the end of it.
    Client,
}

/// Requests and replies by their numbers, which are those of one stream: the server answers in order.
///
/// **Orderings.** As of the [`WireState`](super::WireState) that it is a part of: only the stream writes, `Relaxed` is
/// enough for all.
pub(super) struct Exchange {
    /// Requests sent, replies received, the number of the last request that was work, and how many were work.
    requests: AtomicU64,
    replies: AtomicU64,
    last_work: AtomicU64,
    work: AtomicU64,
    /// How much of `work` opening the connection took.
    opening_work: AtomicU64,
    /// `COPY` data goes to the server.
    copy_in: AtomicBool,
    /// The last request sent when the server was asked to cancel what is under way. Written by whichever thread asks,
    /// and before it does, so before the answer can come.
    cancelled: AtomicU64,
}

impl Default for Exchange {
    fn default() -> Self {
        Exchange {
            requests: AtomicU64::new(0),
            replies: AtomicU64::new(0),
            last_work: AtomicU64::new(0),
            work: AtomicU64::new(0),
            opening_work: AtomicU64::new(NOT_OPEN),
            copy_in: AtomicBool::new(false),
            cancelled: AtomicU64::new(0),
        }
    }
}

impl Exchange {
    /// Counts a request and returns its number.
    pub fn note_request(&self, request: Request) -> u64 {
        let number = add_one(&self.requests);
        if request != Request::Housekeeping {
            self.last_work.store(number, Relaxed);
            add_one(&self.work);
        }
        number
    }

    /// The server is done with a request.
    pub fn note_ready(&self) {
        self.copy_in.store(false, Relaxed);
        self.answer();
    }

    /// The server waits for `COPY` data. While it reads them it skips the Sync that came with the command: that one is
    /// never answered, the one after the data is.
    pub fn note_copy_in(&self) {
        self.copy_in.store(true, Relaxed);
        self.answer();
    }

    fn answer(&self) {
        let replies = self.replies.load(Relaxed);
        self.replies.store((replies + 1).min(self.requests.load(Relaxed)), Relaxed);
    }

    /// The number of the last request that was sent.
    pub fn sent(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// The number of the request that is being answered.
    pub fn in_answer(&self) -> u64 {
        self.replies.load(Relaxed) + 1
    }

    /// The server is about to be asked to cancel what is under way.
    pub fn note_cancel(&self) {
        self.cancelled.store(self.sent(), Relaxed);
    }

    /// Whether that was asked for while the request was under way that is being answered.
    pub fn is_cancel_asked(&self) -> bool {
        self.in_answer() <= self.cancelled.load(Relaxed)
    }

    /// How many replies are due.
    pub fn due(&self) -> u64 {
        self.requests.load(Relaxed).saturating_sub(self.replies.load(Relaxed))
    }

    /// Whether any reply is due, one to housekeeping included. Not while `COPY` data is on its way: then it is the
    /// client's turn.
    pub fn awaits_reply(&self) -> bool {
        self.due() > 0
    }

    /// Whose turn it is in what is pending.
    pub fn pending(&self) -> Pending {
        if !self.is_reply_pending() {
            Pending::Nothing
        } else if self.awaits_reply() {
            Pending::Server
        } else {
            Pending::Client
        }
    }

    /// Whether the answer to a request other than housekeeping is still due, or `COPY` data was not ended.
    pub fn is_reply_pending(&self) -> bool {
        self.replies.load(Relaxed) < self.last_work.load(Relaxed) || self.copy_in.load(Relaxed)
    }

    /// Requests since the connection is open whose answer was waited for.
    pub fn round_trips(&self) -> u64 {
        self.work.load(Relaxed).saturating_sub(self.opening_work.load(Relaxed))
    }

    pub fn is_open(&self) -> bool {
        self.opening_work.load(Relaxed) != NOT_OPEN
    }

    /// What was sent so far was the opening's.
    pub fn note_open(&self) {
        self.opening_work.store(self.work.load(Relaxed), Relaxed);
    }
}

/// Counts up and returns the new count. Only the stream writes these counters, so load and store lose nothing.
fn add_one(counter: &AtomicU64) -> u64 {
    let next = counter.load(Relaxed) + 1;
    counter.store(next, Relaxed);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_one_answer_for_two_syncs() {
        let exchange = Exchange::default();
        exchange.note_request(Request::Work);
        exchange.note_copy_in();
        assert!(exchange.is_reply_pending(), "the data is still to come");
        assert_eq!(exchange.pending(), Pending::Client);
        exchange.note_request(Request::Work);
        assert_eq!(exchange.pending(), Pending::Server);
        exchange.note_ready();
        assert_eq!(exchange.pending(), Pending::Nothing);
        assert!(!exchange.awaits_reply());
    }

    #[test]
    fn an_answer_to_housekeeping_is_not_pending_work() {
        let exchange = Exchange::default();
        exchange.note_request(Request::Work);
        exchange.note_request(Request::Housekeeping);
        assert!(exchange.is_reply_pending());
        exchange.note_ready();
        assert!(!exchange.is_reply_pending() && exchange.awaits_reply());
    }
}
