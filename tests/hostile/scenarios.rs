//! What the server does wrong, and where.

use std::time::Duration;

use super::support::hostile::frames::{self, GIB, announcing, frame, greeting, notice, parameter, ready};
use super::support::hostile::{Step, Types};

/// Where on the way the fault is met, and by what call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// While a connection is opened: it must fail.
    Opening,
    /// In the answer to a query, which must fail.
    Query,
    /// In the answer to a query, which must succeed.
    QueryThatHolds,
    /// In a query of 8 MiB, which must fail.
    LargeQuery,
    /// In a query of 8 MiB, which must succeed.
    LargeQueryThatHolds,
    /// In the answers to a query that is prepared first, which must fail.
    Prepared,
    /// The same, and it must succeed.
    PreparedThatHolds,
    /// In the answer to the BEGIN of a session, which must fail within the time for one reply.
    Begin,
    /// In the answer to the last statement of a session, with which COMMIT goes: the outcome is unknown.
    Ending,
    /// While the connection is idle in the pool, seen by the next checkout. That has a connection that works.
    Rest,
    /// The same, but from what has come so far nobody can tell: the next query may fail, and the one after has another
    /// connection.
    RestUnnoticed,
    /// The same, and the connection is kept.
    RestThatHolds,
    /// In the answer to the reset of a returned connection, which is not lent again.
    Reset,
    /// In the answer to a ping for a sign of life, which must fail.
    Ping,
    /// While a connection at rest is probed.
    Probe,
    /// While a connection is dropped.
    Parting,
    /// In the answer to a request to cancel.
    Cancel,
}

pub struct Scenario {
    pub name: String,
    pub place: Place,
    /// After a good beginning, where the place is not [`Place::Opening`].
    pub steps: Vec<Step>,
}

/// The most that a scenario sends, so that one that is not stopped ends.
const FLOOD: usize = 192 << 20;
/// A good part of a reply, so that what is cut is cut in the midst.
const HALF: usize = 7;

pub fn scenario(place: Place, name: &str, steps: Vec<Step>) -> Scenario {
    Scenario { name: format!("{place:?}: {name}"), place, steps }
}

fn send(parts: &[Vec<u8>]) -> Vec<Step> {
    vec![Step::Send(parts.concat()), Step::AwaitEnd]
}

fn flood(first: &[Vec<u8>], frame: Vec<u8>) -> Vec<Step> {
    vec![Step::Send(first.concat()), Step::Flood(frame, FLOOD), Step::AwaitEnd]
}

/// A frame of 1 GiB, of which a part really comes.
fn huge(tag: u8) -> Vec<Step> {
    flood(&[announcing(tag, GIB, b"")], vec![b'x'; 4096])
}

fn dribble(first: &[Vec<u8>], frame: Vec<u8>) -> Vec<Step> {
    vec![Step::Send(first.concat()), Step::Dribble(frame, Duration::from_millis(2))]
}

fn cut(bytes: &[u8], end: Step) -> Vec<Step> {
    vec![Step::Send(bytes[..HALF.min(bytes.len() - 1)].to_vec()), end]
}

/// Lengths that no message has, for a message of this type.
fn lengths(place: Place, tag: u8) -> Vec<Scenario> {
    let lengths = [("negative", -1), ("0", 0), ("3", 3), ("the least there is", i32::MIN)];
    let named = lengths.map(|(name, length)| {
        scenario(place, &format!("a length that is {name}"), send(&[announcing(tag, length, b"I")]))
    });
    named.into_iter().collect()
}

/// What is wrong wherever a reply is due.
fn in_a_reply(place: Place) -> Vec<Scenario> {
    let answer = frames::answer(b'I');
    let mut found = lengths(place, b'Z');
    found.extend([
        scenario(place, "no answer", vec![Step::AwaitEnd]),
        scenario(place, "an unknown message", send(&[frame(b'?', b"what"), answer.clone()])),
        scenario(place, "an end", vec![Step::Close]),
        scenario(place, "a reset", vec![Step::Reset]),
        scenario(place, "a message cut by the end", cut(&answer, Step::Close)),
        scenario(place, "a message cut by a reset", cut(&answer, Step::Reset)),
        scenario(place, "a message cut by silence", cut(&answer, Step::AwaitEnd)),
        scenario(place, "a status that is none", send(&[frames::complete("X"), ready(b'X')])),
        scenario(place, "a status of zero", send(&[frames::complete("X"), ready(0)])),
        scenario(place, "no status", send(&[frames::complete("X"), frame(b'Z', b"")])),
        scenario(place, "two statuses", send(&[frames::complete("X"), frame(b'Z', b"II")])),
        scenario(place, "notices without end", flood(&[], notice("again"))),
        scenario(place, "parameters without end", flood(&[], parameter("again", "and again"))),
        scenario(place, "dribbled notices", dribble(&[], notice("again"))),
        scenario(place, "dribbled parameters", dribble(&[], parameter("a", "b"))),
        scenario(place, "a notice of 1 GiB that stops", send(&[announcing(b'N', GIB, b"SNOTICE\0")])),
        scenario(place, "an error that ends the session", send(&[frames::error("FATAL", "57P01", "bye")])),
    ]);
    found
}

fn in_the_handshake() -> Vec<Scenario> {
    use Place::Opening;
    let after_startup = |steps: Vec<Step>| [vec![Step::Startup], steps].concat();
    let ok = frames::authentication_ok;
    let good = greeting(b'I');
    let mut found = vec![
        scenario(Opening, "an end before the handshake", vec![Step::Close]),
        scenario(Opening, "a reset before the handshake", vec![Step::Reset]),
        scenario(Opening, "silence before the handshake", vec![Step::AwaitEnd]),
        scenario(Opening, "a flood before the handshake", vec![Step::Flood(notice("hello"), FLOOD)]),
        scenario(Opening, "another protocol", send(&[b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()])),
        scenario(Opening, "wrong order: ready at once", after_startup(send(&[ready(b'I')]))),
        scenario(
            Opening,
            "wrong order: a row",
            after_startup(send(&[ok(), frames::row(&[b"x"]), ready(b'I')])),
        ),
        scenario(
            Opening,
            "an authentication that is none",
            after_startup(send(&[frames::authentication(99, b"")])),
        ),
        scenario(
            Opening,
            "SASL without a mechanism",
            after_startup(send(&[frames::authentication(10, b"\0")])),
        ),
        scenario(
            Opening,
            "SASL cut short",
            after_startup(send(&[frames::authentication(10, b"SCRAM-SHA-256")])),
        ),
        scenario(Opening, "a short salt", after_startup(send(&[frames::authentication(5, b"ab")]))),
        scenario(Opening, "notices without end", after_startup(flood(&[ok()], notice("again")))),
        scenario(
            Opening,
            "parameters without end",
            after_startup(flood(&[ok()], parameter("again", "and again"))),
        ),
        scenario(Opening, "keys without end", after_startup(flood(&[ok()], frames::key(1, 2)))),
        scenario(
            Opening,
            "a large notice without end",
            after_startup(flood(&[ok()], notice(&"x".repeat(60_000)))),
        ),
        scenario(Opening, "dribbled parameters", after_startup(dribble(&[ok()], parameter("a", "b")))),
        scenario(Opening, "a dribbled greeting", after_startup(dribble(&[], notice("x")))),
        scenario(
            Opening,
            "1 GiB of a parameter",
            after_startup([vec![Step::Send(ok())], huge(b'S')].concat()),
        ),
        scenario(Opening, "1 GiB of an error", after_startup(huge(b'E'))),
        scenario(Opening, "1 GiB of a challenge", after_startup(huge(b'R'))),
        scenario(
            Opening,
            "cut by the end",
            after_startup(vec![Step::Send(good[..30].to_vec()), Step::Close]),
        ),
        scenario(
            Opening,
            "cut by a reset",
            after_startup(vec![Step::Send(good[..30].to_vec()), Step::Reset]),
        ),
        scenario(Opening, "cut by silence", after_startup(send(&[good[..30].to_vec()]))),
        scenario(Opening, "a status that is none", after_startup(send(&[greeting(b'X')]))),
        scenario(Opening, "a status of zero", after_startup(send(&[greeting(0)]))),
        scenario(Opening, "in a transaction from the start", after_startup(send(&[greeting(b'T')]))),
        scenario(Opening, "in a failed one from the start", after_startup(send(&[greeting(b'E')]))),
        scenario(
            Opening,
            "a parameter that is no UTF-8",
            after_startup(send(&[ok(), frame(b'S', b"\xff\xfe\0\xc3\0"), ready(b'I')])),
        ),
        scenario(
            Opening,
            "an error that is no UTF-8",
            after_startup(send(&[frame(b'E', b"SFATAL\0VFATAL\0C\xff\xff\xff\xff\xff\0M\xfe\0\0")])),
        ),
        scenario(Opening, "an error without fields", after_startup(send(&[frame(b'E', b"")]))),
    ];
    found.extend(
        lengths(Opening, b'R')
            .into_iter()
            .map(|scenario| Scenario { steps: after_startup(scenario.steps), ..scenario }),
    );
    found
}

fn in_a_query() -> Vec<Scenario> {
    use Place::{Query, QueryThatHolds};
    let begun_row = || [frames::columns(&["a"]), announcing(b'D', GIB, b"\0\x01")].concat();
    let row = frames::row(&[&[b'x'; 1000]]);
    let many = row.len() << 16;
    let new_parameters = (0..300_000).flat_map(|n| parameter(&format!("p{n}"), "v")).collect();
    let mut found = in_a_reply(Query);
    found.extend([
        scenario(Query, "a row of 1 GiB that stops", send(&[begun_row()])),
        scenario(
            Query,
            "a row of 1 GiB that ends",
            vec![Step::Send(begun_row()), Step::Flood(vec![b'x'; 4096], 8 << 20), Step::Close],
        ),
        scenario(Query, "new parameters without end", flood(&[], new_parameters)),
        scenario(Query, "a notice of 1 GiB", huge(b'N')),
        scenario(Query, "an error of 1 GiB", huge(b'E')),
        scenario(Query, "a description of 1 GiB", huge(b'T')),
        scenario(Query, "empty answers without end", flood(&[], frame(b'I', b""))),
        scenario(
            Query,
            "dribbled empty answers",
            vec![Step::Dribble(frame(b'I', b""), Duration::from_millis(1))],
        ),
        scenario(Query, "completions without end", flood(&[], frames::complete("BEGIN"))),
        scenario(Query, "another handshake", send(&[frames::authentication(10, b"SCRAM-SHA-256\0\0")])),
    ]);
    let holding = |name, steps: &[Step]| {
        let steps = [steps, &[Step::Serve(Vec::new())]].concat();
        scenario(QueryThatHolds, name, steps)
    };
    let failing = |code, text| Step::Send([frames::error("ERROR", code, text), ready(b'I')].concat());
    found.extend([
        holding("an error of another server", &[failing("08006", "elsewhere")]),
        holding("a code raised by a function", &[failing("57P03", "mine")]),
        holding(
            "notices ahead of the answer",
            &[Step::Send(notice("one of many").repeat(2_000)), Step::Send(frames::answer(b'I'))],
        ),
        holding(
            "64 MiB of rows",
            &[Step::Send(frames::columns(&["a"])), Step::Flood(row, many), Step::Send(frames::answer(b'I'))],
        ),
    ]);
    for scenario in &mut found {
        scenario.steps.insert(0, Step::Expect(b'Q'));
    }
    let slowly = vec![Step::ReadSlowly(6 << 20), Step::Send(frames::answer(b'I')), Step::Serve(Vec::new())];
    found.push(scenario(Place::LargeQueryThatHolds, "a slow uplink", slowly));
    found.push(scenario(Place::LargeQuery, "a server that does not read", vec![Step::AwaitGo]));
    found
}

/// What is said of types that the client does not know.
fn of_types() -> Vec<Scenario> {
    let saying = |place, types| scenario(place, &format!("types: {types:?}"), vec![Step::ServeTypes(types)]);
    let wrong = [
        Types::OfTheQuestion,
        Types::DomainOverItself,
        Types::ArrayOfItself,
        Types::RowOfItself,
        Types::DomainsWithoutEnd,
        Types::RowsWithoutEnd,
        Types::Nested(400),
        Types::Fields(40_000),
    ];
    let right = [Types::Nested(100), Types::Fields(1600)];
    let mut found: Vec<_> = wrong.map(|types| saying(Place::Prepared, types)).into();
    found.extend(right.map(|types| saying(Place::PreparedThatHolds, types)));
    found
}

/// What may be told from a chatty server only when a query goes without an answer.
fn chatter(place: Place) -> Vec<Scenario> {
    let mut found = vec![
        scenario(place, "notices without end", flood(&[], notice("again"))),
        scenario(place, "parameters without end", flood(&[], parameter("again", "and again"))),
        scenario(place, "notifications without end", flood(&[], frames::notification(1, "", ""))),
        scenario(place, "dribbled notices", dribble(&[], notice("again"))),
    ];
    for scenario in &mut found {
        scenario.steps.insert(0, Step::AwaitGo);
    }
    found
}

/// What a server has no reason to send while nothing is asked of it.
fn unasked(place: Place) -> Vec<Scenario> {
    let mut found = lengths(place, b'N');
    found.extend([
        scenario(place, "replies without end", flood(&[], frames::answer(b'I'))),
        scenario(place, "a notice of 1 GiB", huge(b'N')),
        scenario(place, "a notification of 1 GiB that stops", send(&[announcing(b'A', GIB, b"\0\0\0\x01a")])),
        scenario(place, "a reply of 1 GiB", huge(b'D')),
        scenario(place, "half a notice", send(&[notice("again")[..HALF].to_vec()])),
        scenario(place, "a notification that is no UTF-8", send(&[frame(b'A', b"\0\0\0\x01\xff\0\xfe\0")])),
        scenario(place, "a reset", vec![Step::Reset]),
        scenario(place, "an end", vec![Step::Close]),
        scenario(place, "a reply", send(&[frames::answer(b'I')])),
    ]);
    for scenario in &mut found {
        scenario.steps.insert(0, Step::AwaitGo);
    }
    found
}

fn at_rest_that_holds() -> Vec<Scenario> {
    let place = Place::RestThatHolds;
    let serving = |bytes| vec![Step::AwaitGo, Step::Send(bytes), Step::Serve(Vec::new())];
    vec![
        scenario(place, "a notice", serving(notice("maintenance tonight"))),
        scenario(place, "a parameter", serving(parameter("TimeZone", "UTC"))),
        scenario(place, "notifications", serving(frames::notification(1, "news", "x").repeat(1000))),
    ]
}

fn in_a_begin() -> Vec<Scenario> {
    let place = Place::Begin;
    let refusal = || frames::error("ERROR", "55000", "not now");
    let row = frames::row(&[b"x"]);
    vec![
        scenario(place, "a refusal, and no end", send(&[refusal()])),
        scenario(place, "a refusal, and rows without end", flood(&[refusal()], row.clone())),
        scenario(place, "a refusal, and dribbled rows", dribble(&[refusal()], row)),
        scenario(place, "empty answers without end", flood(&[], frame(b'I', b""))),
    ]
    .into_iter()
    .map(|mut scenario| {
        scenario.steps.insert(0, Step::Expect(b'Q'));
        scenario
    })
    .collect()
}

fn in_a_reset() -> Vec<Scenario> {
    let place = Place::Reset;
    let answering = |bytes| vec![Step::Serve(vec![("ROLLBACK", bytes)])];
    vec![
        scenario(place, "still in a transaction", answering(frames::answer(b'T'))),
        scenario(place, "in a failed one", answering(frames::answer(b'E'))),
        scenario(place, "a status that is none", answering(frames::answer(b'X'))),
        scenario(place, "no answer", answering(Vec::new())),
        scenario(place, "notices for the rest of its time", answering(notice("again").repeat(200_000))),
    ]
}

fn in_a_cancel() -> Vec<Scenario> {
    let place = Place::Cancel;
    vec![
        scenario(place, "an end", vec![Step::Startup, Step::Close]),
        scenario(place, "a reset", vec![Step::Startup, Step::Reset]),
        scenario(place, "no answer", vec![Step::AwaitEnd]),
        scenario(place, "notices without end", vec![Step::Flood(notice("again"), FLOOD), Step::AwaitEnd]),
        scenario(place, "1 GiB", [vec![Step::Startup], huge(b'N')].concat()),
        scenario(place, "dribbled notices", dribble(&[], notice("again"))),
    ]
}

/// All of them.
pub fn all() -> Vec<Scenario> {
    let in_a_ping = in_a_reply(Place::Ping).into_iter().map(|mut scenario| {
        scenario.steps.insert(0, Step::Expect(b'Q'));
        scenario
    });
    let mut found = in_the_handshake();
    found.extend(in_a_query());
    found.extend(of_types());
    found.extend(unasked(Place::Rest));
    found.extend(chatter(Place::RestUnnoticed));
    found.extend(at_rest_that_holds());
    found.extend(in_a_begin());
    found.extend(super::endings::all());
    found.extend(in_a_reset());
    found.extend(in_a_ping);
    for place in [Place::Probe, Place::Parting] {
        found.extend(unasked(place));
        found.extend(chatter(place));
    }
    found.extend(in_a_cancel());
    found
}
