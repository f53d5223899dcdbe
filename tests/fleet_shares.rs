//! Programs of one fleet on a real server: who has what, who gives it up, and what an operator is told.
#![cfg(feature = "postgres")]

mod fleets;
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fleets::{SLOTS, builder, member, seen};
use log::{Level, LevelFilter};
use support::cluster::cluster;
use support::logged;
use support::pools::built;
use support::wait::{BOUND, LONG_BOUND, MS, eventually};
use tierpool::postgres::PgConnection;
use tierpool::{PgPool, PooledConnection, Tier};

type Conn = PooledConnection<tierpool::postgres::PgManager>;

/// Takes so many connections.
fn take(pool: &PgPool, count: i64) -> Vec<Conn> {
    (0..count).map(|_| pool.get(Tier::Automation).unwrap()).collect()
}

/// The connections that a pool has, by its own count.
fn has(pool: &PgPool) -> u32 {
    let gauges = pool.automation().gauges();
    gauges.idle + gauges.in_use
}

/// Keeps callers at work on a pool, more than there are slots, until it is dropped.
struct Busy(std::sync::Arc<AtomicBool>, Vec<thread::JoinHandle<()>>);

impl Busy {
    fn on(pool: &PgPool) -> Busy {
        let is_over = std::sync::Arc::new(AtomicBool::new(false));
        let callers = (0..SLOTS + 2).map(|_| {
            let (pool, is_over) = (pool.clone(), std::sync::Arc::clone(&is_over));
            thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    if let Ok(mut conn) = pool.get(Tier::Automation) {
                        let conn: &mut PgConnection = &mut conn;
                        let _ = conn.batch_execute("SELECT pg_sleep(0.05)");
                    }
                }
            })
        });
        let callers = callers.collect();
        Busy(is_over, callers)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        for caller in self.1.drain(..) {
            let _ = caller.join();
        }
    }
}

#[test]
fn a_program_that_is_alone_has_all_slots_and_gives_up_idle_ones_to_one_that_comes() {
    let cluster = cluster();
    let mut client = cluster.client();
    let first = member(&cluster, "one");
    drop(take(&first, SLOTS));
    assert_eq!((i64::from(has(&first)), seen(&mut client).slots), (SLOTS, SLOTS));
    // All are idle. It finds a slot by asking, and its share by wanting.
    let second = member(&cluster, "two");
    let _busy = Busy::on(&second);
    eventually(LONG_BOUND, "its share for the one that came", || {
        let seen = seen(&mut client);
        assert!(seen.slots <= SLOTS && seen.slots == seen.holders, "{seen:?}");
        i64::from(has(&second)) >= SLOTS / 2
    });
    eventually(BOUND, "two members counted", || first.fleet_status().unwrap().members == 2);
}

#[test]
fn status_box_and_metrics_tell_of_the_fleet_and_of_none_without_one() {
    let cluster = cluster();
    let pool = member(&cluster, "one");
    let _held = take(&pool, 3);
    let line = "Shared in fleet news: 3 of 8 slots taken by 1 program, 3 here (share 8)";
    let shown = || pool.get_database_stats().plain().to_string();
    eventually(BOUND, "what the fleet is", || shown().contains(line));
    let without = built(PgPool::builder().url(cluster.url()));
    assert!(!without.get_database_stats().to_string().contains("fleet"));
    #[cfg(feature = "prometheus")]
    {
        let told = |pool: &PgPool| tierpool::metrics::Collector::new().with(&**pool).text();
        let of = |name: &str, more: &str| {
            format!("db_pool_fleet_{name}{{pool=\"tierpool\",tier=\"automation\"{more}}} ")
        };
        let text = told(&pool);
        for (series, value) in [
            (of("slots", ",state=\"held\""), 3),
            (of("slots", ",state=\"free\""), 5),
            (of("members", ""), 1),
            (of("wanting", ""), 0),
            (of("share", ""), 8),
        ] {
            assert!(text.contains(&format!("{series}{value}\n")), "{series}{value} is not in {text}");
        }
        assert!(!told(&without).contains("db_pool_fleet"));
    }
}

#[test]
fn busy_programs_have_the_same_share_and_one_of_greater_weight_has_more() {
    let cluster = cluster();
    let [light, heavy] = [("one", 1), ("two", 3)]
        .map(|(name, weight)| built(builder(&cluster.url(), name).fleet_weight(weight)));
    let busy = [Busy::on(&light), Busy::on(&heavy)];
    let of = |pool: &PgPool| pool.fleet_status().unwrap();
    eventually(LONG_BOUND, "2 and 6 of 8 slots", || {
        (of(&light).share, of(&heavy).share) == (2, 6) && has(&light) <= 2 && has(&heavy) >= 5
    });
    drop(busy);
    // Both have their share, and nobody wants: what is idle is anybody's again.
    drop(heavy);
    let _busy = Busy::on(&light);
    eventually(LONG_BOUND, "all slots for the one that is left", || i64::from(has(&light)) == SLOTS);
}

#[test]
fn what_is_lent_is_given_up_when_it_comes_back() {
    let cluster = cluster();
    let first = member(&cluster, "one");
    let mut held = take(&first, SLOTS);
    let second = thread::spawn({
        let url = cluster.url();
        move || built(builder(&url, "two"))
    });
    let mut client = cluster.client();
    eventually(LONG_BOUND, "an asker", || seen(&mut client).members == 2);
    // One comes back, by which it sees that somebody asks.
    held.pop();
    let second = second.join().unwrap();
    assert!(second.get(Tier::Automation).is_ok() && held.len() == 7);
    drop(held);
}

#[test]
fn the_mark_of_one_that_wants_wears_off_on_a_connection_that_stays_lent() {
    let cluster = cluster();
    let pool = member(&cluster, "one");
    let wanting = || {
        drop(pool.get(Tier::Automation).unwrap());
        pool.fleet_status().unwrap().wanting
    };
    // As a program would whose connection is lent right after it.
    let mut lent = cluster.client();
    let mut put = || {
        lent.batch_execute(
            "SELECT pg_advisory_lock_shared(x'c5733e02'::bit(32)::int4,
                 (floor(extract(epoch FROM clock_timestamp()) / 4)::int8 % 32768 * 65536 + 7)::int4)",
        )
        .unwrap();
    };
    eventually(LONG_BOUND, "the mark counts", || {
        put();
        wanting() == 1
    });
    eventually(LONG_BOUND, "the mark counts no more", || wanting() == 0);
    drop(lent);
}

#[test]
fn programs_with_different_budgets_are_told_of_both() {
    logged::capture(LevelFilter::Warn);
    let cluster = cluster();
    let first = built(builder(&cluster.url(), "one").name("first"));
    let second = built(builder(&cluster.url(), "two").name("second").total_connections(20));
    let told = |pool: &str| logged::lines(pool, Level::Warn, "another program of fleet news");
    eventually(LONG_BOUND, "both told", || {
        drop((first.get(Tier::Automation).unwrap(), second.get(Tier::Automation).unwrap()));
        thread::sleep(10 * MS);
        !told("first.automation").is_empty() && !told("second.automation").is_empty()
    });
    let text = &told("first.automation")[0];
    assert!(
        text.contains("reckons with a budget of 20 connections, 2 of them reserved; this one with 12 and 2"),
        "{text}"
    );
    assert_eq!(told("first.automation").len(), 1, "once");
}

#[test]
fn connections_that_are_asked_again_and_again_stay_the_same_with_their_slots() {
    let cluster = cluster();
    let mut client = cluster.client();
    let pool = member(&cluster, "one");
    let pids = || {
        let mut held = take(&pool, 3);
        let pid = |conn: &mut Conn| conn.query_one("SELECT pg_backend_pid()", &[]).unwrap().get::<_, i32>(0);
        let mut pids: Vec<_> = held.iter_mut().map(pid).collect();
        pids.sort_unstable();
        pids
    };
    let first = pids();
    for _ in 0..2 {
        // After a second of silence a checkout asks: one by way of a look, the others by a check of their own.
        thread::sleep(1100 * MS);
        assert_eq!((pids(), seen(&mut client).slots, seen(&mut client).members), (first.clone(), 3, 1));
    }
    eventually(BOUND, "a look", || pool.fleet_status().unwrap().slots_held == 3);
    assert_eq!(pool.automation().stats().closed.total(), 0);
}

#[test]
fn an_idle_look_keeps_no_connection_from_its_idle_timeout() {
    let cluster = cluster();
    let pool = built(builder(&cluster.url(), "one").idle_timeout(3000 * MS));
    drop(pool.get(Tier::Automation).unwrap());
    eventually(LONG_BOUND, "the last connection closed", || has(&pool) == 0);
    assert_eq!(seen(&mut cluster.client()).locks, 0);
}
