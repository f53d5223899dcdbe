//! Reads along what the client sends.

use super::Observed;
use crate::postgres::observer::frontend::FrontendEvent;

impl<S> Observed<S> {
    /// Has bytes that go out allow for answers.
    pub(super) fn grant(&mut self, count: usize) {
        let is_first = !self.shared.is_reply_pending() && self.own.is_sent();
        self.server.grant(count, is_first);
    }

    /// Takes note of bytes of the client's that go on.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.notifications.wrote();
        self.grant(bytes.len());
        let Observed { shared, times, types, .. } = self;
        self.client.scan(bytes, |event| {
            shared.note_sent(event);
            types.sent(event);
            if let (Some(times), FrontendEvent::Request(request)) = (times.as_mut(), event) {
                times.sent(request, shared);
            }
        });
        if let Some(slow) = &mut self.slow {
            slow.sent(bytes, &self.shared);
        }
    }
}
