//! A queue whose hosts and sessions are killed, and its server too, again and again: each item takes effect once.
//!
//! More of it: `TIERPOOL_KILLED_ITEMS=100000 cargo test --all-features --test queue_killed -- --nocapture`.
#![cfg(feature = "postgres")]

mod support;

use std::env;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use support::batches::{cluster, end_one_session, pool, write, written};
use support::child::as_child;
use support::pools::pool_of;
use support::retried::quick;
use support::stress;
use support::wait::{LONG_BOUND, MS, SECOND, eventually};
use tierpool::batch::queue::{Claims, Queue, Report};
use tierpool::batch::{Ended, Options};
use tierpool::postgres::Retry;
use tierpool::{PgError, PgPool};

/// As many as are done within some seconds by a debug build.
const USUAL_ITEMS: i64 = 3_000;
const URL: &str = "TIERPOOL_TEST_QUEUE_URL";

fn items() -> i64 {
    let given = env::var("TIERPOOL_KILLED_ITEMS").ok();
    given.map_or(USUAL_ITEMS, |text| text.parse().expect("TIERPOOL_KILLED_ITEMS must be a whole number"))
}

/// Works through the queue until it is empty, as each host does.
fn work_off(pool: &PgPool) -> Report {
    let queue = Queue::open(pool, "jobs").unwrap();
    // A lease that ends within the test, and as many attempts as kills can cost.
    let claims =
        Claims::new().until_empty(true).lease(2 * SECOND).attempts(1_000).backoff(MS, 10 * MS).poll(20 * MS);
    let options = Options::new().workers(3).retry(Retry { attempts: 100, ..quick() }).outage(LONG_BOUND);
    let run = queue.run(claims, options, |tx, item| {
        let key = item.text().map_or(-1, |text| text.parse().unwrap_or(-1));
        write(tx, key)?;
        Ok::<_, PgError>(())
    });
    run.unwrap()
}

/// A host that the other test starts, in a process of its own.
#[test]
fn is_a_host_as_a_child() {
    let Ok(url) = env::var(URL) else { return };
    let pool = pool_of(4, "batch-host", url, |builder| builder);
    println!("{}", work_off(&pool));
}

fn start_host(url: &str) -> Child {
    let mut command = as_child("is_a_host_as_a_child");
    command.env(URL, url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn each_item_takes_effect_once_whoever_dies() {
    let items = items();
    let mut dice = fastrand::Rng::with_seed(stress::seed());
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let (queue, _) = Queue::create_filled(&pool, "jobs", |queue, tx| {
        queue.push_many_in(tx, (0..items).map(|n| n.to_string()), Duration::ZERO).map(drop)
    })
    .unwrap();
    let url = cluster.url();
    let (is_over, is_begun) = (AtomicBool::new(false), AtomicBool::new(false));
    let (mut hosts_killed, mut ended, mut killed) = (0, 0, 0);
    let report = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                // The first has all for itself; the last finds nothing to do.
                let mut host = start_host(&url);
                let mut connected = || cluster.connections("batch-host%") > 1 || is_over.load(Relaxed);
                eventually(2 * LONG_BOUND, "the host works", &mut connected);
                for _ in 0..3 {
                    thread::sleep(dice.u32(20..200) * MS);
                    ended += usize::from(end_one_session(&cluster, &mut dice));
                }
                host.kill().unwrap();
                host.wait().unwrap();
                hosts_killed += 1;
                if killed < 2 && !is_over.load(Relaxed) {
                    cluster.kill9();
                    cluster.start();
                    killed += 1;
                }
                is_begun.store(true, Relaxed);
            }
        });
        // So that each was killed once, however soon all is done.
        eventually(3 * LONG_BOUND, "the first host is killed", || is_begun.load(Relaxed));
        let report = work_off(&pool);
        is_over.store(true, Relaxed);
        report
    });
    println!("{report}\n{hosts_killed} hosts and {ended} sessions ended, the server killed {killed} times");
    assert!(matches!(report.ended, Ended::Completed), "{report}");
    assert!(hosts_killed > 0 && ended > 0 && killed > 0, "nothing was killed");
    let Report { committed, put_off, dead, taken_over, settled, given_back, left, .. } = report;
    assert_eq!(report.claimed, committed + put_off + dead + taken_over + settled + given_back + left);
    assert!(committed + settled <= items as u64);
    let (keys, rows) = written(&cluster);
    assert_eq!((rows as i64, keys.len() as i64), (items, items));
    assert_eq!(queue.stats().unwrap().items(), 0);
}
