//! diesel: a guard is a connection of diesel's.
//!
//! With the feature `diesel` (diesel 2.3 and later), a [`PooledConnection`] whose manager opens diesel connections is
//! one itself, as diesel's own r2d2 support makes r2d2's guard one: queries, transactions and migrations take
//! `&mut conn`. The manager is diesel's, `diesel::r2d2::ConnectionManager`, as it is. diesel comes without a backend:
//! which of them are there is said by the program's own dependency on diesel.
//!
//! ```
//! use diesel::prelude::*;
//! use diesel::r2d2::ConnectionManager;
//! use tierpool::Pool;
//!
//! diesel::table! {
//!     item { id -> Integer, name -> Text }
//! }
//!
//! // One connection: each would be a database of its own.
//! let pool = Pool::builder().max_size(1).build(ConnectionManager::<SqliteConnection>::new(":memory:"))?;
//! let mut conn = pool.get()?;
//! diesel::sql_query("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL)").execute(&mut conn)?;
//! conn.transaction(|conn| diesel::insert_into(item::table).values(item::name.eq("first")).execute(conn))?;
//! let names: Vec<String> = item::table.select(item::name).load(&mut conn)?;
//! assert_eq!(names, ["first"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What the guard implements
//!
//! | trait of diesel's | for |
//! | --- | --- |
//! | `connection::SimpleConnection` | `batch_execute` |
//! | `Connection` | `execute`, `transaction`, `test_transaction`, `set_instrumentation` |
//! | `connection::LoadConnection` | `load`, `get_result`, `first`, `load_iter` |
//! | `query_dsl::UpdateAndFetchResults` | `save_changes` |
//! | `migration::MigrationConnection` | the `MigrationHarness` of `diesel_migrations` |
//!
//! Whatever takes one backend's own type, such as PostgreSQL's `COPY` and `build_transaction`, gets that by
//! `&mut *conn`. `Connection::establish` fails for a guard: only a pool makes one.
//!
//! # What becomes of a transaction left open
//!
//! A connection whose transaction was begun through diesel and is still open when the guard is dropped, or is broken,
//! is closed and replaced: `ConnectionManager` tells it, without a round trip. diesel knows nothing of a `BEGIN` that
//! was sent as text. See [`guide::migration`](crate::guide::migration).
//!
//! # What a release of diesel may break
//!
//! diesel keeps to itself who may implement its `Connection`: the trait asks for another one that is hidden from its
//! documentation, and that is reached here on the path by which diesel's own derive of `MultiConnection` reaches it.
//! Hidden items are no part of what diesel promises from one 2.x to the next, and a method added to `Connection` has to
//! be added here. So a new minor release of diesel can fail to compile with this feature until tierpool follows; a
//! program that must not be hit says `diesel = "~2.3"`. Nothing can go wrong at run time, and without the feature every
//! release works by `&mut *conn`.

use std::marker::PhantomData;

use ::diesel::connection::{
    CacheSize, Connection, Instrumentation, LoadConnection, SimpleConnection, TransactionManager,
    TransactionManagerStatus,
};
use ::diesel::expression::QueryMetadata;
use ::diesel::internal::derives::multiconnection::ConnectionSealed;
use ::diesel::migration::MigrationConnection;
use ::diesel::query_builder::{Query, QueryFragment, QueryId};
use ::diesel::query_dsl::UpdateAndFetchResults;
use ::diesel::{ConnectionError, ConnectionResult, QueryResult};
use r2d2::ManageConnection;

use crate::pool::PooledConnection;

/// The transaction manager of a guard: that of the connection on loan, `T`.
///
/// diesel names it where it begins and ends transactions; a program has no need to.
#[derive(Debug)]
pub struct PooledTransactions<T>(PhantomData<T>);

impl<M> SimpleConnection for PooledConnection<M>
where
    M: ManageConnection,
    M::Connection: SimpleConnection,
{
    fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        (**self).batch_execute(query)
    }
}

impl<M> ConnectionSealed for PooledConnection<M>
where
    M: ManageConnection,
    M::Connection: ConnectionSealed,
{
}

impl<M> Connection for PooledConnection<M>
where
    M: ManageConnection,
    M::Connection: Connection,
{
    type Backend = <M::Connection as Connection>::Backend;
    type TransactionManager = PooledTransactions<<M::Connection as Connection>::TransactionManager>;

    fn establish(_: &str) -> ConnectionResult<Self> {
        Err(ConnectionError::BadConnection("a pooled connection comes from a pool's `get` alone".into()))
    }

    fn begin_test_transaction(&mut self) -> QueryResult<()> {
        (**self).begin_test_transaction()
    }

    fn execute_returning_count<T>(&mut self, source: &T) -> QueryResult<usize>
    where
        T: QueryFragment<Self::Backend> + QueryId,
    {
        (**self).execute_returning_count(source)
    }

    fn transaction_state(
        &mut self,
    ) -> &mut <Self::TransactionManager as TransactionManager<Self>>::TransactionStateData {
        (**self).transaction_state()
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        (**self).instrumentation()
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        (**self).set_instrumentation(instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        (**self).set_prepared_statement_cache_size(size);
    }
}

impl<M, B> LoadConnection<B> for PooledConnection<M>
where
    M: ManageConnection,
    M::Connection: LoadConnection<B>,
{
    type Cursor<'conn, 'query> = <M::Connection as LoadConnection<B>>::Cursor<'conn, 'query>;
    type Row<'conn, 'query> = <M::Connection as LoadConnection<B>>::Row<'conn, 'query>;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> QueryResult<Self::Cursor<'conn, 'query>>
    where
        T: Query + QueryFragment<Self::Backend> + QueryId + 'query,
        Self::Backend: QueryMetadata<T::SqlType>,
    {
        (**self).load(source)
    }
}

impl<M, T> TransactionManager<PooledConnection<M>> for PooledTransactions<T>
where
    M: ManageConnection,
    M::Connection: Connection<TransactionManager = T>,
    T: TransactionManager<M::Connection>,
{
    type TransactionStateData = T::TransactionStateData;

    fn begin_transaction(conn: &mut PooledConnection<M>) -> QueryResult<()> {
        T::begin_transaction(conn)
    }

    fn rollback_transaction(conn: &mut PooledConnection<M>) -> QueryResult<()> {
        T::rollback_transaction(conn)
    }

    fn commit_transaction(conn: &mut PooledConnection<M>) -> QueryResult<()> {
        T::commit_transaction(conn)
    }

    fn transaction_manager_status_mut(conn: &mut PooledConnection<M>) -> &mut TransactionManagerStatus {
        T::transaction_manager_status_mut(conn)
    }

    fn is_broken_transaction_manager(conn: &mut PooledConnection<M>) -> bool {
        T::is_broken_transaction_manager(conn)
    }
}

impl<M> MigrationConnection for PooledConnection<M>
where
    M: ManageConnection,
    M::Connection: MigrationConnection,
{
    fn setup(&mut self) -> QueryResult<usize> {
        (**self).setup()
    }
}

impl<M, Changes, Output> UpdateAndFetchResults<Changes, Output> for PooledConnection<M>
where
    M: ManageConnection,
    M::Connection: UpdateAndFetchResults<Changes, Output>,
{
    fn update_and_fetch(&mut self, changeset: Changes) -> QueryResult<Output> {
        (**self).update_and_fetch(changeset)
    }
}
