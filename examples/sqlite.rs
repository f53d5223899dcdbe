//! Another database by way of its r2d2 manager: SQLite in a temporary file, four threads, one table.

use std::error::Error;
use std::thread;

use r2d2_sqlite::SqliteConnectionManager;
use tierpool::{Pool, PooledConnection};

type Connection = PooledConnection<SqliteConnectionManager>;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    // The manager is r2d2_sqlite's, unchanged; only the pool is another one.
    let manager = SqliteConnectionManager::file(folder.path().join("visits.db"))
        // SQLite lets one connection write at a time; the others wait rather than fail.
        .with_init(|conn| conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 5000"));
    let pool = Pool::builder().name("visits").max_size(4).min_idle(Some(1)).build(manager)?;
    pool.get()?.execute_batch("CREATE TABLE visits (page TEXT NOT NULL)")?;

    let failed = thread::scope(|scope| {
        let workers: Vec<_> = (1..=4)
            .map(|number| {
                let pool = &pool;
                scope.spawn(move || visit(pool.get()?, number))
            })
            .collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()?.err()).count()
    });

    let rows: u32 = pool.get()?.query_row("SELECT count(*) FROM visits", [], |row| row.get(0))?;
    println!("{rows} rows by 4 threads, {failed} failed; {} connections were opened", pool.stats().opened);
    Ok(())
}

fn visit(mut conn: Connection, number: u32) -> Result<(), Box<dyn Error + Send + Sync>> {
    let transaction = conn.transaction()?;
    for page in 1..=25 {
        transaction.execute("INSERT INTO visits VALUES (?1)", [format!("/{number}/{page}")])?;
    }
    transaction.commit()?;
    Ok(())
}
