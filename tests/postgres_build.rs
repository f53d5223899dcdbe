//! What `build` of a PostgreSQL pool opens, and what it tells of.
#![cfg(feature = "postgres")]

mod support;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use support::bouncer::Bouncer;
use support::cluster::{APP_PASSWORD, Cluster, cluster};
use support::pools::built;
use support::port::free_port;
use support::wait::{SECOND, eventually, took};
use tierpool::config::{Overrides, PgSettings};
use tierpool::postgres::Credentials;
use tierpool::{ErrorKind, PgBuilder, PgPool};

/// What "at once" may mean on a machine under load.
const AT_ONCE: Duration = Duration::from_secs(5);

fn builder(url: impl Into<String>) -> PgBuilder {
    PgPool::builder().url(url).app_name("built").base_size(4).max_overflow(0)
}

/// The connections of each tier that the server sees.
fn seen(cluster: &Cluster) -> [usize; 2] {
    ["built/automation", "built/adhoc"].map(|name| cluster.connections(name))
}

fn is_open(pool: &PgPool) -> [u32; 2] {
    [pool.automation(), pool.adhoc()].map(|tier| tier.gauges().size())
}

/// The URL of the cluster with another role and password.
fn url_of(cluster: &Cluster, role: &str, password: &str) -> String {
    format!("postgresql://{role}:{password}@127.0.0.1:{}/app", cluster.port())
}

#[test]
fn one_connection_is_opened_for_each_role_and_server_and_it_lingers_as_any_other() {
    let [cluster, other] = [cluster(), cluster()];
    cluster.admin().batch_execute("CREATE ROLE person LOGIN PASSWORD 'own'").unwrap();
    let url = cluster.url();
    let is_left = |pool: PgPool, expected: [usize; 2]| {
        assert_eq!((is_open(&pool).map(|size| size as usize), seen(&cluster)), (expected, expected));
        drop(pool);
        eventually(AT_ONCE, "all are closed", || seen(&cluster) == [0, 0]);
    };
    is_left(builder(&*url).build_unchecked().unwrap(), [0, 0]);
    is_left(built(builder(&*url)), [1, 0]);
    // The same by another string: the role is the same, and so is the server.
    let same = format!("{url}?keepalives_idle=60");
    is_left(built(builder(&*url).adhoc_url(same)), [1, 0]);
    is_left(built(builder(&*url).adhoc_url(url_of(&cluster, "person", "own"))), [1, 1]);
    let own = || Ok(Credentials::password(APP_PASSWORD));
    is_left(built(builder(&*url).adhoc_credentials(own)), [1, 1]);
    is_left(built(builder(&*url).credentials(own)), [1, 0]);
    // With a string of its own the ad-hoc tier has a password of its own too.
    is_left(built(builder(&*url).credentials(own).adhoc_url(&*url)), [1, 1]);
    // What is kept open besides is opened as well, and the one is of those.
    is_left(built(builder(&*url).min_size(2)), [2, 0]);
    is_left(built(builder(&*url).adhoc(|tier| tier.min_idle(Some(2)))), [1, 2]);

    let elsewhere = built(builder(&*url).adhoc_url(other.url()));
    assert_eq!((seen(&cluster), seen(&other)), ([1, 0], [0, 1]));
    drop(elsewhere);
    eventually(AT_ONCE, "all are closed", || seen(&cluster) == [0, 0]);

    let (clock, hand) = tierpool::Clock::manual();
    let pool = built(builder(&*url).idle_timeout(60 * SECOND).clock(clock));
    // It counts as open a moment before it is there, and rests from then on.
    eventually(AT_ONCE, "it rests", || pool.automation().gauges().idle == 1);
    hand.advance(59 * SECOND);
    assert_eq!(is_open(&pool), [1, 0]);
    hand.advance(2 * SECOND);
    // It may be in hand for its keepalive as the keeper looks, who by this clock looks again when woken.
    eventually(AT_ONCE, "it is closed, and no other is opened", || {
        hand.advance(Duration::ZERO);
        seen(&cluster) == [0, 0]
    });
}

#[test]
fn a_role_that_cannot_log_in_is_told_of_whichever_tier_it_is_of() {
    let cluster = cluster();
    let (right, wrong) = (cluster.url(), url_of(&cluster, "app", "wrong"));
    for (automation, adhoc, tier) in [(&wrong, &right, "automation"), (&right, &wrong, "adhoc")] {
        let builder = builder(&**automation).adhoc_url(&**adhoc).connection_timeout(60 * SECOND);
        let (error, time) = took(|| builder.build().unwrap_err());
        assert_eq!(error.kind(), ErrorKind::ConnectFailed);
        let text = error.to_string();
        assert!(text.contains(&format!("pool `{tier}`")) && text.contains("28P01"), "{text}");
        assert!(time < AT_ONCE, "{time:?}");
    }
    let unchecked = builder(&*wrong).adhoc_url(&*wrong).build_unchecked();
    assert!(unchecked.is_ok(), "it opens nothing, and so tells nothing");
}

#[test]
fn a_server_of_either_tier_that_is_not_there_is_waited_for() {
    let cluster = cluster();
    let nobody = format!("postgresql://app:hush@127.0.0.1:{}/app", free_port().unwrap());
    let (right, limit) = (cluster.url(), SECOND / 2);
    for (automation, adhoc) in [(&nobody, &right), (&right, &nobody)] {
        let (error, time) =
            took(|| builder(&**automation).adhoc_url(&**adhoc).build_within(limit).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        let told = "has not opened a connection within its caller's limit of 500 ms (";
        assert!(error.to_string().contains(told), "{error}");
        assert!(time >= limit && time < AT_ONCE, "{time:?}");
    }
}

/// A port of 127.0.0.1 at which the first connection is answered with `first`, and the others by `server`.
fn with_another_service_first(first: &'static [u8], server: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let _ = socket.read(&mut [0; 1024]);
        socket.write_all(first).unwrap();
        drop(socket);
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", server)).unwrap());
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    port
}

#[test]
fn one_answer_that_is_none_is_not_taken_for_the_last_word() {
    let cluster = cluster();
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"R\0\0\0\0", b"R\0\0\0\x08", b"Z\0\0\0\x05I"] {
        for mode in ["disable", "prefer"] {
            let url = cluster.url_through(with_another_service_first(answer, cluster.port()));
            let text = answer.escape_ascii();
            let (pool, time) = took(|| builder(format!("{url}?sslmode={mode}")).build());
            let pool = pool.unwrap_or_else(|error| panic!("{text}, {mode}: {error:#}"));
            let stats = pool.automation().stats();
            assert_eq!((stats.open_failures.transient, stats.opened), (1, 1), "{text}, {mode}");
            assert!(time < 2 * AT_ONCE, "{text}, {mode}: {time:?}");
        }
    }
}

#[test]
fn an_idle_timeout_holds_for_the_ad_hoc_tier_however_it_is_set() {
    let cluster = cluster();
    let url = cluster.url();
    let adhoc = |pool: PgPool| (pool.adhoc().idle_timeout(), pool.adhoc().settings().base_lingers);
    let unchecked = |builder: PgBuilder| adhoc(builder.build_unchecked().unwrap());
    let minute = Some(60 * SECOND);
    assert_eq!(unchecked(builder(&*url)), (Some(600 * SECOND), true));
    assert_eq!(unchecked(builder(&*url).idle_timeout(60 * SECOND)), (minute, false));
    assert_eq!(unchecked(builder(&*url).adhoc(move |tier| tier.idle_timeout(minute))), (minute, false));
    let own = |tier: tierpool::Builder<_>| tier.base_lingers(true);
    assert_eq!(unchecked(builder(&*url).idle_timeout(60 * SECOND).adhoc(own)), (minute, true));

    let mut overrides = Overrides::default();
    overrides.url = Some(url.into());
    let mut settings = PgSettings::load(&overrides, |_| None).unwrap();
    settings.adhoc.idle_timeout = minute;
    assert_eq!(adhoc(PgPool::from_settings(settings).unwrap()), (minute, false));
}

#[test]
fn a_pooler_in_front_of_automation_alone_is_found() {
    let cluster = cluster();
    let bouncer = Bouncer::over(&cluster, "transaction").start();
    let pool = built(PgPool::builder().url(bouncer.url()).adhoc_url(cluster.url()));
    assert_eq!(pool.automation().max_size(), 7, "the sizes for a pooler");
    assert_eq!(pool.automation().max_lifetime(), Some(300 * SECOND));
}
