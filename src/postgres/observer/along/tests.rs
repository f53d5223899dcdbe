//! The machine on a stream whose server says what a test has it say, in whatever pieces.

use std::time::Duration;

use proptest::prelude::*;

use super::messages::{UNHEARD_COMMIT, refusal, run};
use super::scripted::{Pair, message};
use super::states::CommitAlong;

mod amid;

fn own(commands: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    commands.iter().for_each(|command| run(command, &mut out));
    out
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

/// Bind and Execute of a prepared statement, without the Sync.
fn bound(size: usize) -> Vec<u8> {
    [message(b'B', &vec![b'x'; size]), message(b'E', b"\0\0\0\0\0")].concat()
}

fn request() -> Vec<u8> {
    [bound(3), sync()].concat()
}

fn close() -> Vec<u8> {
    [message(b'C', b"Ss1\0"), sync()].concat()
}

fn error(code: &str) -> Vec<u8> {
    message(b'E', format!("SERROR\0VERROR\0C{code}\0Mno\0\0").as_bytes())
}

fn ready(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}

/// What a server says to a command that ran by Parse, Bind and Execute.
fn ran(tag: &str) -> Vec<u8> {
    [message(b'1', b""), message(b'2', b""), complete(tag)].concat()
}

fn complete(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0").as_bytes())
}

/// Rows of a statement that was prepared before; they hold what looks like messages.
fn rows() -> Vec<u8> {
    [message(b'2', b""), message(b'D', b"C\0\0\0\x041\0\0\0\x04"), complete("SELECT 1")].concat()
}

fn hold(pair: &Pair) {
    pair.shared.along().hold_begin(vec!["BEGIN".to_owned(), "SET LOCAL a = 1".to_owned()], false);
}

fn begin() -> Vec<u8> {
    own(&["BEGIN", "SET LOCAL a = 1"])
}

fn begun() -> Vec<u8> {
    [ran("BEGIN"), ran("SET")].concat()
}

/// Has a server say this, in pieces that end at these places.
fn say_in_pieces(pair: &Pair, bytes: &[u8], cuts: &[usize]) {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    cuts.windows(2).for_each(|ends| pair.says(&bytes[ends[0]..ends[1]]));
}

/// How a session of two statements meets its BEGIN and COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Fine,
    BeginRefused,
    SetRefused,
    StatementFails,
    CommitFails,
    /// The statement itself has ended the transaction.
    CommitOfNothing,
}

/// What the server says, what the client is to see of it, and what becomes of COMMIT.
fn answer(fate: Fate, commits: bool) -> (Vec<u8>, Vec<u8>, CommitAlong) {
    let notice = message(b'N', b"SNOTICE\0\0");
    let commit = if commits { ran("COMMIT") } else { Vec::new() };
    let end = if commits { b'I' } else { b'T' };
    let done = if commits { CommitAlong::Committed } else { CommitAlong::NotSent };
    let skipped = if commits { CommitAlong::Skipped } else { CommitAlong::NotSent };
    let failed = |before: &[u8], code, status, outcome| {
        let seen = [error(code), ready(status)].concat();
        ([before, &seen].concat(), seen, outcome)
    };
    match fate {
        Fate::Fine => {
            let said = [ran("BEGIN"), notice.clone(), ran("SET"), rows(), commit, ready(end)].concat();
            (said, [notice, rows(), ready(end)].concat(), done)
        }
        Fate::BeginRefused => failed(&[], "0A000", b'I', skipped),
        Fate::SetRefused => failed(&ran("BEGIN"), "22023", b'E', skipped),
        Fate::StatementFails => failed(&begun(), "23505", b'E', skipped),
        Fate::CommitFails | Fate::CommitOfNothing if !commits => answer(Fate::Fine, commits),
        Fate::CommitFails => {
            let end = [error("23505"), ready(b'I')].concat();
            let parsed = [message(b'1', b""), message(b'2', b"")].concat();
            let said = [begun(), rows(), parsed, end.clone()].concat();
            (said, [rows(), end].concat(), CommitAlong::Refused)
        }
        Fate::CommitOfNothing => {
            let said = [begun(), rows(), ran("ROLLBACK"), ready(b'I')].concat();
            (said, [rows(), ready(b'I')].concat(), CommitAlong::Skipped)
        }
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        Just(Fate::Fine),
        Just(Fate::BeginRefused),
        Just(Fate::SetRefused),
        Just(Fate::StatementFails),
        Just(Fate::CommitFails),
        Just(Fate::CommitOfNothing),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever pieces the two directions come in, each side gets the same.
    #[test]
    fn any_split_is_woven_the_same(
        fate in fate(),
        commits in any::<bool>(),
        closes_first in any::<bool>(),
        size in prop_oneof![0usize..200, 16_000usize..70_000],
        takes in proptest::collection::vec(0usize..9000, 0..20),
        says in proptest::collection::vec(any::<usize>(), 0..20),
        writes in proptest::collection::vec(any::<usize>(), 0..10),
    ) {
        let mut pair = Pair::open(None);
        hold(&pair);
        if commits {
            pair.shared.along().arm_commit();
        }
        let first = if closes_first { close() } else { Vec::new() };
        let sent = [first.clone(), bound(size), sync()].concat();
        pair.takes(takes);
        let mut cuts: Vec<_> = writes.iter().map(|cut| cut % sent.len()).chain([0, sent.len()]).collect();
        cuts.sort_unstable();
        for ends in cuts.windows(2) {
            pair.writes(&sent[ends[0]..ends[1]]);
            pair.turn();
        }
        let commit = if commits { own(&["COMMIT"]) } else { Vec::new() };
        prop_assert_eq!(pair.heard(), [first, begin(), bound(size), commit, sync()].concat());
        let closed = if closes_first { [message(b'3', b""), ready(b'I')].concat() } else { Vec::new() };
        let (said, seen, outcome) = answer(fate, commits);
        say_in_pieces(&pair, &[closed.clone(), said].concat(), &says);
        pair.turn();
        prop_assert_eq!(pair.saw(), [closed, seen].concat());
        prop_assert_eq!(pair.shared.along().disarm_commit(false), outcome);
        prop_assert!(!pair.shared.awaits_reply() && !pair.shared.along().watches());
        prop_assert!(!pair.shared.settings().are_changed(), "what the pool sets is no change of the borrower's");

        // The second statement.
        pair.writes(&request());
        pair.turn();
        let status = match fate {
            Fate::BeginRefused | Fate::SetRefused => Some(b'E'),
            _ if commits && fate != Fate::StatementFails => Some(b'I'),
            _ => None,
        };
        match status {
            Some(status) => {
                prop_assert_eq!(pair.heard(), Vec::<u8>::new(), "nothing more is sent");
                prop_assert!(pair.saw().ends_with(&ready(status)), "it is answered all the same");
            }
            None => prop_assert_eq!(pair.heard(), request()),
        }
        // And the next session's.
        pair.shared.along().end_session();
        pair.writes(&request());
        pair.turn();
        prop_assert_eq!(pair.heard(), request());
    }
}

#[test]
fn behind_a_refused_begin_nothing_is_sent_and_its_answer_does_not_overtake() {
    for status in [b'I', b'E'] {
        let mut pair = Pair::open(None);
        hold(&pair);
        assert_eq!(pair.shared.status(), b'T');
        pair.writes(&request());
        pair.turn();
        assert_eq!(pair.heard(), [begin(), request()].concat());
        // The end of the answer comes later than the error, as it may.
        pair.says(&error("0A000"));
        pair.turn();
        assert_eq!(pair.saw(), error("0A000"));
        pair.writes(&request());
        pair.turn();
        assert!(pair.saw().is_empty() && !pair.has_written(), "not ahead of the end of the answer before");
        pair.says(&ready(status));
        pair.turn();
        let refused =
            refusal("25P02", "the transaction was not begun, as the server has refused its BEGIN", b'E');
        assert_eq!(pair.saw(), [ready(status), refused.clone()].concat());
        assert!(pair.heard().is_empty(), "nothing was sent");
        assert_eq!(pair.shared.status(), b'E', "whatever the server says");
        // Statements that are dropped are closed, for the server has them.
        pair.writes(&[close(), request()].concat());
        pair.turn();
        assert_eq!(pair.heard(), close());
        assert!(pair.saw().is_empty(), "not ahead of the answer to that");
        let closed = [message(b'3', b""), ready(status)].concat();
        pair.says(&closed);
        pair.turn();
        assert_eq!(pair.saw(), [closed, refused].concat());
        pair.shared.along().end_session();
        assert_eq!(pair.shared.status(), status);
    }
}

#[test]
fn an_error_ahead_of_the_end_of_its_answer_tells_what_became_of_commit() {
    for (before, code, outcome) in [
        (Vec::new(), "0A000", CommitAlong::Skipped),
        (begun(), "23505", CommitAlong::Skipped),
        ([begun(), rows(), message(b'1', b""), message(b'2', b"")].concat(), "40001", CommitAlong::Refused),
    ] {
        let mut pair = Pair::open(None);
        hold(&pair);
        pair.shared.along().arm_commit();
        pair.writes(&request());
        pair.turn();
        pair.says(&[before, error(code)].concat());
        pair.turn();
        assert!(pair.saw().ends_with(&error(code)));
        assert_eq!(pair.shared.along().disarm_commit(false), outcome, "{code}");
        // The session ends, and the next one comes, before the end of the answer does.
        pair.shared.along().end_session();
        pair.writes(&request());
        pair.turn();
        pair.says(&ready(b'I'));
        pair.says(&[rows(), ready(b'I')].concat());
        pair.turn();
        assert_eq!(pair.saw(), [ready(b'I'), rows(), ready(b'I')].concat());
    }
}

#[test]
fn without_an_answer_the_outcome_is_unknown() {
    for said in [Vec::new(), begun(), [begun(), rows()].concat(), error("57P01")[..20].to_vec()] {
        let mut pair = Pair::open(None);
        hold(&pair);
        pair.shared.along().arm_commit();
        pair.writes(&request());
        pair.turn();
        pair.says(&said);
        pair.turn();
        assert_eq!(pair.shared.along().disarm_commit(false), CommitAlong::Unknown);
    }
    let mut pair = Pair::open(None);
    pair.shared.along().arm_commit();
    pair.writes(&request());
    pair.turn();
    pair.says(&message(b'E', b"SFATAL\0VFATAL\0C57P01\0\0"));
    pair.turn();
    let is_ended = pair.shared.errors().ending().is_some();
    assert!(is_ended);
    assert_eq!(pair.shared.along().disarm_commit(is_ended), CommitAlong::Unknown);
}

#[test]
fn commit_goes_with_what_is_executed_and_not_with_what_is_prepared() {
    let mut pair = Pair::open(None);
    pair.shared.along().arm_commit();
    let prepare = [message(b'P', b"s1\0SELECT 1\0\0\0"), message(b'D', b"Ss1\0"), sync()].concat();
    pair.writes(&prepare);
    pair.turn();
    assert_eq!(pair.heard(), prepare);
    assert_eq!(pair.shared.along().disarm_commit(false), CommitAlong::NotSent);
    pair.writes(&request());
    pair.turn();
    assert_eq!(pair.heard(), request(), "it was taken back");
}

#[test]
fn what_is_held_is_no_more_when_the_session_ends() {
    let mut pair = Pair::open(None);
    hold(&pair);
    pair.shared.along().arm_commit();
    pair.shared.along().end_session();
    assert_eq!((pair.shared.status(), pair.shared.along().is_begin_held()), (b'I', false));
    pair.writes(&request());
    pair.turn();
    assert_eq!(pair.heard(), request());
}

#[test]
fn an_answer_that_comes_after_its_session_is_still_known_for_what_it_is() {
    let mut pair = Pair::open(None);
    hold(&pair);
    pair.writes(&request());
    pair.turn();
    pair.shared.along().end_session();
    let own = [rows(), ready(b'T')].concat();
    pair.says(&[begun(), own.clone()].concat());
    pair.turn();
    assert_eq!(pair.saw(), own);
}

#[test]
fn a_simple_query_never_goes_with_a_begin() {
    let mut pair = Pair::open(None);
    hold(&pair);
    pair.writes(&message(b'Q', b"SELECT 1\0"));
    pair.turn();
    assert_eq!(pair.error, Some(std::io::ErrorKind::InvalidData));
    assert!(pair.heard().is_empty() && pair.shared.is_broken());
}

#[test]
fn a_commit_that_nobody_waits_for_is_heard_by_nobody() {
    let mut pair = Pair::open(None);
    pair.writes(&close());
    pair.turn();
    pair.shared.along().leave();
    assert_eq!(pair.shared.status(), b'I');
    pair.turn();
    assert_eq!(pair.heard(), [close(), UNHEARD_COMMIT.to_vec()].concat());
    assert!(pair.shared.awaits_reply() && !pair.shared.is_reply_pending(), "due, and no work");
    hold(&pair);
    pair.writes(&[request(), close()].concat());
    pair.turn();
    assert_eq!(pair.heard(), [begin(), request(), close()].concat());
    let closed = [message(b'3', b""), ready(b'I')].concat();
    let left = [complete("COMMIT"), ready(b'I')].concat();
    let answered = [rows(), ready(b'T')].concat();
    pair.says(&[closed.clone(), left, begun(), answered.clone(), closed.clone()].concat());
    pair.turn();
    assert_eq!(pair.saw(), [closed.clone(), answered, closed].concat());
    assert!(!pair.shared.awaits_reply() && !pair.shared.along().watches());
}

#[test]
fn a_copy_is_answered_by_two_requests() {
    let mut pair = Pair::open(None);
    hold(&pair);
    pair.writes(&request());
    pair.turn();
    let copying = [message(b'2', b""), message(b'G', b"\0\0\0")].concat();
    pair.says(&[begun(), copying.clone()].concat());
    pair.turn();
    assert_eq!(pair.saw(), copying);
    let data = [message(b'd', b"1\n"), message(b'c', b""), sync()].concat();
    pair.writes(&data);
    pair.turn();
    assert_eq!(pair.heard(), [begin(), request(), data].concat());
    let copied = complete("COPY 1");
    pair.says(&copied);
    pair.turn();
    // The server's last word of the transaction is from before it until here.
    assert!(pair.shared.along().is_begin_unanswered() && pair.shared.status() == b'I');
    pair.says(&ready(b'T'));
    pair.turn();
    assert!(!pair.shared.along().is_begin_unanswered() && !pair.shared.along().watches());
    assert_eq!(pair.saw(), [copied, ready(b'T')].concat());
}

#[test]
fn a_write_that_is_held_back_waits_no_longer_than_any() {
    // As a client reads on, and as one does that stops with what it has.
    for reads in [None, Some(1)] {
        let mut pair = Pair::open(Some(Duration::from_millis(30)));
        hold(&pair);
        pair.writes(&request());
        pair.turn();
        pair.says(&error("0A000"));
        pair.reads = reads;
        pair.turn();
        pair.writes(&request());
        assert_eq!(pair.ends(), std::io::ErrorKind::TimedOut);
    }
}
