//! Sessions on a two-tier pool.

use std::panic::Location;
use std::time::Duration;

use log::Level;

use crate::error::{Error, ErrorKind, FailureClass};
use crate::lines::say;
use crate::postgres::error::PgError;
use crate::postgres::open::PgManager;
use crate::postgres::session::{
    Again, Attempts, Committed, Ending, Frame, Loan, OfFrame, Origin, Retry, Session, SessionOptions,
    Setback, Uncommitted, attempt,
};
use crate::text::{Time, harmless};
use crate::tiers::{Tier, TieredPool};

/// Makes one attempt at a session, which takes a connection of a tier at its first statement.
///
/// `loan` is set as soon as the connection is there, for those who tell the wait from the work. The connection is held
/// at `caller`, who may have asked on another thread.
pub(crate) fn attempt_on<'e, T: 'e, E: From<PgError>>(
    pool: &TieredPool<PgManager>,
    tier: Tier,
    caller: &'static Location<'static>,
    options: &SessionOptions,
    loan: &mut Option<Loan>,
    work: impl FnOnce(&mut Session<'_>) -> Result<Ending<'e, T>, E>,
) -> Result<Committed<'e, T>, Uncommitted<E>> {
    let origin = Origin::Pool { pool, tier, caller, loan };
    attempt(Frame::new(origin, options), work)
}

/// Sees whether a connection can be had, for work that could have none: so that what it does before its first statement
/// is not done again and again while the server is away. It does not keep the connection: until its first statement a
/// session holds none, and its work may be in need of one for another session.
///
/// `left` is how long another attempt may begin, where that ends. Where that is up first there is no more to see: the
/// last attempt is due.
pub(crate) fn look(
    pool: &TieredPool<PgManager>,
    tier: Tier,
    caller: &'static Location<'static>,
    left: Option<Duration>,
) -> Result<(), Error> {
    let Some(limit) = left.filter(|left| *left < pool.tier(tier).connection_timeout()) else {
        return pool.get_for(tier, caller).map(drop);
    };
    match pool.tier(tier).get_timeout_for(limit, caller) {
        Err(refusal) if refusal.is_timeout() => Ok(()),
        outcome => outcome.map(drop),
    }
}

/// Whether a checkout failed since the server is away for now, and not for those who have the connections.
pub(crate) fn is_outage(error: &Error) -> bool {
    let unreachable = || error.open_failure().is_some_and(|last| last.class() == FailureClass::Transient);
    match error.kind() {
        ErrorKind::CircuitOpen => true,
        ErrorKind::Timeout => unreachable(),
        _ => false,
    }
}

/// Runs a session, and runs it again where its options say so.
#[track_caller]
pub(super) fn persist<'e, T: 'e, E: From<PgError>>(
    pool: &TieredPool<PgManager>,
    tier: Tier,
    options: &SessionOptions,
    mut work: impl FnMut(&mut Session<'_>) -> Result<Ending<'e, T>, E>,
) -> Result<Committed<'e, T>, E> {
    let caller = Location::caller();
    let mut attempts = Attempts::new(&options.retry.unwrap_or(Retry::NEVER), options.idempotent);
    let mut is_away = false;
    // Of an attempt that may have taken effect.
    let mut unknown = None;
    loop {
        let seen = if is_away { look(pool, tier, caller, Some(attempts.left())) } else { Ok(()) };
        let outcome = match seen {
            Ok(()) => attempt_on(pool, tier, caller, options, &mut None, &mut work),
            Err(refusal) => Err(Uncommitted::refused(refusal)),
        };
        let (Setback { error, again, cause, of_frame }, is_connected) = match outcome {
            Ok(value) => return Ok(value),
            Err(Uncommitted::Session(setback)) => (setback, true),
            Err(Uncommitted::NoConnection { error, refusal }) => {
                let again = if is_outage(&refusal) { Again::Outage } else { Again::No };
                (Setback { error, again, cause: refusal.to_string(), of_frame: None }, false)
            }
        };
        // A server that was away said nothing of what an earlier attempt has done.
        if is_connected && again != Again::Outage {
            unknown = None;
        }
        let Some(delay) = attempts.after_failure(again) else { return Err(unknown.unwrap_or(error)) };
        if of_frame == Some(OfFrame::OutcomeUnknown) {
            unknown = Some(error);
        }
        is_away = again.tells_of_outage();
        say!(
            Level::Debug,
            pool.tier(tier).origin().at("tierpool::session"),
            [attempts = attempts.failed(), cause = harmless(&cause), delay_seconds = delay.as_secs_f64(),],
            "session {} on {tier}: attempt {} failed ({}); again in {}",
            harmless(options.given_tag().unwrap_or("without a tag")),
            attempts.failed(),
            harmless(&cause),
            Time(delay)
        );
        pool.tier(tier).manager().note_session_repeated();
        std::thread::sleep(delay);
    }
}

impl TieredPool<PgManager> {
    /// Runs `work` in a transaction on an automation connection: COMMIT when it returns `Ok`, ROLLBACK when it
    /// returns `Err` or panics. It runs once; [`session_with`](Self::session_with) can repeat it.
    ///
    /// The connection is taken, and BEGIN sent, at the first statement of `work`, so that what it does before that
    /// holds nothing. The checkout's deadline counts from there, and `now()` is the time of that statement. Where
    /// `work` sends nothing, no connection is taken, and the session ends as `work` does, also while the server is
    /// away.
    ///
    /// # Blocking
    ///
    /// At the first statement for the checkout, at most `connection_timeout`; else as
    /// [`run_session`](crate::postgres::run_session).
    ///
    /// # Errors
    ///
    /// Those of `work`, as they are. As a [`PgError`]: no connection could be had ([`PgError::as_checkout`]), BEGIN
    /// or COMMIT failed. The first two are told by the statement that needed it and, without another wait, by each
    /// after it; where `work` returns `Ok` all the same, the session fails with it.
    ///
    /// ```no_run
    /// # let pool = tierpool::PgPool::from_env()?;
    /// use tierpool::PgError;
    ///
    /// let added = pool.session(|tx| tx.execute("INSERT INTO pages VALUES ('x')", &[]))?;
    /// // With `?` in it the closure names the type of its errors, where the caller takes any.
    /// pool.session(|tx| {
    ///     tx.execute("INSERT INTO pages VALUES ('y')", &[])?;
    ///     Ok::<_, PgError>(())
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias("$transaction"))]
    #[track_caller]
    pub fn session<T, E: From<PgError>>(
        &self,
        work: impl FnOnce(&mut Session<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let (options, work) = (SessionOptions::new(), |tx: &mut Session<'_>| work(tx).map(Ending::Commit));
        let outcome = attempt_on(self, Tier::Automation, Location::caller(), &options, &mut None, work);
        outcome.map(Committed::value).map_err(Uncommitted::into_error)
    }

    /// As [`session`](Self::session), on a connection of either tier, with options, and repeated where
    /// [`SessionOptions::retry`] says so.
    ///
    /// Each attempt calls `work` from its beginning, so what that does before its first statement is repeated too. It
    /// takes a connection of its own at that statement and gives it back before the delay. After an attempt that failed
    /// since the server was away, `work` is called again only when a connection can be had, or for the last time when
    /// [`Retry::within`] is up. A checkout that finds the
    /// circuit breaker open, as while the server restarts, or that timed out while no connection could be opened, is
    /// repeated until [`Retry::within`]. Any other failed checkout ends the session: all connections were out for its
    /// whole deadline, or waiting would not help, or the queue is full on purpose.
    ///
    /// # Blocking
    ///
    /// One attempt: for the checkout, at most `connection_timeout`, and for the session. With retry no attempt begins
    /// later than [`Retry::within`] after the first, so all take at most that and one attempt more.
    ///
    /// # Errors
    ///
    /// As [`session`](Self::session); those of the last attempt. Where nobody knows whether an attempt took effect, its
    /// error stands though the server was away for those after it. Where `work` fails with an error of its own after a
    /// refused checkout, that error is returned, and what is repeated goes by the refusal.
    ///
    /// # Panics
    ///
    /// When `work` does. A panic is not repeated.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let pool = tierpool::PgPool::from_env()?;
    /// use tierpool::postgres::{IsolationLevel, PgError, Retry, SessionOptions};
    /// use tierpool::Tier;
    ///
    /// let options = SessionOptions::new().isolation(IsolationLevel::Serializable).retry(Retry::default());
    /// let left: i64 = pool.session_with(Tier::Automation, &options, |tx| {
    ///     tx.execute_cached("UPDATE stock SET n = n - 1 WHERE item = $1", &[&"pen"])?;
    ///     Ok::<_, PgError>(tx.query_one_cached("SELECT sum(n)::bigint FROM stock", &[])?.get(0))
    /// })?;
    /// # let _ = left;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn session_with<T, E: From<PgError>>(
        &self,
        tier: Tier,
        options: &SessionOptions,
        mut work: impl FnMut(&mut Session<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        persist(self, tier, options, |tx| work(tx).map(Ending::Commit)).map(Committed::value)
    }

    /// Returns how often sessions of a tier were run again, by [`SessionOptions::retry`].
    pub fn sessions_repeated(&self, tier: Tier) -> u64 {
        self.tier(tier).manager().sessions_repeated()
    }
}
