//! A program whose database is restarted while it works: every row that was reported as written is there at the end,
//! and none is there twice.
//!
//! The database is a throw-away PostgreSQL, away for two seconds in the middle of the work.

#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::thread;
use std::time::Duration;

use support::cluster::Cluster;
use support::wait::eventually;
use tierpool::postgres::{Retry, SessionOptions};
use tierpool::{PgError, PgPool, Tier};

const WORKERS: i32 = 4;
const ROWS: i32 = 200;
const AWAY: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("warn"));
    let server = Cluster::start_new()?;
    let pool = PgPool::builder().url(server.url()).app_name("survivor").base_size(4).build()?;
    pool.session(|tx| {
        tx.batch_execute("CREATE TABLE pages (worker int, page int, PRIMARY KEY (worker, page))")
    })?;

    let workers_pool = &pool;
    let written: i32 = thread::scope(|scope| {
        let workers: Vec<_> =
            (1..=WORKERS).map(|worker| scope.spawn(move || write(workers_pool, worker))).collect();
        eventually(LONGEST, "half of the work is done", || {
            count(&pool).is_ok_and(|rows| rows >= i64::from(WORKERS * ROWS / 2))
        });
        println!("the database goes away");
        server.stop_fast();
        thread::sleep(AWAY);
        server.start();
        println!("the database is back");
        workers.into_iter().map(|worker| worker.join().unwrap_or(0)).sum()
    });

    let rows = count(&pool)?;
    println!("{written} rows were reported as written, {rows} are there");
    println!("{} sessions were run again", pool.sessions_repeated(Tier::Automation));
    if (i64::from(written), written) == (rows, WORKERS * ROWS) {
        Ok(())
    } else {
        Err("rows were lost".into())
    }
}

fn count(pool: &PgPool) -> Result<i64, PgError> {
    pool.session(|tx| Ok(tx.query_one("SELECT count(*) FROM pages", &[])?.get(0)))
}

/// Writes one worker's rows, a session each, and returns how many were.
fn write(pool: &PgPool, worker: i32) -> i32 {
    // Written twice is written once, so that a session is run again also where nobody knows whether its COMMIT took
    // effect before the server went away.
    let options = SessionOptions::new().tag("pages").retry(Retry::default()).idempotent(true);
    let insert = "INSERT INTO pages VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let one = |page: i32| {
        pool.session_with(Tier::Automation, &options, |tx| tx.execute(insert, &[&worker, &page]).map(drop))
    };
    (1..=ROWS).take_while(|page| one(*page).inspect_err(|error| eprintln!("{error}")).is_ok()).count() as i32
}
