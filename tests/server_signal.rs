//! Finding what runs for long on the server, and ending it.
#![cfg(feature = "postgres")]

mod support;

use std::thread;
use std::time::Duration;

use postgres::{Client, NoTls};
use support::cluster::{Cluster, cluster};
use support::pools::pool_of;
use support::wait::{LONG_BOUND, SLACK, eventually, within};
use tierpool::postgres::{PgError, RunningQuery};
use tierpool::{PgBuilder, PgPool, Tier};

const LIMIT: Duration = Duration::from_millis(500);

/// What is asked of the server.
type Ask = fn(&PgPool) -> Result<(), PgError>;

fn pool(url: &str, change: impl FnOnce(PgBuilder) -> PgBuilder) -> PgPool {
    pool_of(4, "signals", url, |builder| change(builder.reserved(1)))
}

fn admin(cluster: &Cluster, statements: &str) {
    cluster.admin().batch_execute(statements).unwrap();
}

/// A statement that would run for minutes, on a connection of another pool of the same application.
struct Victim {
    pid: i32,
    running: thread::JoinHandle<PgError>,
}

impl Victim {
    fn start(cluster: &Cluster, pool: &PgPool) -> Victim {
        let mut conn = pool.get(Tier::Automation).unwrap();
        let pid = conn.backend_pid().unwrap();
        let running = thread::spawn(move || {
            let error = conn.batch_execute("SELECT pg_sleep(300)").unwrap_err();
            PgError::from(error)
        });
        eventually(LONG_BOUND, "the victim sleeps", || cluster.sleeps(pid));
        Victim { pid, running }
    }

    fn fate(self) -> PgError {
        self.running.join().unwrap()
    }
}

#[test]
fn cancel_ends_the_statement_and_terminate_the_session() {
    let cluster = cluster();
    for url in [cluster.url(), cluster.url_unix()] {
        let (batch, person) = (pool(&url, |builder| builder), pool(&url, |builder| builder));
        let victim = Victim::start(&cluster, &batch);
        assert!(person.cancel(victim.pid).unwrap());
        let error = victim.fate();
        assert_eq!(error.sqlstate(), Some("57014"));
        assert!(!error.is_statement_timeout() && !error.is_connection_lost());

        let victim = Victim::start(&cluster, &batch);
        let pid = victim.pid;
        assert!(person.terminate(pid).unwrap());
        let error = victim.fate();
        assert!(error.is_connection_lost(), "{error}");
        // Over a Unix socket the client passes it on only when it reads it before it notices the hang-up.
        let is_untold = url == cluster.url_unix() && error.sqlstate().is_none();
        assert!(is_untold || error.sqlstate() == Some("57P01"), "{error}");
        assert!(cluster.server_log().contains("terminating connection due to administrator command"));
        eventually(LONG_BOUND, "the process is gone", || !person.terminate(pid).unwrap());
        assert!(!person.cancel(pid).unwrap());
    }
}

#[test]
fn a_session_of_a_list_is_left_alone_once_it_has_gone_on() {
    let cluster = cluster();
    let pool = pool(&cluster.url(), |builder| builder);
    let mut conn = pool.get(Tier::Automation).unwrap();
    let pid = conn.backend_pid().unwrap();
    conn.batch_execute("BEGIN").unwrap();
    let listed = |pool: &PgPool| {
        let queries = pool.long_running_queries(Duration::ZERO).unwrap();
        queries.into_iter().find(|query| query.pid == pid).expect("it is in a transaction")
    };
    let before = listed(&pool);
    conn.batch_execute("SELECT 1").unwrap();
    assert!(!pool.cancel(&before).unwrap() && !pool.terminate(&before).unwrap());
    conn.batch_execute("SELECT 1").expect("it was left alone");
    assert!(pool.terminate(&listed(&pool)).unwrap());
    conn.batch_execute("SELECT 1").unwrap_err();
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let cluster = cluster();
    let pool = pool(&cluster.url(), |builder| builder);
    for pid in [0, -3, i32::MIN] {
        let error = pool.cancel(pid).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot cancel process {pid}: a process id is at least 1"));
    }
    assert!(!pool.terminate(i32::MAX).unwrap(), "no such process");

    let mut stranger =
        Client::connect(&format!("{}?application_name=signals2/adhoc", cluster.url()), NoTls).unwrap();
    let pid: i32 = stranger.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let error = pool.terminate(pid).unwrap_err().to_string();
    let text = "it belongs to the application \"signals2/adhoc\" and not to this one";
    assert_eq!(error, format!("cannot terminate process {pid}: {text}"));
    stranger.batch_execute("SELECT 1").expect("it was left alone");

    let own = pool.get(Tier::Adhoc).unwrap().backend_pid().unwrap();
    let error = pool.terminate(own).unwrap_err().to_string();
    assert_eq!(error, format!("cannot terminate process {own}: it is the session that asks"));
}

#[test]
fn a_lack_of_rights_is_told() {
    let cluster = cluster();
    admin(&cluster, "CREATE ROLE reader LOGIN PASSWORD 'hush-reader'");
    let reader = cluster.url().replace("app:hush-4711-app", "reader:hush-reader");
    let batch = pool(&cluster.url(), |builder| builder);
    let person = pool(&cluster.url(), |builder| builder.adhoc_url(reader));
    let victim = Victim::start(&cluster, &batch);
    let error = person.cancel(victim.pid).unwrap_err();
    let pid = victim.pid;
    let text = error.to_string();
    // What the server says of it differs: from 16 on it has the rest in a detail.
    let what = format!("this role may not cancel process {pid}, which belongs to another role: ");
    let said = text.strip_prefix(&what).unwrap_or_else(|| panic!("{text}"));
    let begins = ["must be a member", "permission denied to cancel query"];
    assert!(begins.iter().any(|begin| said.starts_with(begin)), "{text}");
    assert!(text.ends_with(" (SQLSTATE 42501)"), "{text}");
    assert_eq!(error.sqlstate(), Some("42501"));
    assert!(error.as_postgres().is_some());
    assert!(person.long_running_queries(Duration::ZERO).unwrap().is_empty(), "it may not see them either");
    admin(&cluster, "GRANT pg_signal_backend TO reader");
    assert!(person.cancel(pid).unwrap());
    assert_eq!(victim.fate().sqlstate(), Some("57014"));
}

#[test]
fn long_running_queries_are_listed_oldest_first() {
    let cluster = cluster();
    let pool = pool(&cluster.url(), |builder| builder);
    assert_eq!(pool.long_running_queries(Duration::ZERO).unwrap(), [], "never the one that asks");

    let mut forgotten =
        Client::connect(&format!("{}&application_name=psql", cluster.url_unix()), NoTls).unwrap();
    forgotten.batch_execute("BEGIN; SELECT 'the last one'").unwrap();
    let victim = Victim::start(&cluster, &pool);
    let mut blocked = pool.get(Tier::Automation).unwrap();
    let long = format!("SELECT '{}', pg_sleep(300)", "ü".repeat(1000));
    let blocked_pid = blocked.backend_pid().unwrap();
    let third = thread::spawn(move || blocked.batch_execute(&long).unwrap_err());

    let mut listed: Vec<RunningQuery> = Vec::new();
    eventually(LONG_BOUND, "all three are listed", || {
        listed = pool.long_running_queries(Duration::from_millis(50)).unwrap();
        listed.len() == 3
    });
    let [first, second, third_listed] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((first.tier, &*first.application_name, &*first.client), (None, "psql", "local socket"));
    assert_eq!((&*first.state, first.running_for), ("idle in transaction", None));
    assert_eq!(first.query, "BEGIN; SELECT 'the last one'");
    assert!(first.in_transaction_for >= second.in_transaction_for);
    assert_eq!((second.pid, second.tier), (victim.pid, Some(Tier::Automation)));
    assert_eq!((&*second.application_name, &*second.user), ("signals/automation", "app"));
    assert_eq!((&*second.client, &*second.state), ("127.0.0.1", "active"));
    assert_eq!(second.wait_event.as_deref(), Some("Timeout: PgSleep"));
    assert!(second.running_for >= third_listed.running_for);
    assert_eq!(third_listed.pid, blocked_pid);
    assert_eq!(third_listed.query.chars().count(), 500);
    let line = second.to_string();
    let beginning = format!("pid {} signals/automation app@127.0.0.1 active for ", victim.pid);
    assert!(line.starts_with(&beginning) && line.ends_with(": SELECT pg_sleep(300)"), "{line}");

    assert_eq!(pool.long_running_queries(Duration::from_secs(3600)).unwrap(), []);
    assert_eq!(pool.long_running_queries(Duration::MAX).unwrap(), []);
    for query in listed.iter().filter(|query| query.tier.is_some()) {
        assert!(pool.terminate(query.pid).unwrap());
    }
    assert_eq!(victim.fate().sqlstate(), Some("57P01"));
    third.join().unwrap();
    forgotten.batch_execute("COMMIT").expect("another application's is left alone");
}

#[test]
fn nothing_is_waited_for_beyond_the_limit() {
    let cluster = cluster();
    let asks: [(&str, Ask); 3] = [
        ("activity", |pool| pool.server_activity().map(drop)),
        ("queries", |pool| pool.long_running_queries(Duration::ZERO).map(drop)),
        ("cancel", |pool| pool.cancel(1).map(drop)),
    ];
    for url in [cluster.url(), cluster.url_unix()] {
        for (what, ask) in asks {
            let pool = pool(&url, |builder| builder.inquiry_timeout(LIMIT));
            ask(&pool).unwrap();
            cluster.freeze_all();
            let outcome = within(LIMIT + SLACK, what, || ask(&pool));
            cluster.thaw_all();
            let error = outcome.unwrap_err();
            assert!(error.is_client_timeout() || error.as_checkout().is_some(), "{what}: {error}");
            eventually(LONG_BOUND, what, || ask(&pool).is_ok());
        }
    }
}

#[test]
fn a_lock_that_keeps_the_question_waiting_ends_it_at_the_limit() {
    let cluster = cluster();
    let mut owner = cluster.admin();
    for url in [cluster.superuser_url(), cluster.url_through(cluster.port())] {
        let pool = pool(&url, |builder| builder.inquiry_timeout(LIMIT));
        pool.server_activity().unwrap();
        // A catalog that the statement reads, locked as VACUUM FULL does.
        owner.batch_execute("BEGIN; LOCK TABLE pg_catalog.pg_authid IN ACCESS EXCLUSIVE MODE").unwrap();
        let outcome = within(LIMIT + SLACK, "activity", || pool.server_activity());
        owner.batch_execute("ROLLBACK").unwrap();
        let error = outcome.unwrap_err();
        // A second try finds no connection: the lock keeps a new one from logging in.
        if error.as_checkout().is_none() {
            assert_eq!(error.to_string(), "no answer from the server within 500 ms (inquiry_timeout)");
            assert!(error.is_client_timeout() && !error.is_connection_lost());
        }
        eventually(LONG_BOUND, "it answers again", || pool.server_activity().is_ok());
    }
}

#[test]
fn a_session_that_waits_for_a_lock_is_listed_with_who_blocks_it_and_is_cancelled_at_that_statement() {
    let cluster = cluster();
    let table = "CREATE TABLE kept (id int); INSERT INTO kept VALUES (1)";
    cluster.client().batch_execute(table).unwrap();
    let pool = pool(&cluster.url(), |builder| builder);
    let mut holder = pool.get(Tier::Automation).unwrap();
    holder.tag("keeps a lock");
    holder.batch_execute("BEGIN; UPDATE kept SET id = 2").unwrap();
    let held = pool.automation().holders();
    assert_eq!(held[0].backend_pid, holder.backend_pid().ok());
    let mut waiter = pool.get(Tier::Automation).unwrap();
    let pid = waiter.backend_pid().unwrap();
    let waiting =
        thread::spawn(move || PgError::from(waiter.batch_execute("UPDATE kept SET id = 3").unwrap_err()));
    let listed = || pool.tier_sessions().unwrap().into_iter().find(|session| session.pid == pid);
    eventually(LONG_BOUND, "it waits for the lock", || {
        listed().is_some_and(|session| !session.blocked_by.is_empty())
    });
    let session = listed().unwrap();
    assert_eq!(session.blocked_by, [holder.backend_pid().unwrap()]);
    assert_eq!((session.query.as_str(), session.user.as_str()), ("UPDATE kept SET id = 3", "app"));
    assert!(session.wait_event.as_deref().unwrap().starts_with("Lock: "), "{session:?}");
    assert!(session.running_for.is_some() && session.in_transaction_for.is_some(), "{session:?}");
    let clients = pool.server_clients().unwrap();
    let of_tier = |name: &str| clients.iter().find(|clients| clients.application_name == name).unwrap();
    let (ours, own) = (of_tier("signals/automation"), of_tier("signals/adhoc"));
    assert_eq!((ours.user.as_str(), ours.waiting_for_locks, ours.sessions.open), ("app", 1, 2));
    assert_eq!((ours.sessions.active, ours.sessions.idle_in_transaction), (1, 1));
    assert_eq!((own.sessions.open, own.sessions.idle, own.waiting_for_locks), (1, 1, 0), "the one that asks");

    assert!(pool.cancel(&session).unwrap());
    assert_eq!(waiting.join().unwrap().sqlstate(), Some("57014"));
    holder.batch_execute("ROLLBACK").unwrap();
}
