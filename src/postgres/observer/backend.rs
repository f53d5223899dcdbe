//! What the server's messages say.

use postgres::error::Severity;

use super::frames::{Framer, Piece, Text};
use super::malformed::Malformed;
use super::notifications::TAG as NOTIFICATION;
use crate::postgres::sqlstate::{Meaning, ends_session, means};

/// A fact read off the server's side of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BackendEvent {
    /// A request has been answered in full. Holds the transaction status: `I` idle, `T` in a transaction, `E` in a
    /// failed one.
    Ready(u8),
    /// The server reported an error.
    Error {
        /// Its SQLSTATE.
        code: [u8; 5],
        /// Whether the session ends with it.
        ends_session: bool,
        /// Whether it is the "cached plan must not change result type" of 0A000.
        cached_plan: bool,
    },
    /// A command of the request has set settings of the session, or put them back: its tag is `SET`, `RESET` or
    /// `DISCARD`.
    SettingsSet,
    /// The session listens for notifications, or did: the command's tag is `LISTEN` or `UNLISTEN`.
    Listens,
    /// A notification has begun.
    Notification,
    /// The server now reads `COPY` data from the client.
    CopyIn,
    /// The process id of the backend, from the start-up handshake.
    ProcessId(i32),
    /// A setting that tells whether the server takes writes; reported by PostgreSQL 14 and later.
    Setting(ReportedSetting, bool),
}

/// The reported settings that tell whether a server takes writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReportedSetting {
    /// `in_hot_standby`
    HotStandby,
    /// `default_transaction_read_only`
    DefaultReadOnly,
}

/// Reads the server's side of a connection.
///
/// Any split of the stream gives the same events in the same order. Nothing is allocated.
pub(crate) struct BackendScanner {
    framer: Framer,
    reading: Reading,
    /// Something of a reply has come since it was last asked for.
    progress: bool,
    /// The bytes of reports of parameters in the reply under way.
    reports: usize,
    /// The first request has been answered, and with it the handshake is over.
    greeted: bool,
    malformed: Option<Malformed>,
}

/// The bytes of reports of parameters that one reply may have: some tens of thousands of reports, where a `SET` has one.
/// The client keeps each name once, and without a limit as many as the server makes up.
const REPORTS: usize = 2 << 20;

/// What is kept of the message under way.
enum Reading {
    Skipped,
    Status(Text<1>),
    Key(Text<4>),
    Error(ErrorFields),
    Tag(Text<8>),
    Parameter { name: Text<32>, value: Text<4>, in_value: bool },
}

/// An `ErrorResponse` under way: a list of fields, each a type byte and a text ended by a zero byte.
struct ErrorFields {
    field: Option<u8>,
    /// `V`, the severity that is not translated.
    severity: Text<5>,
    code: Text<5>,
    routine: Text<21>,
}

impl ErrorFields {
    fn new() -> Self {
        ErrorFields { field: None, severity: Text::new(), code: Text::new(), routine: Text::new() }
    }

    fn read(&mut self, mut bytes: &[u8]) {
        while let [first, rest @ ..] = bytes {
            let Some(field) = self.field else {
                self.field = (*first != 0).then_some(*first);
                bytes = rest;
                continue;
            };
            let end = bytes.iter().position(|b| *b == 0);
            let text = &bytes[..end.unwrap_or(bytes.len())];
            match field {
                b'V' => self.severity.push(text),
                b'C' => self.code.push(text),
                b'R' => self.routine.push(text),
                _ => {}
            }
            match end {
                Some(end) => {
                    self.field = None;
                    bytes = &bytes[end + 1..];
                }
                None => return,
            }
        }
    }

    /// How severe the error is, where the server says so.
    fn severity(&self) -> Option<Severity> {
        match self.severity {
            text if text.len == 0 => None,
            text if text.is(b"FATAL") => Some(Severity::Fatal),
            text if text.is(b"PANIC") => Some(Severity::Panic),
            _ => Some(Severity::Error),
        }
    }

    fn event(&self) -> BackendEvent {
        BackendEvent::Error {
            code: self.code.bytes,
            ends_session: ends_session(self.code.bytes, self.severity()),
            cached_plan: means(self.code.bytes, Meaning::Unsupported)
                && self.routine.is(b"RevalidateCachedQuery"),
        }
    }
}

impl Default for BackendScanner {
    fn default() -> Self {
        BackendScanner {
            framer: Framer::of_server(),
            reading: Reading::Skipped,
            progress: false,
            reports: 0,
            greeted: false,
            malformed: None,
        }
    }
}

impl BackendScanner {
    /// Whether the next byte begins a message.
    pub fn at_boundary(&self) -> bool {
        self.malformed().is_none() && self.framer.at_boundary()
    }

    /// Takes a message with a longer body than this, begun from here on, for no message.
    pub fn allow(&mut self, longest: usize) {
        self.framer.allow(longest);
    }

    /// What was read that no server sends. From then on nothing more is.
    pub fn malformed(&self) -> Option<Malformed> {
        self.malformed.or(self.framer.malformed())
    }

    /// Whether something of a reply has come since this was last asked. What a server may send at any time is not:
    /// notices, notifications, and reports of parameters.
    pub fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progress)
    }

    /// Where it stands among the messages.
    pub(super) fn framer(&self) -> Framer {
        self.framer
    }

    /// Reads the next bytes and calls `on` for each fact found.
    pub fn scan(&mut self, mut bytes: &[u8], mut on: impl FnMut(BackendEvent)) {
        while self.malformed.is_none()
            && let Some(piece) = self.framer.next(&mut bytes)
        {
            if piece.first && !self.has_place(piece.tag) {
                self.malformed = Some(Malformed::Type(piece.tag));
                return;
            }
            self.weigh(&piece);
            if self.malformed.is_some() {
                return;
            }
            if piece.first {
                self.reading = Reading::begin(piece.tag);
                match piece.tag {
                    b'G' => on(BackendEvent::CopyIn),
                    NOTIFICATION => on(BackendEvent::Notification),
                    _ => {}
                }
            }
            match self.reading.read(&piece) {
                Some(BackendEvent::Ready(_)) if !self.reading.is_known_status() => {
                    self.malformed = Some(Malformed::Status);
                }
                Some(event) => on(event),
                None => {}
            }
        }
    }

    /// Whether a server that keeps to the protocol may send a message of this type.
    fn has_place(&self, tag: u8) -> bool {
        match tag {
            b'R' | b'v' => !self.greeted,
            _ => b"123ACDEGHIKNSTVWZcdnst".contains(&tag),
        }
    }

    /// Takes a piece for progress of a reply or for none, and counts reports.
    fn weigh(&mut self, piece: &Piece<'_>) {
        match piece.tag {
            b'N' | b'A' => return,
            b'S' => {
                self.reports += piece.bytes.len();
                if self.reports > REPORTS {
                    self.malformed = Some(Malformed::Reports);
                }
                return;
            }
            b'Z' => {
                self.reports = 0;
                self.greeted |= piece.last;
            }
            _ => {}
        }
        self.progress = true;
    }
}

impl Reading {
    fn is_known_status(&self) -> bool {
        matches!(self, Reading::Status(status) if status.len == 1 && b"ITE".contains(&status.bytes[0]))
    }

    fn begin(tag: u8) -> Self {
        match tag {
            b'Z' => Reading::Status(Text::new()),
            b'E' => Reading::Error(ErrorFields::new()),
            b'K' => Reading::Key(Text::new()),
            b'C' => Reading::Tag(Text::new()),
            b'S' => Reading::Parameter { name: Text::new(), value: Text::new(), in_value: false },
            _ => Reading::Skipped,
        }
    }

    fn read(&mut self, piece: &Piece<'_>) -> Option<BackendEvent> {
        match self {
            Reading::Skipped => None,
            Reading::Status(status) => {
                status.push(piece.bytes);
                piece.last.then(|| BackendEvent::Ready(status.bytes[0]))
            }
            Reading::Key(id) => {
                id.push(piece.bytes);
                piece.last.then(|| BackendEvent::ProcessId(i32::from_be_bytes(id.bytes)))
            }
            Reading::Tag(tag) => {
                tag.push(piece.bytes);
                if piece.last && (tag.is(b"LISTEN\0") || tag.starts_with(b"UNLISTEN")) {
                    return Some(BackendEvent::Listens);
                }
                let sets = tag.is(b"SET\0") || tag.is(b"RESET\0") || tag.starts_with(b"DISCARD");
                (piece.last && sets).then_some(BackendEvent::SettingsSet)
            }
            Reading::Error(fields) => {
                fields.read(piece.bytes);
                piece.last.then(|| fields.event())
            }
            Reading::Parameter { name, value, in_value } => {
                for part in piece.bytes.split_inclusive(|b| *b == 0) {
                    let text = part.strip_suffix(&[0]).unwrap_or(part);
                    if *in_value {
                        value.push(text)
                    } else {
                        name.push(text)
                    }
                    *in_value |= text.len() < part.len();
                }
                let setting = if name.is(b"in_hot_standby") {
                    ReportedSetting::HotStandby
                } else if name.is(b"default_transaction_read_only") {
                    ReportedSetting::DefaultReadOnly
                } else {
                    return None;
                };
                piece.last.then(|| BackendEvent::Setting(setting, value.is(b"on")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(chunks: &[&[u8]]) -> Vec<BackendEvent> {
        let mut scanner = BackendScanner::default();
        let mut found = Vec::new();
        for chunk in chunks {
            scanner.scan(chunk, |event| found.push(event));
        }
        found
    }

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn the_status_byte_may_come_alone() {
        assert_eq!(events(&[b"Z\0\0\0\x05", b"T"]), [BackendEvent::Ready(b'T')]);
    }

    #[test]
    fn a_status_that_is_none_ends_the_reading() {
        for body in [b"X".as_slice(), b"\0", b"", b"II"] {
            let mut scanner = BackendScanner::default();
            let mut found = Vec::new();
            scanner.scan(&[message(b'Z', body), message(b'Z', b"I")].concat(), |event| found.push(event));
            assert_eq!((found, scanner.malformed()), (Vec::new(), Some(Malformed::Status)), "{body:?}");
        }
    }

    #[test]
    fn a_message_that_has_no_place_ends_the_reading() {
        let told = |messages: &[Vec<u8>]| {
            let mut scanner = BackendScanner::default();
            scanner.scan(&messages.concat(), |_| ());
            scanner.malformed()
        };
        let (ready, again) = (message(b'Z', b"I"), message(b'R', b"\0\0\0\0"));
        assert_eq!(told(&[again.clone(), again.clone(), ready.clone(), ready.clone()]), None);
        assert_eq!(told(&[ready, again]), Some(Malformed::Type(b'R')));
        assert_eq!(told(&[message(b'?', b"what")]), Some(Malformed::Type(b'?')));
    }

    #[test]
    fn what_may_come_at_any_time_is_no_progress_of_a_reply() {
        let mut scanner = BackendScanner::default();
        let mut progress = |bytes: &[u8]| {
            scanner.scan(bytes, |_| ());
            scanner.take_progress()
        };
        assert!(!progress(&message(b'N', b"SNOTICE\0\0")));
        assert!(!progress(&message(b'S', b"a\0b\0")));
        assert!(!progress(&message(b'A', b"\0\0\0\x01a\0b\0")));
        let row = message(b'D', b"some row");
        assert!(!progress(&row[..4]), "a header that is not whole");
        assert!(progress(&row[4..6]) && progress(&row[6..]));
        assert!(!progress(b""));
    }

    #[test]
    fn reports_of_parameters_are_bounded_within_a_reply() {
        let mut scanner = BackendScanner::default();
        let report = message(b'S', b"application_name\0a worker\0");
        for _ in 0..10 {
            scanner.scan(&report.repeat(REPORTS / report.len() / 2), |_| ());
            scanner.scan(&message(b'Z', b"I"), |_| ());
        }
        assert_eq!(scanner.malformed(), None);
        scanner.scan(&report.repeat(REPORTS / 20), |_| ());
        assert_eq!(scanner.malformed(), Some(Malformed::Reports));
    }

    #[test]
    fn a_large_error_keeps_its_code() {
        let mut body = b"SFATAL\0VFATAL\0M".to_vec();
        body.resize(body.len() + 100_000, b'x');
        body.extend_from_slice(b"\0C57P01\0\0");
        let bytes = message(b'E', &body);
        let chunks: Vec<&[u8]> = bytes.chunks(7).collect();
        assert_eq!(
            events(&chunks),
            [BackendEvent::Error { code: *b"57P01", ends_session: true, cached_plan: false }]
        );
    }

    #[test]
    fn the_error_of_another_server_does_not_end_this_session() {
        let ends = |fields: &str| {
            let events = events(&[&message(b'E', format!("{fields}\0Mtext\0\0").as_bytes())]);
            matches!(events[..], [BackendEvent::Error { ends_session: true, .. }])
        };
        for code in ["08006", "57P01"] {
            assert!(!ends(&format!("SFEHLER\0VERROR\0C{code}")), "{code} by postgres_fdw");
            assert!(ends(&format!("SFATAL\0VFATAL\0C{code}")), "{code} by the server");
            assert!(ends(&format!("SFATAL\0C{code}")), "{code} by one that does not tell the severity");
        }
        assert!(!ends("SERROR\0C57014"));
    }

    #[test]
    fn a_stale_plan_is_told_from_other_missing_features() {
        let of = |routine: &str| {
            let body = format!("SFEHLER\0VERROR\0C0A000\0Mtext\0R{routine}\0\0");
            events(&[&message(b'E', body.as_bytes())])[0]
        };
        let expected =
            |cached_plan| BackendEvent::Error { code: *b"0A000", ends_session: false, cached_plan };
        assert_eq!(of("RevalidateCachedQuery"), expected(true));
        assert_eq!(of("RevalidateCachedQuery2"), expected(false));
    }

    #[test]
    fn a_command_that_sets_something_is_known_by_its_tag() {
        let sets = |tag: &str| !events(&[&message(b'C', format!("{tag}\0").as_bytes())]).is_empty();
        for tag in ["SET", "RESET", "DISCARD", "DISCARD ALL", "DISCARD TEMP"] {
            assert!(sets(tag), "{tag}");
        }
        for tag in ["SELECT 1", "SET CONSTRAINTS", "UPDATE 5", "", "RESETTLE", "INSERT 0 1"] {
            assert!(!sets(tag), "{tag}");
        }
    }

    #[test]
    fn a_session_that_listens_is_known_by_the_tag() {
        let of = |tag: &str| events(&[&message(b'C', format!("{tag}\0").as_bytes())]);
        assert_eq!(of("LISTEN"), [BackendEvent::Listens]);
        assert_eq!(of("UNLISTEN"), [BackendEvent::Listens], "there may be others");
        assert_eq!(of("NOTIFY"), []);
        assert_eq!(events(&[&message(b'A', b"\0\0\0\x07c\0p\0")]), [BackendEvent::Notification]);
    }

    #[test]
    fn reported_settings_and_the_process_id_are_read() {
        let mut bytes = message(b'S', b"in_hot_standby\0off\0");
        bytes.extend(message(b'S', b"default_transaction_read_only\0on\0"));
        bytes.extend(message(b'S', b"TimeZone\0Europe/Berlin\0"));
        bytes.extend(message(b'K', &[0, 0, 1, 2, 9, 9, 9, 9]));
        assert_eq!(
            events(&[&bytes]),
            [
                BackendEvent::Setting(ReportedSetting::HotStandby, false),
                BackendEvent::Setting(ReportedSetting::DefaultReadOnly, true),
                BackendEvent::ProcessId(258),
            ]
        );
    }
}
