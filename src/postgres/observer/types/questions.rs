//! What the client asks.

use crate::postgres::observer::fields::{Field, FieldReader};
use crate::postgres::observer::frames::{Piece, Text};

/// How much of a statement's name is looked at; the client's own have a dozen bytes.
const NAME_BYTES: usize = 32;

/// Statements for questions that are known at a time, of which the client keeps three. The connection ends before one
/// request has prepared as many: where the first of them was forgotten, its question would be taken for another's.
const MOST_KNOWN: usize = 16;

/// A question of which the client has a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// What kind of type it is, and of what other.
    Type,
    /// What fields a row has.
    Fields,
    /// What values an enum has.
    Labels,
}

/// With what the texts begin, up to where the client has another one for an old server.
const TEXTS: [(&[u8], Question); 3] = [
    (b"SELECT t.typname, t.typtype, t.typelem, ", Question::Type),
    (b"SELECT attname, atttypid\nFROM pg_catalog.pg_attribute\nWHERE attrelid = $1\n", Question::Fields),
    (b"SELECT enumlabel\nFROM pg_catalog.pg_enum\nWHERE enumtypid = $1\n", Question::Labels),
];

/// As much of a text as it takes to tell.
const TEXT_BYTES: usize = 80;

/// What a message of the client means for its questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    /// It prepares the statement for a question.
    Prepares(Question),
    /// It asks, of the type or relation with this OID.
    Asks(Question, u32),
    /// It goes on with something else.
    Over,
}

/// Tells the client's questions from the statements of its user.
pub(in crate::postgres::observer) struct QuestionReader {
    fields: FieldReader,
    /// What a message to close something means to close: `S` a statement.
    kind: u8,
    name: Text<NAME_BYTES>,
    text: Text<TEXT_BYTES>,
    /// The last bytes of the message.
    tail: [u8; TAIL],
    known: Vec<(Text<NAME_BYTES>, Question)>,
    /// A question was the last that was sent.
    is_asking: bool,
}

/// The only parameter of a question, and behind it the number of formats of the result, and the one.
const TAIL: usize = 8;

impl Default for QuestionReader {
    fn default() -> Self {
        QuestionReader {
            fields: FieldReader::default(),
            kind: 0,
            name: Text::new(),
            text: Text::new(),
            tail: [0; TAIL],
            known: Vec::new(),
            is_asking: false,
        }
    }
}

impl QuestionReader {
    pub fn read(&mut self, piece: &Piece<'_>) {
        match piece.tag {
            b'P' => {}
            b'B' | b'C' if !self.known.is_empty() => {}
            _ => return,
        }
        if piece.first {
            (self.name, self.text, self.tail) = (Text::new(), Text::new(), [0; TAIL]);
        }
        let QuestionReader { fields, kind, name, text, .. } = self;
        fields.read(piece, |field, part| match field {
            Field::Kind => *kind = part[0],
            Field::Name => name.push(part),
            Field::Text => text.push(part),
            Field::Other => {}
        });
        if piece.tag == b'B' {
            self.keep_tail(piece.bytes);
        }
    }

    /// Whether nothing was asked yet that is still known.
    pub fn know_none(&self) -> bool {
        self.known.is_empty() && !self.is_asking
    }

    fn keep_tail(&mut self, bytes: &[u8]) {
        let fresh = &bytes[bytes.len().saturating_sub(TAIL)..];
        self.tail.rotate_left(fresh.len() % TAIL);
        self.tail[TAIL - fresh.len()..].copy_from_slice(fresh);
    }

    pub fn end(&mut self, tag: u8, on: &mut impl FnMut(Asking)) {
        let asking = match tag {
            b'P' => {
                self.forget();
                self.prepared().map(Asking::Prepares)
            }
            b'B' => self.named().map(|question| {
                let [a, b, c, d, ..] = self.tail;
                Asking::Asks(question, u32::from_be_bytes([a, b, c, d]))
            }),
            b'C' if self.kind == b'S' => return self.forget(),
            b'Q' | b'F' => None,
            _ => return,
        };
        let was_asking = std::mem::replace(&mut self.is_asking, asking.is_some());
        match asking {
            Some(asking) => on(asking),
            None if was_asking => on(Asking::Over),
            None => {}
        }
    }

    /// The question whose statement was prepared just now.
    fn prepared(&mut self) -> Option<Question> {
        let (_, question) = TEXTS.iter().find(|(text, _)| self.text.starts_with(text))?;
        if self.known.len() == MOST_KNOWN {
            self.known.remove(0);
        }
        self.known.push((self.name, *question));
        Some(*question)
    }

    fn named(&self) -> Option<Question> {
        self.known.iter().find(|(name, _)| *name == self.name).map(|(_, question)| *question)
    }

    fn forget(&mut self) {
        let name = self.name;
        self.known.retain(|(known, _)| *known != name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::observer::frames::Framer;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag], length.to_be_bytes().as_slice(), body].concat()
    }

    fn found(bytes: &[u8], size: usize) -> Vec<Asking> {
        let (mut framer, mut reader, mut found) =
            (Framer::of_server(), QuestionReader::default(), Vec::new());
        for mut piece in bytes.chunks(size) {
            while let Some(piece) = framer.next(&mut piece) {
                reader.read(&piece);
                if piece.last {
                    reader.end(piece.tag, &mut |asking| found.push(asking));
                }
            }
        }
        found
    }

    #[test]
    fn the_clients_questions_are_told_from_its_users_statements() {
        let prepare = |name: &str, text: &str| message(b'P', format!("{name}\0{text}\0\0\0").as_bytes());
        let bind = |name: &str, oid: u32| {
            let parameter =
                [&[0, 1, 0, 1, 0, 1, 0, 0, 0, 4], oid.to_be_bytes().as_slice(), &[0, 1, 0, 1]].concat();
            message(b'B', &[format!("\0{name}\0").as_bytes(), &parameter].concat())
        };
        let bytes = [
            prepare("s1", "SELECT mood FROM people"),
            prepare("s2", "SELECT t.typname, t.typtype, t.typelem, r.rngsubtype FROM pg_type t"),
            bind("s2", 70_000),
            prepare("s3", std::str::from_utf8(TEXTS[2].0).unwrap()),
            bind("s3", 70_000),
            bind("s1", 1),
            bind("s1", 2),
            bind("s2", 80_000),
            message(b'Q', b"SELECT 1\0"),
            message(b'C', b"Ss2\0"),
            bind("s2", 1),
        ]
        .concat();
        let expected = [
            Asking::Prepares(Question::Type),
            Asking::Asks(Question::Type, 70_000),
            Asking::Prepares(Question::Labels),
            Asking::Asks(Question::Labels, 70_000),
            Asking::Over,
            Asking::Asks(Question::Type, 80_000),
            Asking::Over,
        ];
        for size in 1..bytes.len() {
            assert_eq!(found(&bytes, size), expected, "in pieces of {size}");
        }
    }
}
