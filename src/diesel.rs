//! The guard as a connection of diesel's: each trait is passed on to the connection on loan. The guide's page `diesel`
//! tells users of it.
//!
//! Not a public module: a glob of the crate's would hide the crate `diesel` from a program.

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
