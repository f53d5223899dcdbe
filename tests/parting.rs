//! The seat of a connection that is being closed: kept until the server has hung up, which counts it until then.
#![cfg(feature = "postgres")]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use support::hostile::{HostileServer, Step, frames};
use support::wait::{BOUND, MS, eventually};
use tierpool::Pool;
use tierpool::config::PgBouncer;
use tierpool::postgres::{PgDriver, PgManager, PgOptions};

/// For how long at the least a connection being closed keeps its seat unless the server has hung up.
const KEPT: Duration = Duration::from_millis(400);

/// What is done with the first connection, up to its return.
type Use = fn(&Pool<PgManager>, &HostileServer);

fn fatal() -> Vec<u8> {
    frames::error("FATAL", "57P01", "terminating connection due to administrator command")
}

/// What became of the seat while the server kept the connection open.
#[derive(Debug, PartialEq, Eq)]
enum Seat {
    Kept,
    Given,
    /// The look came too late to tell anything, or the next one was not opened at once when the server had hung up.
    Unknown,
}

/// Has the first connection of a pool of one end in this way, and looks whether another is opened before the server
/// has hung up.
fn seat(ending: &[Step], uses: Use) -> Seat {
    let start = [Step::Startup, Step::Send(frames::greeting(b'I'))];
    let first = [&start[..], ending, &[Step::AwaitGo, Step::Close]].concat();
    let later = [&start[..], &[Step::Serve(Vec::new())]].concat();
    let server = HostileServer::start(vec![first, later], Vec::new()).unwrap();
    let mut options = PgOptions::default();
    // Nothing is asked of a new connection.
    options.pgbouncer = Some(PgBouncer::Off);
    let manager = PgManager::new(server.url().parse().unwrap(), options).unwrap();
    let builder = Pool::builder().max_size(1).min_idle(Some(0)).test_on_check_out(true);
    let pool = builder.driver(Box::new(PgDriver)).build_unchecked(manager);
    let began = Instant::now();
    uses(&pool, &server);
    thread::scope(|scope| {
        let next = scope.spawn(|| drop(pool.get().unwrap()));
        thread::sleep(100 * MS);
        let (opened, is_in_time) = (server.connections(), began.elapsed() < KEPT);
        server.go();
        eventually(BOUND, "another is opened", || server.connections() == 2);
        let is_free_in_time = began.elapsed() < KEPT;
        next.join().unwrap();
        match opened {
            1 if is_free_in_time => Seat::Kept,
            2 if is_in_time => Seat::Given,
            _ => Seat::Unknown,
        }
    })
}

/// The seat is free once the server has hung up, and not before.
fn keeps_its_seat(how: &str, ending: &[Step], uses: Use) {
    let mut seats = (0..20).map(|_| seat(ending, uses)).filter(|seat| *seat != Seat::Unknown);
    let first = seats.next().unwrap_or_else(|| panic!("{how}: no seat was free within {KEPT:?}"));
    assert_eq!(first, Seat::Kept, "{how}");
}

#[test]
fn one_whose_session_was_ended_keeps_its_seat_until_the_server_has_hung_up() {
    let told = [Step::Expect(b'Q'), Step::Send(fatal())];
    let query = |pool: &Pool<PgManager>, _: &HostileServer| {
        pool.get().unwrap().batch_execute("SELECT 1").unwrap_err();
    };
    keeps_its_seat("in the answer to a query", &told, query);
    let twice = |pool: &Pool<PgManager>, _: &HostileServer| {
        let mut conn = pool.get().unwrap();
        conn.batch_execute("SELECT 1").unwrap_err();
        conn.batch_execute("SELECT 1").unwrap_err();
    };
    keeps_its_seat("and used once more", &told, twice);
    let rest = |pool: &Pool<PgManager>, server: &HostileServer| {
        let mut conn = pool.get().unwrap();
        // Its answer and the word may come together.
        let _ = conn.batch_execute("SELECT 1");
        eventually(BOUND, "the server has said so", || server.awaits_go());
        drop(conn);
    };
    let answered = [Step::Expect(b'Q'), Step::Send(frames::answer(b'I'))];
    let said_later = [&answered[..], &[Step::Wait(5 * MS), Step::Send(fatal())]].concat();
    keeps_its_seat("at rest", &said_later, rest);
    let amid = [Step::Expect(b'Q'), Step::Send([frames::answer(b'I'), fatal()].concat())];
    let work = |pool: &Pool<PgManager>, _: &HostileServer| {
        let _ = pool.get().unwrap().batch_execute("SELECT 1");
    };
    keeps_its_seat("behind an answer", &amid, work);
}

#[test]
fn one_that_works_and_has_failed_a_check_says_goodbye_and_keeps_its_seat() {
    let in_transaction = [Step::Expect(b'Q'), Step::Send(frames::answer(b'T'))];
    let refused = [frames::error("ERROR", "XX000", "it cannot be rolled back"), frames::ready(b'T')].concat();
    let ending =
        [&in_transaction[..], &[Step::Expect(b'Q'), Step::Send(refused), Step::Expect(b'X')]].concat();
    keeps_its_seat("as its transaction cannot be ended", &ending, |pool, _| {
        pool.get().unwrap().batch_execute("BEGIN").unwrap();
    });
}

#[test]
fn one_closed_ahead_of_the_end_of_an_answer_reads_that_and_keeps_its_seat() {
    let failure = frames::error("ERROR", "22012", "division by zero");
    let ending = [
        Step::Expect(b'Q'),
        Step::Send(failure),
        Step::Wait(2 * MS),
        Step::Send(frames::ready(b'I')),
        Step::Expect(b'X'),
    ];
    let uses = |pool: &Pool<PgManager>, _: &HostileServer| {
        let mut conn = pool.get().unwrap();
        conn.batch_execute("SELECT 1/0").unwrap_err();
        conn.close();
    };
    // On a busy machine the end may be far behind the error: then it is not waited for.
    let seats: Vec<_> = (0..20).map(|_| seat(&ending, uses)).take_while(|seat| *seat != Seat::Kept).collect();
    assert!(seats.len() < 20, "{seats:?}");
}

#[test]
fn one_whose_session_was_ended_has_one_panic_where_its_drop_may_not_wait() {
    let start = [Step::Startup, Step::Send(frames::greeting(b'I'))];
    let ended = [Step::Expect(b'Q'), Step::Send(fatal()), Step::AwaitGo, Step::Close];
    let server = HostileServer::start(vec![[&start[..], &ended].concat()], Vec::new()).unwrap();
    let mut options = PgOptions::default();
    options.pgbouncer = Some(PgBouncer::Off);
    let manager = PgManager::new(server.url().parse().unwrap(), options).unwrap();
    let mut conn = manager.connect_within(BOUND).unwrap();
    conn.batch_execute("SELECT 1").unwrap_err();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // A second one while that unwinds would end the process.
    runtime.block_on(async { catch_unwind(AssertUnwindSafe(|| drop(conn))).unwrap_err() });
    server.go();
}
