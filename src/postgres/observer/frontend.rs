//! What the client's messages ask for.

use super::frames::Framer;
use super::statements::{Sets, StatementReader};
use super::types::{Asking, QuestionReader};

/// A message that the server answers with a `ReadyForQuery`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// The start-up message, a query, a function call, or the end of an extended-protocol batch that executes one.
    Work,
    /// A batch in which nothing is executed: a statement is prepared, or the data of a `COPY` ends.
    Unexecuted,
    /// A batch that does nothing but close statements or portals. The client sends it when a `Statement` is
    /// dropped and never waits for the answer.
    Housekeeping,
}

/// A fact read off the client's side of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrontendEvent {
    /// A request begins.
    Request(Request),
    /// What the text of its statements says. Told within a request that was told before, or ahead of it.
    Sets(Sets),
    /// What the client asks about types. Told ahead of the request that it is told in.
    OfTypes(Asking),
}

/// Reads the client's side of a connection, from its first byte on.
///
/// Any split of the stream gives the same events in the same order. Nothing is allocated, but for prepared statements
/// that set something or ask about types.
pub(crate) struct FrontendScanner {
    framer: Framer,
    closes: bool,
    works: bool,
    executes: bool,
    statements: StatementReader,
    questions: QuestionReader,
}

impl Default for FrontendScanner {
    fn default() -> Self {
        FrontendScanner {
            framer: Framer::of_client(),
            closes: false,
            works: false,
            executes: false,
            statements: StatementReader::default(),
            questions: QuestionReader::default(),
        }
    }
}

impl FrontendScanner {
    /// Where it stands among the messages.
    pub(super) fn framer(&self) -> Framer {
        self.framer
    }

    /// Reads the next bytes and calls `on` for each fact found.
    pub fn scan(&mut self, mut bytes: &[u8], mut on: impl FnMut(FrontendEvent)) {
        loop {
            if let Some(length) = self.pass_plain(bytes, &mut on) {
                bytes = &bytes[length..];
                continue;
            }
            let Some(piece) = self.framer.next(&mut bytes) else { return };
            if piece.first {
                self.begin(piece.tag, &mut on);
            }
            self.statements.read(&piece);
            self.questions.read(&piece);
            if piece.last {
                self.statements.end(piece.tag, &mut |sets| on(FrontendEvent::Sets(sets)));
                self.questions.end(piece.tag, &mut |asking| on(FrontendEvent::OfTypes(asking)));
            }
        }
    }

    /// Reads the message at the front where all of it is there, and nothing that is looked for can be in it: in each
    /// run of a prepared statement. Returns its length.
    fn pass_plain(&mut self, bytes: &[u8], on: &mut impl FnMut(FrontendEvent)) -> Option<usize> {
        let (tag, body) = self.framer.whole(bytes)?;
        match tag {
            b'B' if self.statements.know_none() && self.questions.know_none() => {
                self.statements.runs_unknown()
            }
            b'E' | b'S' => {}
            _ => return None,
        }
        self.begin(tag, on);
        if tag == b'S' {
            self.statements.end(tag, &mut |sets| on(FrontendEvent::Sets(sets)));
        }
        Some(Framer::HEADER + body.len())
    }

    fn begin(&mut self, tag: u8, on: &mut impl FnMut(FrontendEvent)) {
        match tag {
            0 | b'Q' | b'F' => on(FrontendEvent::Request(Request::Work)),
            b'S' => {
                on(FrontendEvent::Request(match (self.executes, self.works, self.closes) {
                    (true, ..) => Request::Work,
                    (false, false, true) => Request::Housekeeping,
                    _ => Request::Unexecuted,
                }));
                (self.closes, self.works, self.executes) = (false, false, false);
            }
            b'C' => self.closes = true,
            b'E' => self.executes = true,
            // Passwords, terminate and flush belong to no batch.
            b'p' | b'X' | b'H' => {}
            _ => self.works = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_a_statement_is_housekeeping_and_the_rest_is_work() {
        let mut scanner = FrontendScanner::default();
        let mut found = Vec::new();
        let start_up = b"\0\0\0\x08\0\x03\0\0".as_slice();
        let password = b"p\0\0\0\x04".as_slice();
        let close = b"C\0\0\0\x08Ss1\0S\0\0\0\x04".as_slice();
        let bind = b"B\0\0\0\x04E\0\0\0\x04C\0\0\0\x04S\0\0\0\x04".as_slice();
        let query = b"Q\0\0\0\x05\0".as_slice();
        let sync = b"S\0\0\0\x04".as_slice();
        let parse = b"P\0\0\0\x04D\0\0\0\x04S\0\0\0\x04".as_slice();
        for bytes in [start_up, password, close, bind, query, sync, parse] {
            scanner.scan(bytes, |event| found.push(event));
        }
        use Request::{Housekeeping, Unexecuted, Work};
        let told = [Work, Housekeeping, Work, Work, Unexecuted, Unexecuted];
        assert_eq!(found, told.map(FrontendEvent::Request));
    }
}
