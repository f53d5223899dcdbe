//! What is seen of a pool on every side agrees with the server, and a statement is cancelled by way of the socket.
#![cfg(all(feature = "http", feature = "postgres", unix))]

mod support;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use support::admin::{alone, ask};
use support::cluster::{APP_PASSWORD, cluster};
use support::pools::pool_of;
use support::wait::{LONG_BOUND, MS, Over, eventually};
use support::web::get;
use tierpool::batch::{self, Options};
use tierpool::http::{self, AdminOptions};
use tierpool::{PgError, PgPool, Tier};

fn admin(pool: &PgPool) -> PathBuf {
    AdminOptions::new("seen").write(true).open(pool).unwrap()
}

#[test]
fn while_a_batch_is_held_still_all_that_is_seen_of_it_agrees() {
    alone("while_a_batch_is_held_still_all_that_is_seen_of_it_agrees", |_| {
        let cluster = cluster();
        let pool = pool_of(4, "agree", cluster.url(), |builder| builder.admin(false));
        let (server, socket) = (http::serve(&pool, "127.0.0.1:0").unwrap(), admin(&pool));
        let goes_on = AtomicBool::new(false);
        thread::scope(|scope| {
            let go_on = Over(&goes_on);
            let batch = scope.spawn(|| {
                // Each worker holds its first connection until all has been looked at.
                batch::run(&pool, 0..40, Options::new().workers(8), |tx, item| {
                    tx.execute("SELECT $1::int4", &[item])?;
                    while !goes_on.load(Ordering::SeqCst) {
                        thread::sleep(MS);
                    }
                    Ok::<_, PgError>(())
                })
            });
            eventually(LONG_BOUND, "all are out, and the others wait", || {
                let gauges = pool.automation().gauges();
                (gauges.in_use, gauges.waiting) == (4, 4)
            });
            assert!(pool.automation().suspend());
            let series = |name: &str| {
                let text = get(server.addr(), "/metrics").body;
                let line = text
                    .lines()
                    .find(|line| line.starts_with(&format!("{name}{{")) && line.contains("automation"));
                line.unwrap_or_else(|| panic!("{text}")).rsplit(' ').next().unwrap().parse::<f64>().unwrap()
            };
            assert_eq!((series("db_pool_checked_out"), series("db_pool_waiting")), (4.0, 4.0));
            assert_eq!(get(server.addr(), "/health/pool").json()["pool_stats"]["checked_out"], 4);
            let told = get(server.addr(), "/admin/metrics/database").json();
            assert_eq!((&told["in_use"], &told["automation"]["gauges"]["waiting"]), (&4.into(), &4.into()));
            let status = ask(&socket, "GET", "/status").json();
            assert_eq!(status["pools"][0]["told"]["in_use"], 4);
            let holders = ask(&socket, "GET", "/holders").json();
            assert_eq!(holders["pools"][0]["told"]["automation"].as_array().unwrap().len(), 4);
            for path in ["/status", "/holders", "/waiters", "/stats", "/events"] {
                let told = ask(&socket, "GET", path).body;
                assert!(!told.contains("postgresql://") && !told.contains(APP_PASSWORD), "{path}: {told}");
            }
            assert_eq!(cluster.connections("agree/automation"), 4, "by pg_stat_activity");
            assert!(pool.automation().resume());
            drop(go_on);
            assert_eq!(batch.join().unwrap().committed, 40);
        });
    });
}

#[test]
fn a_statement_is_cancelled_by_the_number_of_its_connection() {
    alone("a_statement_is_cancelled_by_the_number_of_its_connection", |_| {
        let cluster = cluster();
        let pool = pool_of(2, "cancelled", cluster.url(), |builder| builder.admin(false));
        let socket = admin(&pool);
        thread::scope(|scope| {
            let stuck =
                scope.spawn(|| pool.get(Tier::Automation).unwrap().batch_execute("SELECT pg_sleep(600)"));
            eventually(LONG_BOUND, "it sleeps", || {
                let asked = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'";
                cluster.admin().query_one(asked, &[]).unwrap().get::<_, i64>(0) == 1
            });
            let holders = ask(&socket, "GET", "/holders").json();
            let id = &holders["pools"][0]["told"]["automation"][0]["connection_id"];
            let done = ask(&socket, "POST", &format!("/cancel?connection={id}"));
            assert_eq!((done.status, &done.json()["done"]), (200, &true.into()), "{done:?}");
            let ended = stuck.join().unwrap().unwrap_err();
            assert_eq!(ended.code().map(|code| code.code().to_owned()).as_deref(), Some("57014"), "{ended}");
        });
        assert_eq!(pool.automation().stats().stuck_cancelled, 1);
    });
}
