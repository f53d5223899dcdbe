//! Cuts one direction of a PostgreSQL byte stream into messages, whatever pieces it arrives in.

use super::malformed::Malformed;

/// A part of one message.
pub(super) struct Piece<'a> {
    /// The message's type byte; 0 for the start-up message, which has none.
    pub tag: u8,
    /// The next bytes of its body; empty when none have arrived yet.
    pub bytes: &'a [u8],
    /// Whether this is the first piece of the message.
    pub first: bool,
    /// Whether the message ends with this piece.
    pub last: bool,
}

/// The position within the framing.
///
/// A message is a type byte, a length that counts itself but not the type byte, and a body. Only a client's very
/// first message lacks the type byte.
#[derive(Clone, Copy)]
pub(super) struct Framer {
    header: [u8; 5],
    have: usize,
    body_left: usize,
    untyped: bool,
    /// How long the body of the next message may be.
    longest: usize,
    /// A length that cannot be was seen: this is not the protocol, and nothing can be told from here on.
    malformed: Option<Malformed>,
}

impl Framer {
    /// The bytes ahead of a message's body: its type and its length.
    pub const HEADER: usize = 5;

    /// Starts before the first message of a server.
    pub fn of_server() -> Self {
        Framer { header: [0; 5], have: 0, body_left: 0, untyped: false, longest: usize::MAX, malformed: None }
    }

    /// Takes a message with a longer body than this, begun from here on, for no message.
    pub fn allow(&mut self, longest: usize) {
        self.longest = longest;
    }

    pub fn malformed(&self) -> Option<Malformed> {
        self.malformed
    }

    /// Starts before the first message of a client, which has no type byte.
    pub fn of_client() -> Self {
        Framer { have: 1, untyped: true, ..Framer::of_server() }
    }

    /// Whether the next byte begins a message.
    pub fn at_boundary(&self) -> bool {
        self.body_left == 0 && self.have == usize::from(self.untyped) && self.malformed.is_none()
    }

    /// What is still to come of the message under way.
    pub fn left(&self) -> usize {
        self.body_left
    }

    /// Whether a message of this type is under way.
    pub fn is_amid(&self, tag: u8) -> bool {
        !self.at_boundary() && self.malformed.is_none() && self.header[0] == tag
    }

    /// The type and the body of the next message, where `input` has all of it. Whoever takes [`Framer::HEADER`] and the
    /// body off the front of the input need not tell.
    pub fn whole<'a>(&self, input: &'a [u8]) -> Option<(u8, &'a [u8])> {
        let [tag, a, b, c, d, rest @ ..] = input else { return None };
        if self.have > 0 || self.body_left > 0 || self.untyped || self.malformed.is_some() {
            return None;
        }
        let body = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok()?.checked_sub(4)?;
        if body > self.longest { None } else { Some((*tag, rest.get(..body)?)) }
    }

    /// Takes the next piece off the front of `input`; `None` when all of it has been used up.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Piece<'a>> {
        if input.is_empty() || self.malformed.is_some() {
            return None;
        }
        let mut first = false;
        if self.body_left == 0 {
            let wanted = (5 - self.have).min(input.len());
            let (head, rest) = input.split_at(wanted);
            self.header[self.have..self.have + wanted].copy_from_slice(head);
            self.have += wanted;
            *input = rest;
            if self.have < 5 {
                return None;
            }
            let [tag, length @ ..] = self.header;
            let length = u32::from_be_bytes(length);
            let Some(body) = i32::try_from(length).ok().and_then(|length| usize::try_from(length - 4).ok())
            else {
                self.malformed = Some(Malformed::Length(length));
                return None;
            };
            if body > self.longest {
                self.malformed = Some(Malformed::TooLong(body));
                return None;
            }
            self.header[0] = if self.untyped { 0 } else { tag };
            self.untyped = false;
            self.have = 0;
            self.body_left = body;
            first = true;
        }
        let (bytes, rest) = input.split_at(self.body_left.min(input.len()));
        self.body_left -= bytes.len();
        *input = rest;
        Some(Piece { tag: self.header[0], bytes, first, last: self.body_left == 0 })
    }
}

/// The first `N` bytes of a text, and how long it really is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Text<const N: usize> {
    pub bytes: [u8; N],
    pub len: usize,
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Text::new()
    }
}

impl<const N: usize> Text<N> {
    pub fn new() -> Self {
        Text { bytes: [0; N], len: 0 }
    }

    pub fn push(&mut self, more: &[u8]) {
        let start = self.len.min(N);
        let taken = more.len().min(N - start);
        self.bytes[start..start + taken].copy_from_slice(&more[..taken]);
        self.len += more.len();
    }

    pub fn is(&self, text: &[u8]) -> bool {
        self.len == text.len() && self.bytes.get(..self.len) == Some(text)
    }

    pub fn is_whole(&self) -> bool {
        self.len <= N
    }

    pub fn starts_with(&self, text: &[u8]) -> bool {
        self.len >= text.len() && self.bytes.starts_with(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(framer: &mut Framer, chunks: &[&[u8]]) -> Vec<(u8, Vec<u8>)> {
        let mut found: Vec<(u8, Vec<u8>)> = Vec::new();
        for chunk in chunks {
            let mut input = *chunk;
            while let Some(piece) = framer.next(&mut input) {
                if piece.first {
                    found.push((piece.tag, Vec::new()));
                }
                found.last_mut().unwrap().1.extend_from_slice(piece.bytes);
            }
        }
        found
    }

    #[test]
    fn a_header_split_between_reads_is_put_together() {
        let mut framer = Framer::of_server();
        let found = bodies(&mut framer, &[b"Z\0", b"\0\0\x05", b"", b"IN\0\0", b"\0\x04"]);
        assert_eq!(found, [(b'Z', b"I".to_vec()), (b'N', Vec::new())]);
        assert!(framer.at_boundary());
    }

    #[test]
    fn the_first_message_of_a_client_has_no_type() {
        let mut framer = Framer::of_client();
        assert!(framer.at_boundary());
        let found = bodies(&mut framer, &[b"\0\0\0\x08\0\x03", b"\0\0Q\0\0\0\x05\0"]);
        assert_eq!(found, [(0, vec![0, 3, 0, 0]), (b'Q', vec![0])]);
    }

    #[test]
    fn a_body_under_way_is_no_boundary() {
        let mut framer = Framer::of_server();
        bodies(&mut framer, &[b"D\0\0\0\x06a"]);
        assert!(!framer.at_boundary());
    }

    #[test]
    fn a_whole_message_is_one_that_begins_and_ends_in_the_input() {
        let server = Framer::of_server();
        assert_eq!(server.whole(b"Z\0\0\0\x05IC"), Some((b'Z', b"I".as_slice())));
        for part in [b"Z\0\0\0".as_slice(), b"Z\0\0\0\x05", b"Z\0\0\0\x03I", b"Z\xff\xff\xff\xffI"] {
            assert_eq!(server.whole(part), None);
        }
        assert_eq!(Framer::of_client().whole(b"\0\0\0\x08\0\x03\0\0\0"), None, "it has no type");
        let mut amid = Framer::of_server();
        bodies(&mut amid, &[b"D\0\0\0\x0aab"]);
        assert_eq!(amid.whole(b"Z\0\0\0\x05I"), None, "that is a row's");
        let mut limited = Framer::of_server();
        limited.allow(0);
        assert_eq!(limited.whole(b"Z\0\0\0\x05I"), None, "it is too long");
    }

    #[test]
    fn a_length_that_cannot_be_ends_the_reading() {
        for length in [0, 1, 3, 0x8000_0000, u32::MAX] {
            let mut framer = Framer::of_server();
            let message = [b"Z".as_slice(), &length.to_be_bytes(), b"I"].concat();
            assert!(bodies(&mut framer, &[&message, b"Z\0\0\0\x05I"]).is_empty());
            assert!(!framer.at_boundary());
            assert_eq!(framer.malformed(), Some(Malformed::Length(length)));
        }
    }

    #[test]
    fn a_message_above_what_is_allowed_ends_the_reading() {
        let mut framer = Framer::of_server();
        framer.allow(2);
        assert_eq!(bodies(&mut framer, &[b"N\0\0\0\x06ab", b"N\0\0\0\x07abc"]), [(b'N', b"ab".to_vec())]);
        assert_eq!(framer.malformed(), Some(Malformed::TooLong(3)));
    }
}
