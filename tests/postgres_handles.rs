//! Handles of a connection: what they do while it is lent, and that they do nothing to whoever has it next.
#![cfg(feature = "postgres")]

mod support;

use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::cluster::{Cluster, cluster};
use support::pools::pool_of;
use support::proxy::{Admission, Proxy};
use support::wait::{BOUND, SECOND, SLACK, eventually, fd_count, measured_within, took};
use support::wire::{Frozen, manager, one, open};
use tierpool::postgres::{AbandonHandle, CancelHandle, PgDriver};
use tierpool::stats::CloseCause;
use tierpool::{Condition, Driver, PgPool, Tier};

fn pool(cluster: &Cluster) -> PgPool {
    pool_of(1, "handles", cluster.url(), |builder| builder)
}

/// Both handles of a checkout that has ended, and the process id of the backend.
fn kept(pool: &PgPool) -> (CancelHandle, AbandonHandle, i32) {
    let mut conn = pool.get(Tier::Automation).unwrap();
    (conn.cancel_handle(), conn.abandon_handle(), conn.backend_pid().unwrap())
}

#[test]
fn handles_end_with_their_checkout() {
    let cluster = cluster();
    let pool = pool(&cluster);
    let (cancel, abandon, pid) = kept(&pool);
    let mut conn = pool.get(Tier::Automation).unwrap();
    assert_eq!(conn.backend_pid().unwrap(), pid, "a handle that did nothing costs no connection");
    let own = conn.cancel_handle();
    thread::scope(|scope| {
        let next = scope.spawn(|| conn.batch_execute("SELECT pg_sleep(60)").unwrap_err());
        eventually(BOUND, "the next one's statement runs", || cluster.sleeps(pid));
        let error = cancel.clone().cancel(SECOND).unwrap_err();
        assert!(error.to_string().contains("has ended"), "{error}");
        assert!(!abandon.clone().abandon());
        assert!(format!("{abandon:?}").contains("works: false"));
        assert!(cluster.sleeps(pid), "the next borrower's statement is none of theirs");
        own.cancel(BOUND).unwrap();
        assert_eq!(next.join().unwrap().code().unwrap().code(), "57014");
    });
}

#[test]
fn what_a_borrower_gives_up_itself_tells_nothing_of_the_server() {
    let cluster = cluster();
    let pool = pool(&cluster);
    for waits in [false, true] {
        let mut conn = pool.get(Tier::Automation).unwrap();
        assert!(conn.abandon_handle().abandon());
        if waits {
            conn.batch_execute("SELECT 1").unwrap_err();
        }
        drop(conn);
    }
    drop(pool.get(Tier::Automation).unwrap());
    let stats = pool.automation().stats();
    assert_eq!((stats.suspicions, stats.closed.count(CloseCause::Broken)), (0, 2));
    let mut conn = pool.get(Tier::Automation).unwrap();
    let handle = conn.abandon_handle();
    let pid = conn.backend_pid().unwrap();
    cluster.admin().execute("SELECT pg_terminate_backend($1)", &[&pid]).unwrap();
    conn.batch_execute("SELECT 1").unwrap_err();
    assert!(handle.abandon());
    drop(conn);
    assert_eq!(pool.automation().stats().suspicions, 1, "the server had ended it before");
}

#[test]
fn handles_of_a_connection_taken_out_of_its_pool_go_on_to_work() {
    let cluster = cluster();
    let pool = pool(&cluster);
    let conn = pool.get(Tier::Automation).unwrap();
    let handle = conn.abandon_handle();
    let mut conn = conn.detach();
    assert!(handle.abandon());
    conn.batch_execute("SELECT 1").unwrap_err();
    drop(conn);
    assert!(!handle.abandon());
}

#[test]
fn a_connection_that_was_cancelled_is_lent_after_a_round_trip() {
    let cluster = cluster();
    let manager = manager(&cluster.url(), |_| ());
    let mut conn = open(&manager);
    one::<i32>(&mut conn, "SELECT 1");
    conn.cancel_handle().cancel(BOUND).unwrap();
    assert_eq!(PgDriver.condition(&manager, &mut conn), Condition::Dirty);
    let before = conn.round_trips().unwrap();
    PgDriver.reset(&manager, &mut conn, false, BOUND).unwrap();
    assert_eq!(conn.round_trips().unwrap() - before, 1);
    assert_eq!(PgDriver.condition(&manager, &mut conn), Condition::Clean);
}

/// There nothing tells whether the request has arrived.
#[test]
fn over_a_unix_socket_a_connection_that_was_cancelled_is_replaced() {
    let cluster = cluster();
    let pool = pool_of(1, "handles", cluster.url_unix(), |builder| builder);
    let (cancel, _, pid) = kept(&pool);
    let mut conn = pool.get(Tier::Automation).unwrap();
    assert_eq!(conn.backend_pid().unwrap(), pid, "a handle that did nothing costs no connection");
    assert!(cancel.cancel(BOUND).is_err());
    conn.cancel_handle().cancel(BOUND).unwrap();
    drop(conn);
    assert_ne!(pool.get(Tier::Automation).unwrap().backend_pid().unwrap(), pid);
}

#[test]
fn one_that_was_cancelled_and_does_not_answer_is_replaced_within_half_a_second() {
    let cluster = cluster();
    let manager = manager(&cluster.url(), |_| ());
    measured_within(SECOND / 2 + SLACK, "a reset", || {
        let mut conn = open(&manager);
        conn.cancel_handle().cancel(BOUND).unwrap();
        assert_eq!(PgDriver.condition(&manager, &mut conn), Condition::Dirty);
        let _frozen = Frozen::of(conn.backend_pid().unwrap());
        let (outcome, time) = took(|| PgDriver.reset(&manager, &mut conn, false, BOUND));
        outcome.unwrap();
        // It says nothing against others.
        assert_eq!(PgDriver.condition(&manager, &mut conn), Condition::Unrestorable);
        time
    });
}

#[test]
fn in_async_code_a_cancel_is_an_error() {
    let cluster = cluster();
    let conn = open(&manager(&cluster.url(), |_| ()));
    let cancel = conn.cancel_handle();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(async { cancel.cancel(BOUND).unwrap_err() });
    assert!(error.to_string().contains("async code"), "{error}");
    cancel.cancel(BOUND).unwrap();
}

/// The proxy takes the request and passes nothing on, so it outlives the checkout.
#[test]
fn one_with_a_request_under_way_is_replaced() {
    let cluster = cluster();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let pool = pool_of(1, "handles", cluster.url_through(proxy.port()), |builder| builder);
    let mut conn = pool.get(Tier::Automation).unwrap();
    let (cancel, pid) = (conn.cancel_handle(), conn.backend_pid().unwrap());
    let accepted = proxy.accepted();
    proxy.admit(Admission::Swallow);
    let cancelling = thread::spawn(move || cancel.cancel(10 * SECOND));
    eventually(BOUND, "the request is under way", || proxy.accepted() > accepted);
    proxy.admit(Admission::Pass);
    drop(conn);
    let mut conn = pool.get(Tier::Automation).unwrap();
    assert_ne!(conn.backend_pid().unwrap(), pid);
    assert_eq!(pool.automation().stats().suspicions, 0, "it says nothing against the server");
    drop(conn);
    let _ = cancelling.join().unwrap();
}

/// One thread cancels whenever it can, with the handle that it got last; others borrow, and mind only their own.
#[test]
fn nobody_is_cancelled_by_the_handle_of_another() {
    const ROUNDS: u32 = 100;
    let cluster = cluster();
    let pool = pool(&cluster);
    let (handles, taken) = crossbeam_channel::bounded::<CancelHandle>(1);
    thread::scope(|scope| {
        scope.spawn(|| {
            for handle in &taken {
                let _ = handle.cancel(SECOND);
            }
        });
        for _ in 0..ROUNDS {
            // Gives its handle away and returns at once, so that the request is on its way meanwhile.
            let conn = pool.get(Tier::Automation).unwrap();
            let _ = handles.try_send(conn.cancel_handle());
            drop(conn);
            let mut conn = pool.get(Tier::Automation).unwrap();
            conn.batch_execute("SELECT pg_sleep(0.005)").unwrap();
        }
        drop(handles);
    });
}

/// In a process of its own, whose limit is nobody else's.
#[test]
fn without_file_descriptors_a_cancel_is_an_error() {
    const CHILD: &str = "TIERPOOL_TEST_CANCEL_URL";
    if let Ok(url) = std::env::var(CHILD) {
        let conn = open(&manager(&url, |_| ()));
        let cancel = conn.cancel_handle();
        let before = getrlimit(Resource::Nofile);
        let few = Rlimit { current: Some(fd_count() as u64), ..before };
        setrlimit(Resource::Nofile, few).unwrap();
        let error = cancel.cancel(SECOND).unwrap_err();
        setrlimit(Resource::Nofile, before).unwrap();
        assert!(error.to_string().contains("Too many open files"), "{error}");
        return cancel.cancel(BOUND).unwrap();
    }
    let cluster = cluster();
    let name = "without_file_descriptors_a_cancel_is_an_error";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let output = child.args(["--exact", name, "--nocapture"]).env(CHILD, cluster.url()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
