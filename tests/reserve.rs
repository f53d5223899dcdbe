//! The reserve is for people, most of whom are outside this process: what the ad-hoc tier does not use, they can have.
#![cfg(feature = "postgres")]

mod support;

use std::thread;
use std::time::{Duration, Instant};

use postgres::NoTls;
use postgres::error::SqlState;
use support::cluster::Cluster;
use support::pools::built;
use support::wait::{LONG_BOUND, eventually};
use tierpool::{PgPool, Tier};

/// Within which a stranger gets in after the reserve was used to its limit.
const SOON: Duration = Duration::from_secs(15);
const WAITERS: u32 = 2_000;

#[test]
fn a_stranger_gets_in_soon_after_ad_hoc_used_all_of_the_reserve_while_thousands_wait() {
    let builder = Cluster::builder().max_connections(13).setting("superuser_reserved_connections", "3");
    let cluster = builder.start().unwrap();
    let pool = built(
        PgPool::builder()
            .url(cluster.url())
            .total_connections(10)
            .reserved(3)
            .base_size(7)
            .max_overflow(0)
            .connection_timeout(4 * LONG_BOUND)
            .automation(|tier| tier.deadlock_detection(false)),
    );
    let stranger = || cluster.config().application_name("stranger").connect(NoTls);
    let held: Vec<_> = (0..7).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    thread::scope(|scope| {
        for _ in 0..WAITERS {
            let pool = pool.clone();
            let wait = move || drop(pool.get(Tier::Automation).unwrap());
            thread::Builder::new().stack_size(256 * 1024).spawn_scoped(scope, wait).unwrap();
        }
        eventually(LONG_BOUND, "all wait", || pool.automation().gauges().waiting == WAITERS);
        let people: Vec<_> = (0..3).map(|_| pool.get(Tier::Adhoc).unwrap()).collect();
        let refused = stranger().err().expect("the server is full");
        assert_eq!(refused.code(), Some(&SqlState::TOO_MANY_CONNECTIONS), "{refused}");
        assert_eq!(pool.get_database_stats().guaranteed, 0);
        drop(people);
        let free = Instant::now();
        assert_eq!(pool.get_database_stats().guaranteed, 3, "idle counts as available");
        eventually(LONG_BOUND, "a stranger gets in", || stranger().is_ok());
        assert!(free.elapsed() < SOON, "{:?}", free.elapsed());
        eventually(SOON, "all of the reserve is free", || cluster.connections("%/adhoc") == 0);
        assert_eq!(pool.get_database_stats().guaranteed, 3, "and so does what is not open");
        assert_eq!(pool.automation().gauges().waiting, WAITERS, "none of it is automation's");
        drop(held);
    });
    // Nothing was lost by it.
    let again: Vec<_> = (0..3).map(|_| pool.get(Tier::Adhoc).unwrap()).collect();
    assert_eq!(again.len(), 3);
}
