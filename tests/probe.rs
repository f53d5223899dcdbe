//! What is known of a connection without a round trip, at each checkout.
#![cfg(feature = "postgres")]

mod support;

use std::time::Duration;

use support::bouncer::Bouncer;
use support::cluster::cluster;
use support::pools::pool_of;
use support::wait::{SECOND, eventually};
use support::wire::one;
use tierpool::config::{Overrides, PgBouncer, PgSettings};
use tierpool::stats::CloseCause;
use tierpool::{PgBuilder, PgPool, PrePing, Tier};

/// Ends the backend of a connection that was just returned, and waits until it has gone.
fn end_idle(pool: &PgPool, admin: &mut postgres::Client) -> i32 {
    let pid = pool.get(Tier::Automation).unwrap().backend_pid().unwrap();
    admin.execute("SELECT pg_terminate_backend($1)", &[&pid]).unwrap();
    eventually(5 * SECOND, "the backend ends", || {
        admin.query("SELECT 1 FROM pg_stat_activity WHERE pid = $1", &[&pid]).unwrap().is_empty()
    });
    pid
}

#[test]
fn each_checkout_over_tcp_finds_a_backend_that_has_ended_just_now() {
    let cluster = cluster();
    let mut admin = cluster.admin();
    let bouncer = Bouncer::over(&cluster, "session").start();
    for (url, mode) in [(cluster.url(), PgBouncer::Off), (bouncer.url(), PgBouncer::Session)] {
        let pool = pool_of(1, "probe", url, |builder| builder.pgbouncer(mode));
        let found = || pool.automation().stats().closed.count(CloseCause::Invalid);
        for n in 1..=3 {
            end_idle(&pool, &mut admin);
            // The hang-up comes a little after the end; until then nothing is sent that would meet it.
            eventually(5 * SECOND, "a look at it tells", || {
                drop(pool.get(Tier::Automation).unwrap());
                found() == n
            });
            let mut conn = pool.get(Tier::Automation).unwrap();
            assert_eq!(one::<i32>(&mut conn, "SELECT 1"), 1, "{mode}");
        }
        assert_eq!(found(), 3);
    }
}

#[test]
fn a_look_at_each_checkout_sends_nothing_also_where_its_caller_is_in_a_hurry() {
    let cluster = cluster();
    let bouncer = Bouncer::over(&cluster, "transaction").start();
    for (url, mode) in [(cluster.url(), PgBouncer::Off), (bouncer.url(), PgBouncer::Transaction)] {
        let pool = pool_of(1, "probe", url, |builder| builder.pgbouncer(mode));
        let trips = || pool.automation().get_timeout(SECOND / 2).unwrap().round_trips();
        let before = trips();
        let waited = || pool.automation().stats().checkouts.waited;
        let for_openings = waited();
        for n in 0..100 {
            assert_eq!(trips(), before, "{mode}, checkout {n}");
        }
        if mode == PgBouncer::Transaction {
            // A ping would take a server connection from other clients.
            std::thread::sleep(Duration::from_millis(1100));
            assert_eq!(trips(), before, "{mode}");
        }
        assert_eq!(waited(), for_openings);
    }
}

#[test]
fn the_default_is_each_checkout_over_tcp_and_the_idle_window_elsewhere() {
    let of = |url: &str| {
        let mut overrides = Overrides::default();
        overrides.url = Some(url.into());
        let settings = PgSettings::load(&overrides, |_| None).unwrap();
        let row = settings.effective().into_iter().find(|row| row.setting.name == "pre_ping").unwrap();
        (settings.automation.pre_ping, settings.adhoc.pre_ping, row.value)
    };
    let (always, lately) = (PrePing::Always, PrePing::IfIdleFor(Duration::from_millis(500)));
    for url in [
        "postgresql://db.example/news",
        "postgresql://db.example:6432/news",
        "postgresql://db.example/news?pgbouncer=session",
        "host=/tmp hostaddr=127.0.0.1 user=u",
    ] {
        assert_eq!(of(url), (always, always, "always".to_owned()), "{url}");
    }
    for url in ["host=/tmp user=u", "host=db.example,/tmp user=u"] {
        assert_eq!(of(url).0, lately, "{url}: a Unix socket cannot be looked at");
        assert_eq!(of(url).1, lately);
    }
    let tiers = |builder: PgBuilder| {
        let pool = builder.build_unchecked().unwrap();
        [pool.automation(), pool.adhoc()].map(|tier| tier.settings().pre_ping)
    };
    let socket = || PgPool::builder().url("host=db.example user=u").adhoc_url("host=/tmp user=u");
    assert_eq!(tiers(socket()), [always, lately]);
    assert_eq!(tiers(socket().pre_ping(PrePing::Always)), [always, always]);
    assert_eq!(tiers(socket().pre_ping(PrePing::Never)), [PrePing::Never; 2]);
}

#[test]
fn under_never_nothing_is_looked_for_and_what_is_known_dead_is_not_lent() {
    let cluster = cluster();
    let pool = pool_of(1, "probe", cluster.url(), |builder| builder.pre_ping(PrePing::Never));
    end_idle(&pool, &mut cluster.admin());
    eventually(5 * SECOND, "nobody looks, and a borrower meets the end of its backend", || {
        pool.get(Tier::Automation).unwrap().batch_execute("SELECT 1").is_err()
    });

    let mut conn = pool.get(Tier::Automation).unwrap();
    assert_eq!(one::<i32>(&mut conn, "SELECT 1"), 1);
    assert!(conn.abandon_handle().abandon());
    drop(conn);
    let mut conn = pool.get(Tier::Automation).unwrap();
    assert_eq!(one::<i32>(&mut conn, "SELECT 1"), 1);
}
