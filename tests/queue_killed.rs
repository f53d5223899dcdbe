//! A queue whose hosts and sessions are killed, and its server too, again and again: each item takes effect once, alone
//! and in a group.
//!
//! More of it: `TIERPOOL_QUEUE_ITEMS=6000 cargo test --all-features --test queue_killed -- --nocapture`.
#![cfg(feature = "postgres")]

mod support;

use std::env;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use support::batches::{cluster, end_one_session, pool};
use support::child::{Program, as_child};
use support::pools::pool_of;
use support::queues::{assert_once, assert_sum};
use support::retried::quick;
use support::stress;
use support::wait::{LONG_BOUND, MS, Over, SECOND, comes_true, eventually};
use tierpool::batch::queue::{Claims, Queue, Report};
use tierpool::batch::{Ended, Options};
use tierpool::postgres::Retry;

/// As many as are done within some seconds by a debug build.
const USUAL_ITEMS: i64 = 3_000;
const URL: &str = "TIERPOOL_TEST_QUEUE_URL";
const NAME: &str = "TIERPOOL_TEST_QUEUE_NAME";
const GROUP: &str = "TIERPOOL_TEST_QUEUE_GROUP";
/// Hosts that work, and are killed, at the same time.
const HOSTS: usize = 2;
const GROUP_SIZE: usize = 5;
/// The first turns of the first host, and all but one of these of the second, end with the server's.
const SERVER_KILLS: usize = 2;

fn items() -> i64 {
    let given = env::var("TIERPOOL_QUEUE_ITEMS").ok();
    given.map_or(USUAL_ITEMS, |text| text.parse().expect("TIERPOOL_QUEUE_ITEMS must be a whole number"))
}

/// Works through the queue until it is empty, as each host does: each item by itself, or so many in a transaction.
fn work_off(queue: &Queue, group: usize) -> Report {
    // A lease that ends within the test, and as many attempts as kills can cost.
    let claims =
        Claims::new().until_empty(true).lease(2 * SECOND).attempts(1_000).backoff(MS, 10 * MS).poll(20 * MS);
    let options = Options::new().workers(3).group(group, 20 * MS);
    let options = options.retry(Retry { attempts: 100, ..quick() }).outage(LONG_BOUND);
    let run = queue.run(claims, options, |tx, item| {
        let key: i64 = item.text().map_or(-1, |text| text.parse().unwrap_or(-1));
        tx.execute_cached("INSERT INTO done VALUES ($1)", &[&key]).map(drop)
    });
    run.unwrap()
}

/// A host that the other test starts, in a process of its own.
#[test]
fn is_a_host_as_a_child() {
    let Ok(url) = env::var(URL) else { return };
    let name = env::var(NAME).unwrap();
    let pool = pool_of(4, &name, url, |builder| builder);
    // It ends here where its session does: it is one that was killed.
    let queue = Queue::open(&pool, "jobs").unwrap();
    println!("{}", work_off(&queue, env::var(GROUP).unwrap().parse().unwrap()));
}

fn start_host(url: &str, name: &str, group: usize) -> Program {
    let mut command = as_child("is_a_host_as_a_child");
    command.env(URL, url).env(NAME, name).env(GROUP, group.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Program(command.spawn().unwrap())
}

#[test]
fn each_item_takes_effect_once_whoever_dies() {
    let items = items();
    let seed = stress::seed();
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let (queue, _) = Queue::create_filled(&pool, "jobs", |queue, tx| {
        queue.push_many_in(tx, (0..items).map(|n| n.to_string()), Duration::ZERO).map(drop)
    })
    .unwrap();
    let is_over = AtomicBool::new(false);
    let (killed, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // Nobody asks the server while it is being killed.
    let server = Mutex::new(());
    let kill_hosts = |host: usize| {
        let mut dice = fastrand::Rng::with_seed(seed.wrapping_add(host as u64));
        let name = format!("batch-host-{host}");
        for turn in host.. {
            if is_over.load(Relaxed) {
                break;
            }
            // The last finds nothing to do.
            let group = if turn.is_multiple_of(2) { GROUP_SIZE } else { 1 };
            let mut child = start_host(&cluster.url(), &name, group);
            eventually(2 * LONG_BOUND, "the host works", || {
                let _asks = server.lock();
                cluster.connections(&format!("{name}%")) > 1 || child.0.try_wait().unwrap().is_some()
            });
            for _ in 0..3 {
                thread::sleep(dice.u32(20..200) * MS);
                let _asks = server.lock();
                ended.fetch_add(usize::from(end_one_session(&cluster, &mut dice)), Relaxed);
            }
            drop(child);
            killed.fetch_add(1, Relaxed);
            if turn < SERVER_KILLS {
                let _kills = server.lock();
                cluster.kill9();
                cluster.start();
            }
        }
    };
    let report = thread::scope(|scope| {
        let kill_hosts = &kill_hosts;
        let over = Over(&is_over);
        let killers: Vec<_> = (0..HOSTS).map(|host| scope.spawn(move || kill_hosts(host))).collect();
        // Until then they have all for themselves, so that some were killed, however soon all is done.
        let are_killed = comes_true(4 * LONG_BOUND, || killed.load(Relaxed) >= HOSTS);
        let report = work_off(&queue, 1);
        drop(over);
        killers.into_iter().for_each(|killer| killer.join().unwrap());
        assert!(are_killed, "no host was killed");
        report
    });
    let (killed, ended) = (killed.into_inner(), ended.into_inner());
    println!(
        "{report}\n{killed} hosts and {ended} sessions ended, and the server {} times",
        2 * SERVER_KILLS - 1
    );
    assert!(matches!(report.ended, Ended::Completed), "{report}");
    assert!(ended > 0, "no session was ended");
    assert_sum(&report);
    assert!(report.committed + report.settled <= items as u64);
    assert_once(&mut cluster.client(), items);
    // Those that rest may be the last ones ended.
    pool.automation().evict_idle();
    assert_eq!(queue.stats().unwrap().items(), 0);
}
