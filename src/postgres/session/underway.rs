//! A session under way: where its connection comes from, and how far it has come.
//!
//! A session takes its connection when it has something to send, and begins its transaction then. Every call of the
//! session's goes through [`Underway::ready`], which does both once:
//!
//! | phase | the next statement | the session's end |
//! | --- | --- | --- |
//! | ahead | takes the connection, has BEGIN go along | nothing to end |
//! | begun | is sent | COMMIT or ROLLBACK, where anything was sent |
//! | no connection | fails at once with the same refusal | fails, whatever the work makes of it |
//! | not begun | fails at once, says why | fails likewise; the connection is good or lost, and in no transaction |
//! | ended | does not exist | COMMIT went along with the last statement; where it failed, the session does |
//! | panicked | fails at once, says why | ROLLBACK, and fails whatever the work makes of it |
//!
//! BEGIN goes along with the first statement, in the same request, so that it costs no round trip; what goes by the
//! simple protocol comes behind a BEGIN of its own, and so does all over a Unix socket. Where the server refuses a
//! BEGIN that went along, the statement that it went with was not run and fails with that error; those after it are not
//! sent and fail as in any failed transaction.
//!
//! What is lent, and the limits in force, are the [`Frame`]'s, which outlives the work: it puts the limits back when it
//! is dropped, also by a panic, and then gives the connection back.

use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bounds::{begin_along, make_ready, raise_limits, send_begin};
use super::noted::Noted;
use super::options::SessionOptions;
use super::retry::Again;
use super::setback::Passing;
use crate::error::Error;
use crate::pool::PooledConnection;
use crate::postgres::connection::PgConnection;
use crate::postgres::error::PgError;
use crate::postgres::observer::CommitAlong;
use crate::postgres::open::PgManager;
use crate::tiers::{Tier, TieredPool};

/// Where a session's connection comes from.
///
/// Of shared references and owned state alone, so that a [`Session`](super::Session) within another can borrow it for a
/// shorter time.
pub(crate) enum Origin<'a> {
    /// The caller has it.
    Given(&'a mut PgConnection),
    /// The pool lends it.
    Pool {
        pool: &'a TieredPool<PgManager>,
        tier: Tier,
        /// Who is shown as its holder.
        caller: &'static Location<'static>,
        loan: &'a mut Option<Loan>,
    },
}

/// When a pool lent a session its connection.
pub(crate) struct Loan {
    /// What the checkout took.
    pub(crate) wait: Duration,
    pub(crate) since: Instant,
}

/// How far a session has come.
pub(super) enum Phase {
    /// Nothing was sent.
    Ahead,
    Begun,
    /// The pool refused a connection.
    NoConnection(Error),
    NotBegun(NotBegun),
    /// COMMIT went along with the last statement; how that failed, where it did.
    Ended(Option<Passing>),
    /// The work of a savepoint panicked: what it did is not undone, and whoever caught the panic may not keep it.
    Panicked,
}

/// Why a transaction could not be begun.
pub(super) struct NotBegun {
    why: Arc<PgError>,
    pub(super) passing: Passing,
}

impl NotBegun {
    pub(super) fn error(&self) -> PgError {
        PgError::not_begun(&self.why)
    }
}

struct State {
    phase: Phase,
    /// What the pool has lent.
    lent: Option<PooledConnection<PgManager>>,
    noted: Noted,
    /// The borrower's own socket timeout, where the session's may be in force.
    usual: Option<Option<Duration>>,
}

/// A session from before its work to the end.
pub(crate) struct Frame<'a> {
    origin: Origin<'a>,
    options: &'a SessionOptions,
    state: State,
}

impl<'a> Frame<'a> {
    /// A session that takes its connection when it has to.
    pub(crate) fn new(origin: Origin<'a>, options: &'a SessionOptions) -> Self {
        let state = State { phase: Phase::Ahead, lent: None, noted: Noted::default(), usual: None };
        Frame { origin, options, state }
    }

    /// A session on a connection that has to be ready for a transaction now.
    pub(super) fn on(conn: &'a mut PgConnection, options: &'a SessionOptions) -> Result<Self, PgError> {
        make_ready(conn)?;
        Ok(Frame::new(Origin::Given(conn), options))
    }

    pub(super) fn underway(&mut self) -> Underway<'_> {
        Underway { origin: self.origin.reborrow(), options: self.options, state: &mut self.state }
    }

    /// How far it came, at its end.
    pub(super) fn take_phase(&mut self) -> Phase {
        std::mem::replace(&mut self.state.phase, Phase::Ahead)
    }

    pub(super) fn options(&self) -> &'a SessionOptions {
        self.options
    }

    /// Its connection, where it has one, and what was noted of it.
    pub(super) fn parts(&mut self) -> Option<(&mut PgConnection, &mut Noted)> {
        let conn = self.origin.connection(self.state.lent.as_mut())?;
        Some((conn, &mut self.state.noted))
    }
}

impl Drop for Frame<'_> {
    fn drop(&mut self) {
        let usual = self.state.usual;
        if let (Some(usual), Some((conn, _))) = (usual, self.parts()) {
            conn.set_socket_timeout(usual);
            // Also after a panic: nothing of the session goes along with a statement of anybody else's.
            conn.end_along();
        }
    }
}

impl Origin<'_> {
    fn reborrow(&mut self) -> Origin<'_> {
        match self {
            Origin::Given(conn) => Origin::Given(conn),
            Origin::Pool { pool, tier, caller, loan } => Origin::Pool { pool, tier: *tier, caller, loan },
        }
    }

    fn connection<'c>(
        &'c mut self,
        lent: Option<&'c mut PooledConnection<PgManager>>,
    ) -> Option<&'c mut PgConnection> {
        match self {
            Origin::Given(conn) => Some(conn),
            Origin::Pool { .. } => lent.map(|conn| &mut **conn),
        }
    }
}

/// A session as its work sees it.
pub(super) struct Underway<'a> {
    origin: Origin<'a>,
    options: &'a SessionOptions,
    state: &'a mut State,
}

impl Underway<'_> {
    pub(super) fn reborrow(&mut self) -> Underway<'_> {
        Underway { origin: self.origin.reborrow(), options: self.options, state: self.state }
    }

    /// Whether nothing was sent yet.
    pub(super) fn is_ahead(&self) -> bool {
        matches!(self.state.phase, Phase::Ahead)
    }

    /// The connection, as far as there is one.
    pub(super) fn lent(&self) -> Option<&PgConnection> {
        match &self.origin {
            Origin::Given(conn) => Some(conn),
            Origin::Pool { .. } => self.state.lent.as_deref(),
        }
    }

    /// The connection, in the transaction, and what to note its errors in.
    pub(super) fn ready(&mut self) -> Result<(&mut PgConnection, &mut Noted), PgError> {
        if !matches!(self.state.phase, Phase::Begun) {
            self.begin()?;
        }
        Ok(self.parts())
    }

    fn parts(&mut self) -> (&mut PgConnection, &mut Noted) {
        match self.origin.connection(self.state.lent.as_mut()) {
            Some(conn) => (conn, &mut self.state.noted),
            None => unreachable!("BUG: a session that was begun has no connection"),
        }
    }

    #[cold]
    fn begin(&mut self) -> Result<(), PgError> {
        match &self.state.phase {
            Phase::Ahead => {}
            Phase::Begun => return Ok(()),
            Phase::NoConnection(refusal) => return Err(refusal.again().into()),
            Phase::NotBegun(refused) => return Err(refused.error()),
            Phase::Ended(_) => unreachable!("BUG: a statement of a session that has ended"),
            Phase::Panicked => return Err(PgError::savepoint_panicked()),
        }
        if let Err(refusal) = self.borrow() {
            let error = refusal.again().into();
            self.state.phase = Phase::NoConnection(refusal);
            return Err(error);
        }
        let options = self.options;
        let (conn, noted) = self.parts();
        *noted = Noted::on(conn);
        let usual = raise_limits(conn, options);
        self.state.usual = Some(usual);
        let (conn, _) = self.parts();
        let outcome = make_ready(conn).and_then(|()| begin_along(conn, options));
        self.note_begun(outcome)
    }

    /// As [`Underway::ready`], with BEGIN sent: ahead of what goes by the simple protocol, with which it cannot go.
    pub(super) fn ready_apart(&mut self) -> Result<(&mut PgConnection, &mut Noted), PgError> {
        let options = self.options;
        let (conn, _) = self.ready()?;
        if conn.is_begin_held() {
            conn.end_along();
            let outcome = send_begin(conn, options, "");
            self.note_begun(outcome)?;
        }
        Ok(self.parts())
    }

    /// Sees that nothing of the transaction is kept, as the work of a savepoint panicked in it.
    pub(super) fn note_panic(&mut self) {
        // Else there is no transaction to keep anything of, and the session fails by itself.
        if matches!(self.state.phase, Phase::Begun) {
            self.state.phase = Phase::Panicked;
        }
    }

    /// What the session fails with, begun as it is, whose work has kept an error to itself.
    pub(super) fn ignored(&mut self) -> PgError {
        self.parts().1.ignored()
    }

    /// Takes note of what became of a statement, and of the COMMIT that went along with it.
    pub(super) fn note_commit<T>(
        &mut self,
        outcome: Result<T, postgres::Error>,
        commit: CommitAlong,
    ) -> Result<T, PgError> {
        let (conn, noted) = self.parts();
        let error = match (outcome, commit) {
            (Ok(value), CommitAlong::NotSent) => return Ok(value),
            (Ok(value), CommitAlong::Committed) => {
                self.state.phase = Phase::Ended(None);
                return Ok(value);
            }
            // The statement was itself an end of the transaction.
            (Ok(_), CommitAlong::Skipped) => return Err(PgError::commit_aborted()),
            // The answer has come to its end: what follows on such a connection answers nobody knows what.
            (Ok(_), CommitAlong::Refused | CommitAlong::Unknown) => {
                conn.abandon();
                PgError::commit_unanswered()
            }
            (Err(error), CommitAlong::NotSent | CommitAlong::Skipped) => return Err(noted.note(error)),
            (Err(error), CommitAlong::Refused) => PgError::from(error),
            // A cancel between COMMIT and the answer's end has taken the answer away.
            (Err(error), _) => conn.explained(PgError::commit_lost(error)),
        };
        let mut passing = Passing::of_frame(&error, None);
        if conn.is_ended_by_pool() {
            passing.again = Again::No;
        }
        self.state.phase = Phase::Ended(Some(passing));
        Err(error)
    }

    /// Takes the connection, where the session has none of the caller's.
    fn borrow(&mut self) -> Result<(), Error> {
        let Origin::Pool { pool, tier, caller, loan } = &mut self.origin else { return Ok(()) };
        // It has one where its BEGIN ended in a panic that the work caught.
        if self.state.lent.is_some() {
            return Ok(());
        }
        let asked = Instant::now();
        let mut conn = pool.get_for(*tier, caller)?;
        let since = Instant::now();
        conn.stays_on_stack();
        if let Some(tag) = self.options.given_tag() {
            conn.tag(tag);
        }
        **loan = Some(Loan { wait: since - asked, since });
        self.state.lent = Some(conn);
        Ok(())
    }

    /// Begins the transaction once more, whose only statement so far was refused.
    pub(super) fn begin_anew(&mut self) -> Result<(), PgError> {
        let options = self.options;
        let (conn, _) = self.parts();
        // A COMMIT that was to go along is over.
        conn.end_along();
        let outcome = send_begin(conn, options, "ROLLBACK; ");
        self.note_begun(outcome)
    }

    fn note_begun(&mut self, outcome: Result<(), PgError>) -> Result<(), PgError> {
        let Err(error) = outcome else {
            self.state.phase = Phase::Begun;
            return Ok(());
        };
        let (conn, _) = self.parts();
        // Nothing was done yet, so a connection lost here is one lost before COMMIT.
        let lost = error.is_connection_lost().then(|| Passing::lost(conn));
        let mut passing = Passing::of_frame(&error, lost);
        if conn.is_ended_by_pool() {
            passing.again = Again::No;
        }
        let refused = NotBegun { why: Arc::new(error), passing };
        let error = refused.error();
        self.state.phase = Phase::NotBegun(refused);
        Err(error)
    }
}
