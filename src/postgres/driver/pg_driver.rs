//! What the pool may know of PostgreSQL connections.
//!
//! **How a connection is validated.** A probe (a system call, no round trip) finds every connection that either
//! side has closed: a server that restarted, a terminated backend, an idle-session timeout. It does not find a
//! server that is frozen or a network that swallows packets; only an answer proves that they are up. An answer to a
//! ping costs a round trip, 25 µs here and a millisecond elsewhere, which is too much for every checkout of a busy
//! pool. But a busy pool hears from its connections all the time, and a reply received is as good as a ping. So a
//! validation probes, and pings only where nothing was heard of the server for [`PING_AFTER`]. That is at most one
//! ping a second for each connection, whatever the pre-ping policy; a validated checkout in the steady state costs
//! the probe, and so every checkout over TCP is validated by default. Behind a pooler in transaction mode the
//! silence may be longer ([`PING_AFTER_POOLED`]).
//!
//! With `target_session_attrs` other than `any` a connection is also looked at, at each return and validation, for what
//! the server has said of itself since it was opened. So connections leave a demoted server though nobody writes.
//!
//! In a fleet a connection is also asked whether it still holds its slot: where it would be pinged, in the same round
//! trip. What the fleet wants to know is asked of whichever connection is at hand, at its return or by a validation.
//!
//! What remains is a server that froze within the last second: the borrower's statement finds it, after
//! `socket_timeout`, as it would have had the server frozen a moment later. From then on the pool treats all older
//! connections as suspect, and a suspect one is pinged whatever was heard of it.

use std::sync::Arc;
use std::time::Duration;

use super::control::PgControl;
use crate::clock::Deadline;
use crate::error::FailureClass;
use crate::pool::{Condition, Driver, SessionControl};
use crate::postgres::connection::{PARTING, PgConnection, SettingsLeft, TransactionStatus, reset};
use crate::postgres::error::PgError;
use crate::postgres::open::PgManager;
use crate::postgres::options::ResetPolicy;

/// The silence after which a probe is not enough: long against a round trip and short against a timeout.
const PING_AFTER: Duration = Duration::from_secs(1);

/// The same behind a pooler in transaction mode, where a ping takes a server connection from other clients.
const PING_AFTER_POOLED: Duration = Duration::from_secs(30);

/// What a close takes besides the wait for the backend's end, and more.
const CLOSE_MARGIN: Duration = Duration::from_millis(100);

/// The [`Driver`] of [`PgManager`]: bounded checks, and a returned connection's state without a round trip.
#[derive(Clone, Copy, Debug, Default)]
pub struct PgDriver;

impl PgDriver {
    /// Whether so little was heard of the server lately that a probe is not enough. Of an unobserved connection nothing
    /// is known, and its probe is a ping.
    fn is_silent(conn: &PgConnection) -> bool {
        let limit = if conn.is_transaction_pooled() { PING_AFTER_POOLED } else { PING_AFTER };
        conn.observer().is_some_and(|shared| shared.silence() >= limit)
    }

    /// In what state it was left. An unobserved connection always counts as dirty, but for policy `None`: only the
    /// server can tell.
    fn state_of(manager: &PgManager, conn: &mut PgConnection) -> Condition {
        // For the pool to look closer, which then leaves it to the parent.
        if conn.is_inherited() {
            return Condition::Broken;
        }
        conn.end_lease();
        conn.restore_socket_timeout();
        // Ahead of the other, which a wait that ends by its limit makes of it too.
        if conn.is_unrestorable() || conn.is_given_up_by_borrower() {
            return Condition::Unrestorable;
        }
        if conn.is_lost() {
            return Condition::Broken;
        }
        let cancelled = conn.is_left_by_handles();
        let policy = conn.reset_policy(&manager.options().reset);
        let Some(shared) = conn.observer() else {
            return match *policy == ResetPolicy::None && !cancelled {
                true if manager.is_check_due(conn) => Condition::Due,
                true => Condition::Clean,
                false => Condition::Dirty,
            };
        };
        let resets_session = matches!(policy, ResetPolicy::Full | ResetPolicy::Sql(_));
        // Where the session is reset the borrower's own settings are undone first.
        let left = conn.settings_left(policy);
        let settled = left == SettingsLeft::Nothing && (!resets_session || !conn.is_used());
        if shared.is_misrouted() || (settled && manager.check_role(conn).is_err()) {
            return Condition::Misrouted;
        }
        // The client keeps the statements by which it looks up types, and would fail with them again and again.
        if conn.is_transaction_pooled() && shared.are_statements_mixed_up() {
            return Condition::Broken;
        }
        let listens = conn.is_listening_left(policy);
        let idle = conn.transaction_status() == Some(TransactionStatus::Idle);
        let is_as_new = idle && !cancelled && !listens && conn.is_read_out();
        match left {
            SettingsLeft::Unrestorable => Condition::Unrestorable,
            SettingsLeft::Nothing if is_as_new && !(resets_session && conn.is_used()) => {
                if manager.is_check_due(conn) { Condition::Due } else { Condition::Clean }
            }
            SettingsLeft::Nothing | SettingsLeft::Restorable => Condition::Dirty,
        }
    }

    /// Asks what has to be asked now: for a sign of life after a silence, and what is due of a budget that is shared,
    /// whose answer is a sign of life too.
    fn attend(manager: &PgManager, conn: &mut PgConnection, limit: Duration) -> Result<(), PgError> {
        let is_silent = Self::is_silent(conn);
        let is_asked = is_silent || !conn.is_observed() || manager.is_check_due(conn);
        if conn.pass().is_some() && is_asked {
            manager.check_admission(conn, limit)
        } else if is_silent {
            Self::ping(conn, limit)
        } else {
            Ok(())
        }
    }

    /// Asks a connection at rest for a sign of life, which has to say that the session is idle.
    fn ping(conn: &mut PgConnection, limit: Duration) -> Result<(), PgError> {
        conn.ping(limit)?;
        match conn.transaction_status() {
            None | Some(TransactionStatus::Idle) => Ok(()),
            Some(_) => Err(PgError::not_idle("at rest")),
        }
    }
}

impl Driver<PgManager> for PgDriver {
    fn connect(&self, manager: &PgManager, limit: Duration) -> Result<PgConnection, PgError> {
        manager.connect_for_pool(limit)
    }

    /// The connect timeout, and in a fleet what a connection may wait for its slot. A callback for credentials, a
    /// resolver or a Unix socket may hang beyond it.
    fn connect_limit(&self, manager: &PgManager) -> Option<Duration> {
        Some(manager.opening_limit())
    }

    /// At once over TCP, from the handshake on; an ad-hoc opening that pauses before it tries a full server again ends
    /// with that pause, an eighth of a second at the most. A connect without an answer, a callback for credentials, a
    /// resolver or a Unix socket takes what it takes.
    fn end_openings(&self, manager: &PgManager) {
        manager.end_openings();
    }

    /// A slot of the fleet, once there was none.
    fn opening_waits_for(&self, manager: &PgManager) -> Option<String> {
        manager.held_up().map(|why| why.to_string())
    }

    fn validate(&self, manager: &PgManager, conn: &mut PgConnection, limit: Duration) -> Result<(), PgError> {
        let end = Deadline::of(limit);
        // What is asked of an unobserved connection for its slot is its ping as well.
        let is_probed = conn.is_observed() || conn.pass().is_none();
        conn.settle(limit)?;
        if is_probed {
            conn.probe(limit)?;
        }
        Self::attend(manager, conn, end.left())?;
        manager.check_role(conn)
    }

    fn probe(
        &self,
        manager: &PgManager,
        conn: &mut PgConnection,
        limit: Duration,
    ) -> Option<Result<(), PgError>> {
        if !conn.is_observed() || conn.is_reply_pending() || Self::is_silent(conn) {
            return None;
        }
        Some(conn.look(limit).and_then(|()| manager.check_role(conn)))
    }

    fn is_lost(&self, conn: &PgConnection) -> bool {
        conn.is_lost()
    }

    fn validate_suspect(
        &self,
        manager: &PgManager,
        conn: &mut PgConnection,
        limit: Duration,
    ) -> Result<(), PgError> {
        Self::ping(conn, limit)?;
        manager.check_role(conn)
    }

    /// Yes. Over TCP the observer ends the wait, over a Unix socket the client's own timer does.
    fn is_bounded(&self) -> bool {
        true
    }

    fn condition(&self, manager: &PgManager, conn: &mut PgConnection) -> Condition {
        match Self::state_of(manager, conn) {
            Condition::Clean | Condition::Due | Condition::Dirty if manager.gives_back(conn) => {
                Condition::Spare
            }
            condition => condition,
        }
    }

    fn reset(
        &self,
        manager: &PgManager,
        conn: &mut PgConnection,
        suspect: bool,
        limit: Duration,
    ) -> Result<(), PgError> {
        let end = Deadline::of(limit);
        let policy = &manager.options().reset;
        reset(conn, policy, suspect, limit)?;
        // What a text of the program's own does to locks nobody knows.
        let is_due = matches!(policy, ResetPolicy::Sql(_)) || manager.is_check_due(conn);
        if is_due && !conn.is_unrestorable() { manager.check_admission(conn, end.left()) } else { Ok(()) }
    }

    /// Whatever the cause, a connection that works says goodbye and waits for its backend to end: until then the server
    /// counts it. The end of a pending reply is read first, for 20 ms at the most.
    fn prepare_close(&self, conn: &mut PgConnection, _polite: bool) {
        conn.part();
    }

    fn close_grace(&self) -> Duration {
        PARTING + CLOSE_MARGIN
    }

    /// Over a Unix socket this costs the round trip that asks for the backend's process id.
    fn control(&self, manager: &PgManager, conn: &mut PgConnection) -> Option<Arc<dyn SessionControl>> {
        let control = PgControl::new(manager, conn);
        conn.end_lease();
        conn.end_set_up();
        Some(Arc::new(control))
    }

    /// 53300, and what PgBouncer says instead, is [`FailureClass::Exhausted`]; a wrong password, role, database or
    /// start-up option and a TLS mismatch are [`FailureClass::Permanent`].
    fn classify(&self, error: &PgError) -> FailureClass {
        if error.is_exhausted() {
            FailureClass::Exhausted
        } else if error.is_permanent() {
            FailureClass::Permanent
        } else {
            FailureClass::Transient
        }
    }

    /// Not where the server has refused the same credentials lately.
    fn was_tried(&self, error: &PgError) -> bool {
        error.was_tried()
    }

    fn code(&self, error: &PgError) -> Option<String> {
        error.sqlstate().map(str::to_owned)
    }
}
