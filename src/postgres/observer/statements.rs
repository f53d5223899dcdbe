//! Which of the client's requests set something in their session, by the texts of their statements.

use super::fields::{Field, FieldReader};
use super::frames::{Piece, Text};
use super::settings_text::{Effect, TextReader};

/// Prepared statements of one connection that are remembered for what they set; of more than a few there are none in
/// practice.
const MOST_KEPT: usize = 32;

/// How much of a statement's name is looked at; the client's own have a dozen bytes.
const NAME_BYTES: usize = 32;

/// What running a statement does to the settings of its session, as far as the server's answer does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sets {
    /// Whatever it sets ends with its transaction: the command tag is the same for what stays.
    Locally,
    /// It calls `set_config` for longer than a transaction, or may do so. No command tag tells of it.
    ByCall,
}

impl Sets {
    /// Of a prepared statement, which is a single one.
    fn of(effect: Effect) -> Option<Self> {
        match effect {
            Effect { config: true, .. } => Some(Sets::ByCall),
            Effect { local: true, lasting: false, .. } => Some(Sets::Locally),
            _ => None,
        }
    }
}

/// Follows statements from their texts to their runs, also where they are prepared first.
///
/// Nothing is kept of prepared statements that set nothing, nor of those that set for good, whose command tag tells.
#[derive(Default)]
pub(super) struct StatementReader {
    fields: FieldReader,
    /// What a message to close something means to close: `S` a statement.
    kind: u8,
    name: Text<NAME_BYTES>,
    text: TextReader,
    kept: Vec<(Text<NAME_BYTES>, Sets)>,
    /// There were too many to keep: whatever runs may be one of them.
    has_lost_some: bool,
    /// What the statements of the batch under way do.
    locally: bool,
    otherwise: bool,
}

impl StatementReader {
    pub(super) fn read(&mut self, piece: &Piece<'_>) {
        if matches!(piece.tag, b'B' | b'C') && !self.keeps_any() {
            return;
        }
        if piece.first {
            self.name = Text::new();
        }
        let StatementReader { fields, kind, name, text, .. } = self;
        fields.read(piece, |field, part| match field {
            Field::Kind => *kind = part[0],
            Field::Name => name.push(part),
            Field::Text => text.read(part),
            Field::Other => {}
        });
    }

    pub(super) fn end(&mut self, tag: u8, on: &mut impl FnMut(Sets)) {
        match tag {
            b'Q' => {
                let effect = self.text.end();
                if effect.config {
                    on(Sets::ByCall);
                }
                if effect.local && !effect.lasting {
                    on(Sets::Locally);
                }
            }
            b'P' => {
                let effect = self.text.end();
                self.keep(Sets::of(effect));
            }
            b'B' => match self.known() {
                Some(Sets::Locally) => self.locally = true,
                Some(Sets::ByCall) => on(Sets::ByCall),
                None if self.has_lost_some => on(Sets::ByCall),
                None => self.runs_unknown(),
            },
            b'C' if self.kind == b'S' => self.forget(),
            b'S' => {
                if self.locally && !self.otherwise {
                    on(Sets::Locally);
                }
                (self.locally, self.otherwise) = (false, false);
            }
            _ => {}
        }
    }

    fn keeps_any(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Whether no statement that was prepared sets anything.
    pub(super) fn know_none(&self) -> bool {
        !self.keeps_any() && !self.has_lost_some
    }

    /// A statement is run that is none of those kept.
    pub(super) fn runs_unknown(&mut self) {
        self.otherwise = true;
    }

    fn known(&self) -> Option<Sets> {
        self.kept.iter().find(|(name, _)| *name == self.name).map(|(_, sets)| *sets)
    }

    /// Remembers what the statement just prepared does, instead of what one with the same name did.
    fn keep(&mut self, sets: Option<Sets>) {
        self.forget();
        let Some(sets) = sets else { return };
        if self.kept.len() < MOST_KEPT && self.name.is_whole() {
            self.kept.push((self.name, sets));
        } else {
            self.has_lost_some |= sets == Sets::ByCall;
        }
    }

    fn forget(&mut self) {
        let name = self.name;
        self.kept.retain(|(known, _)| *known != name);
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::Framer;
    use super::*;

    fn message(tag: u8, body: &str) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag], length.to_be_bytes().as_slice(), body.as_bytes()].concat()
    }

    /// Reads messages and returns what was found in each.
    fn found(reader: &mut StatementReader, messages: &[(u8, &str)]) -> Vec<Sets> {
        let mut framer = Framer::of_server();
        let mut found = Vec::new();
        for (tag, body) in messages {
            let bytes = message(*tag, body);
            let mut bytes = bytes.as_slice();
            while let Some(piece) = framer.next(&mut bytes) {
                reader.read(&piece);
                if piece.last {
                    reader.end(piece.tag, &mut |sets| found.push(sets));
                }
            }
        }
        found
    }

    #[test]
    fn a_prepared_statement_is_followed_to_its_runs_until_it_is_closed() {
        let reader = &mut StatementReader::default();
        let sync = (b'S', "");
        let prepare =
            [(b'P', "s1\0SET LOCAL a = 1\0\0\0"), (b'P', "s2\0SELECT set_config($1, $2, $3)\0"), sync];
        assert_eq!(found(reader, &prepare), [], "nothing runs yet");
        assert_eq!(found(reader, &[(b'B', "\0s1\0"), sync]), [Sets::Locally]);
        assert_eq!(found(reader, &[(b'B', "p\0s2\0"), sync]), [Sets::ByCall]);
        assert_eq!(found(reader, &[(b'B', "\0s3\0"), sync]), []);
        assert_eq!(
            found(reader, &[(b'B', "\0s1\0"), (b'B', "\0s3\0"), sync]),
            [],
            "the other one may be a SET"
        );
        assert_eq!(
            found(reader, &[(b'C', "Ps2\0"), (b'B', "\0s2\0")]),
            [Sets::ByCall],
            "a portal was closed"
        );
        assert_eq!(found(reader, &[(b'C', "Ss2\0"), (b'C', "Ss1\0"), sync]), []);
        assert_eq!(found(reader, &[(b'B', "\0s2\0"), sync, (b'B', "\0s1\0"), sync]), []);
        assert!(reader.kept.is_empty());
    }

    #[test]
    fn a_statement_without_a_name_is_the_last_one_parsed() {
        let reader = &mut StatementReader::default();
        let run = [(b'B', "\0\0"), (b'S', "")];
        assert_eq!(found(reader, &[(b'P', "\0SET LOCAL a = 1\0"), run[0], run[1]]), [Sets::Locally]);
        assert_eq!(found(reader, &[(b'P', "\0SET a = 1\0"), run[0], run[1]]), []);
        assert_eq!(
            found(reader, &[(b'Q', "SET LOCAL a = 1; SELECT set_config('b', 'c', false)\0")]).len(),
            2
        );
    }

    #[test]
    fn beyond_what_is_kept_any_statement_may_be_the_one() {
        let reader = &mut StatementReader::default();
        for n in 0..=MOST_KEPT {
            found(reader, &[(b'P', &format!("s{n}\0SELECT set_config($1, $2, $3)\0"))]);
        }
        assert_eq!(reader.kept.len(), MOST_KEPT);
        assert_eq!(found(reader, &[(b'B', &format!("\0s{MOST_KEPT}\0"))]), [Sets::ByCall]);
        assert_eq!(found(&mut StatementReader::default(), &[(b'B', "\0s1\0")]), []);
    }
}
