//! What the server sends unasked, what the client does not wait for, and what a session's commands tell.

use super::*;

fn refused() -> Vec<u8> {
    refusal("25P02", "the transaction was not begun, as the server has refused its BEGIN", b'E')
}

/// A connection of a session whose BEGIN was refused, to the end of the answer.
fn doomed(socket_timeout: Option<Duration>) -> Pair {
    let mut pair = Pair::open(socket_timeout);
    hold(&pair);
    pair.writes(&request());
    pair.turn();
    pair.says(&[error("0A000"), ready(b'I')].concat());
    pair.turn();
    pair.saw();
    pair.heard();
    pair
}

#[test]
fn a_refusal_is_not_given_amid_a_message_of_the_servers() {
    let notice = message(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mhello, this is long\0\0");
    for cut in 1..notice.len() {
        // The request comes behind a part of the notice, or the notice amid the request.
        for first in [0, 7] {
            let mut pair = doomed(None);
            pair.writes(&request()[..first]);
            pair.turn();
            pair.says(&notice[..cut]);
            pair.turn();
            pair.writes(&request()[first..]);
            pair.turn();
            assert_eq!(pair.saw(), &notice[..cut]);
            pair.says(&notice[cut..]);
            pair.turn();
            assert_eq!(pair.saw(), [&notice[cut..], &refused()].concat());
            assert!(pair.heard().is_empty() && pair.has_written());
        }
    }
}

#[test]
fn a_message_without_end_keeps_a_refusal_back_for_no_longer_than_an_answer() {
    let mut pair = doomed(Some(Duration::from_millis(30)));
    pair.says(&message(b'N', b"SNOTICE\0\0")[..7]);
    pair.turn();
    pair.rest(Duration::from_millis(50));
    pair.turn();
    assert_eq!(pair.error, None, "nobody waits for anything");
    pair.writes(&request());
    assert_eq!(pair.ends(), std::io::ErrorKind::TimedOut);
}

#[test]
fn what_comes_behind_a_begin_waits_for_the_answer_to_that() {
    for refuses in [false, true] {
        let mut pair = Pair::open(None);
        hold(&pair);
        pair.writes(&[request(), close(), request()].concat());
        pair.turn();
        assert_eq!(pair.heard(), [begin(), request(), close()].concat(), "closing needs no transaction");
        let closed = [message(b'3', b""), ready(b'I')].concat();
        let answer = if refuses { [error("0A000"), ready(b'I')].concat() } else { begun() };
        pair.says(&answer);
        pair.turn();
        if refuses {
            assert!(pair.heard().is_empty(), "it is not run outside of the transaction");
            pair.says(&closed);
            pair.turn();
            assert_eq!(pair.saw(), [answer, closed, refused()].concat());
        } else {
            assert_eq!(pair.heard(), request());
        }
    }
}

#[test]
fn only_what_is_known_to_read_leaves_a_session_one_that_only_reads() {
    let reads = ["SELECT 1", "SHOW", "FETCH 3", "CLOSE CURSOR", "SAVEPOINT", "RELEASE"];
    let others = [
        "SET",
        "RESET",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "INSERT 0 1",
        "COPY 1",
        "DECLARE CURSOR",
        "DO",
        "CALL",
        "NOTIFY",
        "LISTEN",
        "EXPLAIN",
        "SELECT",
        "SHOWN",
        "CLOSE CURSOR ALL",
        "LOCK TABLE",
        "DISCARD ALL",
        "",
    ];
    for (tags, only_reads) in [(&reads[..], true), (&others[..], false)] {
        for tag in tags {
            let mut pair = Pair::open(None);
            // What was due before is nobody's command in this session.
            pair.shared.along().leave();
            pair.turn();
            pair.shared.along().hold_begin(vec!["BEGIN".to_owned(), "SET LOCAL a = 1".to_owned()], true);
            pair.writes(&request());
            pair.turn();
            let said = [complete("COMMIT"), ready(b'I'), begun(), rows(), ready(b'T')].concat();
            pair.says(&said);
            pair.turn();
            assert!(pair.shared.along().only_reads(), "so far");
            pair.writes(&request());
            pair.turn();
            say_in_pieces(&pair, &[complete(tag), ready(b'T')].concat(), &[1, 4, 6, 9]);
            pair.turn();
            assert_eq!(pair.shared.along().only_reads(), only_reads, "{tag}");
            // One that came before does not make it good again.
            pair.writes(&request());
            pair.turn();
            pair.says(&[rows(), ready(b'T')].concat());
            pair.turn();
            assert_eq!(pair.shared.along().only_reads(), only_reads, "{tag}");
            pair.shared.along().end_session();
            assert!(!pair.shared.along().only_reads() && !pair.shared.along().watches());
        }
    }
}
