//! The texts of the client's statements, for the log of slow ones.
//!
//! Read only where that is asked for: the other scanners keep no content.

use std::collections::VecDeque;

use super::fields::{Field, FieldReader};
use super::frames::Framer;

/// How much of a statement's text is kept.
pub(super) const TEXT_BYTES: usize = 1024;

/// How much of a statement's name is kept; the client's own have a dozen bytes.
const NAME_BYTES: usize = 64;

/// Prepared statements whose texts are kept, of each connection; the oldest goes first.
const MOST_PREPARED: usize = 256;

/// The first bytes of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    pub bytes: Vec<u8>,
    /// There was more.
    pub is_cut: bool,
}

impl Cut {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.is_cut = false;
    }

    fn push(&mut self, more: &[u8], most: usize) {
        let taken = more.len().min(most - self.bytes.len());
        self.bytes.extend_from_slice(&more[..taken]);
        self.is_cut |= taken < more.len();
    }

    fn assign(&mut self, other: &Cut) {
        self.bytes.clone_from(&other.bytes);
        self.is_cut = other.is_cut;
    }
}

/// Reads the client's side of a connection, from its first byte on.
///
/// Any split of the stream gives the same texts in the same order. Buffers are reused.
pub(crate) struct TextScanner {
    framer: Framer,
    fields: FieldReader,
    /// What a message to close something means to close: `S` a statement.
    kind: u8,
    /// The name and the text with which the present message begins.
    name: Cut,
    text: Cut,
    /// The text of the batch under way, and whether it was more than prepared.
    batch: Cut,
    runs: bool,
    /// Names and texts, the oldest first.
    prepared: VecDeque<(Vec<u8>, Cut)>,
}

/// A message that the server answers with a `ReadyForQuery`, and what it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent<'a> {
    /// Empty where nothing runs that has a text.
    pub text: &'a Cut,
    /// The statement is prepared and not run.
    pub prepares: bool,
}

impl Default for TextScanner {
    fn default() -> Self {
        TextScanner {
            framer: Framer::of_client(),
            fields: FieldReader::default(),
            kind: 0,
            name: Cut::default(),
            text: Cut::default(),
            batch: Cut::default(),
            runs: false,
            prepared: VecDeque::new(),
        }
    }
}

impl TextScanner {
    /// Reads the next bytes and calls `on` for each request that ends in them.
    pub fn scan(&mut self, mut bytes: &[u8], mut on: impl FnMut(Sent<'_>)) {
        while let Some(piece) = self.framer.next(&mut bytes) {
            if piece.first {
                self.name.clear();
                self.text.clear();
            }
            let TextScanner { fields, kind, name, text, .. } = self;
            fields.read(&piece, |field, part| match field {
                Field::Kind => *kind = part[0],
                Field::Name => name.push(part, NAME_BYTES),
                Field::Text => text.push(part, TEXT_BYTES),
                Field::Other => {}
            });
            if piece.last {
                self.end(piece.tag, &mut on);
            }
        }
    }

    fn end(&mut self, tag: u8, on: &mut impl FnMut(Sent<'_>)) {
        match tag {
            b'Q' => on(Sent { text: &self.text, prepares: false }),
            b'P' => {
                self.prepare();
                if self.batch.bytes.is_empty() {
                    self.batch.assign(&self.text);
                }
            }
            b'B' => {
                self.runs = true;
                let known = self.prepared.iter().rev().find(|(known, _)| *known == self.name.bytes);
                if let (Some((_, text)), true) = (known, self.batch.bytes.is_empty()) {
                    self.batch.assign(text);
                }
            }
            b'C' if self.kind == b'S' => {
                let TextScanner { prepared, name, .. } = self;
                prepared.retain(|(known, _)| *known != name.bytes);
            }
            b'S' => {
                on(Sent { text: &self.batch, prepares: !self.runs });
                self.batch.clear();
                self.runs = false;
            }
            // The start-up message and a function call, which have no text.
            0 | b'F' => on(Sent { text: &Cut::default(), prepares: false }),
            _ => {}
        }
    }

    fn prepare(&mut self) {
        let TextScanner { prepared, name, text, .. } = self;
        match prepared.iter_mut().find(|(known, _)| *known == name.bytes) {
            Some((_, known)) => known.assign(text),
            None => {
                if prepared.len() == MOST_PREPARED {
                    prepared.pop_front();
                }
                prepared.push_back((name.bytes.clone(), text.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag], length.to_be_bytes().as_slice(), body].concat()
    }

    fn sent(messages: &[Vec<u8>]) -> Vec<(String, bool)> {
        let mut scanner = TextScanner::default();
        let start_up = b"\0\0\0\x08\0\x03\0\0".to_vec();
        let mut found = Vec::new();
        for bytes in std::iter::once(&start_up).chain(messages) {
            scanner.scan(bytes, |sent| {
                found.push((String::from_utf8(sent.text.bytes.clone()).unwrap(), sent.prepares));
            });
        }
        assert_eq!(found.remove(0), (String::new(), false), "the start-up message");
        found
    }

    #[test]
    fn a_prepared_statement_is_known_by_its_name_until_it_is_closed() {
        let run = |name: &str| {
            [message(b'B', format!("\0{name}\0\0\0secret").as_bytes()), message(b'E', b"\0\0\0\0\0")].concat()
        };
        let sync = || message(b'S', b"");
        let found = sent(&[
            message(b'P', b"s1\0SELECT $1\0\0\0"),
            sync(),
            run("s1"),
            sync(),
            message(b'C', b"Ss1\0"),
            sync(),
            run("s1"),
            sync(),
            message(b'Q', b"SELECT 2\0"),
        ]);
        let texts: Vec<_> = found.iter().map(|(text, prepares)| (text.as_str(), *prepares)).collect();
        let expected =
            [("SELECT $1", true), ("SELECT $1", false), ("", true), ("", false), ("SELECT 2", false)];
        assert_eq!(texts, expected);
    }

    #[test]
    fn texts_and_names_are_bounded() {
        let mut scanner = TextScanner::default();
        scanner.scan(b"\0\0\0\x08\0\x03\0\0", |_| ());
        let long = [b"SELECT ".as_slice(), &vec![b'1'; 1 << 20], b"\0"].concat();
        let mut seen = None;
        scanner.scan(&message(b'Q', &long), |sent| seen = Some(sent.text.clone()));
        let seen = seen.unwrap();
        assert!(seen.is_cut && seen.bytes.len() == TEXT_BYTES);
        for n in 0..2 * MOST_PREPARED {
            scanner.scan(&message(b'P', format!("{n}\0SELECT {n}\0\0\0").as_bytes()), |_| ());
        }
        assert_eq!(scanner.prepared.len(), MOST_PREPARED);
    }
}
