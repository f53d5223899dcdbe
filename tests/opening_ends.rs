//! Openings under way end with their pool, whatever the server does, and those of other pools go on.
#![cfg(feature = "postgres")]

mod support;

use std::time::{Duration, Instant};

use r2d2::CustomizeConnection;
use support::hostile::{HostileServer, Step, frames};
use support::wait::{BOUND, MS, SECOND, eventually, measured_within, thread_names, took};
use tierpool::Pool;
use tierpool::config::PgBouncer;
use tierpool::postgres::{PgConnection, PgDriver, PgError, PgManager, PgOptions, SocketTimeout};

/// Far more than a test waits.
const CONNECT: Duration = Duration::from_secs(60);

/// What the server does, and by which `sslmode` it is asked.
type Hindrance = (&'static str, fn() -> Vec<Step>);

fn dribbles() -> Vec<Step> {
    let notices = Step::Dribble(frames::notice("wait"), 2 * MS);
    vec![Step::Startup, Step::Send(frames::authentication_ok()), notices]
}

fn is_silent() -> Vec<Step> {
    vec![Step::Startup, Step::AwaitEnd]
}

/// After a good start.
fn is_silent_in_set_up() -> Vec<Step> {
    vec![Step::Startup, Step::Send(frames::greeting(b'I')), Step::AwaitEnd]
}

fn manager(server: &HostileServer, sslmode: &str) -> PgManager {
    manager_behind(server, sslmode, Some(PgBouncer::Off))
}

fn manager_behind(server: &HostileServer, sslmode: &str, pgbouncer: Option<PgBouncer>) -> PgManager {
    let mut options = PgOptions::default();
    options.connect_timeout = Some(CONNECT);
    options.socket_timeout = SocketTimeout::After(CONNECT);
    options.pgbouncer = pgbouncer;
    let url = server.url().replace("disable", sslmode);
    PgManager::new(url.parse().unwrap(), options).unwrap()
}

/// Asks each new connection something.
#[derive(Debug)]
struct Asks;

impl CustomizeConnection<PgConnection, PgError> for Asks {
    fn on_acquire(&self, conn: &mut PgConnection) -> Result<(), PgError> {
        conn.batch_execute("SELECT 1").map_err(PgError::from)
    }
}

fn pool(name: &str, manager: PgManager) -> Pool<PgManager> {
    let builder = Pool::builder().name(name).driver(Box::new(PgDriver)).max_size(1).min_idle(Some(1));
    builder.connection_customizer(Box::new(Asks)).connect_timeout(Some(CONNECT)).build_unchecked(manager)
}

fn openers(pool: &str) -> usize {
    let name = format!("{pool}-open");
    thread_names().iter().filter(|thread| **thread == name).count()
}

/// The time from `end` until the pool's openers are gone.
fn time_to_end(pool: &str, end: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    end();
    eventually(BOUND, "its opener has ended", || openers(pool) == 0);
    begun.elapsed()
}

#[test]
fn an_opening_under_way_ends_as_its_pool_is_closed_or_its_last_handle_dropped() {
    let hindrances: [Hindrance; 4] = [
        ("disable", dribbles),
        ("disable", is_silent),
        ("disable", is_silent_in_set_up),
        #[cfg(feature = "tls")]
        ("require", is_silent),
        #[cfg(not(feature = "tls"))]
        ("disable", is_silent),
    ];
    for (at, (sslmode, steps)) in hindrances.iter().enumerate() {
        for is_dropped in [false, true] {
            let name = format!("ends-{at}-{}", u8::from(is_dropped));
            measured_within(SECOND, &name, || {
                let server = HostileServer::start(vec![steps()], Vec::new()).unwrap();
                let pool = pool(&name, manager(&server, sslmode));
                eventually(BOUND, "an opening is under way", || server.connections() == 1);
                time_to_end(&name, || {
                    if is_dropped {
                        return drop(pool);
                    }
                    let (report, took) = took(|| pool.close(CONNECT));
                    assert!(report.is_complete() && took < BOUND, "{took:?}: {report:?}");
                })
            });
        }
    }
}

#[test]
fn what_another_pool_of_the_same_manager_opens_goes_on() {
    let good_end = vec![Step::AwaitGo, Step::Send(frames::greeting(b'I')), Step::Serve(Vec::new())];
    let script = [vec![Step::Startup], good_end].concat();
    let server = HostileServer::start(vec![script], Vec::new()).unwrap();
    let manager = manager(&server, "disable");
    let first = pool("other-1", manager.clone());
    eventually(BOUND, "an opening is under way", || server.connections() == 1);
    // Waits for its turn, since the role was not let in yet.
    let second = pool("other-2", manager.clone());
    let third = pool("other-3", manager);
    eventually(BOUND, "all have begun", || openers("other-2") > 0 && openers("other-3") > 0);
    time_to_end("other-3", || drop(third));
    assert_eq!([&first, &second].map(|pool| pool.gauges().opening), [1, 1]);
    assert_eq!(server.connections(), 1);
    time_to_end("other-1", || drop(first.close(CONNECT)));
    eventually(BOUND, "it has its turn", || server.connections() == 2);
    server.go();
    second.get_timeout(BOUND).unwrap();
    assert_eq!(server.connections(), 2);
}

#[test]
fn nobody_waits_for_what_is_asked_of_a_connection_after_its_log_in() {
    let server = HostileServer::start(vec![is_silent_in_set_up(); 3], Vec::new()).unwrap();
    // Asked who serves it.
    let manager = manager_behind(&server, "disable", None);
    let builder = Pool::builder().driver(Box::new(PgDriver)).max_size(3).min_idle(Some(3));
    let pool = builder.connect_timeout(Some(CONNECT)).build_unchecked(manager);
    eventually(BOUND, "all are being opened", || server.connections() == 3);
    drop(pool);
}
