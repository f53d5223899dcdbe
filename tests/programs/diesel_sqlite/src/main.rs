//! diesel with SQLite: threads that insert, and a pool for tests whose transaction is never committed. What changed is
//! `diesel::r2d2` in the `use` lines: it is a module of the program's own.

mod r2d2;

use std::thread;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error;

use crate::r2d2::{ConnectionManager, CustomizeConnection, Pool, PoolError, TestCustomizer};

diesel::table! {
    person {
        id -> Integer,
        name -> Text,
    }
}

/// Sets each new connection up.
#[derive(Debug)]
struct WaitForLocks;

impl CustomizeConnection<SqliteConnection, crate::r2d2::Error> for WaitForLocks {
    fn on_acquire(&self, conn: &mut SqliteConnection) -> Result<(), crate::r2d2::Error> {
        conn.batch_execute("PRAGMA busy_timeout = 10000").map_err(crate::r2d2::Error::QueryError)
    }
}

fn pool_of(url: &str) -> Result<Pool<ConnectionManager<SqliteConnection>>, PoolError> {
    let manager = ConnectionManager::<SqliteConnection>::new(url);
    Pool::builder()
        .max_size(4)
        .test_on_check_out(true)
        .connection_customizer(Box::new(WaitForLocks))
        .build(manager)
}

fn add(conn: &mut SqliteConnection, name: &str) -> Result<usize, Error> {
    diesel::insert_into(person::table).values(person::name.eq(name)).execute(conn)
}

fn insert_from_threads() {
    // In memory, yet one database for all connections.
    let pool = pool_of("file:people?mode=memory&cache=shared").unwrap();
    let create = "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT NOT NULL)";
    diesel::sql_query(create).execute(&mut pool.get().unwrap()).unwrap();

    let threads: Vec<_> = (0..4)
        .map(|number| {
            let pool = pool.clone();
            thread::spawn(move || {
                let conn = &mut pool.get().unwrap();
                add(conn, &format!("Person {number}")).unwrap();
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }

    let mut conn = pool.get().unwrap();
    let names: Vec<String> = person::table.select(person::name).order(person::name).load(&mut conn).unwrap();
    assert_eq!(names, ["Person 0", "Person 1", "Person 2", "Person 3"]);
    let first: (i32, String) = person::table.order(person::id).first(&mut conn).unwrap();
    diesel::update(person::table.find(first.0)).set(person::name.eq("Ada")).execute(&mut conn).unwrap();
    let undone = conn.transaction(|conn| {
        diesel::delete(person::table).execute(conn)?;
        Err::<(), _>(Error::RollbackTransaction)
    });
    assert_eq!(undone, Err(Error::RollbackTransaction));
    assert_eq!(person::table.count().get_result(&mut conn), Ok(4i64));
}

/// As the tests of a program do it: one connection, whose transaction is never committed.
fn pool_for_tests() {
    let pool = Pool::builder()
        .test_on_check_out(true)
        .max_size(1)
        .connection_customizer(Box::new(TestCustomizer))
        .build(ConnectionManager::<SqliteConnection>::new(":memory:"))
        .unwrap();
    let mut conn = pool.get().unwrap();
    diesel::sql_query("CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        .execute(&mut conn)
        .unwrap();
    add(&mut conn, "John").unwrap();
    drop(conn);
    assert_eq!(person::table.count().get_result(&mut pool.get().unwrap()), Ok(1i64));
    assert_eq!(pool.state().connections, 1);
}

fn main() {
    insert_from_threads();
    pool_for_tests();
    println!("diesel, SQLite: 4 threads inserted, and a transaction for tests lasted");
}
