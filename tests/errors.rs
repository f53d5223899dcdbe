//! What errors and reports of a pool say: to people, on one line, with nothing in it that others have forged.

mod support;

use std::fmt;
use std::thread;
use std::time::Duration;

use support::logged;
use support::scripted::{Call, Gate, ScriptedDriver, ScriptedError, ScriptedManager, Step, built, pool_of};
use support::wait::{BOUND, MS, SECOND, eventually};
use tierpool::config::Faults;
use tierpool::stats::{CloseCause, Stats};
use tierpool::{Clock, FailureClass, ManageConnection, Pool, PrePing, Tier, TieredPool};

/// What a text of others may try: the next line of a report, a rewritten terminal, a text turned around.
const FORGERY: &str = "job\n✅ Healthy: 5 connections\u{1b}[2K\u{202e}";
const SHOWN: &str = r"job\n✅ Healthy: 5 connections\u{1b}[2K\u{202e}";

#[track_caller]
fn assert_harmless(text: &str) {
    assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
}

/// A pool that cannot open a connection, for this reason.
fn refused(error: ScriptedError) -> tierpool::Error {
    let manager = ScriptedManager::new();
    manager.always(Call::Connect, Step::err(error));
    let builder = Pool::builder().max_size(1).name("refused").driver(Box::new(ScriptedDriver::new()));
    builder.build_unchecked(manager).get_timeout(BOUND).unwrap_err()
}

#[test]
fn a_tag_and_a_threads_name_forge_no_line_of_a_report() {
    let (clock, hand) = Clock::manual();
    let pool = TieredPool::builder()
        .total_connections(2)
        .reserved(1)
        .automation(|tier| tier.base_size(1).max_overflow(0))
        .clock(clock)
        .build_unchecked(|_| ScriptedManager::new())
        .unwrap();
    let mut held = pool.get(Tier::Automation).unwrap();
    held.tag(FORGERY);
    hand.advance(11 * SECOND);
    let far = pool.clone();
    let waiter = thread::Builder::new().name(FORGERY.to_owned());
    let waiter = waiter.spawn(move || far.automation().get_timeout(BOUND).map(drop)).unwrap();
    eventually(BOUND, "one waits", || pool.automation().gauges().waiting == 1);

    let stats = pool.get_database_stats();
    for text in [stats.to_string(), stats.plain().to_string()] {
        assert_eq!(text.matches(SHOWN).count(), 2, "{text}");
        text.lines().for_each(assert_harmless);
        let healthy = text.lines().filter(|line| line.starts_with("✅ Healthy")).count();
        assert!(healthy <= 1, "{text}");
    }
    assert_eq!(stats.long_holders[0].tag.as_deref(), Some(SHOWN));
    drop(held);
    waiter.join().unwrap().unwrap();
}

#[test]
fn a_pools_name_forges_no_line_of_a_log() {
    logged::capture(log::LevelFilter::Info);
    // No thread could have a name with a zero byte.
    let pool =
        Pool::builder().name(format!("{FORGERY}\0")).max_size(1).build(ScriptedManager::new()).unwrap();
    let shown = format!(r"{SHOWN}\u{{0}}");
    assert_eq!(pool.stats().pool, shown);
    assert!(!logged::lines(&shown, log::Level::Info, "starting with").is_empty());
    let held = pool.get().unwrap();
    assert_harmless(&pool.get_timeout(MS).unwrap_err().to_string());
    drop(held);
    let long = Pool::builder().name("é".repeat(2000)).max_size(1).build(ScriptedManager::new()).unwrap();
    assert!(long.stats().pool.len() <= 1024 && long.stats().pool.ends_with("é..."));
    assert_eq!(long.settings().name, long.stats().pool, "the name is one wherever it is shown");
}

#[test]
fn a_servers_message_is_shown_on_one_line() {
    let error = refused(ScriptedError::new(FailureClass::Permanent, FORGERY).with_code("\u{1b}c\n"));
    let line = error.to_string();
    assert_harmless(&line);
    assert!(line.contains(SHOWN) && line.contains(r"[\u{1b}c\n]"), "{line}");
    format!("{error:#}").lines().for_each(assert_harmless);
    let failure = error.open_failure().expect("an attempt failed");
    assert_harmless(&format!("{failure} {:?}", failure.code()));
}

#[test]
fn a_message_of_50_mb_is_cut_where_it_enters() {
    let error = refused(ScriptedError::new(FailureClass::Permanent, "é".repeat(25_000_000)));
    let source =
        std::error::Error::source(&error).and_then(std::error::Error::source).expect("the manager's");
    for text in [error.to_string(), format!("{error:#}"), format!("{error:?}"), source.to_string()] {
        assert!(text.len() < 4096 && text.contains("ééé..."), "{} bytes", text.len());
    }
}

#[test]
fn a_panic_and_a_setting_are_shown_on_one_line() {
    let manager = ScriptedManager::new();
    let pool = Pool::builder().max_size(1).connection_customizer(Box::new(Panics)).build_unchecked(manager);
    assert_harmless(&pool.get_timeout(200 * MS).unwrap_err().to_string());

    let mut faults = Faults::new();
    faults.push("app_name", FORGERY, "must be a name");
    assert_eq!(faults.to_string(), format!("app_name is {SHOWN}: must be a name"));
}

#[derive(Debug)]
struct Panics;

impl<C, E> tierpool::CustomizeConnection<C, E> for Panics {
    fn on_acquire(&self, _: &mut C) -> Result<(), E> {
        panic!("{FORGERY}")
    }
}

#[test]
fn debug_is_the_report_since_unwrap_prints_it() {
    let (_, pool) = built(Pool::builder().name("debug").max_size(1).deadlock_detection(false));
    let mut held = pool.get().unwrap();
    held.tag("night");
    let error = pool.get_timeout(10 * MS).unwrap_err();
    let report = format!("{error:?}");
    assert_eq!(report, format!("{error:#}"));
    assert!(report.contains("\n  held longest:\n    ") && report.contains("[night]"), "{report}");

    let error = refused(ScriptedError::permanent());
    let failure = error.open_failure().expect("an attempt failed");
    assert_eq!(format!("{failure:?}"), "wrong password [28P01]");
    let error = Pool::builder().max_size(0).build(tierpool::MemoryManager).unwrap_err();
    assert_eq!(format!("{error:?}"), "invalid configuration: base_size is 0: must be at least 1");
    let builder = Pool::builder().max_size(0).max_uses(Some(0));
    let error = builder.build(tierpool::MemoryManager).unwrap_err();
    let [first, second] =
        ["base_size is 0: must be at least 1", "max_uses is 0: must be at least 1, or not set for no limit"];
    assert_eq!(error.to_string(), format!("invalid configuration: {first}; {second}"));
    assert_eq!(format!("{error:?}"), format!("invalid configuration:\n  {first}\n  {second}"));
}

/// An error that has the reason in its head, as SQLite's has the path, and a cause that tells less.
#[derive(Debug)]
struct Headed(&'static str, Option<ScriptedError>);

impl fmt::Display for Headed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Headed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.1.as_ref().map(|cause| cause as _)
    }
}

struct Fails(fn() -> Headed);

impl ManageConnection for Fails {
    type Connection = ();
    type Error = Headed;

    fn connect(&self) -> Result<(), Headed> {
        Err(self.0())
    }

    fn is_valid(&self, (): &mut ()) -> Result<(), Headed> {
        Ok(())
    }

    fn has_broken(&self, (): &mut ()) -> bool {
        false
    }
}

#[test]
fn the_line_has_the_cause_that_tells_most_and_none_twice() {
    let told = |error| {
        let pool = Pool::builder().max_size(1).build_unchecked(Fails(error));
        pool.get_timeout(200 * MS).unwrap_err()
    };
    let error = told(|| {
        let code = ScriptedError::transient("Error code 14: Unable to open the database file");
        Headed("unable to open database file: /srv/news.db", Some(code))
    });
    assert!(
        error.to_string().contains(": unable to open database file: /srv/news.db: Error code 14"),
        "{error}"
    );

    let error =
        told(|| Headed("open failed: no route to host", Some(ScriptedError::transient("no route to host"))));
    for text in [error.to_string(), format!("{error:#}")] {
        assert_eq!(text.matches("no route to host").count(), 1, "{text}");
    }
}

#[test]
fn a_timeout_says_that_connections_are_being_validated() {
    let manager = ScriptedManager::new();
    let builder = Pool::builder().name("frozen").max_size(4).pre_ping(PrePing::Always);
    let pool = builder.build(manager.clone()).unwrap();
    // A fresh one is not validated.
    drop([(); 4].map(|()| pool.get().unwrap()));
    let frozen = Gate::new();
    manager.always(Call::IsValid, Step::ok().behind(&frozen));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let pool = pool.clone();
            thread::spawn(move || pool.get_timeout(50 * MS).map(drop))
        })
        .collect();
    callers.into_iter().for_each(|caller| assert!(caller.join().unwrap().is_err()));
    eventually(BOUND, "all are being validated", || frozen.waiting() == 4);
    let text = pool.get_timeout(1100 * MS).unwrap_err().to_string();
    frozen.open();
    assert!(text.contains("0 in use, 0 opening, 4 being validated for 1."), "{text}");
    assert!(text.contains(" s, the server does not answer; "), "{text}");
}

#[test]
fn a_timeout_says_so_too_where_a_callers_own_thread_validates() {
    let manager = ScriptedManager::new();
    let builder =
        Pool::builder().max_size(1).pre_ping(PrePing::Always).driver(Box::new(ScriptedDriver::bounded()));
    let pool = builder.build(manager.clone()).unwrap();
    drop(pool.get().unwrap());
    let frozen = Gate::new();
    manager.always(Call::IsValid, Step::ok().behind(&frozen));
    let far = pool.clone();
    let caller = thread::spawn(move || far.get_timeout(BOUND).map(drop));
    eventually(BOUND, "it is being validated", || frozen.waiting() == 1);
    let text = pool.get_timeout(1100 * MS).unwrap_err().to_string();
    frozen.open();
    assert!(text.contains("0 in use, 0 opening, 1 being validated for 1."), "{text}");
    caller.join().unwrap().unwrap();
}

/// What a timeout says after 1.1 s, of which all went by with a connection being opened that may take `limit`.
fn told_while_opening(limit: Duration) -> String {
    let manager = ScriptedManager::new();
    let cold = Gate::new();
    manager.always(Call::Connect, Step::ok().behind(&cold));
    let pool = Pool::builder().max_size(1).connect_timeout(Some(limit)).build_unchecked(manager);
    let text = pool.get_timeout(1100 * MS).unwrap_err().to_string();
    cold.open();
    text
}

#[test]
fn a_server_that_takes_its_time_over_opening_is_not_called_silent() {
    let text = told_while_opening(10 * SECOND);
    assert!(text.contains("0 in use, 1 being opened for 1."), "{text}");
    assert!(!text.contains("does not answer"), "{text}");
}

#[test]
fn a_server_is_called_silent_once_an_opening_has_used_up_half_of_its_time() {
    // And a second more, as that is when it is given up as hung.
    let text = told_while_opening(500 * MS);
    assert!(text.contains("0 in use, 1 being opened for 1."), "{text}");
    assert!(text.contains(" s, the server does not answer; "), "{text}");
}

#[test]
fn what_was_closed_is_told_by_name() {
    let (_, pool) = pool_of(1);
    pool.close(Duration::from_secs(5));
    let closed = pool.stats().closed;
    assert_eq!(closed.count(CloseCause::Closed), 1);
    let text = format!("{closed:?}");
    assert!(text.contains("broken: 0") && text.contains("closed: 1"), "{text}");
    assert!(format!("{:?}", Stats::default()).contains("detached: 0"));
}
