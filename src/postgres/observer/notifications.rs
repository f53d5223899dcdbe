//! Bounds the notifications that a client holds.
//!
//! `postgres::Client` keeps each notification that it meets until it is asked for them, and asks for no more than the
//! borrower does: one that listens and never fetches, or only runs its statements, fills its memory. Here they pass one
//! by one before the client sees them, and what is too much is taken out of the stream and counted.
//!
//! **What is too much.** While the pool itself uses the connection nobody wants any: whatever comes is dropped. In a
//! borrower's hands there may be [`MOST`] of them or [`MOST_BYTES`] that were not fetched.
//!
//! **What was fetched.** The client says nothing of it. But it reads the stream for a notification only when it holds
//! none, and then it does nothing but read, while each statement is written before its answer is read. So two reads in
//! a row that found nothing, without a write between them and with no answer to a statement due, show that all were
//! fetched in between or before; what a single read may turn out to belong to is known only then.

use tokio::io::ReadBuf;

use super::frames::Framer;

/// Notifications that a client may hold.
const MOST: u64 = 65_536;

/// Their bytes on the wire. In memory each takes some hundred more.
const MOST_BYTES: u64 = 16 << 20;

/// The type byte of a `NotificationResponse`.
pub(super) const TAG: u8 = b'A';

/// Counts notifications, and drops what is too much.
#[derive(Default)]
pub(super) struct Notifications {
    held: Held,
    /// What was held when the last reads began that may have been for notifications alone.
    before: Held,
    /// Such reads are under way.
    maybe_fetching: bool,
    /// The message under way is dropped.
    dropping: bool,
}

#[derive(Clone, Copy, Default)]
struct Held {
    count: u64,
    bytes: u64,
}

/// Whether anybody wants the notifications that come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// By the borrower.
    Yes,
    /// The pool uses the connection.
    No,
}

impl Notifications {
    /// The client begins to read after a read that found nothing, with no answer due.
    pub fn read_begins(&mut self) {
        // Where the last one of these was not a statement's, what was held before that had been fetched.
        self.before = std::mem::take(&mut self.held);
        self.maybe_fetching = true;
    }

    /// The client writes: the read before was that of a statement, and what was held still is.
    pub fn wrote(&mut self) {
        if std::mem::take(&mut self.maybe_fetching) {
            self.held.count += self.before.count;
            self.held.bytes += self.before.bytes;
        }
    }

    /// The client holds none any more.
    pub fn were_fetched(&mut self) {
        (self.held, self.before) = (Held::default(), Held::default());
    }

    /// Takes notifications that are too much out of what was read behind `before`, `framer` being where it stood there;
    /// returns how many.
    pub fn sift(&mut self, mut framer: Framer, buf: &mut ReadBuf<'_>, before: usize, wanted: Wanted) -> u64 {
        // Lengths have been looked at by now.
        framer.allow(usize::MAX);
        let mut dropped = 0;
        let bytes = &mut buf.filled_mut()[before..];
        let (mut kept, mut at) = (0, 0);
        while at < bytes.len() {
            let is_first = framer.at_boundary();
            let is_notification = if is_first { bytes[at] == TAG } else { framer.is_amid(TAG) };
            if is_first {
                self.dropping = is_notification && !self.may_hold_one_more(wanted);
                dropped += u64::from(self.dropping);
            }
            let mut rest = &bytes[at..];
            // Without a piece all that is left has been used up.
            let _ = framer.next(&mut rest);
            let end = bytes.len() - rest.len();
            if end == at {
                // Not the protocol. The client will say so.
                break;
            }
            if is_notification && !self.dropping {
                self.held.bytes += (end - at) as u64;
            }
            if !self.dropping {
                bytes.copy_within(at..end, kept);
                kept += end - at;
            }
            at = end;
        }
        if at < bytes.len() {
            bytes.copy_within(at.., kept);
            kept += bytes.len() - at;
        }
        buf.set_filled(before + kept);
        dropped
    }

    fn may_hold_one_more(&mut self, wanted: Wanted) -> bool {
        let may = wanted == Wanted::Yes && self.held.count < MOST && self.held.bytes < MOST_BYTES;
        self.held.count += u64::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(payload: &str) -> Vec<u8> {
        let body = [&[0, 0, 0, 7], b"c\0".as_slice(), payload.as_bytes(), b"\0"].concat();
        [&[TAG], (body.len() as u32 + 4).to_be_bytes().as_slice(), &body].concat()
    }

    const READY: &[u8] = b"Z\0\0\0\x05I";

    /// What is left of a stream that comes in pieces of this size, and how many were dropped.
    fn sifted(all: &mut Notifications, stream: &[u8], piece: usize, wanted: Wanted) -> (Vec<u8>, u64) {
        let mut framer = Framer::of_server();
        let (mut left, mut dropped) = (Vec::new(), 0);
        for piece in stream.chunks(piece) {
            let mut memory = [0; 4096];
            let mut buf = ReadBuf::new(&mut memory);
            buf.put_slice(b"before");
            buf.put_slice(piece);
            dropped += all.sift(framer, &mut buf, 6, wanted);
            assert_eq!(buf.filled()[..6], *b"before");
            left.extend_from_slice(&buf.filled()[6..]);
            let mut piece = piece;
            while framer.next(&mut piece).is_some() {}
        }
        (left, dropped)
    }

    #[test]
    fn any_split_loses_the_same() {
        let stream =
            [READY, &notification("one"), READY, &notification(""), &notification("three"), READY].concat();
        for piece in 1..stream.len() + 1 {
            let all = &mut Notifications::default();
            assert_eq!(sifted(all, &stream, piece, Wanted::No), (READY.repeat(3), 3), "in pieces of {piece}");
            let all = &mut Notifications::default();
            assert_eq!(sifted(all, &stream, piece, Wanted::Yes), (stream.clone(), 0), "in pieces of {piece}");
            assert_eq!((all.held.count, all.held.bytes), (3, (stream.len() - 3 * READY.len()) as u64));
        }
    }

    #[test]
    fn a_client_holds_so_many_and_so_much() {
        let all = &mut Notifications::default();
        let one = notification("");
        let stream = one.repeat(2 * MOST as usize);
        assert_eq!(sifted(all, &stream, 4000, Wanted::Yes), (one.repeat(MOST as usize), MOST));

        let all = &mut Notifications::default();
        let long = notification(&"x".repeat(8000));
        let (left, _) = sifted(all, &long.repeat(4000), 4000, Wanted::Yes);
        assert!(left.len() as u64 <= MOST_BYTES + long.len() as u64, "{}", left.len());
    }

    #[test]
    fn statements_add_up_and_fetching_makes_room() {
        let all = &mut Notifications::default();
        let one = notification("");
        let statement = |all: &mut Notifications| {
            all.read_begins();
            all.wrote();
            sifted(all, &one, 4000, Wanted::Yes);
        };
        for _ in 0..5 {
            statement(all);
        }
        assert_eq!(all.held.count, 5);
        all.read_begins();
        sifted(all, &one, 4000, Wanted::Yes);
        statement(all);
        assert_eq!(all.held.count, 2, "the five were fetched, what came meanwhile may not be");
        all.read_begins();
        all.read_begins();
        statement(all);
        assert_eq!(all.held.count, 1);
        all.were_fetched();
        statement(all);
        assert_eq!(all.held.count, 1);
    }
}
