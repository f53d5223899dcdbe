//! A reply that its borrower has not read to the end, and a `COPY` that it has not ended: the slot is of use to the
//! next one at once, and the server no longer works on it.
#![cfg(feature = "postgres")]

mod support;

use std::io::{Read, Write};
use std::mem::forget;
use std::time::Duration;

use postgres::Client;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::Type;
use support::cluster::{Cluster, cluster};
use support::pools::pool_of;
use support::proxy::{Admission, Proxy};
use support::wait::{LONG_BOUND, SECOND, eventually, measured_within, took};
use support::wire::one;
use tierpool::postgres::{PgConnection, TransactionStatus};
use tierpool::{PgBuilder, PgError, PgPool, Tier};

/// The contract is half a second. A loaded machine needs more for a new backend, now and then, and far less than the
/// five seconds of `validation_timeout`, after which the pool would help itself in any case.
const BOUND: Duration = Duration::from_secs(2);

/// Replies that fill all buffers between the server and its client, and then some. The server makes them as it sends.
const ENDLESS: &str =
    "SELECT repeat('x', 1000) FROM generate_series(1, 10000) a, generate_series(1, 10000) b";
const ENDLESS_COPY: &str =
    "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 10000) a, generate_series(1, 10000) b) TO STDOUT";
/// One that the client can read to its end, but not pass on.
const FEW: &str = "SELECT repeat('x', 1000) FROM generate_series(1, 28)";
/// One that ends a minute after its first rows.
const SLOW: &str = "SELECT CASE WHEN i < 100 THEN repeat('x', 10000) ELSE pg_sleep(60)::text END
    FROM generate_series(1, 100) i";

fn rows(conn: &mut Client, query: &str, leave: impl Fn(postgres::RowIter<'_>)) {
    let none: [i32; 0] = [];
    let mut rows = conn.query_raw(query, none).unwrap();
    assert!(rows.next().unwrap().is_some());
    leave(rows);
}

fn copy_out(conn: &mut Client, leave: impl Fn(postgres::CopyOutReader<'_>)) {
    let mut reader = conn.copy_out(ENDLESS_COPY).unwrap();
    reader.read_exact(&mut [0; 100]).unwrap();
    leave(reader);
}

fn copy_in(conn: &mut Client, leave: impl Fn(postgres::CopyInWriter<'_>)) {
    let mut writer = conn.copy_in("COPY target FROM STDIN").unwrap();
    writer.write_all(b"1\n2\n").unwrap();
    writer.flush().unwrap();
    leave(writer);
}

type Half = (&'static str, fn(&mut PgConnection));

const HALVES: [Half; 10] = [
    ("rows dropped", |conn| rows(conn, ENDLESS, |rows| drop(rows))),
    ("rows forgotten", |conn| rows(conn, ENDLESS, |rows| forget(rows))),
    ("few rows forgotten", |conn| rows(conn, FEW, |rows| forget(rows))),
    ("rows that take a minute", |conn| rows(conn, SLOW, |rows| drop(rows))),
    ("rows dropped in a transaction", |conn| {
        conn.batch_execute("BEGIN; INSERT INTO target VALUES (1)").unwrap();
        rows(conn, ENDLESS, |rows| drop(rows));
    }),
    ("a COPY begun as a text", |conn| {
        conn.batch_execute("COPY target FROM STDIN").unwrap_err();
    }),
    ("a writer forgotten", |conn| copy_in(conn, |writer| forget(writer))),
    ("a writer dropped", |conn| copy_in(conn, |writer| drop(writer))),
    ("a reader dropped", |conn| copy_out(conn, |reader| drop(reader))),
    ("a reader forgotten", |conn| copy_out(conn, |reader| forget(reader))),
];

/// Sessions of the pool, and those of them at work, but for the one that asks.
fn sessions(admin: &mut Client) -> (i64, i64) {
    let row = admin
        .query_one(
            "SELECT count(*), count(*) FILTER (WHERE state <> 'idle') FROM pg_stat_activity
            WHERE application_name LIKE 'half/%'",
            &[],
        )
        .unwrap();
    (row.get(0), row.get(1))
}

fn target(cluster: &Cluster) -> Client {
    cluster.client().batch_execute("CREATE TABLE target (i int)").unwrap();
    cluster.admin()
}

fn check_all(pool: &PgPool, admin: &mut Client, is_tried: impl Fn(&str) -> bool) {
    for (what, half) in HALVES.into_iter().filter(|(what, _)| is_tried(what)) {
        measured_within(BOUND, what, || {
            let mut conn = pool.get(Tier::Automation).unwrap();
            let before = conn.backend_pid().unwrap();
            half(&mut conn);
            let (_, returned) = took(|| drop(conn));
            let (mut conn, waited) = took(|| {
                let mut conn =
                    pool.automation().get_timeout(LONG_BOUND).unwrap_or_else(|e| panic!("{what}: {e:#}"));
                assert_eq!(one::<i32>(&mut conn, "SELECT 1"), 1, "{what}");
                conn
            });
            let kept = conn.backend_pid().unwrap() == before;
            println!(
                "{what}: {returned:?} for the return, then {waited:?} for a connection, {}",
                if kept { "the same" } else { "another" }
            );
            assert!(
                one::<bool>(&mut conn, "SELECT NOT EXISTS (SELECT FROM target)"),
                "{what}: something is left"
            );
            assert!(matches!(conn.transaction_status(), None | Some(TransactionStatus::Idle)), "{what}");
            eventually(LONG_BOUND, "the server is done with it", || sessions(admin) == (1, 0));
            // The return is to wait for nothing, so a tenth of a second counts as all that there is.
            waited.max(BOUND * u32::try_from(returned.as_millis()).unwrap() / 100)
        });
    }
}

#[test]
fn the_next_borrower_does_not_wait_for_what_was_left_unread() {
    let cluster = cluster();
    let mut admin = target(&cluster);
    let pool = pool_of(1, "half", cluster.url(), |builder| builder);
    check_all(&pool, &mut admin, |_| true);
    assert_eq!(pool.automation().stats().suspicions, 0, "none of it says anything against the server");
}

#[test]
fn one_that_is_closed_with_a_reply_left_unread_gives_its_seat_back_at_once() {
    let cluster = cluster();
    let _admin = target(&cluster);
    let pool = pool_of(1, "half", cluster.url(), |builder| builder);
    for (what, half) in HALVES {
        measured_within(BOUND, what, || {
            let mut conn = pool.get(Tier::Automation).unwrap();
            half(&mut conn);
            conn.close();
            took(|| {
                drop(pool.automation().get_timeout(LONG_BOUND).unwrap_or_else(|e| panic!("{what}: {e:#}")))
            })
            .1
        });
        eventually(LONG_BOUND, what, || pool.automation().stats().gauges.zombies == 0);
    }
}

/// Of which answers the client has read all and passed on a part depends on how they come over the wire; of so many
/// lengths it has some each time.
#[test]
fn a_client_that_has_stopped_reading_with_all_of_the_answer_keeps_nobody_waiting() {
    let cluster = cluster();
    let minutes = |builder: PgBuilder| builder.automation(|tier| tier.validation_timeout(10 * LONG_BOUND));
    let pool = pool_of(1, "half", cluster.url(), minutes);
    for length in 14..40 {
        let query = format!("SELECT repeat('x', 1000) FROM generate_series(1, {length})");
        rows(&mut pool.get(Tier::Automation).unwrap(), &query, |rows| forget(rows));
        let mut conn =
            pool.automation().get_timeout(LONG_BOUND).unwrap_or_else(|e| panic!("{length}: {e:#}"));
        assert_eq!(one::<i32>(&mut conn, "SELECT 1"), 1, "{length}");
    }
}

#[test]
fn a_call_behind_a_forgotten_writer_ends_with_the_socket_timeout_and_a_slow_writer_does_not() {
    let cluster = cluster();
    let mut admin = target(&cluster);
    let limit = SECOND;
    let pool = pool_of(1, "half", cluster.url(), |builder| builder);
    let mut conn = pool.get(Tier::Automation).unwrap();
    conn.set_socket_timeout(Some(limit));
    let mut writer = conn.copy_in("COPY target FROM STDIN").unwrap();
    let lines = "1\n".repeat(1000);
    for _ in 0..3 {
        std::thread::sleep(limit + limit / 5);
        writer.write_all(lines.as_bytes()).unwrap();
        writer.flush().unwrap();
    }
    assert_eq!(writer.finish().unwrap(), 3000);
    // These send nothing until their end, and have the client look at its limits meanwhile.
    for rows in [3_i32, 0] {
        let writer = conn.copy_in("COPY target FROM STDIN (FORMAT binary)").unwrap();
        let mut writer = BinaryCopyInWriter::new(writer, &[Type::INT4]);
        for row in 0..rows {
            std::thread::sleep(limit * 2 / 3);
            writer.write(&[&row]).unwrap();
        }
        std::thread::sleep(limit + limit / 5);
        assert_eq!(writer.finish().unwrap(), u64::from(rows.unsigned_abs()));
    }
    copy_in(&mut conn, |writer| forget(writer));
    let (error, time) = took(|| conn.batch_execute("SELECT 1").unwrap_err());
    assert!(conn.is_lost() && time >= limit && time < limit + LONG_BOUND, "{error} after {time:?}");
    let causes = format!("{:#}", PgError::from(error));
    assert!(causes.contains("waited for COPY data for 1 s (socket_timeout)"), "{causes}");
    drop(conn);
    drop(pool.get(Tier::Automation).unwrap());
    eventually(LONG_BOUND, "the server is done with it", || sessions(&mut admin) == (1, 0));
}

/// A server far away, or one whose machine is loaded, takes as long; no more is known of it.
#[test]
fn one_whose_cancel_does_not_arrive_in_time_is_replaced_and_says_nothing_against_others() {
    let cluster = cluster();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let pool = pool_of(1, "half", cluster.url_through(proxy.port()), |builder| builder);
    let mut conn = pool.get(Tier::Automation).unwrap();
    let pid = conn.backend_pid().unwrap();
    rows(&mut conn, ENDLESS, |rows| drop(rows));
    let accepted = proxy.accepted();
    proxy.admit(Admission::Swallow);
    drop(conn);
    eventually(LONG_BOUND, "the request is under way", || proxy.accepted() > accepted);
    proxy.admit(Admission::Pass);
    let mut conn = pool.automation().get_timeout(LONG_BOUND).unwrap();
    assert_ne!(conn.backend_pid().unwrap(), pid);
    assert_eq!(pool.automation().stats().suspicions, 0);
}

/// But for what leaves the client waiting for itself: only reading along would tell.
#[test]
fn the_same_over_a_unix_socket() {
    let cluster = cluster();
    let mut admin = target(&cluster);
    let pool = pool_of(1, "half", cluster.url_unix(), |builder| builder);
    check_all(&pool, &mut admin, |what| !what.ends_with("forgotten") && !what.starts_with("a COPY"));
}
