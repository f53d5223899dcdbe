//! Whether the session's settings are still those that it began with.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::postgres::observer::statements::Sets;

/// What was read off requests and replies. Written by the stream, with the orderings of
/// [`WireState`](super::WireState); [`SessionSettings::accept`] is called by the owner between two calls.
#[derive(Default)]
pub(crate) struct SessionSettings {
    changed: AtomicBool,
    /// Whether what a request sets ends with its transaction: one bit for each of the last 64 requests, at the
    /// remainder of its number.
    local: AtomicU64,
    /// The last request in which the pool's own statements go along, and how many of its tags are theirs: the first.
    woven: AtomicU64,
    own_tags: AtomicU32,
}

const REMEMBERED: u64 = 64;

impl SessionSettings {
    /// Forgets what was told of the request that had the place of this one.
    pub fn note_request(&self, number: u64) {
        self.local.store(self.local.load(Relaxed) & !bit(number), Relaxed);
    }

    /// Notes what the text of the last request says, whose number this is.
    pub fn note_text(&self, number: u64, sets: Sets) {
        match sets {
            Sets::Locally => self.local.store(self.local.load(Relaxed) | bit(number), Relaxed),
            Sets::ByCall => self.changed.store(true, Relaxed),
        }
    }

    /// Notes that the pool's own statements go along in the last request, ahead of the borrower's, and set so many
    /// things. They end with their transaction, and what the pool sends is no change of the borrower's.
    pub fn note_own(&self, number: u64, tags: u32) {
        if tags > 0 {
            self.woven.store(number, Relaxed);
            self.own_tags.store(tags, Relaxed);
        }
    }

    /// Notes that the request with this number has set something, `last` being that of the last request sent.
    pub fn note_tag(&self, number: u64, last: u64) {
        let own = self.own_tags.load(Relaxed);
        if own > 0 && number == self.woven.load(Relaxed) {
            return self.own_tags.store(own - 1, Relaxed);
        }
        let is_known = last.saturating_sub(number) < REMEMBERED;
        if !is_known || self.local.load(Relaxed) & bit(number) == 0 {
            self.changed.store(true, Relaxed);
        }
    }

    pub fn are_changed(&self) -> bool {
        self.changed.load(Relaxed)
    }

    /// Takes the present settings for those that the session began with.
    pub fn accept(&self) {
        self.changed.store(false, Relaxed);
    }
}

fn bit(number: u64) -> u64 {
    1 << (number % REMEMBERED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_belongs_to_the_request_that_is_being_answered() {
        let settings = SessionSettings::default();
        for number in 1..=2 {
            settings.note_request(number);
        }
        settings.note_text(2, Sets::Locally);
        settings.note_tag(2, 2);
        assert!(!settings.are_changed());
        settings.note_tag(1, 2);
        assert!(settings.are_changed());

        settings.accept();
        settings.note_request(2 + REMEMBERED);
        settings.note_tag(2 + REMEMBERED, 2 + REMEMBERED);
        assert!(settings.are_changed(), "what was said of another request does not hold for this one");

        settings.accept();
        settings.note_text(2, Sets::Locally);
        settings.note_tag(2, 2 + REMEMBERED);
        assert!(settings.are_changed(), "of one that long ago nothing is known");

        settings.accept();
        settings.note_text(3, Sets::ByCall);
        assert!(settings.are_changed());
    }

    #[test]
    fn the_first_tags_of_a_request_may_be_the_pools_own() {
        let settings = SessionSettings::default();
        settings.note_own(2, 2);
        settings.note_tag(2, 2);
        settings.note_tag(2, 2);
        assert!(!settings.are_changed());
        settings.note_tag(2, 2);
        assert!(settings.are_changed(), "the borrower's own");

        settings.accept();
        settings.note_own(3, 1);
        settings.note_tag(4, 4);
        assert!(settings.are_changed(), "of another request, as the pool's own were not answered");
    }
}
