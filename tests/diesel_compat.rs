//! A guard is a connection of diesel's: whatever diesel does with one of its own, it does with a connection on loan.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::connection::{
    BoxableConnection, InstrumentationEvent, LoadConnection, SimpleConnection, TransactionManager,
};
use diesel::migration::MigrationConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, TestCustomizer};
use diesel::result::Error as QueryError;
use diesel::sqlite::Sqlite;
use tierpool::stats::CloseCause;
use tierpool::{Builder, Pool, PooledConnection};

mod schema {
    diesel::table! {
        item {
            id -> Integer,
            name -> Text,
        }
    }
}

use schema::item;

#[derive(AsChangeset, Clone, Debug, Identifiable, Insertable, PartialEq, Queryable, Selectable)]
#[diesel(table_name = item)]
struct Item {
    id: i32,
    name: String,
}

impl Item {
    fn named(id: i32, name: &str) -> Item {
        Item { id, name: name.into() }
    }
}

type Manager = ConnectionManager<SqliteConnection>;

/// One connection: each is a database of its own.
fn builder() -> Builder<Manager> {
    Pool::builder().max_size(1)
}

fn pool() -> Pool<Manager> {
    builder().build(Manager::new(":memory:")).unwrap()
}

fn conn_with_table(pool: &Pool<Manager>) -> PooledConnection<Manager> {
    let mut conn = pool.get().unwrap();
    conn.batch_execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL)").unwrap();
    conn
}

fn insert(conn: &mut PooledConnection<Manager>, item: &Item) -> QueryResult<usize> {
    diesel::insert_into(item::table).values(item).execute(conn)
}

fn count(conn: &mut impl LoadConnection<Backend = Sqlite>) -> i64 {
    item::table.count().get_result(conn).unwrap()
}

#[test]
fn a_guard_runs_queries() {
    let pool = pool();
    let mut conn = conn_with_table(&pool);
    let both = [Item::named(1, "first"), Item::named(2, "second")];
    assert_eq!(diesel::insert_into(item::table).values(&both).execute(&mut conn).unwrap(), 2);
    assert_eq!(item::table.order(item::id).load::<Item>(&mut conn).unwrap(), both);
    let one: Item = item::table.filter(item::name.eq("second")).first(&mut conn).unwrap();
    assert_eq!(one, both[1]);
    let names: QueryResult<Vec<String>> =
        item::table.select(item::name).load_iter::<String, _>(&mut conn).unwrap().collect();
    assert_eq!(names.unwrap(), ["first", "second"]);
    assert_eq!(diesel::delete(item::table).execute(&mut conn).unwrap(), 2);
    assert_eq!(count(&mut conn), 0);
}

#[test]
fn a_transaction_on_a_guard_commits_and_rolls_back_also_within_another() {
    let pool = pool();
    let mut conn = conn_with_table(&pool);
    conn.transaction(|conn| insert(conn, &Item::named(1, "kept"))).unwrap();
    let undone = conn.transaction(|conn| {
        insert(conn, &Item::named(2, "undone"))?;
        Err::<(), _>(QueryError::RollbackTransaction)
    });
    assert_eq!(undone, Err(QueryError::RollbackTransaction));
    conn.transaction(|conn| {
        let inner = conn.transaction(|conn| {
            insert(conn, &Item::named(3, "undone"))?;
            Err::<(), _>(QueryError::RollbackTransaction)
        });
        assert_eq!(inner, Err(QueryError::RollbackTransaction));
        insert(conn, &Item::named(4, "kept"))
    })
    .unwrap();
    let kept: Vec<i32> = item::table.select(item::id).order(item::id).load(&mut conn).unwrap();
    assert_eq!(kept, [1, 4]);
    drop(conn);
    assert_eq!(pool.stats().closed.total(), 0, "no transaction was left");
}

#[test]
fn a_connection_with_an_open_transaction_of_diesels_is_replaced() {
    type Transactions = <PooledConnection<Manager> as Connection>::TransactionManager;

    let pool = pool();
    let mut conn = conn_with_table(&pool);
    Transactions::begin_transaction(&mut conn).unwrap();
    assert!(Transactions::is_broken_transaction_manager(&mut conn));
    let lent = PooledConnection::id(&conn);
    drop(conn);
    assert_ne!(PooledConnection::id(&pool.get().unwrap()), lent);
    assert_eq!(pool.stats().closed.count(CloseCause::Broken), 1);
}

#[test]
fn a_pool_of_test_transactions_keeps_its_connection_and_commits_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("items.db");
    let manager = || Manager::new(file.to_str().unwrap());
    drop(conn_with_table(&builder().build(manager()).unwrap()));

    let tested = builder().connection_customizer(Box::new(TestCustomizer)).build(manager()).unwrap();
    insert(&mut tested.get().unwrap(), &Item::named(1, "undone")).unwrap();
    assert_eq!(count(&mut tested.get().unwrap()), 1, "the same connection, its transaction still open");
    assert_eq!(tested.stats().opened, 1);
    tested.close(std::time::Duration::from_secs(10));
    assert_eq!(count(&mut builder().build(manager()).unwrap().get().unwrap()), 0);
}

#[test]
fn a_guard_begins_a_test_transaction_and_keeps_it() {
    let pool = pool();
    let mut conn = conn_with_table(&pool);
    conn.begin_test_transaction().unwrap();
    insert(&mut conn, &Item::named(1, "tested")).unwrap();
    drop(conn);
    assert_eq!(count(&mut pool.get().unwrap()), 1);
    assert_eq!(pool.stats().closed.total(), 0);
}

#[test]
fn save_changes_updates_and_fetches_through_a_guard() {
    let pool = pool();
    let mut conn = conn_with_table(&pool);
    insert(&mut conn, &Item::named(1, "old")).unwrap();
    let saved: Item = Item::named(1, "new").save_changes(&mut conn).unwrap();
    assert_eq!(saved.name, "new");
}

#[test]
fn a_guard_is_set_up_for_migrations_and_passes_as_any_connection() {
    let pool = pool();
    let mut conn = pool.get().unwrap();
    MigrationConnection::setup(&mut conn).unwrap();
    let any: &mut dyn BoxableConnection<Sqlite> = &mut conn;
    any.batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('1')").unwrap();
}

#[test]
fn instrumentation_set_on_a_guard_sees_what_its_connection_does() {
    let pool = pool();
    let mut conn = conn_with_table(&pool);
    let queries = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&queries);
    conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if matches!(event, InstrumentationEvent::StartQuery { .. }) {
            seen.fetch_add(1, Ordering::Relaxed);
        }
    });
    conn.set_prepared_statement_cache_size(diesel::connection::CacheSize::Disabled);
    count(&mut conn);
    assert_eq!(queries.load(Ordering::Relaxed), 1);
    drop(conn);
    count(&mut pool.get().unwrap());
    assert_eq!(queries.load(Ordering::Relaxed), 2, "it stays with the connection");
}

#[test]
fn only_a_pool_makes_a_guard() {
    let error = PooledConnection::<Manager>::establish(":memory:").err().unwrap();
    assert!(error.to_string().contains("a pool"), "{error}");
}
