//! How deep the client's questions about types are nested, and what has no end of that.
//!
//! Each question is asked on the stack of the one that led to it. A server that answers with one unknown type after the
//! other would make the client run off the end of its thread's stack, which aborts the process.

use super::backend::BackendEvent;
use super::frontend::FrontendEvent;
use super::malformed::Malformed;
use super::types::{Asking, FirstWords, Question};

/// How deep types may be in one another. The client takes up to 5 KiB of stack for each without optimization, and a
/// thread has 2 MiB unless told otherwise.
const DEEPEST: usize = 128;

/// The statements for questions that one request may prepare: there are three, and two of them have another text for
/// old servers.
const MOST_PREPARED: usize = 8;

/// The types that one request may ask about. A table has at most 1,600 columns, and a row in one likewise.
const MOST_TYPES: usize = 16_384;

/// What the client is about to know, the outermost first.
#[derive(Debug)]
enum Level {
    /// It prepares the statement for a question.
    Statement(Question),
    /// It learns of a type which is made of these.
    Type(Vec<u32>),
}

/// A question under way.
struct Asked {
    question: Question,
    /// How many answers are due before its own.
    ahead: u32,
    /// The types that the one in question is made of.
    parts: Vec<u32>,
}

/// Follows the questions of one connection.
///
/// The client asks about a type only where it does not know it, and then of its parts one after the other. So each
/// question belongs to the innermost type that has the one in question as a part, and those within that one are done.
#[derive(Default)]
pub(super) struct TypeNesting {
    levels: Vec<Level>,
    /// In the request of the client's user that is under way.
    prepared: usize,
    types: usize,
    /// Answers due, of all requests.
    due: u32,
    asked: Option<Asked>,
    malformed: Option<Malformed>,
}

impl TypeNesting {
    /// Whether rows of an answer are wanted.
    pub fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    /// What no server has, if it came to that.
    pub fn malformed(&self) -> Option<Malformed> {
        self.malformed
    }

    /// Takes note of what the client has sent.
    pub fn sent(&mut self, event: FrontendEvent) {
        match event {
            FrontendEvent::Request(_) => self.due += 1,
            FrontendEvent::OfTypes(Asking::Over) => *self = TypeNesting { due: self.due, ..Self::default() },
            FrontendEvent::OfTypes(Asking::Prepares(question)) => {
                self.prepared += 1;
                self.push(Level::Statement(question));
            }
            FrontendEvent::OfTypes(Asking::Asks(question, oid)) => self.ask(question, oid),
            FrontendEvent::Sets(_) => {}
        }
    }

    fn ask(&mut self, question: Question, oid: u32) {
        let is_its_statement =
            |level: &Level| matches!(level, Level::Statement(prepared) if *prepared == question);
        if let Some(at) = self.levels.iter().rposition(is_its_statement) {
            self.levels.truncate(at);
        }
        if question == Question::Type {
            self.types += 1;
            let is_within = |level: &Level| match level {
                Level::Statement(_) => true,
                Level::Type(parts) => parts.contains(&oid),
            };
            let innermost = self.levels.iter().rposition(is_within);
            self.levels.truncate(innermost.map_or(0, |at| at + 1));
        }
        self.check();
        self.asked = Some(Asked { question, ahead: self.due, parts: Vec::new() });
    }

    /// Takes note of what the server has said.
    pub fn heard(&mut self, event: BackendEvent) {
        match event {
            BackendEvent::Row(words) => {
                if let Some(asked) = self.asked.as_mut().filter(|asked| asked.ahead == 0) {
                    asked.parts.extend(parts(asked.question, words));
                    if asked.parts.len() > MOST_TYPES {
                        self.malformed = Some(Malformed::TooManyTypes(MOST_TYPES));
                    }
                }
            }
            BackendEvent::Ready(_) | BackendEvent::CopyIn => {
                self.due = self.due.saturating_sub(1);
                match self.asked.take() {
                    Some(asked) if asked.ahead > 0 => {
                        self.asked = Some(Asked { ahead: asked.ahead - 1, ..asked });
                    }
                    Some(Asked { parts, .. }) if !parts.is_empty() => self.push(Level::Type(parts)),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn push(&mut self, level: Level) {
        self.levels.push(level);
        self.check();
    }

    fn check(&mut self) {
        let is_too_deep = self.levels.len() > DEEPEST || self.prepared > MOST_PREPARED;
        if is_too_deep {
            self.malformed = Some(Malformed::TypesTooDeep(DEEPEST));
        } else if self.types > MOST_TYPES {
            self.malformed = Some(Malformed::TooManyTypes(MOST_TYPES));
        }
    }
}

/// The types that a row of an answer names and that the client asks about next, where it does not know them.
fn parts(question: Question, words: FirstWords) -> Option<u32> {
    let [_, kind, element, subtype, base, ..] = words;
    match question {
        Question::Type if [b'e', b'p'].map(u32::from).contains(&kind) => None,
        // A row has a relation and none of these.
        Question::Type => [base, element, subtype].into_iter().find(|oid| *oid != 0),
        Question::Fields => Some(kind),
        Question::Labels => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::observer::frontend::Request;

    /// Asks about a type, and is answered that it is of this kind and made of that one.
    fn ask(nesting: &mut TypeNesting, oid: u32, kind: u8, part: u32) {
        nesting.sent(FrontendEvent::OfTypes(Asking::Asks(Question::Type, oid)));
        nesting.sent(FrontendEvent::Request(Request::Work));
        assert!(nesting.is_asking());
        nesting.heard(BackendEvent::Row([0, u32::from(kind), part, 0, 0, 0, 0]));
        nesting.heard(BackendEvent::Ready(b'I'));
        assert!(!nesting.is_asking());
    }

    #[test]
    fn types_side_by_side_are_not_deep_and_yet_have_an_end() {
        let mut nesting = TypeNesting::default();
        let most = u32::try_from(MOST_TYPES).unwrap();
        for n in (0..most).step_by(2) {
            ask(&mut nesting, n, b'b', n + 1);
            ask(&mut nesting, n + 1, b'e', 0);
        }
        assert_eq!(nesting.malformed(), None);
        assert!(nesting.levels.len() <= 1, "{:?}", nesting.levels);
        ask(&mut nesting, most, b'e', 0);
        assert_eq!(nesting.malformed(), Some(Malformed::TooManyTypes(MOST_TYPES)));
    }

    #[test]
    fn what_each_statement_asks_about_counts_by_itself() {
        let mut nesting = TypeNesting::default();
        for n in 0..2 * u32::try_from(MOST_TYPES).unwrap() {
            ask(&mut nesting, n, b'e', 0);
            nesting.sent(FrontendEvent::OfTypes(Asking::Over));
        }
        assert_eq!(nesting.malformed(), None);
    }

    #[test]
    fn rows_of_an_answer_that_was_due_before_tell_nothing() {
        let mut nesting = TypeNesting::default();
        nesting.sent(FrontendEvent::Request(Request::Work));
        nesting.sent(FrontendEvent::OfTypes(Asking::Asks(Question::Type, 1)));
        nesting.sent(FrontendEvent::Request(Request::Work));
        nesting.heard(BackendEvent::Row([0, u32::from(b'b'), 7, 0, 0, 0, 0]));
        nesting.heard(BackendEvent::Ready(b'I'));
        assert!(nesting.is_asking(), "the answer is yet to come");
        nesting.heard(BackendEvent::Row([0, u32::from(b'e'), 0, 0, 0, 0, 0]));
        nesting.heard(BackendEvent::Ready(b'I'));
        assert!(nesting.levels.is_empty(), "{:?}", nesting.levels);
    }
}
