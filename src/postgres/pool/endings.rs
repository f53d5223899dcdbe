//! Sessions that leave their last statement to COMMIT.

use std::panic::Location;

use super::sessions::{attempt_on, persist};
use crate::postgres::error::PgError;
use crate::postgres::open::PgManager;
use crate::postgres::session::{Committed, Ending, Session, SessionOptions, Uncommitted};
use crate::tiers::{Tier, TieredPool};

impl TieredPool<PgManager> {
    /// As [`session`](Self::session), with work that can leave its last statement to the session, for COMMIT to go
    /// along with it.
    ///
    /// What `work` returns says how the session ends: [`Ending::Commit`] by COMMIT, as ever, and [`Ending::Last`] by a
    /// statement and COMMIT. What the session returns is a value that `work` has, or what it wants to be made of the
    /// last statement's answer.
    ///
    /// Nothing can come after a statement with which COMMIT goes, so `work` cannot send it: it returns it, and its
    /// session is over. Where that was the only statement, BEGIN goes ahead of it.
    ///
    /// A session of which it is not known whether it was committed is one that is lost once its last statement is
    /// sent. Its error says so ([`PgError::is_outcome_unknown`]), and only
    /// [`idempotent`](SessionOptions::idempotent) work is repeated.
    ///
    /// # Blocking
    ///
    /// As [`session`](Self::session), and for the answer to the last statement, up to the socket timeout.
    ///
    /// # Errors
    ///
    /// As [`session`](Self::session), and those of the last statement, which is undone then with all else.
    ///
    /// # Panics
    ///
    /// When `work` does, or what [`Last::map`](crate::postgres::Last::map) was given; by then the transaction is
    /// committed.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let pool = tierpool::PgPool::from_env()?;
    /// use tierpool::PgError;
    /// use tierpool::postgres::{Ending, Last};
    ///
    /// let (url, title) = ("https://site.example", String::from("A site"));
    /// let (id, added) = pool.session_ending(|tx| {
    ///     let row = tx.query_one_cached("SELECT nextval('page_ids')", &[])?;
    ///     let id: i64 = row.get(0);
    ///     let insert = Last::execute("INSERT INTO pages VALUES ($1, $2, $3)").with(id).with(url).with(&title);
    ///     Ok::<_, PgError>(Ending::Last(insert.map(move |count| (id, count))))
    /// })?;
    /// # let _ = (id, added);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn session_ending<'e, T: 'e, E: From<PgError>>(
        &self,
        work: impl FnOnce(&mut Session<'_>) -> Result<Ending<'e, T>, E>,
    ) -> Result<T, E> {
        let options = SessionOptions::new();
        let outcome = attempt_on(self, Tier::Automation, Location::caller(), &options, &mut None, work);
        outcome.map(Committed::value).map_err(Uncommitted::into_error)
    }

    /// As [`session_ending`](Self::session_ending), on a connection of either tier, with options, and repeated as
    /// [`session_with`](Self::session_with) is.
    ///
    /// # Blocking
    ///
    /// As [`session_with`](Self::session_with), and in each attempt for the answer to the last statement.
    ///
    /// # Errors
    ///
    /// As [`session_with`](Self::session_with), and those of the last statement.
    ///
    /// # Panics
    ///
    /// As [`session_ending`](Self::session_ending). A panic is not repeated.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let pool = tierpool::PgPool::from_env()?;
    /// use tierpool::postgres::{Ending, IsolationLevel, Last, PgError, Retry, SessionOptions};
    /// use tierpool::Tier;
    ///
    /// let options = SessionOptions::new().isolation(IsolationLevel::Serializable).retry(Retry::default());
    /// let taken = pool.session_ending_with(Tier::Automation, &options, |_| {
    ///     let take = Last::execute("UPDATE stock SET n = n - 1 WHERE item = $1 AND n > 0").with("pen");
    ///     Ok::<_, PgError>(Ending::Last(take.map(|count| count == 1)))
    /// })?;
    /// # let _ = taken;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn session_ending_with<'e, T: 'e, E: From<PgError>>(
        &self,
        tier: Tier,
        options: &SessionOptions,
        work: impl FnMut(&mut Session<'_>) -> Result<Ending<'e, T>, E>,
    ) -> Result<T, E> {
        persist(self, tier, options, work).map(Committed::value)
    }
}
