//! What a program that was written for r2d2 may count on after its move, with no setting changed.

mod support;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use support::logged;
use support::scripted::{Call, Gate, ScriptedError, ScriptedManager, Step};
use support::wait::{BOUND, LONG_BOUND, MS, SECOND, eventually, took};
use tierpool::{MemoryManager, Pool, PooledConnection, TieredPool};

fn refused() -> Step {
    Step::err(ScriptedError::transient("connection refused"))
}

/// Has a server of scripts refuse everybody for a time.
fn away_for(manager: &ScriptedManager, time: Duration) {
    manager.kill_all();
    manager.always(Call::Connect, refused());
    let manager = manager.clone();
    thread::spawn(move || {
        thread::sleep(time);
        manager.always(Call::Connect, Step::ok());
    });
}

/// Four workers that take connections again and again; returns the failed checkouts.
fn failures<M: tierpool::ManageConnection>(
    pool: &Pool<M>,
    time: Duration,
    work: impl Fn(&mut M::Connection) + Sync,
) -> Vec<String> {
    let end = Instant::now() + time;
    let worker = || {
        let mut failed = Vec::new();
        while Instant::now() < end {
            match pool.get() {
                Ok(mut conn) => work(&mut conn),
                Err(error) => failed.push(error.to_string()),
            }
            thread::sleep(5 * MS);
        }
        failed
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

#[test]
fn a_dispatcher_that_passes_guards_to_threads_is_served_though_they_touch_them_late() {
    let pool = Pool::builder().max_size(2).build(MemoryManager).unwrap();
    let workers: Vec<_> = (0..6)
        .map(|_| {
            let mut conn = pool.get().expect("a worker gives one back");
            thread::spawn(move || {
                thread::sleep(400 * MS);
                *conn += 1;
            })
        })
        .collect();
    let done = workers.into_iter().filter_map(|worker| worker.join().ok()).count();
    assert_eq!(done, 6);
}

#[test]
fn a_dispatcher_that_passes_guards_through_a_channel_is_served_too() {
    let pool = Pool::builder().max_size(2).build(MemoryManager).unwrap();
    let (sender, receiver) = mpsc::channel::<PooledConnection<MemoryManager>>();
    let worker = thread::spawn(move || {
        let mut done = 0;
        for mut conn in receiver {
            thread::sleep(250 * MS);
            *conn += 1;
            done += 1;
        }
        done
    });
    for _ in 0..6 {
        sender.send(pool.get().expect("the worker gives one back")).unwrap();
    }
    drop(sender);
    assert_eq!(worker.join().unwrap(), 6);
}

#[test]
fn an_outage_shorter_than_the_deadline_costs_no_checkout() {
    let manager = ScriptedManager::new();
    let pool = Pool::builder().max_size(4).build(manager.clone()).unwrap();
    away_for(&manager, 4 * SECOND);
    let failed = failures(&pool, 8 * SECOND, |conn| drop(conn.work()));
    assert_eq!(failed, Vec::<String>::new());
}

#[test]
fn a_pool_is_built_while_its_server_is_still_starting() {
    logged::capture(log::LevelFilter::Info);
    let manager = ScriptedManager::new();
    away_for(&manager, 4 * SECOND);
    let builder = Pool::builder().name("early").max_size(2).connection_timeout(LONG_BOUND);
    let (pool, time) = took(|| builder.build(manager.clone()));
    let pool = pool.unwrap_or_else(|error| panic!("after {time:?}: {error}"));
    assert_eq!(pool.gauges().idle, 2);
    let told = logged::lines("early", log::Level::Warn, "still waiting for connections to be opened");
    assert!((1..=3).contains(&told.len()), "{told:?}");
    assert!(told[0].contains("connection refused"), "{told:?}");
}

#[test]
fn an_opening_that_takes_longer_than_its_callers_wait_serves_those_who_come_later() {
    let manager = ScriptedManager::new();
    manager.always(Call::Connect, Step::ok().after(3 * SECOND));
    let builder = Pool::builder().max_size(1).connection_timeout(SECOND);
    let pool = builder.build_unchecked(manager.clone());
    let start = Instant::now();
    let served = (0..8).find_map(|_| pool.get().ok());
    assert!(served.is_some(), "nobody was served within {:?}", start.elapsed());
    assert!(start.elapsed() < 4 * SECOND, "{:?}", start.elapsed());
    assert_eq!(manager.calls(Call::Connect), 1, "what was opened is kept");
}

#[test]
fn an_error_names_the_limit_that_ran_out_and_who_set_it() {
    let manager = ScriptedManager::new();
    let gate = Gate::new();
    manager.always(Call::Connect, Step::ok().behind(&gate));
    let builder = Pool::builder().max_size(1).connection_timeout(300 * MS).connect_timeout(Some(SECOND));
    let pool = builder.build_unchecked(manager);
    let of_pool = pool.get().unwrap_err().to_string();
    assert!(of_pool.contains("within its connection_timeout of 300 ms"), "{of_pool}");
    let of_caller = pool.get_timeout(100 * MS).unwrap_err().to_string();
    assert!(of_caller.contains("within its caller's limit of 100 ms"), "{of_caller}");
    // A second more than its limit, and it is given up.
    eventually(BOUND, "the opening is given up", || pool.stats().open_failures.transient == 1);
    let of_opening = pool.get().unwrap_err().to_string();
    assert!(of_opening.contains("no answer within 1 s (connect_timeout)"), "{of_opening}");
    gate.open();
}

#[test]
fn a_build_has_a_limit_of_its_own_where_it_is_given_one() {
    let manager = ScriptedManager::new();
    away_for(&manager, SECOND);
    let impatient = || Pool::builder().max_size(1).connection_timeout(100 * MS);
    assert!(impatient().build(manager.clone()).is_err());
    let pool = impatient().build_within(manager, LONG_BOUND).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(pool.connection_timeout(), 100 * MS);

    let manager = ScriptedManager::new();
    away_for(&manager, SECOND);
    let tiers = TieredPool::builder().automation(|tier| tier.connection_timeout(100 * MS).min_size(1));
    let tiers = tiers.adhoc(|tier| tier.connection_timeout(100 * MS).min_idle(Some(1)));
    let pool = tiers.build_within(|_| manager.clone(), LONG_BOUND).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((pool.automation().gauges().idle, pool.adhoc().gauges().idle), (1, 1));

    manager.always(Call::Connect, refused());
    let limit = 300 * MS;
    let tiers = TieredPool::builder().adhoc(|tier| tier.min_idle(Some(1)));
    let (built, time) = took(|| tiers.build_within(|_| manager.clone(), limit).map(|_| ()));
    assert!(built.is_err() && time >= limit && time < limit + SECOND, "{time:?}");
}

#[test]
fn all_of_r2d2s_choices_are_one_call() {
    let manager = ScriptedManager::new();
    let pool = Pool::builder().like_r2d2().max_size(2).build(manager.clone()).unwrap();
    for validated in 1..=3 {
        drop(pool.get().unwrap());
        assert_eq!(manager.calls(Call::IsValid), validated);
    }
    let settings = pool.settings();
    assert_eq!((settings.failure_threshold, settings.deadlock_detection), (0, false));
    assert_eq!((settings.keepalive, settings.lifetime_jitter), (None, 0.0));
    assert_eq!(pool.max_lifetime(), Some(1800 * SECOND));
    assert_eq!((pool.idle_timeout(), pool.connection_timeout()), (Some(600 * SECOND), 30 * SECOND));
    assert_eq!((pool.max_size(), pool.min_idle(), pool.test_on_check_out()), (2, None, true));
}

#[cfg(feature = "postgres")]
mod postgres {
    use r2d2_postgres::PostgresConnectionManager;
    use r2d2_postgres::postgres::NoTls;
    use tierpool::PgPool;

    use super::*;
    use crate::support::cluster::cluster;
    use crate::support::proxy::Proxy;

    #[test]
    fn an_outage_of_a_server_costs_a_program_with_r2d2_postgres_no_checkout() {
        let cluster = cluster();
        let manager = PostgresConnectionManager::new(cluster.url().parse().unwrap(), NoTls);
        let pool = Pool::builder().max_size(4).build(manager).unwrap();
        let failed = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(SECOND);
                cluster.stop_fast();
                thread::sleep(4 * SECOND);
                cluster.start();
            });
            failures(&pool, 9 * SECOND, |conn| drop(conn.simple_query("SELECT 1")))
        });
        assert_eq!(failed, Vec::<String>::new());
    }

    #[test]
    fn a_pg_pool_is_built_while_its_server_is_still_starting() {
        let cluster = cluster();
        cluster.stop_fast();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(2 * SECOND);
                cluster.start();
            });
            let built = PgPool::builder().url(cluster.url()).connection_timeout(LONG_BOUND).build();
            assert!(built.is_ok(), "{:#}", built.unwrap_err());
        });
    }

    #[test]
    fn a_pg_pool_is_built_within_a_limit_of_its_own_and_fails_at_once_for_a_wrong_database() {
        let cluster = cluster();
        let builder = || PgPool::builder().connection_timeout(100 * MS);
        cluster.stop_fast();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(SECOND);
                cluster.start();
            });
            let pool = builder().url(cluster.url()).build_within(LONG_BOUND);
            assert!(pool.is_ok(), "{:#}", pool.unwrap_err());
        });
        let nowhere = cluster.url().rsplit_once('/').map(|(server, _)| format!("{server}/nowhere")).unwrap();
        let (error, time) = took(|| builder().url(nowhere).build_within(LONG_BOUND).unwrap_err());
        assert!(error.is_connect_failed() && time < LONG_BOUND / 2, "{error} after {time:?}");
    }

    #[test]
    fn a_server_that_takes_its_time_to_open_serves_callers_that_do_not() {
        let cluster = cluster();
        let proxy = Proxy::start(cluster.port()).unwrap();
        proxy.delay(300 * MS);
        let builder = PgPool::builder().url(cluster.url_through(proxy.port())).base_size(1).max_overflow(0);
        let builder = builder.connection_timeout(SECOND).connect_timeout(BOUND);
        let pool = builder.build_unchecked().unwrap();
        let mut failed = 0;
        let served = (0..10).find_map(|_| pool.automation().get().inspect_err(|_| failed += 1).ok());
        assert!(served.is_some() && failed > 0, "{failed} failed, and served: {}", served.is_some());
        assert_eq!(pool.automation().stats().opened, 1, "what was opened is kept");
    }
}

#[test]
fn the_error_handler_of_r2d2s_choices_logs_each_error_and_forges_no_line() {
    logged::capture(log::LevelFilter::Info);
    let manager = ScriptedManager::new();
    manager.always(Call::Connect, Step::err(ScriptedError::transient("refused\nERROR forged")));
    let pool = Pool::builder().like_r2d2().max_size(1).connection_timeout(50 * MS);
    pool.build(manager).unwrap_err();
    let told = || logged::at("r2d2").into_iter().any(|(_, line)| line == r"refused\nERROR forged");
    eventually(BOUND, "it is logged", told);
    assert!(!logged::anywhere("refused\nERROR forged"), "as the manager wrote it");
}
