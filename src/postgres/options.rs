//! The settings of one kind of PostgreSQL connection, as plain values.

use std::time::Duration;

use postgres::Config;

use crate::config::{
    Faults, LONGEST_RULE, LONGEST_STATEMENT, PgBouncer, TargetSessionAttrs, statement_timeout_in,
};
use crate::text::Limit;

/// What a returned connection's session state is put back to.
///
/// | policy | undoes | round trips |
/// | --- | --- | --- |
/// | `Rollback` | an open or failed transaction, a reply not read; settings | 0 clean, 1 dirty |
/// | `Full` | that, and what else the borrower changed in the session | 0 unused, 1 used |
/// | `None` | nothing | 0 |
/// | `Sql` | a transaction; settings; what the text undoes | 0 unused, 1 used |
///
/// **Settings**, role and session authorization that a borrower changed are put back to what the session began with,
/// over TCP under every policy but `None`. What was changed is seen by the server's command tags (`SET`, `RESET`,
/// `DISCARD`) and by the word `set_config` or an `UPDATE` of `pg_settings` in the text of a request; what ends with its
/// transaction (`SET LOCAL`, `set_config(…, true)`) does not count. What a function or a `DO` block sets by a `SET` of
/// its own is not seen, nor what the text does not spell, as behind a view or in `U&"set\005fconfig"`, nor what a later
/// borrower's `EXECUTE` of a statement sets that was prepared in SQL (`PREPARE … AS SELECT set_config(…)`), and nothing
/// is over a Unix socket: there only [`ResetPolicy::Full`] undoes it.
///
/// Where a customizer of the program's has set something on the new connection, putting back would undo that: under
/// `Rollback` such a connection is replaced when a borrower has changed settings, and under `Sql` the text is left to
/// set what has to be set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetPolicy {
    /// Rolls back an open transaction, and puts back settings that the borrower changed. Temporary tables, advisory
    /// locks and subscriptions of one borrower reach the next. The default.
    #[default]
    Rollback,
    /// Also undoes cursors, temporary tables, advisory locks, `LISTEN` and cached sequence values, and settings
    /// however they were changed, those of a customizer included. Prepared statements are kept.
    Full,
    /// Sends nothing. A connection returned inside a transaction is closed.
    None,
    /// Runs this text, in one message with what else is undone, whenever the connection was used. `DISCARD ALL` is
    /// not a good one: it drops the statements with which the client looks up types, and those of the statement cache
    /// each time.
    Sql(String),
}

/// How long the server may be silent while a reply is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketTimeout {
    /// The statement timeout plus 5 s, so that the server's own answer comes first; none without a statement
    /// timeout. The default.
    #[default]
    AfterStatementTimeout,
    /// This long.
    After(Duration),
    /// As long as it takes.
    Off,
}

/// How the connections of a [`PgManager`](super::PgManager) are opened, limited and reset.
///
/// ```
/// use std::time::Duration;
/// use tierpool::postgres::PgOptions;
///
/// let mut options = PgOptions::default();
/// options.statement_timeout = Some(Duration::from_secs(10));
/// assert_eq!(options.socket_timeout(), Some(Duration::from_secs(15)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PgOptions {
    /// The name shown in `pg_stat_activity`. `None` (default) leaves that of the connection string.
    pub application_name: Option<String>,
    /// The server ends a statement that runs longer. Sent with the start-up message, so it costs no round trip; see
    /// [`PgOptions::pgbouncer`] for what is done instead behind one. `None` or zero (default `None`): none is asked
    /// for, and what the connection string or the server says holds. Where the start-up options of the connection
    /// string say another limit, or zero where they say one, that is a fault.
    pub statement_timeout: Option<Duration>,
    /// What is undone when a connection is returned. Default: an open transaction, and changed settings.
    #[doc(alias("pool_reset_on_return", "AfterRelease"))]
    pub reset: ResetPolicy,
    /// The longest that opening a connection may take, start-up handshake included; zero: no limit. Default `None`:
    /// the connect timeout of the connection string, else 10 s.
    ///
    /// Where both are said the shorter one holds. Of a string read by the driver a `connect_timeout=0` cannot be told
    /// from none; a [`PgPool`](crate::PgPool) reads strings itself.
    ///
    /// With several hosts each gets an equal share of what is left, and so does each address that a name stands for.
    /// The time of a callback for credentials counts. Over a Unix socket the handshake cannot be bounded from within;
    /// there the pool's own deadline covers the callers.
    pub connect_timeout: Option<Duration>,
    /// Which of several servers may be used; asked for with one round trip after the handshake, unless any may.
    /// `None` (default): what the connection string says.
    pub target_session_attrs: Option<TargetSessionAttrs>,
    /// How long the server may be silent while a reply is due, over TCP. Then the connection is closed and the
    /// call fails. Default: the statement timeout plus 5 s.
    pub socket_timeout: SocketTimeout,
    /// How many prepared statements each connection keeps for the `_cached` calls; 0 for none. Default 100. See
    /// [`PgConnection::prepare_cached`](super::PgConnection::prepare_cached).
    ///
    /// None are kept where a PgBouncer was found out; where [`PgOptions::pgbouncer`] says one in transaction mode, set
    /// 0 as well, unless it keeps track of them (1.21, `max_prepared_statements`).
    #[doc(alias("stmtcachesize"))]
    pub statement_cache_size: u32,
    /// Whether a PgBouncer is in between, and in which mode. `None` (default): found out on the first connection.
    ///
    /// PgBouncer refuses start-up options, so behind one the statement timeout is set by a statement after opening in
    /// session mode, and by `SET LOCAL` in each session in transaction mode. There nothing that outlives a transaction
    /// is sent but the statements of the cache, so [`ResetPolicy::Full`] and [`ResetPolicy::Sql`] cannot be had.
    pub pgbouncer: Option<PgBouncer>,
    /// A statement that takes longer is logged as a warning, with its text but not its parameters, and counted. Over
    /// TCP only. `None` or zero (default `None`): no text is read and no time taken. What the pool sends for itself is
    /// left out.
    ///
    /// What a program writes into the text itself, as `batch_execute` and `simple_query` make it do, is part of the
    /// text and so of the log. The first 1024 bytes are shown, in one line.
    pub slow_query: Option<Duration>,
    /// The time of each statement is recorded in [`Stats::query`](crate::Stats::query), over TCP, but of none that the
    /// pool sends for itself. Default: no, and then no time is taken.
    pub query_times: bool,
    /// The longest that a question takes which the pool puts to the server for itself, the checkout of its connection
    /// included: health, server activity, long-running queries, cancel and terminate. Default 5 s.
    ///
    /// Of the ad-hoc tier's options only, since the questions go through that tier.
    pub inquiry_timeout: Duration,
}

impl Default for PgOptions {
    fn default() -> Self {
        PgOptions {
            application_name: None,
            statement_timeout: None,
            reset: ResetPolicy::default(),
            connect_timeout: None,
            target_session_attrs: None,
            socket_timeout: SocketTimeout::default(),
            statement_cache_size: 100,
            pgbouncer: None,
            slow_query: None,
            query_times: false,
            inquiry_timeout: INQUIRY_TIMEOUT,
        }
    }
}

/// Far more than the server needs, and little enough for a probe or a person that waits for the answer.
pub(super) const INQUIRY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opening a connection takes milliseconds, and a lost packet of the handshake is sent again after seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What the client waits beyond the server's own limit.
pub(super) const SOCKET_MARGIN: Duration = Duration::from_secs(5);

/// A guard against a typing error, and far above what anybody waits for.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl PgOptions {
    /// The limit in force on the silence of the server; `None` for no limit.
    pub fn socket_timeout(&self) -> Option<Duration> {
        match self.socket_timeout {
            SocketTimeout::Off => None,
            SocketTimeout::After(limit) => Some(limit),
            SocketTimeout::AfterStatementTimeout => {
                self.effective_statement_timeout().map(|limit| limit.saturating_add(SOCKET_MARGIN))
            }
        }
    }

    /// The longest that opening a connection may take; 24 h where there is no limit.
    pub(super) fn connect_limit(&self) -> Duration {
        let limit = self.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        if limit.is_zero() { LONGEST } else { limit }
    }

    /// These options with what `config` says where they leave it open.
    pub(super) fn completed_by(mut self, config: &Config) -> Self {
        self.connect_timeout = self.connect_timeout.or(config.get_connect_timeout().copied());
        self
    }

    pub(super) fn effective_statement_timeout(&self) -> Option<Duration> {
        self.statement_timeout.filter(|limit| !limit.is_zero())
    }

    /// The start-up options with the statement timeout added to those of the connection string, which say the same or
    /// nothing of it.
    pub(super) fn startup_options(&self, given: Option<&str>) -> Option<String> {
        let own = self
            .effective_statement_timeout()
            .map(|limit| format!("-c statement_timeout={}", in_milliseconds(limit)));
        match (given.filter(|given| !given.trim().is_empty()), own) {
            (Some(given), Some(own)) => Some(format!("{given} {own}")),
            (None, own) => own,
            (Some(given), None) => Some(given.to_owned()),
        }
    }

    /// The rules between the options, and between them and the start-up options of the connection string.
    pub(super) fn check(&self, given: Option<&str>) -> Faults {
        let mut faults = Faults::new();
        let within = "must be longer than zero and at most 24 h";
        let ok = |limit: Duration| !limit.is_zero() && limit <= LONGEST;
        let connect = self.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        let rule = "must be at most 24 h, or 0 for no limit";
        faults.require(connect <= LONGEST, "connect_timeout", Limit(connect), rule);
        faults.require(ok(self.inquiry_timeout), "inquiry_timeout", Limit(self.inquiry_timeout), within);
        if let SocketTimeout::After(limit) = self.socket_timeout {
            faults.require(ok(limit), "socket_timeout", Limit(limit), within);
        }
        if let Some(limit) = self.statement_timeout {
            faults.require(limit <= LONGEST_STATEMENT, "statement_timeout", Limit(limit), LONGEST_RULE);
            if let Some(Ok(said)) = given.and_then(statement_timeout_in)
                && in_milliseconds(said) != in_milliseconds(limit)
            {
                faults.push(
                    "statement_timeout + options",
                    format!("{} and {}", Limit(limit), Limit(said)),
                    "must not contradict each other: leave out one of the two",
                );
            }
        }
        let reset = match self.reset {
            ResetPolicy::Full => "Full",
            ResetPolicy::Sql(_) => "Sql",
            ResetPolicy::Rollback | ResetPolicy::None => "",
        };
        faults.require(
            reset.is_empty() || self.pgbouncer != Some(PgBouncer::Transaction),
            "reset_policy",
            reset,
            "must be Rollback or None behind a PgBouncer in transaction mode, where a reset would reach a session of \
             somebody else; if it is in session mode, say pgbouncer=session",
        );
        faults
    }
}

/// As PostgreSQL counts, for which 0 means no limit.
pub(super) fn in_milliseconds(limit: Duration) -> u128 {
    if limit.is_zero() { 0 } else { limit.as_millis().max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_timeout_joins_the_options_of_the_connection_string() {
        let mut options = PgOptions::default();
        assert_eq!(options.startup_options(None), None);
        assert_eq!(options.startup_options(Some("-c geqo=off")).unwrap(), "-c geqo=off");
        options.statement_timeout = Some(Duration::from_micros(10));
        assert_eq!(options.startup_options(None).unwrap(), "-c statement_timeout=1");
        options.statement_timeout = Some(Duration::from_secs(3));
        assert_eq!(
            options.startup_options(Some("-c geqo=off")).unwrap(),
            "-c geqo=off -c statement_timeout=3000"
        );
        options.statement_timeout = Some(Duration::ZERO);
        assert_eq!((options.startup_options(None), options.socket_timeout()), (None, None));
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let options = PgOptions {
            connect_timeout: Some(Duration::MAX),
            socket_timeout: SocketTimeout::After(Duration::ZERO),
            statement_timeout: Some(Duration::MAX),
            inquiry_timeout: Duration::ZERO,
            ..PgOptions::default()
        };
        assert_eq!(options.check(None).iter().count(), 4);
    }

    #[test]
    fn a_default_never_beats_the_connect_timeout_of_a_configuration() {
        let seconds = Duration::from_secs;
        let limit = |options: PgOptions, config: &str| {
            options.completed_by(&config.parse().expect("a configuration")).connect_limit()
        };
        assert_eq!(limit(PgOptions::default(), "host=h"), seconds(10));
        assert_eq!(limit(PgOptions::default(), "host=h connect_timeout=60"), seconds(60));
        let set = PgOptions { connect_timeout: Some(seconds(20)), ..PgOptions::default() };
        assert_eq!(limit(set, "host=h connect_timeout=60"), seconds(20));
        let none = PgOptions { connect_timeout: Some(Duration::ZERO), ..PgOptions::default() };
        assert_eq!(limit(none, "host=h"), LONGEST);
    }

    #[test]
    fn a_statement_timeout_that_contradicts_the_start_up_options_is_a_fault_with_both() {
        let told = |limit: Option<u64>, given: &str| {
            let limit = limit.map(Duration::from_secs);
            PgOptions { statement_timeout: limit, ..PgOptions::default() }.check(Some(given)).to_string()
        };
        assert_eq!(
            told(Some(30), "-c statement_timeout=0"),
            "statement_timeout + options is 30 s and 0 s: must not contradict each other: leave out one of the two"
        );
        assert!(
            told(Some(0), "-c statement_timeout=5s")
                .starts_with("statement_timeout + options is 0 s and 5 s")
        );
        assert_eq!(told(Some(5), "-c statement_timeout=5s"), "");
        assert_eq!((told(None, "-c statement_timeout=5s"), told(Some(5), "-c geqo=off")), Default::default());
    }
}
