//! Whether a large request still drains from the send buffer.

use super::send_queue::SendQueue;

/// A request from so many bytes on may take its time to the server. A smaller one is on its way in one or two round
/// trips, and is not worth a look.
const LARGE: usize = 64 * 1024;

/// How often within the limit of silence the send buffer is looked at: a server that has the last byte late loses so
/// much of its time at most.
const LOOKS: u64 = 8;

/// What was sent since the server was last heard, and what the kernel still has of it.
#[derive(Default)]
pub(super) struct Uplink {
    queue: Option<SendQueue>,
    unanswered: usize,
    /// When it was last looked at, and how much was waiting then. `None` for not yet.
    looked: Option<(u64, u64)>,
}

impl Uplink {
    pub fn new(queue: Option<SendQueue>) -> Self {
        Uplink { queue, ..Uplink::default() }
    }

    pub fn sent(&mut self, bytes: usize) {
        self.unanswered = self.unanswered.saturating_add(bytes);
        self.looked = None;
    }

    pub fn answered(&mut self) {
        self.unanswered = 0;
        self.looked = None;
    }

    /// Whether there is nothing to look at.
    pub fn is_small(&self) -> bool {
        self.unanswered < LARGE || self.queue.is_none()
    }

    /// For a wait `since` then, of which a `limit` is set: whether the kernel got on with sending, and when to look
    /// next. `None` where there is nothing to look at.
    pub fn look(&mut self, since: u64, limit: u64, now: u64) -> Option<(bool, u64)> {
        let queue = self.queue.as_ref().filter(|_| !self.is_small())?;
        let pace = limit / LOOKS;
        let next = self.looked.map_or(since, |(at, _)| at).saturating_add(pace);
        if now < next {
            return Some((false, next));
        }
        let waiting = queue.waiting()?;
        let drains = self.looked.is_some_and(|(_, before)| waiting < before);
        self.looked = Some((now, waiting));
        Some((drains, now.saturating_add(pace)))
    }
}
