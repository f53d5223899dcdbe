//! pgmq's queues as a feed, on its real functions: `bash .ci/run pgmq` fetches them.
#![cfg(feature = "postgres")]

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use support::batches::{assert_at_rest, cluster, pool, write, written};
use support::cluster::Cluster;
use support::wait::{LONG_BOUND, MS, eventually};
use tierpool::batch::Options;
use tierpool::batch::queue::{self, Claims, Message, Pgmq, Report};
use tierpool::postgres::Session;
use tierpool::{PgError, PgPool};

/// A server with pgmq in it, which the role of the pool may use, and a queue of the numbers below `messages`.
fn with_queue(messages: i64) -> (Cluster, PgPool) {
    let path = std::env::var_os("TIERPOOL_PGMQ_SQL")
        .expect("TIERPOOL_PGMQ_SQL names the file pgmq.sql; `bash .ci/run pgmq` sees to that");
    let functions = std::fs::read_to_string(path).expect("the file that TIERPOOL_PGMQ_SQL names can be read");
    let cluster = cluster();
    // As the role that is to use it.
    let mut client = cluster.client();
    client.batch_execute(&functions.replace("TO pg_monitor", "TO PUBLIC")).unwrap();
    client.batch_execute("SELECT pgmq.create('jobs')").unwrap();
    let send =
        "SELECT pgmq.send('jobs', jsonb_build_object('n', n)) FROM generate_series(0, $1::bigint - 1) AS n";
    client.execute(send, &[&messages]).unwrap();
    let pool = pool(&cluster, |builder| builder);
    (cluster, pool)
}

fn claims() -> Claims {
    Claims::new().until_empty(true).backoff(MS, MS).poll(20 * MS)
}

fn number(message: &Message) -> i64 {
    let json: serde_json::Value = serde_json::from_str(message.json()).unwrap();
    json["n"].as_i64().unwrap()
}

fn work(tx: &mut Session<'_>, message: &Message) -> Result<(), PgError> {
    write(tx, number(message))
}

fn count(cluster: &Cluster, table: &str) -> i64 {
    cluster.client().query_one(&format!("SELECT count(*) FROM pgmq.{table}"), &[]).unwrap().get(0)
}

fn assert_all_once(cluster: &Cluster, messages: i64) {
    assert_eq!(written(cluster), ((0..messages).collect::<BTreeSet<_>>(), messages as usize));
}

#[test]
#[ignore = "needs the functions of pgmq: bash .ci/run pgmq"]
fn each_message_takes_effect_once_and_is_deleted_or_archived() {
    let (cluster, pool) = with_queue(300);
    let feed = Pgmq::open(&pool, "jobs", claims()).unwrap();
    let report = queue::run(&pool, &feed, Options::new().workers(8), work);
    assert_eq!((report.committed, report.claimed), (300, 300), "{report}");
    assert_all_once(&cluster, 300);
    assert_eq!((count(&cluster, "q_jobs"), count(&cluster, "a_jobs")), (0, 0));

    cluster.client().batch_execute(r#"SELECT pgmq.send('jobs', '{"n": 300}')"#).unwrap();
    let feed = Pgmq::open(&pool, "jobs", claims()).unwrap().archive(true);
    assert_eq!(queue::run(&pool, &feed, Options::new(), work).committed, 1);
    assert_eq!((count(&cluster, "q_jobs"), count(&cluster, "a_jobs")), (0, 1));
    assert_all_once(&cluster, 301);
    assert_at_rest(&pool);
}

#[test]
#[ignore = "needs the functions of pgmq: bash .ci/run pgmq"]
fn what_fails_is_tried_again_and_archived_after_its_attempts() {
    let (cluster, pool) = with_queue(3);
    let attempts = AtomicUsize::new(0);
    let feed = Pgmq::open(&pool, "jobs", claims().attempts(2)).unwrap();
    let report = queue::run(&pool, &feed, Options::new(), |tx, message| {
        if number(message) == 1 {
            attempts.fetch_add(1, SeqCst);
            assert_eq!(message.reads() as usize, attempts.load(SeqCst));
            return Err(tx.batch_execute("SELECT 1 / 0").unwrap_err());
        }
        work(tx, message)
    });
    let Report { committed, put_off, dead, .. } = report;
    assert_eq!((committed, put_off, dead, attempts.into_inner()), (2, 1, 1, 2), "{report}");
    assert_eq!((count(&cluster, "q_jobs"), count(&cluster, "a_jobs")), (0, 1));
    assert_eq!(written(&cluster).0, BTreeSet::from([0, 2]));
}

#[test]
#[ignore = "needs the functions of pgmq: bash .ci/run pgmq"]
fn a_message_that_another_has_removed_meanwhile_takes_no_second_effect() {
    let (cluster, pool) = with_queue(1);
    let feed = Pgmq::open(&pool, "jobs", claims()).unwrap();
    let report = queue::run(&pool, &feed, Options::new(), |tx, message| {
        // Whoever had it after the lease of this one.
        let mut other = cluster.client();
        other.execute("INSERT INTO done VALUES ($1)", &[&number(message)])?;
        other.execute("SELECT pgmq.delete('jobs', $1::bigint)", &[&message.id()])?;
        work(tx, message)
    });
    assert_eq!((report.committed, report.settled, report.taken_over), (0, 0, 1), "{report}");
    assert_all_once(&cluster, 1);
}

#[test]
#[ignore = "needs the functions of pgmq: bash .ci/run pgmq"]
fn a_claim_is_renewed_while_its_message_is_worked_on() {
    let (cluster, pool) = with_queue(1);
    let claims = claims().lease(Duration::from_secs(1));
    let feed = Pgmq::open(&pool, "jobs", claims).unwrap();
    let renewed = "SELECT vt > $1::timestamptz + interval '1 second' FROM pgmq.q_jobs";
    let report = queue::run(&pool, &feed, Options::new(), |tx, message| {
        let mut other = cluster.client();
        let until: std::time::SystemTime = other.query_one("SELECT vt FROM pgmq.q_jobs", &[])?.get(0);
        eventually(LONG_BOUND, "it is renewed", || other.query_one(renewed, &[&until]).unwrap().get(0));
        assert_eq!(message.reads(), 1);
        work(tx, message)
    });
    assert_eq!((report.committed, report.claimed), (1, 1), "{report}");
}

#[test]
fn what_cannot_be_opened_is_told() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let refused = |name: &str, claims| Pgmq::open(&pool, name, claims).unwrap_err().to_string();
    let told = refused("jobs", claims());
    assert!(told.contains("there is no pgmq in this database: CREATE EXTENSION pgmq"), "{told}");
    let told = refused("jobs", claims().lease(Duration::ZERO));
    assert!(told.contains("the lease is "), "{told}");
    let lists = "CREATE SCHEMA pgmq; CREATE FUNCTION pgmq.list_queues(OUT queue_name text) RETURNS SETOF text
                 LANGUAGE sql AS $$ SELECT 'other' $$";
    cluster.client().batch_execute(lists).unwrap();
    let told = refused("no\u{1b}such\nqueue", claims());
    assert!(told.contains("pgmq has no queue \"") && !told.contains(['\u{1b}', '\n']), "{told}");
}
