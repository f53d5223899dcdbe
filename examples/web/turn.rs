//! One scraper at a time on a database: two would fetch each other's pages, and neither's report would be right.

use tierpool::postgres::{PgConnection, PgManager};
use tierpool::{PgError, PgPool, PooledConnection, Tier};

use super::server::with_causes;

/// Any fixed number, but for that of those who make the tables. The lock is a transaction's, which holds behind a
/// pooler in transaction mode too: one of a session would stay there with a server's connection that others get. It
/// waits a little for a scraper that was killed, of which the server may not know yet. What ends idle transactions does
/// not end this one: it keeps nothing but the lock.
const TAKE: &str = "
BEGIN;
SET LOCAL lock_timeout = '5s';
SELECT set_config(name, '0', true) FROM pg_settings
WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout');
SELECT pg_advisory_xact_lock(x'746965727766'::bigint)";

/// The turn of this program on its database, on a connection of its own. Dropping it gives it to the next.
pub struct Turn<'a> {
    pool: &'a PgPool,
    conn: PooledConnection<PgManager>,
}

impl<'a> Turn<'a> {
    /// Takes the turn.
    ///
    /// # Blocking
    /// For a connection, and 5 s for another scraper to end.
    ///
    /// # Errors
    /// No connection, or another scraper at work.
    pub fn take(pool: &'a PgPool) -> Result<Self, String> {
        Ok(Turn { pool, conn: taken(pool)? })
    }

    /// The connection, which is in a transaction. Where it was lost, as by a restart of the server, the turn is taken
    /// again.
    ///
    /// # Errors
    /// As of [`Turn::take`].
    pub fn conn(&mut self) -> Result<&mut PgConnection, String> {
        if self.conn.batch_execute("SELECT").is_err() {
            self.conn = taken(self.pool)?;
        }
        Ok(&mut self.conn)
    }
}

fn taken(pool: &PgPool) -> Result<PooledConnection<PgManager>, String> {
    let unreachable = |error: tierpool::Error| format!("cannot reach the database: {}", with_causes(&error));
    let mut conn = pool.get(Tier::Adhoc).map_err(unreachable)?;
    match conn.batch_execute(TAKE).map_err(PgError::from) {
        Ok(()) => Ok(conn),
        Err(error) if error.is_lock_timeout() => Err("another web_scraper is at work on this database; \
                                                      this one can begin when that has ended"
            .to_owned()),
        Err(error) => Err(format!("cannot find out whether another web_scraper is at work: {error}")),
    }
}
