//! The fields with which the client's messages about statements begin.

use super::frames::Piece;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// One byte that says what is meant: `S` a statement, `P` a portal. The other fields are ended by a zero byte.
    Kind,
    /// The name of a statement.
    Name,
    /// The text of statements.
    Text,
    Other,
}

/// Walks through the fields of one message after the other, whatever pieces they arrive in.
#[derive(Default)]
pub(super) struct FieldReader {
    /// Which of the present message's fields is being read.
    at: usize,
}

impl FieldReader {
    /// Calls `on` for each part of a field in this piece of a message, none of which has the byte that ends the field.
    pub fn read(&mut self, piece: &Piece<'_>, mut on: impl FnMut(Field, &[u8])) {
        let fields: &[Field] = match piece.tag {
            b'Q' => &[Field::Text],
            b'P' => &[Field::Name, Field::Text],
            b'B' => &[Field::Other, Field::Name],
            b'C' => &[Field::Kind, Field::Name],
            _ => return,
        };
        if piece.first {
            self.at = 0;
        }
        let mut bytes = piece.bytes;
        while let (Some(field), false) = (fields.get(self.at), bytes.is_empty()) {
            let end = match field {
                Field::Kind => Some(0),
                _ => bytes.iter().position(|byte| *byte == 0),
            };
            match field {
                Field::Kind => on(*field, &bytes[..1]),
                _ => on(*field, &bytes[..end.unwrap_or(bytes.len())]),
            }
            let Some(end) = end else { return };
            self.at += 1;
            bytes = &bytes[end + 1..];
        }
    }
}
