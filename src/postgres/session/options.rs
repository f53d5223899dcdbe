//! How one session differs from the pool's usual.

use std::time::Duration;

use postgres::IsolationLevel;

use super::retry::Retry;
use crate::postgres::observer::ASK_ISOLATION;

/// How one session differs from the pool's usual. Nothing of it outlives the session.
///
/// ```
/// use std::time::Duration;
/// use tierpool::postgres::{IsolationLevel, SessionOptions};
///
/// let options = SessionOptions::new()
///     .isolation(IsolationLevel::Serializable)
///     .read_only(true)
///     .statement_timeout(Duration::from_secs(2));
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    isolation: Option<IsolationLevel>,
    read_only: Option<bool>,
    deferrable: Option<bool>,
    pub(super) statement_timeout: Option<Duration>,
    lock_timeout: Option<Duration>,
    tag: Option<String>,
    pub(in crate::postgres) retry: Option<Retry>,
    pub(crate) idempotent: bool,
}

impl SessionOptions {
    /// Starts with what the server and the connection have set.
    pub fn new() -> Self {
        SessionOptions::default()
    }

    /// Sets the isolation level.
    pub fn isolation(mut self, level: IsolationLevel) -> Self {
        self.isolation = Some(level);
        self
    }

    /// Makes the transaction read-only, or read-write where the session's default is read-only.
    ///
    /// The answer to the COMMIT of one that is read-only is not waited for, where it has done nothing but read; see
    /// [the guide](crate::guide::postgres#sessions) for what it then must not have functions do.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = Some(read_only);
        self
    }

    /// Lets a serializable read-only transaction wait for a snapshot with which it cannot fail.
    pub fn deferrable(mut self, deferrable: bool) -> Self {
        self.deferrable = Some(deferrable);
        self
    }

    /// Limits each statement of the session; zero for no limit.
    pub fn statement_timeout(mut self, limit: Duration) -> Self {
        self.statement_timeout = Some(limit);
        self
    }

    /// Limits each wait for a lock; zero for no limit.
    pub fn lock_timeout(mut self, limit: Duration) -> Self {
        self.lock_timeout = Some(limit);
        self
    }

    /// Names what the session is for, in the list of holders.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// Has [`PgPool::session_with`](crate::TieredPool::session_with) run the session again, on another connection,
    /// when it failed in a way that passes; [`Retry`] says in which and how often. Default: never.
    ///
    /// The closure runs once more from its beginning, what it does before its first statement included. What it did to
    /// the database before was undone; what it did elsewhere was not.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Says that doing the work twice comes to the same as doing it once. Only then is it tried again when the
    /// connection was lost after COMMIT was sent and nobody knows whether it took effect. Default: no.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    pub(crate) fn given_tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.read_only == Some(true)
    }

    /// Whether nothing but its end can come of the COMMIT, as long as its commands only read: it begins read-only, and
    /// not serializable, as which it could still be refused. Where it does not say how it is isolated, the server has
    /// to.
    pub(super) fn may_leave(&self, is_serializable: Option<bool>) -> bool {
        let is_serializable = match self.isolation {
            Some(level) => matches!(level, IsolationLevel::Serializable),
            None => is_serializable.unwrap_or(true),
        };
        self.is_read_only() && !is_serializable
    }

    /// As [`SessionOptions::begin`], with the question that [`SessionOptions::may_leave`] needs answered.
    pub(super) fn begin_along(&self, usual_timeout: Option<Duration>) -> Vec<String> {
        let mut commands = self.begin(usual_timeout);
        if self.is_read_only() && self.isolation.is_none() {
            commands.push(ASK_ISOLATION.to_owned());
        }
        commands
    }

    /// The commands that begin the session, with the statement timeout to set where it has none of its own.
    pub(super) fn begin(&self, usual_timeout: Option<Duration>) -> Vec<String> {
        let mut text = "BEGIN".to_owned();
        if let Some(level) = self.isolation {
            text.push_str(match level {
                IsolationLevel::Serializable => " ISOLATION LEVEL SERIALIZABLE",
                IsolationLevel::RepeatableRead => " ISOLATION LEVEL REPEATABLE READ",
                IsolationLevel::ReadUncommitted => " ISOLATION LEVEL READ UNCOMMITTED",
                _ => " ISOLATION LEVEL READ COMMITTED",
            });
        }
        if let Some(read_only) = self.read_only {
            text.push_str(if read_only { " READ ONLY" } else { " READ WRITE" });
        }
        if let Some(deferrable) = self.deferrable {
            text.push_str(if deferrable { " DEFERRABLE" } else { " NOT DEFERRABLE" });
        }
        let mut commands = vec![text];
        for (name, limit) in [
            ("statement_timeout", self.statement_timeout.or(usual_timeout)),
            ("lock_timeout", self.lock_timeout),
        ] {
            if let Some(limit) = limit {
                // Milliseconds in an `int`. Less than one must not become 0, which means no limit.
                let least = u128::from(!limit.is_zero());
                let ms = limit.as_millis().clamp(least, i32::MAX as u128);
                commands.push(format!("SET LOCAL {name} = {ms}"));
            }
        }
        commands
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_unheard_only_where_nothing_can_come_of_it() {
        let reads = SessionOptions::new().read_only(true);
        assert!(reads.may_leave(Some(false)));
        assert!(!reads.may_leave(Some(true)) && !reads.may_leave(None));
        assert!(reads.clone().isolation(IsolationLevel::RepeatableRead).may_leave(None));
        assert!(!reads.clone().isolation(IsolationLevel::Serializable).may_leave(Some(false)));
        assert!(
            !SessionOptions::new().may_leave(Some(false)) && !reads.read_only(false).may_leave(Some(false))
        );
    }

    #[test]
    fn limits_and_modes_are_part_of_the_beginning() {
        assert_eq!(SessionOptions::new().begin(None), ["BEGIN"]);
        let usual = Some(Duration::from_secs(30));
        assert_eq!(SessionOptions::new().begin(usual), ["BEGIN", "SET LOCAL statement_timeout = 30000"]);
        let options = SessionOptions::new()
            .isolation(IsolationLevel::Serializable)
            .read_only(true)
            .deferrable(true)
            .statement_timeout(Duration::from_micros(1))
            .lock_timeout(Duration::ZERO);
        assert_eq!(
            options.begin(usual),
            [
                "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE",
                "SET LOCAL statement_timeout = 1",
                "SET LOCAL lock_timeout = 0",
            ]
        );
    }
}
