//! r2d2_sqlite: a row from each of ten threads. Nothing changed: `r2d2` is tierpool, by Cargo's rename.

use std::thread;

use r2d2_sqlite::SqliteConnectionManager;
use r2d2_sqlite::rusqlite::params;

fn main() {
    // In memory, yet one database for all connections: the manager names it.
    let manager = SqliteConnectionManager::memory();
    let pool = r2d2::Pool::new(manager).unwrap();
    pool.get().unwrap().execute("CREATE TABLE IF NOT EXISTS visit (number INTEGER)", params![]).unwrap();

    (0..10)
        .map(|number| {
            let pool = pool.clone();
            thread::spawn(move || {
                let conn = pool.get().unwrap();
                conn.execute("INSERT INTO visit (number) VALUES (?)", [&number]).unwrap();
            })
        })
        .collect::<Vec<_>>()
        .into_iter()
        .map(thread::JoinHandle::join)
        .collect::<Result<Vec<()>, _>>()
        .unwrap();

    let conn: r2d2::PooledConnection<SqliteConnectionManager> = pool.get().unwrap();
    let count: i64 = conn.query_row("SELECT count(*) FROM visit", params![], |row| row.get(0)).unwrap();
    assert_eq!(count, 10);
    println!("r2d2_sqlite: {count} rows from as many threads");
}
