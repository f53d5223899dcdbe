//! The policies that are more than a number: how to wait, and when to validate.

use std::time::Duration;

/// How long [`Pool::get`](crate::Pool::get) waits when no connection is free.
///
/// Oracle's names WAIT, NOWAIT and TIMEDWAIT stand for [`WaitMode::Forever`], [`WaitMode::NoWait`] and
/// [`WaitMode::Timed`]; its FORCEGET is what overflow is for. In the environment `wait` means for ever only where no
/// timeout was set: with one it is a timed wait, as there. A program that sets [`WaitMode::Forever`] means it, whatever
/// timeout is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitMode {
    /// At most `connection_timeout`. The default.
    #[default]
    Timed,
    /// For no other borrower: an idle connection now, or a new one where the pool may still grow, or one that the pool
    /// itself is resetting or validating, if nobody who waits would be overtaken; else
    /// [`Exhausted`](crate::ErrorKind::Exhausted) at once. It waits for such a one at most `connection_timeout`, and no
    /// longer than opening one may take (`connect_timeout`), then it is a
    /// [`Timeout`](crate::ErrorKind::Timeout). [`Pool::try_get`](crate::Pool::try_get) waits for none of them.
    NoWait,
    /// Until a connection comes, the pool closes, or the cause of an outage is known to be permanent.
    Forever,
}

/// When an idle connection is validated before it is lent.
///
/// A connection that was opened for the caller is never validated, and a *suspect* one always is, whatever the
/// policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PrePing {
    /// Before every checkout, also of one that was never lent; r2d2's `test_on_check_out(true)`.
    Always,
    /// When the connection has been idle for at least this long. Zero means the same as [`PrePing::Always`].
    ///
    /// A manager that may block is called by another thread of the pool, which can take longer than the validation
    /// itself. So from 100 ms to 10 s, once a checkout has had to wait for that, the pool validates idle connections
    /// itself shortly before their time is over: those in use within the last 10 s, for as long as checkouts meet
    /// connections that have rested for longer than that, and 10 s more. It does so one after another, as far as three
    /// tenths of the time suffice, and leaves the last idle connection to callers. What is lent has been in use or
    /// validated within the time in any case.
    IfIdleFor(Duration),
    /// Never, but for suspects, and what is known to be lost is not lent; r2d2's `test_on_check_out(false)`.
    Never,
}

impl Default for PrePing {
    /// `IfIdleFor(500 ms)`, HikariCP's bypass window. A `PgPool` over TCP has [`PrePing::Always`],
    /// which costs it next to nothing.
    fn default() -> Self {
        PrePing::IfIdleFor(Duration::from_millis(500))
    }
}

impl PrePing {
    /// The idle time from which on a connection is validated; `None` for never.
    pub(crate) fn threshold(self) -> Option<Duration> {
        match self {
            PrePing::Always => Some(Duration::ZERO),
            PrePing::IfIdleFor(idle) => Some(idle),
            PrePing::Never => None,
        }
    }
}
