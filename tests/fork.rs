//! What a child made by `fork` can do with a pool of its parent's: nothing, and so no harm.
#![cfg(all(feature = "postgres", unix))]

mod support;

use std::any::Any;
use std::hint::black_box;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use fork::Fork;
use postgres::fallible_iterator::FallibleIterator;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use support::cluster::cluster;
use support::pools::built;
use support::scripted::ScriptedManager;
use support::wait::{BOUND, LONG_BOUND, comes_true, eventually, took};
use support::wire::one;
use tierpool::postgres::PgConnection;
use tierpool::{Builder, ErrorKind, MemoryManager, PgBuilder, PgPool, Pool, Tier, TieredPool};

/// What "at once" may mean on a machine under load. What a child could wait for by mistake, a lock or a thread that is
/// not there, takes for ever, and [`in_child`] sees that.
const AT_ONCE: Duration = BOUND;

/// Longer than a test may take.
const NEVER_OVER: Duration = Duration::from_secs(300);

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic")
}

/// What is at work in the process counts, so that these tests take turns.
static TURNS: Mutex<()> = Mutex::new(());

/// Runs `work` in a child, and returns when it has ended well.
fn in_child(work: impl FnOnce()) {
    let status = status_of_child(work);
    assert_eq!(status, Some(0), "the child hung, or failed with what it has written");
}

/// Runs `work` in a child, and returns its exit status; none where it had to be killed.
fn status_of_child(work: impl FnOnce()) -> Option<i32> {
    match fork::fork().unwrap() {
        Fork::Child => {
            // What the test has is the parent's, its server among it: nothing is unwound and no destructor runs.
            let outcome = catch_unwind(AssertUnwindSafe(work));
            if let Err(panic) = &outcome {
                let _ = writeln!(std::io::stderr(), "in the child: {}", text_of(&**panic));
            }
            signal_hook::low_level::exit(i32::from(outcome.is_err()));
        }
        Fork::Parent(pid) => {
            let pid = Pid::from_raw(pid).expect("a child has a pid");
            let mut status = None;
            let ended = comes_true(LONG_BOUND, || {
                status = waitpid(Some(pid), WaitOptions::NOHANG).unwrap();
                status.is_some()
            });
            if !ended {
                kill_process(pid, Signal::KILL).unwrap();
                waitpid(Some(pid), WaitOptions::empty()).unwrap();
            }
            status.and_then(|(_, status)| status.exit_status())
        }
    }
}

#[track_caller]
fn at_once<T>(work: impl FnOnce() -> T) -> T {
    let (outcome, time) = took(work);
    assert!(time < AT_ONCE, "{time:?}");
    outcome
}

fn builder(url: String) -> PgBuilder {
    PgPool::builder().url(url).app_name("fork").base_size(4).max_overflow(0)
}

fn pid_of(conn: &mut PgConnection) -> i32 {
    one(conn, "SELECT pg_backend_pid()")
}

#[test]
fn a_child_can_end_what_it_has_and_the_parent_goes_on() {
    let _turn = TURNS.lock().unwrap();
    let cluster = cluster();
    for (url, is_observed) in [(cluster.url(), true), (cluster.url_unix(), false)] {
        let pool = built(builder(url.clone()));
        let mut held = pool.get(Tier::Automation).unwrap();
        let mut own = pool.get(Tier::Automation).unwrap().detach();
        let mut read = pool.get(Tier::Automation).unwrap();
        held.batch_execute("BEGIN; CREATE TEMP TABLE mark ()").unwrap();
        let resting = [Tier::Automation, Tier::Adhoc].map(|tier| pid_of(&mut pool.get(tier).unwrap()));
        let pids = [pid_of(&mut held), pid_of(&mut own), pid_of(&mut read)];
        let mut inherited = Some((pool, held, own, read));
        in_child(|| {
            let (pool, mut held, mut own, mut read) = inherited.take().unwrap();
            if is_observed {
                let error = at_once(|| held.batch_execute("COMMIT").unwrap_err());
                let cause = std::error::Error::source(&error).unwrap().to_string();
                assert!(cause.contains("inherited by fork"), "{cause}");
                // What only reads would take what is the parent's.
                at_once(|| read.probe(NEVER_OVER).unwrap_err());
                at_once(|| own.notifications().blocking_iter().next().unwrap_err());
            }
            at_once(|| drop((held, own, read)));
            assert!(at_once(|| pool.close(NEVER_OVER)).0.is_complete());
            at_once(|| drop(pool));
            // The locks of this process are as they were with the parent's threads.
            let error = at_once(|| builder(url.clone()).build().unwrap_err());
            assert!(error.is_forked() && error.to_string().contains("no pool can be built here"), "{error}");
        });
        let (pool, mut held, mut own, mut read) = inherited.unwrap();
        assert_eq!([pid_of(&mut held), pid_of(&mut own), pid_of(&mut read)], pids);
        // Still in its transaction.
        held.batch_execute("INSERT INTO mark DEFAULT VALUES; COMMIT").unwrap();
        for (tier, pid) in [Tier::Automation, Tier::Adhoc].into_iter().zip(resting) {
            assert_eq!(pid_of(&mut pool.get(tier).unwrap()), pid, "{tier}");
        }
        drop((held, own, read));
        assert_eq!(pool.automation().stats().gauges.zombies, 0);
        drop(pool);
        let build = || {
            let Ok(fresh) = builder(url.clone()).build() else { signal_hook::low_level::exit(2) };
            let pids = [Tier::Automation, Tier::Adhoc].map(|tier| pid_of(&mut fresh.get(tier).unwrap()));
            assert!(pids.iter().all(|pid| !resting.contains(pid)));
        };
        eventually(LONG_BOUND, "a child can build anew once the parent's pools have ended", || {
            status_of_child(build) == Some(0)
        });
    }
    let log = cluster.server_log();
    assert!(!log.contains("unexpected EOF") && !log.contains("invalid frontend"), "{log}");
}

#[test]
fn over_tcp_each_use_of_an_inherited_pool_is_told() {
    let _turn = TURNS.lock().unwrap();
    let cluster = cluster();
    let pool = built(builder(cluster.url()));
    drop(pool.get(Tier::Automation).unwrap());
    drop(pool.get(Tier::Adhoc).unwrap());
    in_child(|| {
        let used = [
            pool.get(Tier::Automation).map(drop),
            pool.get(Tier::Adhoc).map(drop),
            pool.wait_ready(NEVER_OVER),
            pool.automation().wait_ready(NEVER_OVER),
            pool.automation().reconfigure(|settings| settings.base_size = 1),
            pool.reconfigure(|settings| settings.reserved = 1),
        ];
        for (at, error) in used.into_iter().enumerate() {
            let error = error.expect_err(&at.to_string());
            assert_eq!(error.kind(), ErrorKind::Forked, "{at}: {error:#}");
            assert!(error.to_string().contains("build it after fork"), "{error}");
        }
        assert!(pool.automation().try_get().is_none());
        let error = pool.session(|tx| tx.batch_execute("SELECT 1")).unwrap_err();
        assert!(error.to_string().contains("build it after fork"), "{error}");
        assert!(!pool.automation().suspend() && !pool.automation().resume());
        at_once(|| pool.drain());
        at_once(|| pool.automation().evict_idle());
    });
    assert_eq!([pool.automation(), pool.adhoc()].map(|tier| tier.gauges().idle), [1, 1]);
    pool.session(|tx| tx.batch_execute("SELECT 1")).unwrap();
}

/// Its request would reach whoever has the connection in the parent, and the parent would not know of it.
#[test]
fn a_handle_of_the_parents_does_nothing_in_a_child() {
    let _turn = TURNS.lock().unwrap();
    let cluster = cluster();
    for (url, is_observed) in [(cluster.url(), true), (cluster.url_unix(), false)] {
        let pool = built(builder(url));
        let mut held = pool.get(Tier::Automation).unwrap();
        let (cancel, abandon) = (held.cancel_handle(), held.abandon_handle());
        in_child(|| {
            let error = at_once(|| cancel.cancel(NEVER_OVER).unwrap_err());
            assert!(error.to_string().contains("inherited by fork"), "{error}");
            assert!(!at_once(|| abandon.abandon()));
            at_once(|| format!("{cancel:?} {abandon:?}"));
            at_once(|| drop((cancel.clone(), abandon.clone())));
        });
        held.batch_execute("SELECT pg_sleep(0.2)").unwrap();
        cancel.cancel(BOUND).unwrap();
        assert_eq!(abandon.abandon(), is_observed);
    }
}

/// The child has a lock as it was, whoever held it.
#[test]
fn an_adhoc_caller_that_might_borrow_takes_no_lock_in_a_child() {
    let _turn = TURNS.lock().unwrap();
    let sized = |tier: Builder<MemoryManager>| tier.base_size(1).max_overflow(0);
    let builder = TieredPool::builder().total_connections(2).reserved(1).adhoc_may_borrow(true);
    let pool = builder.automation(sized).adhoc(sized).build(|_| MemoryManager).unwrap();
    let _held = (pool.get(Tier::Automation).unwrap(), pool.get(Tier::Adhoc).unwrap());
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // One alone, so that it has a lock half of the time and never waits for one.
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                black_box((pool.adhoc().gauges(), pool.automation().gauges()));
            }
        });
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            for _ in 0..30 {
                in_child(|| {
                    let refused = at_once(|| pool.get(Tier::Adhoc).map(drop));
                    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Forked);
                });
            }
        }));
        is_over.store(true, Relaxed);
        outcome.unwrap_or_else(|panic| resume_unwind(panic));
    });
}

#[test]
fn a_child_waits_for_nobody_and_calls_nothing_of_a_manager() {
    let _turn = TURNS.lock().unwrap();
    let manager = ScriptedManager::new();
    let pool = Pool::builder().max_size(2).connection_timeout(NEVER_OVER).build(manager.clone()).unwrap();
    let mut held = Some((pool.get().unwrap(), pool.get().unwrap()));
    thread::scope(|scope| {
        let waits = scope.spawn(|| pool.get().map(drop));
        eventually(LONG_BOUND, "a thread waits", || pool.gauges().waiting == 1);
        let closed = manager.closed();
        in_child(|| {
            assert_eq!(at_once(|| pool.get().map(drop)).unwrap_err().kind(), ErrorKind::Forked);
            let (first, mut second) = held.take().unwrap();
            at_once(|| first.close());
            second.mark_broken();
            at_once(|| drop(second));
            assert!(at_once(|| pool.close(NEVER_OVER)).is_complete());
            assert_eq!(manager.closed(), closed);
        });
        drop(held.take());
        waits.join().unwrap().unwrap();
    });
    assert_eq!(manager.live(), 2);
}
