//! The ceiling, counted on the server, under a random mix of everything that opens and closes connections.
#![cfg(feature = "postgres")]

mod support;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use support::cluster::{Cluster, cluster};
use support::stress::{length, seed};
use support::wait::{LONG_BOUND, Over, eventually};
use tierpool::{PgPool, Tier};

/// The largest ceiling that is ever set.
const CEILING: u32 = 8;
const RESERVED: u32 = 2;
const WORKERS: u64 = 16;

/// Borrows, works, and gives back in one of the ways there are.
fn borrow(pool: &PgPool, rng: &mut Rng) {
    let tier = if rng.u8(..8) == 0 { Tier::Adhoc } else { Tier::Automation };
    let limit = Duration::from_millis(rng.u64(1..300));
    let Ok(mut conn) = pool.tier(tier).get_timeout(limit) else { return };
    // It fails where the session has just been killed.
    let _ = conn.batch_execute(match rng.u8(..10) {
        0 => "BEGIN",
        1 => "SELECT pg_sleep(0.01)",
        2 => "SELECT 1/0",
        _ => "SELECT 1",
    });
    match rng.u8(..20) {
        0 => conn.mark_broken(),
        1 => conn.close(),
        _ => {}
    }
}

/// Does something to the pool from outside.
fn disturb(pool: &PgPool, admin: &mut postgres::Client, rng: &mut Rng) {
    let automation = pool.automation();
    match rng.u8(..12) {
        0 | 1 => {
            let some = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                        WHERE application_name LIKE 'ceiling/%' AND random() < 0.5";
            admin.execute(some, &[]).expect("sessions can be ended");
        }
        2 => automation.drain(),
        3 => automation.evict_idle(),
        4 => pool.adhoc().drain(),
        _ => {
            let base = rng.u32(1..=CEILING);
            let overflow = rng.u32(0..=CEILING - base);
            automation
                .reconfigure(|settings| (settings.base_size, settings.max_overflow) = (base, overflow))
                .expect("the sizes are within the rules");
        }
    }
}

/// What the server saw at one time, of the automation and the ad-hoc tier.
#[derive(Debug, Default)]
struct Seen {
    most: [usize; 2],
}

fn stress() -> Seen {
    let cluster = cluster();
    let pool = PgPool::builder()
        .url(cluster.url())
        .app_name("ceiling")
        .total_connections(CEILING + RESERVED)
        .reserved(RESERVED)
        .base_size(CEILING - 2)
        .max_overflow(2)
        .automation(|tier| {
            tier.max_lifetime(Some(Duration::from_millis(300)))
                .overflow_linger(Duration::from_millis(50))
                .reaper_rate(Duration::from_millis(50))
        })
        .build()
        .unwrap_or_else(|error| panic!("{error:#}"));
    let (seed, over) = (seed(), AtomicBool::new(false));
    let seen = thread::scope(|scope| {
        let _ends = Over(&over);
        for worker in 0..WORKERS {
            let (pool, over) = (&pool, &over);
            scope.spawn(move || {
                let mut rng = Rng::with_seed(seed.wrapping_add(worker));
                while !over.load(Ordering::Relaxed) {
                    borrow(pool, &mut rng);
                }
            });
        }
        scope.spawn(|| {
            let (mut rng, mut admin) = (Rng::with_seed(!seed), cluster.admin());
            while !over.load(Ordering::Relaxed) {
                disturb(&pool, &mut admin, &mut rng);
                // The pace of the disturbances; nothing waits for it. Drained faster than it opens, a pool stays empty.
                thread::sleep(Duration::from_millis(rng.u64(..100)));
            }
        });
        watch(&cluster)
    });
    println!("{seen:?}");
    assert!(seen.most[0] >= CEILING as usize - 2, "the stress never came near the ceiling: {seen:?}");
    assert!(pool.automation().stats().opened > 50, "{:?}", pool.automation().stats());
    eventually(LONG_BOUND, "all is at rest and adds up", || {
        let stats = pool.automation().stats();
        let gauges = stats.gauges;
        let open = stats.opened - stats.closed.total();
        (gauges.in_use, gauges.opening, gauges.zombies) == (0, 0, 0) && open == u64::from(gauges.idle)
    });
    // Shrunk at rest, the server sees as many as are left and no more.
    pool.automation().reconfigure(|settings| (settings.base_size, settings.max_overflow) = (1, 0)).unwrap();
    eventually(LONG_BOUND, "one automation connection is left", || {
        cluster.connections("ceiling/automation") <= 1
    });
    drop(pool.get(Tier::Automation).unwrap());
    drop(pool);
    eventually(LONG_BOUND, "none is left", || cluster.connections("ceiling/%") == 0);
    seen
}

#[test]
fn the_server_never_sees_more_connections_than_the_ceiling() {
    let seen = stress();
    assert!(seen.most[0] <= CEILING as usize && seen.most[1] <= RESERVED as usize, "{seen:?}");
}

/// Counts again and again, for the length of the stress. The table is read row by row: one that ended meanwhile and one
/// that began may both be in it. Those who are in two looks in a row were all there in between.
fn watch(cluster: &Cluster) -> Seen {
    let mut admin = cluster.admin();
    let look = "SELECT pid, application_name = 'ceiling/adhoc' FROM pg_stat_activity
                WHERE application_name IN ('ceiling/automation', 'ceiling/adhoc')";
    let look = admin.prepare(look).unwrap();
    let (end, mut seen) = (Instant::now() + length(5), Seen::default());
    let mut before = HashSet::new();
    while Instant::now() < end {
        let rows = admin.query(&look, &[]).unwrap();
        let now: HashSet<(i32, bool)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        for (most, is_adhoc) in seen.most.iter_mut().zip([false, true]) {
            *most = (*most).max(now.intersection(&before).filter(|session| session.1 == is_adhoc).count());
        }
        before = now;
    }
    seen
}
