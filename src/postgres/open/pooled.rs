//! Opening a connection for the pool that has a manager.

use std::sync::Arc;
use std::time::Duration;

use super::admission::admitted;
use super::full::WhenFull;
use super::manager::PgManager;
use crate::clock::Deadline;
use crate::postgres::connection::PgConnection;
use crate::postgres::error::PgError;
use crate::postgres::observer::Opening;

impl PgManager {
    /// Has an opening that a pool makes by this manager try again at once where the server is full.
    pub(in crate::postgres) fn try_again_when_full(&mut self) {
        self.when_full = WhenFull::TriesAgain;
    }

    /// Opens a connection for the pool that has this manager. Until it is set up it ends with that pool.
    pub(in crate::postgres) fn connect_for_pool(&self, limit: Duration) -> Result<PgConnection, PgError> {
        let opening = self.openings.begin();
        let open = |limit| self.connect_and_look(&opening, limit);
        let mut conn = match &self.admission {
            Some(admission) => admitted(admission, limit, self.options().connect_limit(), open)?,
            None => open(limit)?,
        };
        conn.set_opening(opening);
        Ok(conn)
    }

    fn connect_and_look(&self, opening: &Arc<Opening>, limit: Duration) -> Result<PgConnection, PgError> {
        let deadline = Deadline::of(limit);
        let open =
            |limit| self.when_full.opened(opening, limit, |limit| self.connect_as_part_of(opening, limit));
        let Some(look) = &self.first_look else { return open(limit) };
        look.begin();
        let mut conn = open(limit)?;
        look.through(&mut conn, deadline.left());
        // By a look that had no answer in time. Nobody looks again.
        if conn.is_lost() { open(deadline.left()) } else { Ok(conn) }
    }
}
