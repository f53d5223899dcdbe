//! r2d2_postgres: a row from each of ten threads. What changed is the `use` line of the pool.

use std::thread;

use r2d2_postgres::PostgresConnectionManager;
use r2d2_postgres::postgres::error::SqlState;
use r2d2_postgres::postgres::{Config, NoTls};
use tierpool::Pool;

/// This manager validates by an empty statement, which finds no transaction that a borrower left behind.
fn a_failed_begin_is_not_found(manager: PostgresConnectionManager<NoTls>) {
    let pool = Pool::builder().max_size(1).test_on_check_out(true).build(manager).unwrap();
    pool.get().unwrap().batch_execute("BEGIN; SELECT 1 / 0").unwrap_err();
    let next = pool.get().unwrap().batch_execute("SELECT 1").unwrap_err();
    assert_eq!(next.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
}

fn main() {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL names the server");
    let config: Config = url.parse().unwrap();
    let manager = PostgresConnectionManager::new(config.clone(), NoTls);
    let pool = Pool::new(manager).unwrap();
    pool.get().unwrap().batch_execute("CREATE TABLE visit (number INT4 NOT NULL)").unwrap();

    let threads: Vec<_> = (0..10i32)
        .map(|number| {
            let pool = pool.clone();
            thread::spawn(move || {
                let mut client = pool.get().unwrap();
                client.execute("INSERT INTO visit (number) VALUES ($1)", &[&number]).unwrap();
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }

    let mut client = pool.get().unwrap();
    let mut transaction = client.transaction().unwrap();
    transaction.execute("DELETE FROM visit", &[]).unwrap();
    transaction.rollback().unwrap();
    let count: i64 = client.query_one("SELECT count(*) FROM visit", &[]).unwrap().get(0);
    assert_eq!(count, 10);

    a_failed_begin_is_not_found(PostgresConnectionManager::new(config, NoTls));
    println!("r2d2_postgres: {count} rows from as many threads");
}
