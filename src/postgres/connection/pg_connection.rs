//! One PostgreSQL connection.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use postgres::fallible_iterator::FallibleIterator;
use postgres::{Client, Config};

use super::cancel::CancelRequest;
use super::lease::Leases;
use super::pass::Pass;
use super::pooler::Behind;
use super::statement_cache::StatementCache;
use crate::config::PgBouncer;
use crate::postgres::error::PgError;
use crate::postgres::observer::{Abandoned, Arrivals, Opening, WireState};
use crate::postgres::tls::Secure;
use crate::process::Process;

/// Where a connection stands between BEGIN and COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionStatus {
    /// Outside of a transaction.
    Idle,
    /// In a transaction.
    InTransaction,
    /// In a transaction that failed: the server accepts nothing but its end.
    Failed,
}

/// A PostgreSQL connection: a [`postgres::Client`] and what the pool knows about it.
///
/// Everything that a `Client` can do is there by `Deref`. Over TCP the connection is *observed*: its byte stream is
/// read along, so that its state is known without asking the server, and a call that waits can be ended. Over a Unix
/// socket it is not, and what depends on it says so.
///
/// # Blocking
///
/// Dropping it takes less than 100 ms whatever the server does, also with a reply pending, an open transaction or a
/// row stream half read. An unobserved one can wait for the server without bound when a reply is pending; a pool
/// drops it on a thread for that purpose.
///
/// In a child process made by `fork` its drop does nothing, and its calls fail over TCP: see
/// [the guide](crate::guide::fork).
///
/// A `Transaction` of the `postgres` crate sends ROLLBACK when it is dropped and waits for the answer, up to the
/// socket timeout; [`run_session`](crate::postgres::run_session) does not.
pub struct PgConnection {
    /// Taken in a child process alone, where it must not be dropped.
    pub(super) client: Option<Client>,
    process: Process,
    pub(super) observer: Option<Arc<WireState>>,
    pub(super) arrivals: Option<Arrivals>,
    /// How it was secured, for the connection of a cancel request.
    secure: Secure,
    backend_pid: Option<i32>,
    /// `round_trips` when the session was last as good as new.
    fresh_at: u64,
    /// What set it up after its opening has changed settings, and so a reset of the settings would undo that.
    pub(super) is_customized: bool,
    /// The limit that a borrower's own is put back to.
    socket_timeout: Option<Duration>,
    /// After the client, so that it drops later: then the statements need not be closed one by one.
    statements: StatementCache,
    /// What is between it and the server.
    pub(super) behind: Behind,
    /// When it was open, and by what: for another connection to the same server.
    opened_at: Instant,
    origin: Arc<Config>,
    /// For its handles.
    pub(super) leases: Leases,
    /// It works, and must not be lent again.
    unrestorable: bool,
    /// Until it is set up: it ends with its pool then.
    opening: Option<Arc<Opening>>,
    pub(super) pass: Option<Pass>,
}

impl PgConnection {
    pub(in crate::postgres) fn new(
        client: Client,
        observer: Option<Arc<WireState>>,
        secure: Secure,
        socket_timeout: Option<Duration>,
        statements: StatementCache,
        origin: Arc<Config>,
    ) -> Self {
        let backend_pid = observer.as_ref().map(|shared| shared.backend_pid());
        PgConnection {
            client: Some(client),
            process: Process::this(),
            arrivals: observer.as_ref().and_then(|shared| shared.watch_arrivals()),
            observer,
            secure,
            backend_pid,
            fresh_at: 0,
            is_customized: false,
            socket_timeout,
            statements,
            behind: Behind::NOTHING,
            opened_at: Instant::now(),
            origin,
            leases: Leases::default(),
            unrestorable: false,
            opening: None,
            pass: None,
        }
    }

    /// Whether the process that opened it forked this one. A system call.
    pub(in crate::postgres) fn is_inherited(&self) -> bool {
        !self.process.is_this()
    }

    pub(super) fn client(&self) -> &Client {
        match &self.client {
            Some(client) => client,
            None => unreachable!("BUG: a connection is used after its end"),
        }
    }

    pub(super) fn client_mut(&mut self) -> &mut Client {
        match &mut self.client {
            Some(client) => client,
            None => unreachable!("BUG: a connection is used after its end"),
        }
    }

    pub(in crate::postgres) fn observer(&self) -> Option<&WireState> {
        self.observer.as_deref()
    }

    /// Names the error with which the server ended the session in one that says no more than that it is over.
    pub(in crate::postgres) fn explained(&self, error: PgError) -> PgError {
        error.ended_by(self.observer().and_then(|shared| shared.errors().ending()))
    }

    /// The error of a call on a connection that is lost.
    pub(super) fn lost(&self) -> PgError {
        self.explained(PgError::lost())
    }

    /// The client and its statements, without those that the server is known to refuse.
    pub(in crate::postgres) fn parts(&mut self) -> (&mut Client, &mut StatementCache) {
        let refused = self.observer().map_or(0, |shared| shared.errors().refused_statements());
        self.statements.note_refused(refused);
        match &mut self.client {
            Some(client) => (client, &mut self.statements),
            None => unreachable!("BUG: a connection is used after its end"),
        }
    }

    /// Its statements as they are, for what is to be noted of a call: what the server has refused in it has its own
    /// meaning there.
    pub(in crate::postgres) fn statements_mut(&mut self) -> &mut StatementCache {
        &mut self.statements
    }

    pub(in crate::postgres) fn statements(&self) -> &StatementCache {
        &self.statements
    }

    pub(in crate::postgres) fn observer_handle(&self) -> Option<Arc<WireState>> {
        self.observer.clone()
    }

    pub(in crate::postgres) fn opened_at(&self) -> Instant {
        self.opened_at
    }

    pub(in crate::postgres) fn origin(&self) -> &Arc<Config> {
        &self.origin
    }

    /// Whether the byte stream is read along: over TCP, not over a Unix socket.
    pub fn is_observed(&self) -> bool {
        self.observer.is_some()
    }

    /// What is known to be between the connection and the server: a PgBouncer or a pooler like it, and its mode.
    pub fn pgbouncer(&self) -> PgBouncer {
        self.behind.mode
    }

    /// Whether the next transaction may run on another server connection than the last one, so that nothing may be
    /// left in the session: no setting, no prepared statement, no temporary table, no `LISTEN`, no advisory lock.
    pub fn is_transaction_pooled(&self) -> bool {
        self.behind.mode == PgBouncer::Transaction
    }

    /// The transaction status after the last reply. Costs nothing.
    ///
    /// `None` when it is not known: for an unobserved connection, and while a reply is pending. The latter is
    /// usual right after an error, which the server sends ahead of the end of its reply; see
    /// [`PgConnection::settle`].
    pub fn transaction_status(&self) -> Option<TransactionStatus> {
        self.observer().filter(|shared| !shared.is_reply_pending()).map(|shared| match shared.status() {
            b'I' => TransactionStatus::Idle,
            b'T' => TransactionStatus::InTransaction,
            _ => TransactionStatus::Failed,
        })
    }

    /// Whether the answer to a request is not read to its end yet; false for an unobserved connection.
    pub fn is_reply_pending(&self) -> bool {
        self.observer().is_some_and(WireState::is_reply_pending)
    }

    /// The requests sent since the connection was opened whose answer was waited for; `None` for an unobserved
    /// connection.
    pub fn round_trips(&self) -> Option<u64> {
        self.observer().map(WireState::round_trips)
    }

    /// How often the server refused a prepared statement because the table under it has changed (0A000 "cached plan
    /// must not change result type").
    pub fn cached_plan_errors(&self) -> u64 {
        self.observer().map_or(0, |shared| shared.errors().cached_plans())
    }

    /// How many notifications came that nobody got, since the connection was opened: while the pool itself used it,
    /// after the return of the borrower that listened, and beyond the 65,536 or 16 MiB that a borrower may leave
    /// unfetched. None are counted on an unobserved connection, where nothing bounds them either.
    pub fn notifications_lost(&self) -> u64 {
        self.observer().map_or(0, |shared| shared.listening().lost())
    }

    /// The process id of the backend, as in `pg_stat_activity`. Behind a PgBouncer in transaction mode it is that of
    /// the present transaction, and outside of one of no use.
    ///
    /// # Blocking
    ///
    /// On an observed connection straight to the server not at all. Else one round trip: the first time, and each
    /// time in transaction mode.
    ///
    /// # Errors
    ///
    /// When that round trip fails.
    pub fn backend_pid(&mut self) -> Result<i32, PgError> {
        if let Some(pid) = self.backend_pid {
            return Ok(pid);
        }
        // Not prepared, for that takes the same server twice.
        let row =
            self.as_own(|conn| conn.client_mut().query_typed("SELECT pg_catalog.pg_backend_pid()", &[]))?;
        let pid = row[0].get(0);
        if !self.is_transaction_pooled() {
            self.backend_pid = Some(pid);
        }
        Ok(pid)
    }

    /// Ends the opening after what was sent to set the connection up: it counts as new from here on.
    pub(in crate::postgres) fn begin_as_new(&mut self) {
        if let Some(shared) = self.observer() {
            shared.note_open();
        }
        if self.behind.mode != PgBouncer::Off {
            // What the handshake told is a number of the pooler's own.
            self.backend_pid = None;
        }
        self.accept_settings();
        self.mark_fresh();
    }

    /// Ends what the program does to set a new connection up: its settings are those that borrowers find, from here on.
    pub(in crate::postgres) fn end_set_up(&mut self) {
        self.opening = None;
        if let Some(shared) = self.observer() {
            shared.listening().accept();
        }
        self.is_customized = self.observer().is_some_and(|shared| shared.settings().are_changed());
        self.accept_settings();
    }

    pub(in crate::postgres) fn set_opening(&mut self, opening: Arc<Opening>) {
        self.opening = Some(opening);
    }

    pub(super) fn accept_settings(&self) {
        if let Some(shared) = self.observer() {
            shared.settings().accept();
        }
    }

    /// Has what `call` sends count as the pool's own: it is no statement of a borrower, so neither timed nor logged.
    pub(super) fn as_own<T>(&mut self, call: impl FnOnce(&mut Self) -> T) -> T {
        let say = |conn: &Self, own| conn.observer().into_iter().for_each(|shared| shared.set_own(own));
        say(self, true);
        let outcome = call(self);
        say(self, false);
        outcome
    }

    /// Limits how long the server may be silent while a reply is due; `None` for no limit. It holds until the
    /// connection goes back to its pool. Without effect on an unobserved connection.
    ///
    /// For a statement that takes longer than the pool's limits, raise both this and the server's
    /// `statement_timeout`.
    pub fn set_socket_timeout(&mut self, limit: Option<Duration>) {
        if let Some(shared) = self.observer() {
            shared.set_socket_timeout(limit);
        }
    }

    pub(in crate::postgres) fn restore_socket_timeout(&mut self) {
        self.set_socket_timeout(self.socket_timeout);
    }

    /// The limit in force, a borrower's own included.
    pub(in crate::postgres) fn present_socket_timeout(&self) -> Option<Duration> {
        self.observer().and_then(WireState::socket_timeout).map(Duration::from_nanos)
    }

    /// The request to cancel what runs, for the pool itself.
    pub(in crate::postgres) fn cancel_request(&self) -> CancelRequest {
        CancelRequest::new(self.client().cancel_token(), self.secure.clone(), self.observer.clone())
    }

    /// Whether it works and gives the next borrower nothing to work with. It says nothing against others.
    pub(in crate::postgres) fn is_unrestorable(&self) -> bool {
        self.unrestorable
    }

    pub(super) fn set_unrestorable(&mut self) {
        self.unrestorable = true;
    }

    /// Whether the connection is known to be lost. Costs nothing, and so misses a hang-up that was not read yet; see
    /// [`PgConnection::probe`].
    pub fn is_lost(&self) -> bool {
        self.client().is_closed() || self.observer().is_some_and(|s| s.is_broken() || s.is_abandoned())
    }

    /// Whether the pool has ended it on purpose while it was out.
    pub(in crate::postgres) fn is_ended_by_pool(&self) -> bool {
        self.observer().is_some_and(WireState::is_ended_by_pool)
    }

    /// Gives the connection up: every later call fails at once, and dropping it does not wait. Where the server has
    /// said that it ends the session the former is so already, and a drop waits for that end.
    pub(in crate::postgres) fn abandon(&self) {
        if let Some(shared) = self.observer().filter(|shared| shared.errors().ending().is_none()) {
            shared.abandon(Abandoned::GivenUp);
        }
    }

    /// Whether anything was sent since the session was as good as new.
    pub(in crate::postgres) fn is_used(&self) -> bool {
        self.round_trips() != Some(self.fresh_at)
    }

    pub(super) fn mark_fresh(&mut self) {
        self.fresh_at = self.round_trips().unwrap_or(0);
    }

    /// Throws away notifications of an earlier borrower.
    pub(super) fn discard_notifications(&mut self) {
        let mut notifications = self.client_mut().notifications();
        let mut count = 0;
        while !notifications.is_empty() && matches!(notifications.iter().next(), Ok(Some(_))) {
            count += 1;
        }
        drop(notifications);
        if let Some(shared) = self.observer() {
            shared.listening().note_lost(count);
            shared.listening().note_fetched();
        }
    }
}

impl Deref for PgConnection {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client()
    }
}

impl DerefMut for PgConnection {
    fn deref_mut(&mut self) -> &mut Client {
        self.client_mut()
    }
}

impl fmt::Debug for PgConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgConnection")
            .field("backend_pid", &self.backend_pid)
            .field("transaction_status", &self.transaction_status())
            .field("is_lost", &self.is_lost())
            .finish_non_exhaustive()
    }
}
