//! Reads along what the client sends.

use super::Observed;
use crate::postgres::observer::frontend::FrontendEvent;

impl<S> Observed<S> {
    /// Takes note of bytes of the client's that go on.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.notifications.wrote();
        let Observed { shared, times, .. } = self;
        self.client.scan(bytes, |event| {
            shared.note_sent(event);
            if let (Some(times), FrontendEvent::Request(request)) = (times.as_mut(), event) {
                times.sent(request, shared);
            }
        });
        if let Some(slow) = &mut self.slow {
            slow.sent(bytes, &self.shared);
        }
    }
}
