//! When the server last gave a sign of life, and what has failed since.

use parking_lot::Mutex;

use crate::clock::Millis;
use crate::stats;

/// Noted where something has been opened, validated or has failed anyway; never at a direct checkout.
#[derive(Default)]
pub(crate) struct Contact {
    /// Guards nothing else, and nothing foreign runs under it.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    seen_at: Option<Millis>,
    /// The last failure since.
    failed: Option<Failed>,
}

struct Failed {
    /// When what failed was begun, and when it had failed.
    begun: Millis,
    at: Millis,
    cause: String,
}

impl Contact {
    /// The server was alive at this time. Of signs and failures at the same time, the one noted last counts.
    pub(crate) fn seen(&self, at: Millis) {
        let mut known = self.known.lock();
        known.seen_at = known.seen_at.max(Some(at));
        if known.failed.as_ref().is_some_and(|failed| failed.begun <= at) {
            known.failed = None;
        }
    }

    /// What was begun at the first of these times had failed to reach the server at the second.
    pub(crate) fn failed(&self, begun: Millis, at: Millis, cause: impl FnOnce() -> String) {
        let mut known = self.known.lock();
        let is_news = known.seen_at.is_none_or(|seen| begun >= seen)
            && known.failed.as_ref().is_none_or(|last| begun >= last.begun);
        if is_news {
            known.failed = Some(Failed { begun, at, cause: cause() });
        }
    }

    /// The same as ages.
    pub(crate) fn told(&self, now: Millis) -> stats::Contact {
        let known = self.known.lock();
        let ago = |at: Millis| now.since(at).duration();
        let told = |failed: &Failed| {
            stats::ContactFailure::new(ago(failed.begun), ago(failed.at), failed.cause.clone())
        };
        stats::Contact { last_seen: known.seen_at.map(ago), failure: known.failed.as_ref().map(told) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(contact: &Contact) -> (Option<u64>, Option<u64>) {
        let told = contact.told(Millis::new(100));
        let ms = |ago: std::time::Duration| u64::try_from(ago.as_millis()).unwrap();
        (told.last_seen.map(ms), told.failure.map(|failure| ms(failure.ago)))
    }

    #[test]
    fn a_failure_counts_until_the_next_sign_of_life() {
        let contact = Contact::default();
        assert_eq!(told(&contact), (None, None));
        contact.failed(Millis::new(10), Millis::new(30), || "refused".to_owned());
        assert_eq!(told(&contact), (None, Some(70)));
        contact.seen(Millis::new(10));
        assert_eq!(told(&contact), (Some(90), None));
        contact.failed(Millis::new(10), Millis::new(30), || "refused".to_owned());
        assert_eq!(told(&contact), (Some(90), Some(70)));
    }

    #[test]
    fn what_was_begun_before_the_server_was_seen_says_nothing_new() {
        let contact = Contact::default();
        contact.seen(Millis::new(50));
        contact.failed(Millis::new(40), Millis::new(55), || "hung".to_owned());
        assert_eq!(told(&contact), (Some(50), None));
        contact.failed(Millis::new(60), Millis::new(60), || "refused".to_owned());
        contact.seen(Millis::new(55));
        assert_eq!(told(&contact), (Some(45), Some(40)), "a sign from before the failure");
    }
}
