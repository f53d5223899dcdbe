//! Passwords that change while the pool is up: with a callback nobody notices, without one everybody is told at once.
#![cfg(feature = "postgres")]

mod support;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;
use support::cluster::{APP_PASSWORD, Cluster, cluster};
use support::hostile::{HostileServer, Step, frames};
use support::pools::built;
use support::scripted::Gate;
use support::wait::{LONG_BOUND, Over, SECOND, comes_true, eventually, took};
use tierpool::postgres::{Credentials, PgError, PgManager, PgOptions};
use tierpool::{Clock, ClockHand, ErrorKind, FailureClass, OpenFailure, PgBuilder, PgPool, Tier};

const NEXT_PASSWORD: &str = "hush-0815-next";

fn set_password(cluster: &Cluster, password: &str) {
    cluster.admin().batch_execute(&format!("ALTER ROLE app PASSWORD '{password}'")).unwrap();
}

/// How often somebody came with a wrong password.
fn refusals(cluster: &Cluster) -> usize {
    cluster.server_log().matches("password authentication failed for user").count()
}

/// A URL without password.
fn bare_url(cluster: &Cluster) -> String {
    format!("postgresql://app@127.0.0.1:{}/app", cluster.port())
}

/// Waits for all attempts to have ended. The time of one that ends later counts from a clock moved on meanwhile.
fn no_attempt_is_under_way(pool: &PgPool) {
    eventually(LONG_BOUND, "no attempt is under way", || {
        pool.automation().gauges().opening == 0 && pool.adhoc().gauges().opening == 0
    });
}

fn configured(url: String) -> PgBuilder {
    PgPool::builder().url(url).app_name("credentials").base_size(4).max_overflow(0)
}

/// What a callback gives, changed by the test.
#[derive(Clone)]
struct Vault(Arc<Mutex<String>>);

impl Vault {
    fn new() -> Self {
        Vault(Arc::new(Mutex::new(APP_PASSWORD.to_owned())))
    }

    fn hold(&self, password: &str) {
        password.clone_into(&mut self.0.lock());
    }

    fn give(&self) -> Credentials {
        Credentials::password(self.0.lock().as_str())
    }
}

#[test]
fn a_password_rotated_again_and_again_reaches_no_worker_when_the_callback_follows() {
    let cluster = cluster();
    let vault = Vault::new();
    let of_pool = vault.clone();
    let pool = built(
        configured(bare_url(&cluster))
            .credentials(move || Ok(of_pool.give()))
            // So that connections are opened all the time.
            .automation(|tier| tier.max_lifetime(Some(SECOND / 5)).reaper_rate(SECOND / 20)),
    );
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let stops = Over(&stop);
        let work = || {
            while !stop.load(Ordering::Relaxed) {
                pool.session(|tx| tx.batch_execute("SELECT 1")).unwrap_or_else(|error| panic!("{error:#}"));
                done.fetch_add(1, Ordering::Relaxed);
            }
        };
        let workers: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
        for round in 0..5 {
            let password = format!("{NEXT_PASSWORD}-{round}");
            // The server first: for a moment the callback gives what is refused.
            set_password(&cluster, &password);
            vault.hold(&password);
            let (opened, before) = (pool.automation().stats().opened, done.load(Ordering::Relaxed));
            eventually(LONG_BOUND, "connections are opened with the new password", || {
                pool.automation().stats().opened >= opened + 4 && done.load(Ordering::Relaxed) > before + 20
            });
        }
        drop(stops);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

#[test]
fn a_callback_that_lags_behind_costs_one_refusal_and_heals_soon() {
    let cluster = cluster();
    let vault = Vault::new();
    let of_pool = vault.clone();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let pool = built(configured(bare_url(&cluster)).credentials(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(of_pool.give())
    }));
    drop(pool.get(Tier::Automation).unwrap());
    set_password(&cluster, NEXT_PASSWORD);
    pool.automation().evict_idle();
    let error = pool.get(Tier::Automation).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CircuitOpen, "told soon, long before the deadline of 60 s");
    let told = format!("{error:#}");
    assert!(told.contains("credentials") && !told.contains(APP_PASSWORD), "{told}");
    // The callback is asked again and again, the server is not.
    let before = asked.load(Ordering::Relaxed);
    eventually(LONG_BOUND, "several questions", || asked.load(Ordering::Relaxed) >= before + 2);
    assert_eq!(refusals(&cluster), 1);
    assert_eq!(
        pool.automation().stats().open_failures.transient,
        1,
        "what was told from memory was no attempt"
    );
    let last = error.source().and_then(|source| source.downcast_ref::<OpenFailure>()).unwrap();
    assert_eq!(last.attempts(), 1, "{error:#}");
    vault.hold(NEXT_PASSWORD);
    let (healed, time) = took(|| comes_true(LONG_BOUND, || pool.get(Tier::Automation).is_ok()));
    assert!(healed && time < 15 * SECOND, "probes are 10 s apart at most, not 30: {time:?}");
}

#[test]
fn without_a_callback_all_are_told_at_once_and_the_server_is_asked_every_half_minute() {
    let cluster = cluster();
    let (clock, hand): (Clock, ClockHand) = Clock::manual();
    let pool = built(configured(cluster.url()).clock(clock));
    let held = pool.get(Tier::Automation).unwrap();
    set_password(&cluster, NEXT_PASSWORD);
    held.close();
    pool.adhoc().evict_idle();
    thread::scope(|scope| {
        let waiters: Vec<_> =
            (0..8).map(|_| scope.spawn(|| took(|| pool.get(Tier::Automation).unwrap_err()))).collect();
        for waiter in waiters {
            let (error, time) = waiter.join().unwrap();
            assert_eq!(error.kind(), ErrorKind::ConnectFailed);
            assert!(format!("{error:#}").contains("28P01") && time < 10 * SECOND, "{time:?}: {error:#}");
        }
    });
    no_attempt_is_under_way(&pool);
    let first = refusals(&cluster);
    for _ in 0..29 {
        hand.advance(SECOND);
        assert_eq!(pool.get(Tier::Automation).unwrap_err().kind(), ErrorKind::ConnectFailed);
    }
    no_attempt_is_under_way(&pool);
    // The ad-hoc tier has a pace of its own, and tries for the connection that it keeps.
    assert!(refusals(&cluster) <= first + 1, "{first}, then {}", refusals(&cluster));
    set_password(&cluster, APP_PASSWORD);
    hand.advance(2 * SECOND);
    let before = refusals(&cluster);
    // Callers are refused until the pool itself has looked at the clock.
    eventually(LONG_BOUND, "healed with the first attempt", || {
        pool.automation().get_timeout(LONG_BOUND).is_ok()
    });
    assert_eq!(refusals(&cluster), before);
}

#[test]
fn a_wrong_password_is_one_log_in_for_both_tiers_and_all_openers() {
    let cluster = cluster();
    set_password(&cluster, NEXT_PASSWORD);
    let (clock, hand) = Clock::manual();
    let pool = configured(cluster.url()).clock(clock).build_unchecked().unwrap();
    let told_by = |tier: Tier| {
        let error = pool.get(tier).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectFailed, "{error:#}");
        let failure = error.open_failure().expect("a failure to open is the cause");
        assert_eq!((failure.class(), failure.code()), (FailureClass::Permanent, Some("28P01")));
        assert!(failure.to_string().contains("password authentication failed"), "{failure}");
    };
    let call_on_both_tiers = || {
        thread::scope(|scope| {
            for tier in [Tier::Automation, Tier::Adhoc] {
                (0..8).for_each(|_| drop(scope.spawn(move || told_by(tier))));
            }
        });
    };
    call_on_both_tiers();
    assert_eq!(refusals(&cluster), 1, "{}", cluster.server_log());
    no_attempt_is_under_way(&pool);
    // Nor one by one.
    hand.advance(31 * SECOND);
    let is_asked_again = || {
        pool.get(Tier::Automation).unwrap_err();
        refusals(&cluster) == 2
    };
    eventually(LONG_BOUND, "the server is asked again", is_asked_again);
    call_on_both_tiers();
    assert_eq!(refusals(&cluster), 2, "{}", cluster.server_log());

    no_attempt_is_under_way(&pool);
    set_password(&cluster, APP_PASSWORD);
    hand.advance(31 * SECOND);
    for tier in [Tier::Automation, Tier::Adhoc] {
        eventually(LONG_BOUND, "healed with the first attempt", || pool.get(tier).is_ok());
    }
    assert_eq!(refusals(&cluster), 2);
    thread::scope(|scope| {
        let held: Vec<_> = (0..4).map(|_| scope.spawn(|| pool.get(Tier::Automation).unwrap())).collect();
        held.into_iter().for_each(|held| drop(held.join().unwrap()));
    });
}

#[test]
fn a_callback_that_fails_or_panics_is_a_transient_failure_with_its_cause() {
    let cluster = cluster();
    let vault = Vault::new();
    let step = Arc::new(AtomicUsize::new(0));
    let (of_pool, steps) = (vault.clone(), Arc::clone(&step));
    let pool = configured(bare_url(&cluster))
        .credentials(move || match steps.load(Ordering::Relaxed) {
            0 => Err("the vault is sealed".into()),
            1 => panic!("the vault is gone"),
            _ => Ok(of_pool.give()),
        })
        .build_unchecked()
        .unwrap();
    for (at, cause) in ["the vault is sealed", "the vault is gone"].into_iter().enumerate() {
        step.store(at, Ordering::Relaxed);
        eventually(LONG_BOUND, cause, || {
            let error = pool.automation().get_timeout(2 * SECOND).unwrap_err();
            let failure = error.open_failure().expect("a failure to open is the cause");
            assert_eq!(failure.class(), FailureClass::Transient);
            failure.to_string().contains(cause)
        });
    }
    step.store(2, Ordering::Relaxed);
    eventually(LONG_BOUND, "it recovers", || pool.automation().get_timeout(SECOND).is_ok());
    assert_eq!(pool.automation().gauges().zombies, 0);
}

#[test]
fn a_callback_that_hangs_is_given_up_soon_after_the_connect_timeout() {
    let cluster = cluster();
    let vault = Vault::new();
    let gate = Gate::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let (of_pool, of_gate, count) = (vault.clone(), gate.clone(), Arc::clone(&calls));
    let pool = configured(bare_url(&cluster))
        .connect_timeout(SECOND)
        .credentials(move || {
            // As many as there are openers.
            if count.fetch_add(1, Ordering::Relaxed) < 4 {
                of_gate.pass(None);
            }
            Ok(of_pool.give())
        })
        .build_unchecked()
        .unwrap();
    let (outcome, time) = took(|| {
        thread::scope(|scope| {
            let callers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| pool.get(Tier::Automation).map(drop))).collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).collect::<Vec<_>>()
        })
    });
    // Some may have been told of the breaker meanwhile; nobody waits for the 60 s of a checkout.
    assert!(time < 20 * SECOND, "{time:?}: {outcome:?}");
    eventually(LONG_BOUND, "the pool works", || pool.automation().get_timeout(SECOND).is_ok());
    gate.open();
    let zombies = || pool.automation().gauges().zombies + pool.adhoc().gauges().zombies;
    eventually(LONG_BOUND, "no thread is left in it", || zombies() == 0);
}

#[test]
fn the_user_may_come_from_the_callback_and_the_tiers_may_have_their_own() {
    let cluster = cluster();
    let made =
        "CREATE ROLE reader LOGIN PASSWORD 'hush-reader'; CREATE ROLE tokens LOGIN PASSWORD 'hush-token'";
    cluster.admin().batch_execute(made).unwrap();
    let whoami = |pool: &PgPool, tier| -> String {
        pool.get(tier).unwrap().query_one("SELECT current_user::text", &[]).unwrap().get(0)
    };
    let tokens = || Ok(Credentials::password("hush-token").user("tokens"));
    let reader = || Ok(Credentials::password("hush-reader").user("reader"));

    let pool = built(configured(bare_url(&cluster)).credentials(tokens));
    assert_eq!([Tier::Automation, Tier::Adhoc].map(|tier| whoami(&pool, tier)), ["tokens", "tokens"]);
    let pool = built(configured(bare_url(&cluster)).credentials(tokens).adhoc_credentials(reader));
    assert_eq!([Tier::Automation, Tier::Adhoc].map(|tier| whoami(&pool, tier)), ["tokens", "reader"]);
    let activity = pool.server_activity().unwrap();
    assert_eq!([activity.automation.role.name, activity.adhoc.role.name], ["tokens", "reader"]);
    // An ad-hoc tier that connects as another role keeps to its own URL.
    let pool = built(configured(bare_url(&cluster)).credentials(tokens).adhoc_url(cluster.url()));
    assert_eq!([Tier::Automation, Tier::Adhoc].map(|tier| whoami(&pool, tier)), ["tokens", "app"]);

    let config = bare_url(&cluster).parse().unwrap();
    let manager = PgManager::new(config, PgOptions::default()).unwrap().with_credentials(tokens);
    assert!(manager.connect_within(LONG_BOUND).is_ok());
    assert!(!format!("{manager:?} {pool:?}").contains("hush"));
}

#[test]
fn a_callback_that_was_wrong_from_the_start_is_told_after_one_log_in() {
    let cluster = cluster();
    let given = || Ok(Credentials::password("not this one"));
    let built = || configured(bare_url(&cluster)).credentials(given).build_within(LONG_BOUND).map(drop);
    let (error, time) = took(|| built().unwrap_err());
    assert_eq!(error.kind(), ErrorKind::ConnectFailed, "{error:#}");
    assert!(time < LONG_BOUND / 2, "{time:?}");
    let told = format!("{error:#}");
    assert!(told.contains("28P01") && told.contains("the callback still gives"), "{told}");
    assert_eq!(refusals(&cluster), 1);
}

#[test]
fn a_password_that_a_server_puts_into_its_error_is_not_shown() {
    let fields = "SFATAL\0VFATAL\0C28P01\0Mnot s@cret/hush\0Dtried s%40cret%2Fhush and s%40cret%2fhush\0\0";
    let script = vec![Step::Startup, Step::Send(frames::frame(b'E', fields.as_bytes())), Step::AwaitEnd];
    let server = HostileServer::start(vec![script], Vec::new()).unwrap();
    let url = server.url().replace("secret", "s%40cret%2Fhush");
    let shown =
        |error: &PgError| format!("{error} {error:#} {error:?} {:?}", error.source().map(|s| s.to_string()));
    let open = |manager: PgManager| shown(&manager.connect_within(LONG_BOUND).map(drop).unwrap_err());
    let of_url = open(PgManager::new(url.parse().unwrap(), PgOptions::default()).unwrap());
    let other = server.url().parse().unwrap();
    let other = PgManager::new(other, PgOptions::default()).unwrap();
    let of_callback = open(other.with_credentials(|| Ok(Credentials::password("s@cret/hush"))));
    let error = configured(url).build().map(drop).unwrap_err();
    for told in [of_url, of_callback, format!("{error:#} {error:?}")] {
        assert!(
            told.contains("not [redacted]") && told.contains("tried [redacted] and [redacted]"),
            "{told}"
        );
        assert!(!told.contains("s@cret") && !told.contains("cret%2"), "{told}");
    }
}
