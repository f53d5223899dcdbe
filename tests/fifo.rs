//! Waiting is strictly first come, first served, and no connection is lost between those who come and go.

mod support;

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use support::scripted::{Call, Gate, ScriptedError, ScriptedManager, Step, built};
use support::wait::{BOUND, eventually};
use tierpool::{MemoryManager, Pool};

/// Held by tests that keep all processors busy or want them free.
static BUSY: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

/// A line of threads that note who was served when, each holding its connection until it has done so.
struct Line {
    pool: Pool<ScriptedManager>,
    served: Arc<Mutex<Vec<usize>>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Line {
    fn new(pool: &Pool<ScriptedManager>) -> Self {
        Line { pool: pool.clone(), served: Arc::default(), threads: Vec::new() }
    }

    /// Adds a thread, and waits until it stands in line behind those before it.
    fn join(&mut self) {
        let (pool, served, number) = (self.pool.clone(), Arc::clone(&self.served), self.threads.len());
        let before = self.pool.gauges().waiting;
        self.threads.push(thread::spawn(move || {
            let mut conn = pool.get_timeout(BOUND).unwrap();
            served.lock().unwrap().push(number);
            conn.work().unwrap();
        }));
        eventually(BOUND, "it stands in line", || self.pool.gauges().waiting == before + 1);
    }

    fn order(self) -> Vec<usize> {
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        self.served.lock().unwrap().clone()
    }
}

#[test]
fn sixty_four_threads_on_eight_connections_get_equal_shares() {
    const THREADS: usize = 64;
    const TOTAL: usize = THREADS * 150;
    let _alone = BUSY.lock();
    let pool = Pool::builder().max_size(8).build(MemoryManager).unwrap();
    let left = Arc::new(Mutex::new(TOTAL));
    // All stand in line before the first is served: one that came early would have the pool to itself for a while.
    let held: Vec<_> = (0..8).map(|_| pool.get().unwrap()).collect();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (pool, left) = (pool.clone(), Arc::clone(&left));
            thread::spawn(move || {
                let mut mine = 0_usize;
                loop {
                    let _conn = pool.get_timeout(BOUND).unwrap();
                    // Stands for a query. Long beside the time for which the system may leave a thread that was
                    // served unscheduled, which is no doing of the pool's.
                    thread::sleep(Duration::from_millis(1));
                    let mut left = left.lock().unwrap();
                    if *left == 0 {
                        return mine;
                    }
                    *left -= 1;
                    mine += 1;
                }
            })
        })
        .collect();
    eventually(BOUND, "all stand in line", || pool.gauges().waiting as usize == THREADS);
    drop(held);
    let shares: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(shares.iter().sum::<usize>(), TOTAL);
    let mean = TOTAL / THREADS;
    let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
    assert!(*least >= mean - mean / 10 && *most <= mean + mean / 10, "{least} to {most}, mean {mean}");
    assert_eq!(pool.gauges().idle, 8);
}

#[test]
fn waiters_are_served_in_the_order_in_which_they_came() {
    let pool = Pool::builder().max_size(1).build(ScriptedManager::new()).unwrap();
    let held = pool.get().unwrap();
    let mut line = Line::new(&pool);
    (0..20).for_each(|_| line.join());
    drop(held);
    assert_eq!(line.order(), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_newcomer_does_not_overtake_while_a_connection_is_handed_on() {
    let pool = Pool::builder().max_size(1).build(ScriptedManager::new()).unwrap();
    for _ in 0..50 {
        let held = pool.get().unwrap();
        let mut line = Line::new(&pool);
        line.join();
        line.join();
        drop(held);
        // The connection is free of its holder and maybe not yet with the next; whoever comes now stands behind.
        drop(pool.get_timeout(BOUND).unwrap());
        assert_eq!(line.served.lock().unwrap().len(), 2, "a newcomer overtook");
        assert_eq!(line.order(), [0, 1]);
    }
}

#[test]
fn connections_being_opened_go_to_waiters_in_their_order() {
    let manager = ScriptedManager::new();
    let gate = Gate::new();
    manager.always(Call::Connect, Step::ok().behind(&gate));
    let builder = Pool::builder().max_size(1).min_idle(Some(0));
    let pool = builder.build(manager).unwrap();
    let mut line = Line::new(&pool);
    (0..5).for_each(|_| line.join());
    gate.open();
    assert_eq!(line.order(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_waiter_that_leaves_lets_the_next_one_up() {
    let pool = Pool::builder().max_size(1).build(ScriptedManager::new()).unwrap();
    let held = pool.get().unwrap();
    let far = pool.clone();
    let quitter = thread::spawn(move || far.get_timeout(Duration::from_millis(200)).map(drop));
    eventually(BOUND, "it waits", || pool.gauges().waiting == 1);
    let mut line = Line::new(&pool);
    line.join();
    line.join();
    assert!(quitter.join().unwrap().unwrap_err().is_timeout());
    assert_eq!(pool.gauges().waiting, 2);
    drop(held);
    assert_eq!(line.order(), [0, 1]);
}

#[test]
fn a_waiter_whose_connection_proves_dead_keeps_its_place() {
    for _ in 0..20 {
        let builder = Pool::builder()
            .max_size(1)
            .test_on_check_out(true)
            .driver(Box::new(support::scripted::ScriptedDriver::new()));
        let (manager, pool) = built(builder);
        let held = pool.get().unwrap();
        let mut line = Line::new(&pool);
        (0..4).for_each(|_| line.join());
        let dead = Step::err(ScriptedError::transient("terminated"));
        manager.script(Call::IsValid, [dead]);
        drop(held);
        assert_eq!(line.order(), [0, 1, 2, 3]);
        assert_eq!(manager.opened(), 2);
    }
}

#[test]
fn a_storm_of_deadlines_loses_no_connection() {
    let _alone = BUSY.lock();
    let (manager, pool) = built(Pool::builder().max_size(4).deadlock_detection(false));
    let end = Instant::now() + Duration::from_secs(2);
    let threads: Vec<_> = (0..24_u64)
        .map(|number| {
            let pool = pool.clone();
            thread::spawn(move || {
                let (mut got, mut late) = (0, 0);
                let mut step = number;
                while Instant::now() < end {
                    // Deadlines around the time that a hand-off takes, so that the two meet.
                    step =
                        step.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    match pool.get_timeout(Duration::from_micros(step >> 56)) {
                        Ok(mut conn) => got += usize::from(conn.work().is_ok()),
                        Err(error) => late += usize::from(error.is_timeout()),
                    }
                }
                (got, late)
            })
        })
        .collect();
    let counts: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let (got, late) = counts.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(got > 1000 && late > 100, "the storm was none: {got} served, {late} late");
    eventually(BOUND, "all are back", || pool.gauges().idle == 4);
    let gauges = pool.gauges();
    assert_eq!((gauges.in_use, gauges.waiting, gauges.opening), (0, 0, 0));
    assert_eq!((manager.opened(), manager.closed(), manager.most_live()), (4, 0, 4));
    let stats = pool.stats();
    assert_eq!(stats.checkouts.direct + stats.checkouts.waited, got as u64);
    assert_eq!(stats.checkouts.timed_out, late as u64);
    let all: Vec<_> = (0..4).map(|_| pool.try_get().expect("it is idle")).collect();
    assert_eq!(all.len(), 4);
}
