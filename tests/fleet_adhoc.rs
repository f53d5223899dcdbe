//! People in a fleet: its ad-hoc tiers share the reserve, and the pool's own questions take none of it.
#![cfg(feature = "postgres")]

mod fleets;
mod support;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use fleets::{RESERVED, builder, member, seen};
use support::cluster::cluster;
use support::pools::built;
use support::wait::{BOUND, LONG_BOUND, MS, Over, SECOND, eventually};
use tierpool::postgres::ResetPolicy;
use tierpool::{PgPool, Tier};

/// Sessions of people that are at work.
const AT_WORK: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE application_name LIKE '%/adhoc' AND state = 'active' AND query LIKE '%pg_sleep%'";

/// The connections that a pool's ad-hoc tier has, by its own count.
fn has(pool: &PgPool) -> u32 {
    let gauges = pool.adhoc().gauges();
    gauges.idle + gauges.in_use
}

#[test]
fn no_more_people_work_at_a_time_in_all_programs_than_the_reserve_has_and_all_are_served() {
    let cluster = cluster();
    let pools = ["one", "two", "three"].map(|name| member(&cluster, name));
    let mut client = cluster.client();
    let served = [const { AtomicU32::new(0) }; 3];
    let is_over = AtomicBool::new(false);
    let most = thread::scope(|scope| {
        let over = Over(&is_over);
        for (pool, served) in pools.iter().zip(&served) {
            for _ in 0..RESERVED {
                scope.spawn(|| {
                    while !is_over.load(Relaxed) {
                        let Ok(mut conn) = pool.get(Tier::Adhoc) else { continue };
                        conn.batch_execute("SELECT pg_sleep(0.01)").unwrap();
                        drop(conn);
                        served.fetch_add(1, Relaxed);
                        // As somebody who reads what came.
                        thread::sleep(SECOND / 3);
                    }
                });
            }
        }
        let mut most = 0;
        let is_served = support::wait::comes_true(LONG_BOUND, || {
            let seen = seen(&mut client);
            let at_work: i64 = client.query_one(AT_WORK, &[]).unwrap().get(0);
            most = most.max(seen.adhoc_holders).max(at_work).max(seen.adhoc);
            most > i64::from(RESERVED) || served.iter().all(|served| served.load(Relaxed) >= 3)
        });
        drop(over);
        assert!(is_served, "{served:?}");
        most
    });
    assert_eq!(most, i64::from(RESERVED));
    drop(pools);
    eventually(BOUND, "nothing left of the fleet", || seen(&mut client).locks == 0);
}

/// Programs whose people have both slots, each by so many threads that wait so long between two checkouts, leave one to
/// another program.
#[track_caller]
fn leave_turns(threads: usize, gap: Duration) {
    let cluster = cluster();
    let [first, second, third] = ["one", "two", "three"].map(|name| member(&cluster, name));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = Over(&is_over);
        for pool in [&first, &second].repeat(threads) {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    // Another one's error tells nothing here: who fails to be served is the third.
                    drop(pool.get(Tier::Adhoc));
                    thread::sleep(gap);
                }
            });
        }
        eventually(LONG_BOUND, "all slots taken", || has(&first) + has(&second) == RESERVED);
        for _ in 0..2 {
            let served = third.get(Tier::Adhoc).unwrap();
            drop(served);
            // It has no slot for a moment, in which the others take it.
            third.adhoc().evict_idle();
            eventually(LONG_BOUND, "all slots taken again", || has(&first) + has(&second) == RESERVED);
        }
        drop(over);
    });
}

#[test]
fn people_who_come_and_go_without_a_rest_leave_turns_to_others() {
    leave_turns(1, 10 * MS);
}

#[test]
fn people_whose_connections_go_from_hand_to_hand_leave_turns_to_others() {
    leave_turns(6, Duration::ZERO);
}

#[test]
fn a_program_starts_while_people_have_the_whole_reserve_also_where_they_have_a_role_of_their_own() {
    let cluster = cluster();
    cluster.admin().batch_execute("CREATE ROLE person LOGIN PASSWORD 'own'").unwrap();
    let of_people = format!("postgresql://person:own@127.0.0.1:{}/app", cluster.port());
    let of_two_roles = |name| built(builder(&cluster.url(), name).adhoc_url(&*of_people));
    let first = of_two_roles("one");
    let held = [0, 1].map(|_| first.get(Tier::Adhoc).unwrap());
    let second = of_two_roles("two");
    second.get(Tier::Automation).unwrap().batch_execute("SELECT 1").unwrap();
    assert_eq!(seen(&mut cluster.client()).adhoc_holders, 2);
    drop(held);
}

#[test]
fn idle_ones_are_given_back_where_no_slot_is_free_and_kept_where_one_is() {
    let cluster = cluster();
    let keeps = |name| built(builder(&cluster.url(), name).idle_timeout(600 * SECOND));
    let [first, second] = ["one", "two"].map(keeps);
    drop([0, 1].map(|_| first.get(Tier::Adhoc).unwrap()));
    eventually(LONG_BOUND, "one of two given back", || has(&first) == 1);
    let mut held = second.get(Tier::Adhoc).unwrap();
    eventually(LONG_BOUND, "the other one given back", || has(&first) == 0);
    held.batch_execute("SELECT 1").unwrap();
    drop(held);
    // A slot is free all the time from now on, so that nobody needs this one.
    thread::sleep(2 * SECOND);
    assert_eq!((has(&second), seen(&mut cluster.client()).adhoc), (1, 1));
    assert_eq!(second.adhoc().stats().closed.total(), 0);
}

#[test]
fn who_finds_no_slot_is_told_of_the_fleet_and_has_one_when_it_is_free() {
    let cluster = cluster();
    let [first, second] = ["one", "two"].map(|name| member(&cluster, name));
    let held = [0, 1].map(|_| first.get(Tier::Adhoc).unwrap());
    // The second one waits for as long as it takes that an opening gives up.
    for limit in [3 * SECOND, 6 * SECOND] {
        let error = second.adhoc().get_timeout(limit).unwrap_err();
        assert!(error.is_timeout(), "{error}");
        for told in [format!("{error}"), format!("{error:#}"), format!("{error:?}")] {
            let reason = "no ad-hoc slot of fleet news is free: 2 of 2 are taken";
            assert!(told.contains(reason) && !told.contains("app:"), "{told}");
        }
        assert_eq!(error.to_string().matches("is free").count(), 1, "{error}");
    }
    assert_eq!(second.adhoc().stats().breaker_openings, 0);
    let waiting = thread::spawn(move || second.get(Tier::Adhoc).map(drop));
    // They stay idle in their pool, which sees that none is free.
    drop(held);
    waiting.join().unwrap().unwrap();
}

#[test]
fn a_session_of_a_person_keeps_its_slot_over_a_full_reset_and_frees_it_by_its_end() {
    let cluster = cluster();
    let mut client = cluster.client();
    let pool = built(builder(&cluster.url(), "one").reset_policy(ResetPolicy::Full));
    let pid = |pool: &PgPool| {
        let mut conn = pool.get(Tier::Adhoc).unwrap();
        conn.batch_execute("SELECT pg_advisory_lock(7)").unwrap();
        conn.query_one("SELECT pg_backend_pid()", &[]).unwrap().get::<_, i32>(0)
    };
    let first = pid(&pool);
    // Its reset is over, so that no other one is opened.
    eventually(BOUND, "it back", || pool.adhoc().gauges().idle == 1);
    assert_eq!((pid(&pool), seen(&mut client).adhoc), (first, 1));
    eventually(BOUND, "it back", || pool.adhoc().gauges().idle == 1);
    cluster.admin().execute("SELECT pg_terminate_backend($1)", &[&first]).unwrap();
    let there = "SELECT count(*) FROM pg_locks WHERE pid = $1 AND classid::int8 % 256 = 3";
    eventually(BOUND, "its slot free", || client.query_one(there, &[&first]).unwrap().get::<_, i64>(0) == 0);
    eventually(BOUND, "another one", || {
        pool.get(Tier::Adhoc).is_ok_and(|mut conn| conn.batch_execute("SELECT 1").is_ok())
    });
}

#[test]
fn a_slot_whose_session_has_ended_unseen_is_taken_anew_and_the_server_not_taken_for_one_without_locks() {
    let cluster = cluster();
    let (pool, mut client) = (member(&cluster, "one"), cluster.client());
    for tier in [Tier::Adhoc, Tier::Automation] {
        let mut lent = pool.get(tier).unwrap();
        let pid: i32 = lent.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
        cluster.admin().execute("SELECT pg_terminate_backend($1)", &[&pid]).unwrap();
        let there = "SELECT FROM pg_stat_activity WHERE pid = $1";
        eventually(BOUND, "its end", || client.query_opt(there, &[&pid]).unwrap().is_none());
        // The next one looks from the slot on that this one had.
        let mut other = pool.get(tier).unwrap();
        other.batch_execute("SELECT 1").unwrap();
        assert_eq!(pool.tier(tier).stats().open_failures.permanent, 0);
    }
}

#[test]
fn the_pools_own_questions_go_by_way_of_what_automation_has_idle_and_take_no_slot() {
    let cluster = cluster();
    let [first, second] = ["one", "two"].map(|name| member(&cluster, name));
    let _all = [0, 1].map(|_| first.get(Tier::Adhoc).unwrap());
    drop(second.get(Tier::Automation).unwrap());
    let health = second.check_health(true);
    assert!(health.healthy, "{health}");
    let activity = second.server_activity().unwrap();
    assert_eq!(activity.adhoc.total.open as usize, 0);
    assert_eq!(second.adhoc().stats().opened, 0);
    let without = built(PgPool::builder().url(cluster.url()));
    assert!(without.check_health(true).healthy);
    assert_eq!(without.adhoc().stats().opened, 1, "without a fleet people have connections of their own");
}

#[test]
fn what_depends_on_rights_is_asked_with_those_of_the_people_and_the_health_by_anybody() {
    let cluster = cluster();
    cluster.admin().batch_execute("CREATE ROLE person LOGIN PASSWORD 'p' CONNECTION LIMIT 2").unwrap();
    let of_person = format!("postgresql://person:p@127.0.0.1:{}/app", cluster.port());
    let pool = builder(&cluster.url(), "one").adhoc_url(of_person).build_unchecked().unwrap();
    drop(pool.get(Tier::Automation).unwrap());
    assert!(pool.check_health(true).healthy);
    assert_eq!(pool.adhoc().stats().opened, 0);
    assert_eq!(pool.server_activity().unwrap().adhoc.role.name, "person");
    assert_eq!(pool.adhoc().stats().opened, 1);
}

#[cfg(feature = "prometheus")]
#[test]
fn metrics_and_status_tell_of_the_slots_for_people() {
    let cluster = cluster();
    let [first, second] = ["one", "two"].map(|name| member(&cluster, name));
    let _held = first.get(Tier::Adhoc).unwrap();
    drop(second.get(Tier::Automation).unwrap());
    // By a look of automation's, which has no ad-hoc connection here.
    eventually(LONG_BOUND, "a look", || second.fleet_status().unwrap().adhoc_held == 1);
    assert_eq!(second.fleet_status().unwrap().adhoc_slots, RESERVED);
    let text = tierpool::metrics::Collector::new().with(&*second).text();
    for state in ["held", "free"] {
        let series = format!("db_pool_fleet_slots{{pool=\"tierpool\",tier=\"adhoc\",state=\"{state}\"}} 1\n");
        assert!(text.contains(&series), "{series} is not in {text}");
    }
}

#[test]
fn a_pooler_in_transaction_mode_for_people_alone_is_refused_too() {
    let builder = builder("postgresql://db.example/news", "one");
    let told =
        builder.adhoc_url("postgresql://db.example:6432/news").build_unchecked().unwrap_err().to_string();
    assert!(told.contains("PgBouncer in transaction mode"), "{told}");
}
