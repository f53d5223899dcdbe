//! diesel with PostgreSQL: migrations, threads that insert, `save_changes`, `COPY`, and what a `BEGIN` sent as text
//! leaves behind. What changed is `diesel::r2d2` in the `use` lines: it is a module of the program's own.

mod r2d2;

use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::r2d2::{Builder, ConnectionManager, Pool, PooledConnection, PrePing};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

diesel::table! {
    person {
        id -> Integer,
        name -> Text,
    }
}

#[derive(AsChangeset, Debug, Identifiable, Insertable, PartialEq, Queryable, Selectable)]
#[diesel(table_name = person, treat_none_as_default_value = false)]
struct Person {
    id: i32,
    name: String,
}

type Manager = ConnectionManager<PgConnection>;

fn pool_of(builder: Builder<Manager>) -> Pool<Manager> {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL names the server");
    builder.build(Manager::new(url)).expect("a pool")
}

fn add(conn: &mut PgConnection, name: &str) -> Result<usize, Error> {
    diesel::insert_into(person::table).values(person::name.eq(name)).execute(conn)
}

/// Works with a connection of its own as with one on loan.
fn names<C>(conn: &mut C) -> QueryResult<Vec<String>>
where
    C: diesel::connection::LoadConnection<Backend = diesel::pg::Pg>,
{
    person::table.select(person::name).order(person::id).load(conn)
}

fn insert_from_threads(pool: &Pool<Manager>) {
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
    let mut found = names(&mut pool.get().unwrap()).unwrap();
    found.sort();
    assert_eq!(found, ["Person 0", "Person 1", "Person 2", "Person 3"]);
}

fn change(conn: &mut PooledConnection<Manager>) {
    let one: Person = person::table.order(person::id).first(conn).unwrap();
    let saved: Person = Person { name: "Ada".into(), ..one }.save_changes(conn).unwrap();
    assert_eq!(saved.name, "Ada");
    let undone = conn.transaction(|conn| {
        diesel::delete(person::table).execute(conn)?;
        Err::<(), _>(Error::RollbackTransaction)
    });
    assert_eq!(undone, Err(Error::RollbackTransaction));
    let read: QueryResult<i64> =
        conn.build_transaction().read_only().run(|conn| person::table.count().get_result(conn));
    assert_eq!(read, Ok(4));
}

/// `COPY` asks for the backend's own type.
fn copy(mut conn: PooledConnection<Manager>) {
    let more = [Person { id: 101, name: "Grace".into() }, Person { id: 102, name: "Mary".into() }];
    let added = diesel::copy_from(person::table).from_insertable(more.as_slice()).execute(&mut *conn);
    assert_eq!(added, Ok(2));
    let copied: QueryResult<Vec<Person>> = diesel::copy_to(person::table).load(&mut *conn).unwrap().collect();
    assert_eq!(copied.unwrap().len(), 6);
    // diesel leaves the connection within the `COPY`.
    conn.mark_broken();
}

/// Leaves a transaction that diesel knows nothing of, in which a statement has failed, and tells what the next borrower
/// gets.
fn next_after_a_failed_begin(pool: &Pool<Manager>) -> QueryResult<i64> {
    let mut conn = pool.get().unwrap();
    conn.batch_execute("BEGIN").unwrap();
    conn.batch_execute("SELECT 1 / 0").unwrap_err();
    drop(conn);
    person::table.count().get_result(&mut pool.get().unwrap())
}

fn main() {
    let pool = pool_of(Pool::builder().test_on_check_out(true));
    pool.get().unwrap().run_pending_migrations(MIGRATIONS).unwrap();
    insert_from_threads(&pool);
    change(&mut pool.get().unwrap());
    copy(pool.get().unwrap());

    // As by default, but for the time, so that a slow machine's pauses do not count.
    let lately = PrePing::IfIdleFor(Duration::from_secs(60));
    let unvalidated = pool_of(Pool::builder().max_size(1).pre_ping(lately));
    let aborted = next_after_a_failed_begin(&unvalidated).unwrap_err();
    assert!(aborted.to_string().contains("current transaction is aborted"), "{aborted}");
    for builder in [Pool::builder().test_on_check_out(true), Pool::builder().like_r2d2()] {
        assert_eq!(next_after_a_failed_begin(&pool_of(builder.max_size(1))), Ok(6));
    }

    pool.get().unwrap().revert_all_migrations(MIGRATIONS).unwrap();
    println!("diesel, PostgreSQL: migrated, 4 threads inserted, a transaction left by hand was found");
}
