//! What the tables are written through.

use postgres::Row;
use postgres::types::ToSql;
use tierpool::PgError;
use tierpool::postgres::Session;

pub type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// An open transaction in which statements are run by their text.
pub trait Statements {
    /// Runs a statement and returns its rows.
    ///
    /// # Errors
    /// The server's.
    fn rows(&mut self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, PgError>;
}

/// By the connection's statement cache: the server parses and plans each statement once for a connection.
impl Statements for Session<'_> {
    fn rows(&mut self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, PgError> {
        self.query_cached(sql, params)
    }
}
