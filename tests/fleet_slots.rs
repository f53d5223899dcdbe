//! Programs of one fleet on a real server: never more connections than slots, and a slot that is free again whatever
//! has ended what held it.
#![cfg(feature = "postgres")]

mod fleets;
mod support;

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use fleets::{SLOTS, builder, member, seen};
use support::child::{Program, as_child};
use support::cluster::cluster;
use support::pools::built;
use support::wait::{BOUND, LONG_BOUND, Over, SECOND, eventually};
use tierpool::postgres::ResetPolicy;
use tierpool::{PgPool, Tier};

/// The variable by which a child learns of its server.
const URL: &str = "TIERPOOL_TEST_FLEET_URL";

#[test]
fn two_pools_of_a_fleet_never_have_more_connections_than_it_has_slots_and_both_are_served() {
    let cluster = cluster();
    let pools = [member(&cluster, "one"), member(&cluster, "two")];
    let mut client = cluster.client();
    let served = [const { AtomicUsize::new(0) }; 2];
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = Over(&is_over);
        for (pool, served) in pools.iter().zip(&served) {
            for _ in 0..SLOTS {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let mut conn = pool.get(Tier::Automation).unwrap();
                        conn.batch_execute("SELECT pg_sleep(0.02)").unwrap();
                        drop(conn);
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        }
        let mut most = 0;
        eventually(LONG_BOUND, "both pools served, and all slots taken", || {
            let seen = seen(&mut client);
            assert_eq!(seen.slots, seen.holders, "a slot is one connection's: {seen:?}");
            // Sessions may be more for the moment of a log-in, where the role has no limit.
            assert!(seen.slots <= SLOTS, "{seen:?}");
            most = most.max(seen.slots);
            most == SLOTS && served.iter().all(|served| served.load(Ordering::Relaxed) >= 100)
        });
    });
    let status = pools[0].fleet_status().unwrap();
    assert_eq!((status.name.as_str(), i64::from(status.slots)), ("news", SLOTS));
    assert!(status.to_string().starts_with("fleet news: "), "{status}");
    drop(pools);
    eventually(BOUND, "nothing left of the fleet", || seen(&mut client).locks == 0);
}

#[test]
fn a_pool_without_a_fleet_takes_no_lock() {
    let cluster = cluster();
    let pool = built(PgPool::builder().url(cluster.url()));
    drop(pool.get(Tier::Automation).unwrap());
    assert_eq!(seen(&mut cluster.client()).locks, 0);
    assert!(pool.fleet_status().is_none());
}

#[test]
fn an_opening_costs_one_round_trip_more_and_a_checkout_none() {
    let cluster = cluster();
    let second = |pool: &PgPool| {
        let _first = pool.get(Tier::Automation).unwrap();
        pool.get(Tier::Automation).unwrap().round_trips().unwrap()
    };
    let without = second(&built(PgPool::builder().url(cluster.url())));
    let pool = member(&cluster, "one");
    assert_eq!(second(&pool), without + 1);
    let mut conn = pool.get(Tier::Automation).unwrap();
    let before = conn.round_trips().unwrap();
    conn.batch_execute("SELECT 1").unwrap();
    assert_eq!(conn.round_trips().unwrap(), before + 1);
}

/// The program of [`a_program_that_is_killed_leaves_its_slots_free`]: holds connections until it is killed.
#[test]
fn holds_three_connections_as_a_child() {
    let Ok(url) = std::env::var(URL) else { return };
    let pool = built(builder(&url, "child"));
    let held: Vec<_> = (0..3).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    loop {
        thread::sleep(SECOND);
        assert_eq!(held.len(), 3);
    }
}

#[test]
fn a_program_that_is_killed_leaves_its_slots_free() {
    let cluster = cluster();
    let mut client = cluster.client();
    let child = as_child("holds_three_connections_as_a_child")
        .env(URL, cluster.url())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let child = Program(child);
    eventually(LONG_BOUND, "three slots taken", || seen(&mut client).slots == 3);
    drop(child);
    eventually(BOUND, "all slots free", || seen(&mut client).locks == 0);
    // All of them can be had again.
    let pool = member(&cluster, "next");
    let held: Vec<_> = (0..SLOTS).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    assert_eq!((seen(&mut client).slots, held.len() as i64), (SLOTS, SLOTS));
}

#[test]
fn a_session_that_the_server_ends_leaves_its_slot_free_and_the_pool_takes_another() {
    let cluster = cluster();
    let mut client = cluster.client();
    let pool = member(&cluster, "one");
    for _ in 0..3 {
        let mut conn = pool.get(Tier::Automation).unwrap();
        let pid: i32 = conn.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
        cluster.admin().execute("SELECT pg_terminate_backend($1)", &[&pid]).unwrap();
        eventually(BOUND, "its slot free", || seen(&mut client).slots == 0);
        conn.batch_execute("SELECT 1").unwrap_err();
        drop(conn);
        pool.get(Tier::Automation).unwrap().batch_execute("SELECT 1").unwrap();
        eventually(BOUND, "one slot, and no more known of", || {
            (seen(&mut client).slots, pool.fleet_status().unwrap().held) == (1, 1)
        });
    }
    cluster.restart_fast();
    let mut client = cluster.client();
    eventually(LONG_BOUND, "served after a restart of the server", || {
        pool.get(Tier::Automation).is_ok_and(|mut conn| conn.batch_execute("SELECT 1").is_ok())
    });
    assert_eq!(seen(&mut client).slots, 1);
}

#[test]
fn a_full_reset_frees_the_locks_of_the_borrower_and_keeps_the_slot() {
    let cluster = cluster();
    let mut client = cluster.client();
    let pool = built(builder(&cluster.url(), "one").reset_policy(ResetPolicy::Full));
    let pid = |conn: &mut tierpool::postgres::PgConnection| {
        conn.query_one("SELECT pg_backend_pid()", &[]).unwrap().get::<_, i32>(0)
    };
    let mut conn = pool.get(Tier::Automation).unwrap();
    let first = pid(&mut conn);
    conn.batch_execute("SELECT pg_advisory_lock(7)").unwrap();
    drop(conn);
    let mut conn = pool.get(Tier::Automation).unwrap();
    assert_eq!(pid(&mut conn), first, "it was closed");
    let others = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND objid = 7";
    assert_eq!(client.query_one(others, &[]).unwrap().get::<_, i64>(0), 0);
    let own =
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid::int8 % 256 = 0 AND pid = $1";
    assert_eq!(client.query_one(own, &[&first]).unwrap().get::<_, i64>(0), 1, "its slot");
    let now = seen(&mut client);
    assert!(now.slots == now.holders && now.members == 1, "{now:?}");
}

#[test]
fn a_connection_that_has_lost_its_slot_is_closed() {
    let cluster = cluster();
    let mut client = cluster.client();
    for policy in [ResetPolicy::Rollback, ResetPolicy::Full] {
        let pool = built(builder(&cluster.url(), "one").reset_policy(policy));
        let mut conn = pool.get(Tier::Automation).unwrap();
        let pid: i32 = conn.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
        conn.batch_execute("SELECT pg_advisory_unlock_all()").unwrap();
        drop(conn);
        eventually(LONG_BOUND, "the end of its session", || {
            let there = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1";
            client.query_one(there, &[&pid]).unwrap().get::<_, i64>(0) == 0
        });
        drop(pool.get(Tier::Automation).unwrap());
    }
}

#[test]
fn who_finds_no_slot_is_told_of_the_fleet() {
    let cluster = cluster();
    let pool = member(&cluster, "one");
    let held: Vec<_> = (0..SLOTS).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    // The second one waits for as long as it takes that an opening gives up.
    for limit in [3 * SECOND, 6 * SECOND] {
        let error = builder(&cluster.url(), "two").connection_timeout(limit).build().unwrap_err();
        assert!(error.is_timeout(), "{error:#}");
        let told = format!("{error:#}");
        assert!(told.contains("no slot of fleet news is free: 8 of 8 are taken, by 2 programs"), "{told}");
    }
    // Once it is given up, whoever asks gets it.
    drop(held);
    let other = member(&cluster, "two");
    other.get(Tier::Automation).unwrap().batch_execute("SELECT 1").unwrap();
}

#[test]
fn a_fleet_that_cannot_be_is_refused_with_every_fault() {
    let wrong = |builder: tierpool::PgBuilder| builder.build_unchecked().unwrap_err().to_string();
    let builder = || builder("postgresql://db.example/news", "one");
    for (name, faulty) in [("empty", ""), ("blank", "  "), ("two lines", "a\nb"), ("long", &"x".repeat(64))] {
        let told = wrong(builder().fleet(faulty));
        assert!(
            told.contains("fleet is") && told.contains("must be a name of 1 to 63 bytes"),
            "{name}: {told}"
        );
    }
    for weight in [0, 101] {
        let told = wrong(builder().fleet_weight(weight));
        assert!(told.contains(&format!("fleet_weight is {weight}: must be 1 to 100")), "{told}");
    }
    let told = wrong(builder().total_connections(5).reserved(2).base_size(3).max_overflow(0));
    assert!(told.contains("leaves 1 slot, and a fleet needs 2"), "{told}");
    let told = wrong(builder().pgbouncer(true));
    assert!(told.contains("PgBouncer in transaction mode"), "{told}");
}
