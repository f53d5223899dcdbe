//! The set-up, and the work: what is scraped are pages that it makes up, each after a wait as for a slow site.

use std::error::Error;
use std::thread;
use std::time::Duration;

use tierpool::batch::{self, Options};
use tierpool::postgres::Session;
use tierpool::{PgError, PgPool, http};

use crate::support::cluster::Cluster;

/// Pages of a round, and the threads that scrape them: more than there are connections, so that some wait.
const PAGES: i32 = 200;
const WORKERS: usize = 12;

/// Works so many rounds, and is seen on an address meanwhile.
pub fn run(addr: &str, rounds: u32) -> Result<(), Box<dyn Error>> {
    // The set-up: a pool, a table, and the endpoints.
    let own = if std::env::var_os("DATABASE_URL").is_none() { Some(Cluster::start_new()?) } else { None };
    let mut builder = PgPool::builder().name("service").base_size(8).max_overflow(0);
    if let Some(cluster) = &own {
        builder = builder.url(cluster.url());
    }
    let pool = builder.build()?;
    pool.session(|tx| tx.batch_execute("CREATE TABLE IF NOT EXISTS service_pages (page int, words int)"))?;
    let server = http::serve(&pool, addr)?;
    println!("to be seen at http://{}/", server.addr());

    for round in 1..=rounds {
        let report = batch::run(&pool, 1..=PAGES, Options::new().workers(WORKERS), scrape);
        println!("round {round}: {} of {PAGES} pages, {} failed", report.committed, report.failed.len());
    }
    Ok(())
}

/// Scrapes one page into the table.
fn scrape(tx: &mut Session<'_>, page: &i32) -> Result<(), PgError> {
    thread::sleep(Duration::from_millis(5));
    let words = page.rem_euclid(7) * 100;
    tx.execute("INSERT INTO service_pages VALUES ($1, $2)", &[page, &words])?;
    Ok(())
}
