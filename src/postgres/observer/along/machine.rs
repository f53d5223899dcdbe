//! The states, what goes out, and what the client sees. Bytes in, bytes out: no I/O, no clock.

use std::collections::VecDeque;

use super::answers::{Answer, Step, Woven};
use super::messages::{refusal, run};
use super::states::{Begin, Commit, CommitAlong, Next, Way};
use crate::postgres::observer::frames::{Framer, Text};

/// A command that is answered by a row, which is the pool's own: how the transaction is isolated, whatever has decided
/// that.
pub(crate) const ASK_ISOLATION: &str = "SHOW transaction_isolation";

/// That row: one field, and its length.
const SERIALIZABLE: &[u8] = b"\0\x01\0\0\0\x0cserializable";

/// The tags of commands that neither write nor make a transaction that is read-only writable, serializable or another:
/// the server refuses that to what a query calls, as its snapshot is taken by then. A `FETCH` runs such a query, a
/// `CLOSE` none.
///
/// Not among them: `DECLARE`, since COMMIT runs the query of a cursor WITH HOLD; `COPY`, the same in both directions;
/// `ROLLBACK`, the same to a savepoint.
const READS: [&[u8]; 6] = [b"SELECT ", b"SHOW\0", b"FETCH ", b"CLOSE CURSOR\0", b"SAVEPOINT\0", b"RELEASE\0"];

#[derive(Default)]
pub(super) struct Machine {
    /// A pooler lends the server by transactions. Where the answer that ends one reaches it amid the client's next
    /// request, it may give the server to another client, which is then answered what this one asked: PgBouncer 1.18
    /// does. So no request begins ahead of the end of an answer that ends a transaction.
    is_lent_by_transactions: bool,
    begin: Begin,
    commit: Commit,
    /// A COMMIT of its own is to be sent, whose answer nobody waits for.
    leaves: bool,
    /// How many of these are not answered.
    unheard: u32,
    way: Way,
    /// The message under way is the last of its request.
    is_last: bool,
    /// What the request under way executes.
    executed: u32,
    /// How the next request is answered, where that is special.
    next: Option<Answer>,
    /// The answers due, the oldest first, from the first special one on; else empty.
    answers: VecDeque<Answer>,
    /// The server's message under way is the pool's own.
    hides: bool,
    /// The beginning of the body of a CommandComplete under way, or of a row of the pool's own.
    body: Text<18>,
    /// Whether the transaction is serializable, where the server was asked.
    is_serializable: Option<bool>,
    /// The session's commands have done nothing but read, so far as their tags tell. Where that is not asked it is
    /// false from the beginning.
    only_reads: bool,
}

// For the owner, between two calls.
impl Machine {
    /// `is_read_only`: their transaction is, and it is looked at whether the client's commands leave it so.
    pub fn hold(&mut self, commands: Vec<String>, is_read_only: bool) {
        self.restart();
        (self.is_serializable, self.only_reads) = (None, is_read_only);
        self.begin = Begin::Held(commands);
    }

    /// What [`ASK_ISOLATION`] was answered in the present session.
    pub fn is_serializable(&self) -> Option<bool> {
        self.is_serializable
    }

    /// Whether the session has begun read-only and each of its commands that are done only reads.
    pub fn only_reads(&self) -> bool {
        self.only_reads
    }

    pub fn is_held(&self) -> bool {
        matches!(self.begin, Begin::Held(_))
    }

    /// Whether BEGIN was sent, and the server's last word of the transaction is from before it.
    pub fn is_unanswered(&self) -> bool {
        matches!(self.begin, Begin::Sent | Begin::Begun)
    }

    /// Whether the server has refused a BEGIN that went along.
    pub fn is_refused(&self) -> bool {
        matches!(self.begin, Begin::Failing | Begin::Doomed)
    }

    pub fn lent_by_transactions(&mut self) {
        self.is_lent_by_transactions = true;
    }

    pub fn arm_commit(&mut self) {
        self.restart();
        self.commit = Commit::Armed;
    }

    /// Takes a COMMIT back that was not sent; says what became of it. `is_ended`: the server has ended the session.
    pub fn disarm_commit(&mut self, is_ended: bool) -> CommitAlong {
        match std::mem::take(&mut self.commit) {
            Commit::Off | Commit::Armed => CommitAlong::NotSent,
            Commit::Committed => CommitAlong::Committed,
            Commit::Skipped if !is_ended => CommitAlong::Skipped,
            Commit::Refused if !is_ended => CommitAlong::Refused,
            Commit::Sent | Commit::Due | Commit::Skipped | Commit::Refused => CommitAlong::Unknown,
        }
    }

    /// Ends the session. Answers that are due are still known for what they are.
    pub fn end_session(&mut self) {
        (self.begin, self.commit, self.only_reads) = (Begin::Off, Commit::Off, false);
    }

    pub fn leave(&mut self) {
        (self.leaves, self.only_reads) = (true, false);
    }

    /// What the owner is to believe of the transaction, where the server's last word is not the truth.
    pub fn believed(&self) -> Option<u8> {
        match self.begin {
            Begin::Held(_) => Some(b'T'),
            Begin::Failing | Begin::Doomed => Some(b'E'),
            // Whatever comes reaches the server behind the end of that transaction.
            _ if self.unheard > 0 || self.leaves => Some(b'I'),
            _ => None,
        }
    }

    /// The stream asks nothing while the client is amid a request.
    fn restart(&mut self) {
        if !self.is_at_work() {
            (self.way, self.is_last, self.executed) = (Way::Fresh, false, 0);
        }
    }
}

// The client's side.
impl Machine {
    /// Whether the client's bytes go by [`Machine::next`].
    pub fn weaves(&self) -> bool {
        self.leaves || self.is_at_work() || self.is_apart()
    }

    /// Whether the client's next request waits for the answers due: the last of them may end a transaction, and what is
    /// due while a BEGIN is held is from before it.
    fn is_apart(&self) -> bool {
        self.is_lent_by_transactions && (self.unheard > 0 || self.is_held())
    }

    fn is_at_work(&self) -> bool {
        !matches!(self.begin, Begin::Off | Begin::Begun)
            || matches!(self.commit, Commit::Armed | Commit::Sent | Commit::Due)
    }

    /// Says what is done with the client's next bytes, of which there are some. `client` is where it stands among the
    /// messages; `is_due`, whether any answer is.
    pub fn next(&mut self, bytes: &[u8], mut client: Framer, is_due: bool) -> Next {
        let is_first = client.at_boundary();
        let mut rest = bytes;
        // Without a piece all that is there is the message's.
        let _ = client.next(&mut rest);
        let count = bytes.len() - rest.len();
        if count == 0 || client.malformed().is_some() {
            return Next::Broken;
        }
        if is_first && let Some(instead) = self.begin_message(bytes[0], is_due) {
            return instead;
        }
        if self.way != Way::Refused {
            return Next::Pass(count);
        }
        let is_end = self.is_last && client.at_boundary();
        Next::Refuse(count, if is_end { self.refusal() } else { Vec::new() })
    }

    /// Judges a message of the client's by its type. `None`: it goes its request's way.
    fn begin_message(&mut self, tag: u8, is_due: bool) -> Option<Next> {
        if std::mem::take(&mut self.is_last) {
            (self.way, self.executed) = (Way::Fresh, 0);
        }
        if tag == b'X' {
            self.end_session();
            self.way = Way::Going;
            return None;
        }
        if self.way == Way::Fresh && is_due && self.is_apart() {
            return Some(Next::Wait);
        }
        if self.way == Way::Fresh {
            match self.begin {
                Begin::Failing => return Some(Next::Wait),
                // Where BEGIN is refused this would run all the same.
                Begin::Sent if tag != b'C' => return Some(Next::Wait),
                // Ahead of the end of an answer due, the client would take it for that one's.
                Begin::Doomed | Begin::Ended if tag != b'C' && is_due => return Some(Next::Wait),
                Begin::Doomed | Begin::Ended if tag != b'C' => self.way = Way::Refused,
                _ => {}
            }
        }
        if self.way != Way::Refused
            && let Some(instead) = self.put_ahead(tag)
        {
            return Some(instead);
        }
        match tag {
            b'S' | b'Q' | b'F' => self.is_last = true,
            b'E' => self.executed += 1,
            _ => {}
        }
        match self.way {
            Way::Fresh if tag == b'C' => self.way = Way::Closing,
            Way::Fresh | Way::Closing if tag != b'C' => self.way = Way::Going,
            _ => {}
        }
        None
    }

    /// What goes out ahead of a message of this type.
    fn put_ahead(&mut self, tag: u8) -> Option<Next> {
        let is_work = matches!(tag, b'P' | b'B' | b'D' | b'E' | b'Q' | b'F');
        match &self.begin {
            // Their answers are two: the server would run this one though it had refused BEGIN.
            Begin::Held(_) if matches!(tag, b'Q' | b'F') => return Some(Next::Broken),
            Begin::Doomed | Begin::Ended if is_work && self.way == Way::Closing => return Some(Next::Broken),
            Begin::Held(commands) if is_work => {
                let mut own = Vec::new();
                commands.iter().for_each(|command| run(command, &mut own));
                let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
                let ahead = count(commands.len());
                let sets = count(commands.iter().filter(|command| command.starts_with("SET ")).count());
                self.next = Some(Answer::Woven(Woven { ahead, sets, ..Woven::default() }));
                // That message is not behind BEGIN, but goes with it.
                (self.begin, self.way) = (Begin::Sent, Way::Going);
                return Some(Next::Put(own));
            }
            _ => {}
        }
        if tag != b'S' || self.executed == 0 || self.commit != Commit::Armed {
            return None;
        }
        let woven = match self.next.take() {
            Some(Answer::Woven(woven)) => woven,
            _ => Woven::default(),
        };
        self.next = Some(Answer::Woven(Woven { executed: self.executed, commits: true, ..woven }));
        self.commit = Commit::Sent;
        let mut own = Vec::new();
        run("COMMIT", &mut own);
        Some(Next::Put(own))
    }

    fn refusal(&self) -> Vec<u8> {
        match self.begin {
            Begin::Ended => refusal("25P01", "the session was ended by its last statement", b'I'),
            _ => refusal("25P02", "the transaction was not begun, as the server has refused its BEGIN", b'E'),
        }
    }

    pub fn leaves(&self) -> bool {
        self.leaves
    }

    /// Whether a COMMIT of its own is to be sent now; the stream sends it, and tells by [`Machine::requested`].
    pub fn take_leave(&mut self) -> bool {
        let leaves = std::mem::take(&mut self.leaves);
        if leaves {
            self.unheard += 1;
            self.next = Some(Answer::Nothing);
        }
        leaves
    }

    /// Takes note of a request that is sent, while so many answers are `due`. Returns how many settings the pool's own
    /// statements in it make.
    pub fn requested(&mut self, due: u64) -> u32 {
        let answer = self.next.take().unwrap_or(Answer::All);
        if answer == Answer::All && self.answers.is_empty() {
            return 0;
        }
        if self.answers.is_empty() {
            self.answers.extend((0..due).map(|_| Answer::All));
        }
        self.answers.push_back(answer);
        if let Answer::Woven(woven) = answer { woven.sets } else { 0 }
    }

    /// Whether [`Machine::requested`] is to be told.
    pub fn expects(&self) -> bool {
        self.next.is_some() || self.watches()
    }
}

// The server's side.
impl Machine {
    /// Whether the server's bytes go by [`Machine::sift`].
    pub fn watches(&self) -> bool {
        self.hides || self.only_reads || !self.answers.is_empty() || self.begin == Begin::Begun
    }

    /// Takes the pool's own out of what the server has said, whose messages the `server` is amid; moves what stays to
    /// the front, and returns how much that is.
    pub fn sift(&mut self, mut server: Framer, bytes: &mut [u8]) -> usize {
        // Lengths have been looked at by now.
        server.allow(usize::MAX);
        let (mut kept, mut at) = (0, 0);
        while at < bytes.len() {
            if server.at_boundary() {
                self.hides = self.answers.front().is_some_and(|answer| answer.hides(bytes[at]));
            }
            let mut rest = &bytes[at..];
            let piece = server.next(&mut rest);
            let end = bytes.len() - rest.len();
            let last = piece.and_then(|piece| {
                if piece.first {
                    self.body = Text::new();
                }
                if piece.tag == b'C' || piece.tag == b'D' && self.hides {
                    self.body.push(piece.bytes);
                }
                piece.last.then_some(piece.tag)
            });
            if end == at {
                // Not the protocol, which the observer has found.
                break;
            }
            if !self.hides {
                bytes.copy_within(at..end, kept);
                kept += end - at;
            }
            at = end;
            if let Some(tag) = last {
                self.heard(tag);
                self.hides = false;
            }
        }
        kept
    }

    /// Whether the message under way is taken out.
    pub fn is_hiding(&self) -> bool {
        self.hides
    }

    /// Takes note of the end of a message.
    fn heard(&mut self, tag: u8) {
        if tag == b'C' && !self.hides {
            self.only_reads &= READS.iter().any(|tag| self.body.starts_with(tag));
        }
        // Also behind a COPY, whose command's answer ended before.
        if tag == b'Z' && self.begin == Begin::Begun {
            self.begin = Begin::Off;
        }
        let Some(answer) = self.answers.front_mut() else { return };
        if tag == b'D' && answer.hides(tag) {
            self.is_serializable = Some(self.body.is(SERIALIZABLE));
        }
        let step = answer.heard(tag);
        self.step(step);
        // The command of a COPY to the server is answered by this; the data is a request of its own.
        if matches!(tag, b'Z' | b'G') {
            if self.answers.pop_front() == Some(Answer::Nothing) {
                self.unheard = self.unheard.saturating_sub(1);
            }
            if self.begin == Begin::Failing {
                self.begin = Begin::Doomed;
            }
            if self.answers.iter().all(|answer| *answer == Answer::All) {
                self.answers.clear();
            }
        }
    }

    /// What concerns a session that is over changes nothing.
    fn step(&mut self, step: Step) {
        match (step, &self.begin, self.commit) {
            (Step::Begun, Begin::Sent, _) => self.begin = Begin::Begun,
            (Step::BeginFailed, Begin::Sent, commit) => {
                self.begin = Begin::Failing;
                if commit == Commit::Sent {
                    self.commit = Commit::Skipped;
                }
            }
            (Step::CommitDue, _, Commit::Sent) => self.commit = Commit::Due,
            (Step::CommitSkipped, _, Commit::Sent) => self.commit = Commit::Skipped,
            (Step::CommitDone, _, Commit::Due) => {
                // A COMMIT of a transaction that has failed says ROLLBACK.
                let is_done = self.body.is(b"COMMIT\0");
                self.commit = if is_done { Commit::Committed } else { Commit::Skipped };
                self.begin = Begin::Ended;
            }
            (Step::CommitFailed, _, Commit::Due) => {
                self.commit = Commit::Refused;
                self.begin = Begin::Ended;
            }
            _ => {}
        }
    }
}
