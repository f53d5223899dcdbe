//! Whether a connection leads to a server that takes writes.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

use crate::postgres::observer::backend::ReportedSetting;

/// What the server's replies tell of its role. Written by the stream, with the orderings of
/// [`WireState`](super::WireState).
#[derive(Default)]
pub(super) struct Route {
    /// The settings of [`ReportedSetting`] as reported: bit 0 and 1 for known, bit 2 and 3 for on, and [`CHANGED`].
    reported: AtomicU8,
    /// A write was refused in the reply under way.
    refused: AtomicBool,
    misrouted: AtomicBool,
}

/// What a server is for those who write to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerRole {
    pub is_standby: bool,
    /// A standby is.
    pub is_read_only: bool,
}

/// Another value was reported since the connection was opened. What was reported before tells less: a pooler repeats
/// what it heard when it last connected.
const CHANGED: u8 = 0b1_0000;

impl Route {
    /// Notes a reported setting; `open` once the connection is.
    pub fn note_setting(&self, setting: ReportedSetting, on: bool, open: bool) {
        let bit = match setting {
            ReportedSetting::HotStandby => 0,
            ReportedSetting::DefaultReadOnly => 1,
        };
        let before = self.reported.load(Relaxed);
        let now = before & !(0b100 << bit) | 1 << bit | u8::from(on) << (bit + 2);
        let changed = open && now != before;
        self.reported.store(now | if changed { CHANGED } else { 0 }, Relaxed);
        if self.takes_writes() {
            // Turned back, or promoted: what the connection met before says nothing any more.
            self.misrouted.store(false, Relaxed);
        }
    }

    /// Notes a 25006.
    pub fn note_refused_write(&self) {
        self.refused.store(true, Relaxed);
    }

    /// Judges a refusal at the end of its reply: a setting that changed before it is reported behind the error that
    /// came of it.
    pub fn end_reply(&self) {
        if self.refused.load(Relaxed) {
            self.refused.store(false, Relaxed);
            if !self.takes_writes() {
                self.misrouted.store(true, Relaxed);
            }
        }
    }

    /// Whether the server itself has said that it takes writes. Then a 25006 comes from a transaction that its
    /// user made read-only, and other connections are no better.
    fn takes_writes(&self) -> bool {
        self.reported.load(Relaxed) & !CHANGED == 0b0011
    }

    /// What the server says it has become since the connection was opened.
    pub fn changed(&self) -> Option<ServerRole> {
        let reported = self.reported.load(Relaxed);
        let role = ServerRole { is_standby: reported & 0b0100 != 0, is_read_only: reported & 0b1100 != 0 };
        (reported & CHANGED != 0 && reported & 0b0011 == 0b0011).then_some(role)
    }

    pub fn is_misrouted(&self) -> bool {
        self.misrouted.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_refused_in_a_read_only_transaction_does_not_condemn_the_server() {
        let route = Route::default();
        route.note_setting(ReportedSetting::HotStandby, false, false);
        route.note_setting(ReportedSetting::DefaultReadOnly, false, false);
        route.note_refused_write();
        route.end_reply();
        assert!(!route.is_misrouted());
        assert_eq!(route.changed(), None, "all that was before it was open");
        route.note_refused_write();
        route.note_setting(ReportedSetting::DefaultReadOnly, true, true);
        route.end_reply();
        assert!(route.is_misrouted(), "the server reports a changed setting at the end of the reply");

        assert_eq!(route.changed(), Some(ServerRole { is_standby: false, is_read_only: true }));
        route.note_setting(ReportedSetting::DefaultReadOnly, false, true);
        assert!(!route.is_misrouted(), "it takes writes again");
        assert_eq!(route.changed(), Some(ServerRole { is_standby: false, is_read_only: false }));

        let silent = Route::default();
        silent.note_refused_write();
        silent.end_reply();
        assert!(silent.is_misrouted(), "before PostgreSQL 14 the server does not say");
    }
}
