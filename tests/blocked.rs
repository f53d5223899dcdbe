//! Foreign code that blocks for good: what it keeps waiting, and what goes on beside it.

mod support;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use support::scripted::{Call, Gate, Step, still, use_together};
use support::wait::{BOUND, LONG_BOUND, MS, eventually, thread_names};
use tierpool::event::{HandleEvent, SuspectEvent};

#[test]
fn a_close_that_hangs_after_a_wait_for_a_helper_takes_no_helper() {
    let (builder, _hand, manager) = still(|builder| builder.max_size(6).open_concurrency(1));
    let builder = builder.max_zombies(Some(64)).failure_threshold(0);
    let pool = builder.test_on_check_out(true).validation_timeout(100 * MS).build(manager.clone()).unwrap();
    use_together(&pool, 6);
    let (validated, closed) = (Gate::new(), Gate::new());
    // Of the six that the one helper is to validate it has in hand only the first ones before the time of all is up:
    // the others are given up while they wait for it, and it closes them when it comes to them.
    manager.always(Call::IsValid, Step::ok().behind(&validated));
    manager.script(Call::Close, [Step::ok().behind(&closed)]);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| pool.get_timeout(BOUND).map(drop).unwrap());
        }
        eventually(BOUND, "one is closed", || closed.waiting() == 1);
        manager.always(Call::IsValid, Step::ok());
    });
    let calls = manager.calls(Call::IsValid);
    eventually(BOUND, "another helper validates", || {
        drop(pool.get_timeout(BOUND).unwrap());
        manager.calls(Call::IsValid) > calls
    });
    validated.open();
    closed.open();
    eventually(BOUND, "nothing is left of them", || pool.gauges().zombies == 0);
}

#[derive(Debug)]
struct Blocking(Gate);

impl HandleEvent for Blocking {
    fn handle_suspect(&self, _: SuspectEvent) {
        self.0.pass(None);
    }
}

#[test]
fn a_handler_that_hangs_keeps_no_connection_from_being_validated() {
    let (builder, _hand, manager) = still(|builder| builder.name("hng").max_size(1).open_concurrency(1));
    let told = Gate::new();
    let builder = builder.test_on_check_out(true).event_handler(Box::new(Blocking(told.clone())));
    // No validation is given up meanwhile.
    let pool = builder.validation_timeout(LONG_BOUND).build(manager.clone()).unwrap();
    drop(pool.get().unwrap());
    manager.kill_all();
    drop(pool.get_timeout(BOUND).unwrap());
    eventually(BOUND, "the handler is told of it", || told.waiting() == 1);
    drop(pool.get_timeout(BOUND).expect("a helper validates"));
    told.open();
    drop(pool);
    let left = || thread_names().into_iter().filter(|name| name.starts_with("hng-")).count();
    eventually(BOUND, "no thread is left", || left() == 0);
}

/// Notes which connections it was told of, once it is let go.
#[derive(Clone, Debug)]
struct Noting(Gate, Arc<Mutex<Vec<u64>>>);

impl HandleEvent for Noting {
    fn handle_suspect(&self, event: SuspectEvent) {
        self.0.pass(None);
        self.1.lock().push(event.connection_id());
    }
}

#[test]
fn what_a_handler_is_still_to_be_told_waits_in_its_order_and_no_more_than_so_much_of_it() {
    let (builder, _hand, manager) = still(|builder| builder.max_size(1).test_on_check_out(true));
    let noting = Noting(Gate::new(), Arc::default());
    let pool = builder.event_handler(Box::new(noting.clone())).build(manager.clone()).unwrap();
    drop(pool.get().unwrap());
    for _ in 0..1_100 {
        manager.kill_all();
        drop(pool.get_timeout(BOUND).unwrap());
    }
    eventually(BOUND, "the handler is told of the first", || noting.0.waiting() == 1);
    let stats = pool.stats();
    assert_eq!((stats.suspicions, stats.events_lost), (1_100, 1_100 - 1_024));
    noting.0.open();
    eventually(BOUND, "it is told of those that waited", || noting.1.lock().len() == 1_024);
    let noted = noting.1.lock().clone();
    assert!(noted.is_sorted(), "{noted:?}");
}

#[test]
fn closes_that_hang_are_given_up_also_where_they_begin_after_the_end_of_the_pool() {
    let (builder, _hand, manager) = still(|builder| builder.name("end").max_size(4));
    let pool = builder.build(manager.clone()).unwrap();
    let held: Vec<_> = (0..4).map(|_| pool.get().unwrap()).collect();
    let gate = Gate::new();
    manager.script(Call::Close, (0..3).map(|_| Step::ok().behind(&gate)));
    assert!(!pool.close(Duration::ZERO).is_complete());
    let keeps = || thread_names().contains(&"end-keeper".to_owned());
    eventually(BOUND, "nothing is left to watch", || !keeps());
    drop(held);
    eventually(BOUND, "three are given up, and the last one is closed", || {
        manager.closed() == 1 && pool.gauges().zombies == 3
    });
    eventually(BOUND, "nothing is left to watch", || !keeps());
    gate.open();
    eventually(BOUND, "all are closed", || manager.live() == 0 && pool.gauges().zombies == 0);
}
