//! What a program that was written for r2d2 may count on after its move, with no setting changed.

mod support;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use support::logged;
use support::scripted::{Call, ScriptedError, ScriptedManager, Step};
use support::wait::{LONG_BOUND, MS, SECOND, took};
use tierpool::{MemoryManager, Pool, PooledConnection};

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

#[cfg(feature = "postgres")]
mod postgres {
    use r2d2_postgres::PostgresConnectionManager;
    use r2d2_postgres::postgres::NoTls;
    use tierpool::PgPool;

    use super::*;
    use crate::support::cluster::cluster;

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
}
