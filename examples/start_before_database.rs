//! A program that starts before its database, as containers that start together do: it waits, and then works.
//!
//! The database is a throw-away PostgreSQL that another thread starts some seconds later.

#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use support::cluster::Cluster;
use tierpool::{PgError, PgPool};

/// How much later the database is up.
const LATE: Duration = Duration::from_secs(4);

/// How long the program waits for it: long for a container that has to be fetched first.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    // The pool tells there what it waits for.
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("warn"));
    let server = Cluster::start_new()?;
    server.stop_fast();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(LATE);
            server.start();
        });
        work(&server.url())
    })
}

fn work(url: &str) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    // A wrong password or a database that does not exist would end it at once.
    let pool = PgPool::builder().url(url).app_name("early").build_within(PATIENCE)?;
    println!("connected after {:.1?}", begun.elapsed());
    let answer: i32 = pool.session(|tx| Ok::<_, PgError>(tx.query_one("SELECT 6 * 7", &[])?.get(0)))?;
    println!("the database answers: {answer}");
    Ok(())
}
