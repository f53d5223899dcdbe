//! What the server's messages say.

use postgres::error::Severity;

use super::frames::{Framer, Piece, Text};
use super::malformed::Malformed;
use super::notifications::TAG as NOTIFICATION;
use super::types::{FirstWords, RowReader};
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
    /// A row, where rows are wanted.
    Row(FirstWords),
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
    wants_rows: bool,
    /// Something of a reply has come since it was last asked for.
    progress: bool,
    /// How many messages of replies, rows and data aside, still count as progress.
    granted: usize,
    /// The message under way counts.
    counts: bool,
    /// The bytes of reports of parameters in the reply under way.
    reports: usize,
    /// The bytes of notifications since it was last asked for.
    notified: usize,
    /// The first request has been answered, and with it the handshake is over.
    greeted: bool,
    malformed: Option<Malformed>,
}

/// The bytes of reports of parameters that one reply may have: a hundred thousand reports, as servers before 14 send
/// one at each `SET` within a function. The client keeps each name once, and without a limit as many as the server
/// makes up.
const REPORTS: usize = 4 << 20;

/// How long a message may be that is neither a row nor data. An error or a notice may quote a value, which takes memory
/// several times over; the longest that anybody has a reason to send are far below.
const NO_DATA: usize = 64 << 20;

/// The bytes of a request for each message of its reply, rows and data aside, that counts as progress. A statement of
/// four bytes has a completion, one of seven a description too, and so has the shortest message that asks for both.
const FOR_EACH: usize = 2;

/// What is kept of the message under way.
enum Reading {
    Skipped,
    Status(Text<1>),
    Key(Text<4>),
    Error(ErrorFields),
    Tag(Text<8>),
    Parameter { name: Text<32>, value: Text<4>, in_value: bool },
    Row(RowReader),
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
            wants_rows: false,
            progress: false,
            granted: 0,
            counts: false,
            reports: 0,
            notified: 0,
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

    /// Reads rows that begin from here on, or skips them.
    pub fn want_rows(&mut self, wanted: bool) {
        self.wants_rows = wanted;
    }

    /// What was read that no server sends. From then on nothing more is.
    pub fn malformed(&self) -> Option<Malformed> {
        self.malformed.or(self.framer.malformed())
    }

    /// Notes that the client has sent so many bytes, while no reply was due (`anew`) or one was. A request has only so
    /// many statements as its length allows for, so that answers of the kind that each of them has once have an end.
    pub fn grant(&mut self, bytes: usize, anew: bool) {
        let before = if anew { 0 } else { self.granted };
        self.granted = before.saturating_add(bytes / FOR_EACH);
    }

    /// Whether something of a reply has come since this was last asked. What a server may send at any time is not:
    /// notices, notifications, and reports of parameters. Nor is what has been sent more often than there can be
    /// statements in the request: a reply may have any number of rows, and of data, and of nothing else.
    pub fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progress)
    }

    /// The bytes of notifications that have come since this was last asked.
    pub fn take_notified(&mut self) -> usize {
        std::mem::take(&mut self.notified)
    }

    /// Where it stands among the messages.
    pub(super) fn framer(&self) -> Framer {
        self.framer
    }

    /// Reads the next bytes and calls `on` for each fact found.
    pub fn scan(&mut self, mut bytes: &[u8], mut on: impl FnMut(BackendEvent)) {
        while self.malformed.is_none() {
            if let Some(length) = self.pass_plain(bytes, &mut on) {
                bytes = &bytes[length..];
                continue;
            }
            let Some(piece) = self.framer.next(&mut bytes) else { return };
            if piece.first && !self.has_place(piece.tag) {
                self.malformed = Some(Malformed::Type(piece.tag));
                return;
            }
            if piece.first && !is_data(piece.tag) && piece.bytes.len() + self.framer.left() > NO_DATA {
                self.malformed = Some(Malformed::NoData(piece.bytes.len() + self.framer.left()));
                return;
            }
            self.weigh(&piece);
            if self.malformed.is_some() {
                return;
            }
            if piece.first {
                self.reading = Reading::begin(piece.tag, self.wants_rows);
                match piece.tag {
                    b'G' => on(BackendEvent::CopyIn),
                    NOTIFICATION => on(BackendEvent::Notification),
                    _ => {}
                }
            }
            match self.reading.read(&piece) {
                Some(BackendEvent::Ready(_)) if self.reading.malformed_status().is_some() => {
                    self.malformed = self.reading.malformed_status();
                }
                Some(event) => on(event),
                None => {}
            }
        }
    }

    /// Reads the message at the front where all of it is there and it is of the answer to a statement, in which little
    /// is to be read: as [`BackendScanner::scan`] does for any, but for each query. Returns its length, or `None` where
    /// that has to.
    fn pass_plain(&mut self, bytes: &[u8], on: &mut impl FnMut(BackendEvent)) -> Option<usize> {
        let (tag, body) = self.framer.whole(bytes)?;
        let status = match (tag, body) {
            (b'D', _) if !self.wants_rows => None,
            _ if body.len() > NO_DATA => return None,
            (b'1' | b'2' | b'3' | b'T' | b'n' | b's' | b't', _) => None,
            (b'C', [b'S', b'E', b'L', ..] | [b'I', b'N', ..] | [b'U', b'P', ..] | [b'D', b'E', b'L', ..]) => {
                None
            }
            (b'Z', [status @ (b'I' | b'T' | b'E')]) => Some(*status),
            _ => return None,
        };
        self.weigh(&Piece { tag, bytes: body, first: true, last: true });
        status.into_iter().for_each(|status| on(BackendEvent::Ready(status)));
        Some(Framer::HEADER + body.len())
    }

    /// Whether a server that keeps to the protocol may send a message of this type.
    fn has_place(&self, tag: u8) -> bool {
        match tag {
            b'R' | b'v' => !self.greeted,
            b'1' | b'2' | b'3' | b'A' | b'C' | b'D' | b'E' | b'G' | b'H' | b'I' | b'K' | b'N' | b'S' => true,
            b'T' | b'V' | b'W' | b'Z' | b'c' | b'd' | b'n' | b's' | b't' => true,
            _ => false,
        }
    }

    /// Takes a piece for progress of a reply or for none, and counts reports.
    #[inline]
    fn weigh(&mut self, piece: &Piece<'_>) {
        match piece.tag {
            b'N' => return,
            NOTIFICATION => {
                self.notified += piece.bytes.len() + if piece.first { Framer::HEADER } else { 0 };
                return;
            }
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
                self.counts = true;
            }
            tag if is_data(tag) => self.counts = true,
            _ if piece.first => {
                self.counts = self.granted > 0;
                self.granted = self.granted.saturating_sub(1);
            }
            _ => {}
        }
        self.progress |= self.counts;
    }
}

/// Whether messages of this type hold a row, data of a `COPY`, or what a function gave: of these there may be any
/// number and any length.
fn is_data(tag: u8) -> bool {
    matches!(tag, b'D' | b'd' | b'V')
}

impl Reading {
    /// Of a status that the protocol does not have.
    fn malformed_status(&self) -> Option<Malformed> {
        match self {
            Reading::Status(Text { bytes: [first], len: 1 }) if b"ITE".contains(first) => None,
            Reading::Status(Text { bytes: [first], len }) => {
                Some(Malformed::Status { first: *first, length: *len })
            }
            _ => None,
        }
    }

    fn begin(tag: u8, wants_rows: bool) -> Self {
        match tag {
            b'D' if wants_rows => Reading::Row(RowReader::new()),
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
            Reading::Row(row) => {
                row.read(piece.bytes);
                piece.last.then(|| BackendEvent::Row(row.words()))
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
mod tests;
