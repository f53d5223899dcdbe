//! Behind a PgBouncer in session and in transaction mode: no client's settings reach another, limits hold, and outages
//! pass.
#![cfg(feature = "postgres")]

mod support;

use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

use postgres::{Client, SimpleQueryMessage};
use support::bouncer::{Bouncer, TRACKS_STATEMENTS};
use support::cluster::{Cluster, cluster};
use support::wait::{LONG_BOUND, eventually};
use support::wire::one;
use tierpool::config::{PgBouncer, PrePing};
use tierpool::postgres::{PgManager, ResetPolicy, Session, SessionOptions};
use tierpool::{Builder, PgBuilder, PgError, PgPool, Tier};

/// Everything about a session that a client may have changed, and who serves it. Statements that PgBouncer prepared in
/// its own name are nobody's.
const STATE: &str =
    "SELECT concat_ws('|', current_setting('statement_timeout'), current_setting('lock_timeout'),
    current_setting('search_path'), current_setting('work_mem'), current_setting('client_encoding'),
    (SELECT count(*) FROM pg_prepared_statements WHERE name NOT LIKE 'PGBOUNCER%'),
    (SELECT count(*) FROM pg_listening_channels()),
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
    to_regclass('pg_temp.scratch')), pg_backend_pid()";

const UNTOUCHED: &str = "0|0|\"$user\", public|4MB|UTF8|0|0|0";

/// What a borrower does to a session.
const CHANGES: &str = "SET statement_timeout = 77; SET lock_timeout = 88; SET search_path = nowhere;
    SET work_mem = '1MB'; SET client_encoding = 'LATIN1'; LISTEN news; SELECT pg_advisory_lock(7);
    CREATE TEMP TABLE scratch (i int)";

/// A PgBouncer with one connection to the server, so that all its clients share that.
fn narrow(cluster: &Cluster, mode: &str) -> Bouncer {
    Bouncer::over(cluster, mode).setting("default_pool_size", "1").start()
}

/// A pool of one connection.
fn pool(bouncer: &Bouncer, mode: PgBouncer, change: impl FnOnce(PgBuilder) -> PgBuilder) -> PgPool {
    let builder = PgPool::builder()
        .url(bouncer.url())
        .app_name("borrower")
        .pgbouncer(mode)
        .statement_timeout(Duration::from_secs(9))
        .connection_timeout(LONG_BOUND)
        .base_size(1)
        .max_overflow(0)
        .adhoc(|tier| tier.min_idle(Some(0)));
    change(builder).build().unwrap_or_else(|error| panic!("{error:#}\n{}", bouncer.log()))
}

/// The state, and the process that told it, without a prepared statement.
fn state(client: &mut Client) -> (String, i32) {
    let row = &client.query_typed(STATE, &[]).unwrap()[0];
    (row.get(0), row.get(1))
}

fn timeout_of(tx: &mut Session<'_>) -> Result<String, PgError> {
    Ok(tx.query_one("SHOW statement_timeout", &[])?.get(0))
}

#[test]
fn in_session_mode_what_a_borrower_sets_ends_with_the_client() {
    let cluster = cluster();
    let bouncer = narrow(&cluster, "session");
    for policy in [ResetPolicy::Full, ResetPolicy::Rollback] {
        let pool = pool(&bouncer, PgBouncer::Session, |builder| builder.reset_policy(policy.clone()));
        let mut conn = pool.get(Tier::Automation).unwrap();
        let (before, server) = state(&mut conn);
        assert_eq!(before, UNTOUCHED.replacen('0', "9s", 1));
        conn.batch_execute(CHANGES).unwrap();
        drop(conn);

        let mut conn = pool.get(Tier::Automation).unwrap();
        let (next, same) = state(&mut conn);
        assert_eq!(same, server);
        match policy {
            ResetPolicy::Full => {
                assert_eq!(next, before);
                assert_eq!(one::<String>(&mut conn, "SHOW application_name"), "borrower/automation");
                conn.batch_execute(CHANGES).unwrap();
            }
            // Within one pool the rest of what a borrower leaves reaches the next, as without a pooler.
            _ => assert_eq!(next, before.replace("|0|0|0", "|0|0|1|scratch")),
        }
        drop(conn);
        pool.close(LONG_BOUND);

        // With the pool its clients have gone, and PgBouncer has reset the one connection to the server.
        let (others, same) = state(&mut bouncer.client());
        assert_eq!((others.as_str(), same), (UNTOUCHED, server), "{policy:?}");
    }
}

#[test]
fn in_transaction_mode_clients_that_take_turns_on_a_server_see_nothing_of_each_other() {
    let cluster = cluster();
    let bouncer = narrow(&cluster, "transaction");
    let [first, second] = [11, 22].map(|seconds| {
        let limit = Duration::from_secs(seconds);
        pool(&bouncer, PgBouncer::Transaction, |builder| builder.statement_timeout(limit))
    });
    let mut plain = bouncer.client();
    let (before, server) = state(&mut plain);
    assert_eq!(before, UNTOUCHED);
    for turn in 1..=5 {
        assert_eq!(first.session(timeout_of).unwrap(), "11s");
        assert_eq!(state(&mut plain), (before.clone(), server));
        let own = SessionOptions::new()
            .statement_timeout(Duration::from_secs(100 + turn))
            .lock_timeout(Duration::from_secs(3));
        let within = second.session_with(Tier::Automation, &own, timeout_of).unwrap();
        assert_eq!(Duration::from_secs(100 + turn), parse(&within), "{within}");
        assert_eq!(state(&mut plain), (before.clone(), server));
        assert_eq!(second.session(timeout_of).unwrap(), "22s");
        // Panics and errors end a session like any other.
        let failed = first.session(|tx| tx.batch_execute("SELECT 1/0")).unwrap_err();
        assert_eq!(failed.sqlstate(), Some("22012"));
        let mut left = second.get(Tier::Automation).unwrap();
        left.batch_execute("BEGIN; SET LOCAL work_mem = '1MB'").unwrap();
        drop(left);
        assert_eq!(state(&mut plain), (before.clone(), server));
    }
}

/// The text of a setting in seconds or minutes.
fn parse(text: &str) -> Duration {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    let number: u64 = digits.parse().unwrap();
    Duration::from_secs(if text.ends_with("min") { number * 60 } else { number })
}

#[test]
fn in_transaction_mode_threads_of_two_pools_keep_their_own_limits() {
    let cluster = cluster();
    let bouncer = Bouncer::over(&cluster, "transaction").setting("default_pool_size", "2").start();
    let [first, second] = [11, 22].map(|seconds| {
        pool(&bouncer, PgBouncer::Transaction, |builder| {
            builder.statement_timeout(Duration::from_secs(seconds)).base_size(3)
        })
    });
    first.session(|tx| tx.batch_execute("CREATE TABLE done (worker int, turn int)")).unwrap();
    thread::scope(|scope| {
        for (worker, pool, usual) in
            [(1, &first, "11s"), (2, &first, "11s"), (3, &second, "22s"), (4, &second, "22s")]
        {
            scope.spawn(move || {
                for turn in 0..25 {
                    let options = SessionOptions::new();
                    let own = Duration::from_secs(30 + u64::from(turn % 10 == 0));
                    let options = if turn % 2 == 0 { options.statement_timeout(own) } else { options };
                    let limit = pool.session_with(Tier::Automation, &options, |tx| {
                        // Prepared, with parameters, and on one server from BEGIN to COMMIT.
                        tx.execute("INSERT INTO done VALUES ($1, $2)", &[&worker, &turn])?;
                        timeout_of(tx)
                    });
                    let expected = if turn % 2 == 0 { own } else { parse(usual) };
                    assert_eq!(parse(&limit.unwrap()), expected);
                }
            });
        }
        let mut plain = bouncer.client();
        for _ in 0..50 {
            assert_eq!(state(&mut plain).0, UNTOUCHED);
        }
    });
    let done = first.session(|tx| Ok::<i64, PgError>(tx.query_one("SELECT count(*) FROM done", &[])?.get(0)));
    assert_eq!(done.unwrap(), 100);
}

#[test]
fn the_statement_timeout_ends_a_statement_and_keeps_the_connection() {
    let cluster = cluster();
    for (name, mode) in [("session", PgBouncer::Session), ("transaction", PgBouncer::Transaction)] {
        let bouncer = narrow(&cluster, name);
        let pool = pool(&bouncer, mode, |builder| builder.statement_timeout(Duration::from_millis(100)));
        let error = pool.session(|tx| tx.batch_execute("SELECT pg_sleep(60)")).unwrap_err();
        assert!(error.is_statement_timeout() && error.sqlstate() == Some("57014"), "{name}: {error:?}");
        if mode == PgBouncer::Session {
            let error = pool.get(Tier::Automation).unwrap().batch_execute("SELECT pg_sleep(60)").unwrap_err();
            assert!(PgError::from(error).is_statement_timeout());
        }
        pool.session(|tx| tx.batch_execute("SELECT 1")).unwrap();
        assert_eq!(pool.automation().stats().opened, 1, "{name}");
    }
}

#[test]
fn a_statement_given_up_behind_the_end_of_another_is_answered_to_no_other_client() {
    let cluster = cluster();
    for (name, mode) in [("session", PgBouncer::Session), ("transaction", PgBouncer::Transaction)] {
        for by_limit in [true, false] {
            let bouncer = narrow(&cluster, name);
            // None is opened in its place, which might be given its answer.
            let pool = pool(&bouncer, mode, |builder| builder.automation(|tier| tier.min_idle(Some(0))));
            let mut conn = pool.get(Tier::Automation).unwrap();
            let pid: i32 = one(&mut conn, "SELECT pg_backend_pid()");
            // The end of this one is sent together with what comes next.
            conn.query("SELECT 1", &[]).unwrap();
            if by_limit {
                conn.set_socket_timeout(Some(Duration::from_secs(1)));
            }
            let abandon = conn.abandon_handle();
            thread::scope(|scope| {
                scope.spawn(|| {
                    eventually(LONG_BOUND, "the statement runs", || runs(&cluster, pid));
                    assert!(by_limit || abandon.abandon());
                });
                conn.batch_execute("SELECT pg_sleep(20), 'theirs'").unwrap_err();
            });
            drop(conn);
            let rows = bouncer.client().simple_query("SELECT 'mine'").unwrap();
            let row = rows.iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            });
            assert_eq!(row, Some("mine"), "{name}, {by_limit}: {rows:?}");
        }
    }
}

#[test]
fn a_copy_left_half_read_outside_of_a_session_reaches_no_other_client() {
    let cluster = cluster();
    let bouncer = narrow(&cluster, "transaction");
    let pool =
        pool(&bouncer, PgBouncer::Transaction, |builder| builder.automation(|tier| tier.min_idle(Some(0))));
    for turn in 0..5 {
        let mut conn = pool.get(Tier::Automation).unwrap();
        let mut theirs =
            conn.copy_out("COPY (SELECT 'theirs' FROM generate_series(1, 3000000)) TO STDOUT").unwrap();
        let mut some = [0; 6];
        theirs.read_exact(&mut some).unwrap();
        assert_eq!(&some, b"theirs");
        drop(theirs);
        drop(conn);
        let mut other = bouncer.client();
        for _ in 0..20 {
            let rows = other.simple_query("SELECT 'mine'").unwrap();
            let texts = rows.iter().filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            });
            assert_eq!(texts.collect::<Vec<_>>(), ["mine"], "turn {turn}: {rows:?}");
        }
    }
}

/// Whether this server is at a statement that sleeps.
fn runs(cluster: &Cluster, pid: i32) -> bool {
    let text = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'";
    cluster.admin().query_opt(text, &[&pid]).unwrap().is_some()
}

#[test]
fn the_pool_recovers_from_restarts_of_the_pooler_and_of_the_server_behind_it() {
    let cluster = cluster();
    for (name, mode) in [("session", PgBouncer::Session), ("transaction", PgBouncer::Transaction)] {
        let bouncer = Bouncer::over(&cluster, name).start();
        let pool = pool(&bouncer, mode, |builder| builder.base_size(3).max_overflow(1));
        let works = || pool.session(|tx| tx.batch_execute("SELECT 1")).is_ok();
        let all_work = |what: &str| {
            eventually(LONG_BOUND, &format!("{what}, {name} mode"), || (0..8).all(|_| works()));
            assert_eq!(pool.session(timeout_of).unwrap(), "9s", "{what}, {name} mode");
        };
        all_work("before");
        bouncer.restart();
        all_work("after a restart of the pooler");
        bouncer.kill();
        assert!(!works());
        bouncer.start();
        all_work("after a crash of the pooler");
        cluster.restart_fast();
        all_work("after a restart of the server");
        bouncer.freeze();
        let begun = Instant::now();
        let checkout = pool.automation().get_timeout(Duration::from_millis(200));
        drop(checkout);
        assert!(begun.elapsed() < LONG_BOUND, "a checkout ends while the pooler is frozen");
        bouncer.thaw();
        all_work("after a freeze of the pooler");
    }
}

#[test]
fn in_session_mode_a_restart_of_the_server_costs_no_tier_a_statement_but_those_under_way() {
    let cluster = cluster();
    for pre_ping in [None, Some(PrePing::Never)] {
        let bouncer = Bouncer::over(&cluster, "session").start();
        let set = move |tier: Builder<PgManager>| match pre_ping {
            Some(pre_ping) => tier.pre_ping(pre_ping),
            None => tier,
        };
        let pool =
            pool(&bouncer, PgBouncer::Session, |builder| builder.base_size(2).automation(set).adhoc(set));
        let mut under_way = pool.get(Tier::Automation).unwrap();
        // Two that rest, one in each tier.
        for tier in [Tier::Automation, Tier::Adhoc] {
            drop(pool.get(tier).unwrap());
        }
        cluster.restart_fast();
        let lost = under_way.batch_execute("SELECT 1").unwrap_err();
        assert!(lost.is_closed() || lost.code().is_some(), "{lost:?}");
        drop(under_way);
        for tier in [Tier::Automation, Tier::Adhoc] {
            let mut lent = pool.get(tier).unwrap();
            lent.batch_execute("SELECT 1").unwrap_or_else(|error| panic!("{tier}, {pre_ping:?}: {error:?}"));
        }
    }
}

#[test]
fn a_statement_that_another_server_does_not_know_costs_the_connection_and_no_more() {
    let cluster = cluster();
    let builder = Bouncer::over(&cluster, "transaction").setting("default_pool_size", "2");
    let bouncer = builder.forgets_statements().start();
    let pool = pool(&bouncer, PgBouncer::Transaction, |builder| builder);
    pool.session(|tx| {
        tx.batch_execute("CREATE TYPE mood AS ENUM ('good'); CREATE TYPE size AS ENUM ('large')")
    })
    .unwrap();
    let look_up = |name: &str| {
        pool.session(|tx| {
            Ok::<_, PgError>(
                tx.query_one(&format!("SELECT 'x' IS NULL, enum_first(NULL::{name})"), &[])?.len(),
            )
        })
    };
    assert_eq!(look_up("mood").unwrap(), 2);
    // Two other clients in transactions: the first takes the server that knows the statements of the look-up.
    let mut holder = bouncer.client();
    holder.batch_execute("BEGIN").unwrap();
    let error = look_up("size").unwrap_err();
    assert_eq!(error.sqlstate(), Some("26000"), "{error:?}");
    assert_eq!(look_up("size").unwrap(), 2, "the next connection starts afresh");
    holder.batch_execute("COMMIT").unwrap();
    // As text no look-up is needed.
    let text =
        pool.session(|tx| Ok::<String, PgError>(tx.query_one("SELECT 'good'::mood::text", &[])?.get(0)));
    assert_eq!(text.unwrap(), "good");
}

#[test]
fn a_statement_is_known_on_each_server_to_a_pooler_that_keeps_track() {
    let cluster = cluster();
    let builder = Bouncer::over(&cluster, "transaction").setting("default_pool_size", "2");
    let bouncer = builder.tracks_statements().start();
    let pool = pool(&bouncer, PgBouncer::Transaction, |builder| builder);
    let mut conn = pool.get(Tier::Automation).unwrap();
    let statement = conn.prepare("SELECT pg_backend_pid()").unwrap();
    let first: i32 = conn.query_one(&statement, &[]).unwrap().get(0);
    // Another client takes the server that knows the statement.
    let mut holder = bouncer.client();
    holder.batch_execute("BEGIN").unwrap();
    match conn.query_one(&statement, &[]) {
        Ok(row) => assert_ne!(row.get::<_, i32>(0), first, "served by the other connection to the server"),
        Err(error) => {
            assert!(bouncer.version() < TRACKS_STATEMENTS, "{error:?}");
            assert_eq!(error.code().map(|code| code.code()), Some("26000"), "{error:?}");
        }
    }
}
