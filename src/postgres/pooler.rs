//! A PgBouncer between the pool and the server: found out once, and minded by each connection.
//!
//! **How it is found.** A server says in the start-up handshake which of its processes serves the connection. A pooler
//! that lends one server connection to many clients must invent that number, since a client's request to cancel has
//! to reach the pooler. So one question for `pg_backend_pid()` tells a pooler of any make from a server, and from a
//! proxy that only hands bytes through. A refused start-up option tells it too; the connection is then opened again
//! without one. Over a Unix socket the driver keeps the number to itself; there a server that sees its client come
//! over TCP tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

use postgres::config::Host;
use postgres::{Config, SimpleQueryMessage};

use super::{PgConnection, PgError, PgOptions, ResetPolicy};
use crate::config::PgBouncer;

/// By the simple protocol: a prepared statement would need the same server twice.
const WHO_SERVES: &str = "SELECT pg_catalog.pg_backend_pid(), pg_catalog.inet_client_addr() IS NULL";

const UNKNOWN: u8 = 0;
const OFF: u8 = 1;
const SESSION: u8 = 2;
const TRANSACTION: u8 = 3;

/// What is known of poolers in front of one server, for all managers that lead there.
///
/// **Ordering.** The value is all there is to know; nothing else is published with it, so `Relaxed` does. Several
/// threads may find out at the same time; each goes by what it found itself, and the one whose `compare_exchange` in
/// [`Pooler::found`] changes the value logs it.
#[derive(Debug)]
pub(super) struct Pooler {
    mode: AtomicU8,
    /// Whether the settings said it, so that nothing is found out.
    is_said: bool,
}

impl Pooler {
    pub fn new(said: Option<PgBouncer>) -> Arc<Self> {
        Arc::new(Pooler { mode: AtomicU8::new(said.map_or(UNKNOWN, code)), is_said: said.is_some() })
    }

    pub fn is_said(&self) -> bool {
        self.is_said
    }

    /// The mode known so far.
    pub fn known(&self) -> Option<PgBouncer> {
        match self.mode.load(Relaxed) {
            UNKNOWN => None,
            OFF => Some(PgBouncer::Off),
            SESSION => Some(PgBouncer::Session),
            _ => Some(PgBouncer::Transaction),
        }
    }

    /// Keeps what was found. That there is none gives way to a later finding that there is one: of several hosts one
    /// may be a pooler.
    pub fn found(&self, mode: PgBouncer, clue: &str, options: &PgOptions) {
        let weaker = if mode == PgBouncer::Off { &[UNKNOWN][..] } else { &[UNKNOWN, OFF][..] };
        let changed = weaker.iter().any(|known| {
            let outcome = self.mode.compare_exchange(*known, code(mode), Relaxed, Relaxed);
            outcome.is_ok()
        });
        if changed && mode != PgBouncer::Off {
            log::info!(
                target: "tierpool::postgres",
                "a PgBouncer or another pooler is in between ({clue}); from here on it counts as one in {mode} mode. \
                 The setting pgbouncer says otherwise: session, transaction or false"
            );
            if mode == PgBouncer::Transaction && resets_session(&options.reset) {
                log::warn!(
                    target: "tierpool::postgres",
                    "behind it a returned connection is only rolled back: the reset policy in force could reach a \
                     session of somebody else"
                );
            }
        }
    }
}

fn code(mode: PgBouncer) -> u8 {
    match mode {
        PgBouncer::Off => OFF,
        PgBouncer::Session => SESSION,
        PgBouncer::Transaction => TRANSACTION,
    }
}

fn resets_session(policy: &ResetPolicy) -> bool {
    matches!(policy, ResetPolicy::Full | ResetPolicy::Sql(_))
}

/// The mode to go by where a pooler was found and nobody said which: that of transactions, which is safe for both.
/// Supabase serves session mode at port 5432 of its pooler's hosts, and transaction mode at 6543.
pub(super) fn likely_mode(config: &Config) -> PgBouncer {
    let is_supabase = config.get_hosts().iter().any(|host| match host {
        Host::Tcp(name) => name.trim_end_matches('.').to_ascii_lowercase().ends_with(".pooler.supabase.com"),
        #[cfg(unix)]
        Host::Unix(_) => false,
    });
    let usual_port = config.get_ports().iter().all(|port| *port == 5432);
    if is_supabase && usual_port { PgBouncer::Session } else { PgBouncer::Transaction }
}

/// How one connection is to be used, by what is between it and the server.
#[derive(Clone, Debug)]
pub(super) struct Behind {
    pub mode: PgBouncer,
    statement_timeout: Option<Duration>,
    application_name: Option<String>,
}

impl Behind {
    /// Straight to the server, or not known yet.
    pub const NOTHING: Behind =
        Behind { mode: PgBouncer::Off, statement_timeout: None, application_name: None };

    pub fn new(mode: PgBouncer, config: &Config, options: &PgOptions) -> Self {
        Behind {
            mode,
            statement_timeout: options.effective_statement_timeout(),
            application_name: config.get_application_name().map(str::to_owned),
        }
    }

    fn set_statement_timeout(&self) -> Option<String> {
        // PostgreSQL counts in milliseconds, and 0 would mean no limit.
        self.statement_timeout.map(|limit| format!("SET statement_timeout = {}", limit.as_millis().max(1)))
    }

    /// What `RESET ALL` takes away from a session that PgBouncer opened: what the client asked for at start-up came
    /// to the server as `SET`. The driver speaks UTF-8 only.
    fn restored_after_reset(&self) -> String {
        let mut text = "SET client_encoding = 'UTF8'".to_owned();
        if let Some(name) = &self.application_name {
            text.push_str(&format!("; SET application_name = {}", quoted(name)));
        }
        if let Some(set) = self.set_statement_timeout() {
            text.push_str("; ");
            text.push_str(&set);
        }
        text
    }
}

/// A literal that means the same whatever `standard_conforming_strings` says.
fn quoted(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

impl PgConnection {
    /// What is known to be between the connection and the server: a PgBouncer or a pooler like it, and its mode.
    pub fn pgbouncer(&self) -> PgBouncer {
        self.behind.mode
    }

    /// Whether the next transaction may run on another server connection than the last one, so that nothing may be
    /// left in the session: no setting, no prepared statement, no temporary table, no `LISTEN`, no advisory lock.
    pub fn is_transaction_pooled(&self) -> bool {
        self.behind.mode == PgBouncer::Transaction
    }

    /// The statement timeout that each session must set for itself.
    pub(super) fn local_statement_timeout(&self) -> Option<Duration> {
        self.behind.statement_timeout.filter(|_| self.is_transaction_pooled())
    }

    /// The policy in force: in transaction mode a reset of the session could reach somebody else's.
    pub(super) fn reset_policy<'a>(&self, policy: &'a ResetPolicy) -> &'a ResetPolicy {
        if self.is_transaction_pooled() && resets_session(policy) { &ResetPolicy::Rollback } else { policy }
    }

    /// What a reset of the session must set again.
    pub(super) fn restored_after_reset(&self) -> Option<String> {
        (self.behind.mode == PgBouncer::Session).then(|| self.behind.restored_after_reset())
    }

    /// Asks who serves the connection, and says by what it shows that a pooler is in between; `None`: none is.
    ///
    /// A server that does not understand the question has no more to say about it.
    pub(super) fn find_pooler(&mut self, limit: Duration) -> Result<Option<&'static str>, PgError> {
        let told = self.observer().map(|shared| shared.backend_pid().to_string());
        let answer = match self.bounded(limit, |client| client.simple_query(WHO_SERVES)) {
            Ok(answer) => answer,
            Err(error) if error.is_connection_lost() => return Err(error),
            Err(_) => return Ok(None),
        };
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let Some(row) = row else { return Ok(None) };
        Ok(match told {
            Some(told) => {
                (row.get(0) != Some(&told)).then_some("it numbers its connections unlike the server")
            }
            None => (row.get(1) == Some("f")).then_some("the server sees TCP behind the Unix socket"),
        })
    }

    /// Takes note of what is in between, and sets what a new session needs because of it.
    pub(super) fn settle_behind(&mut self, behind: Behind, limit: Duration) -> Result<(), PgError> {
        self.behind = behind;
        if self.behind.mode == PgBouncer::Session
            && let Some(set) = self.behind.set_statement_timeout()
        {
            self.bounded(limit, |client| client.batch_execute(&set))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pooler_found_wins_over_none_found_and_not_the_other_way_round() {
        let options = PgOptions::default();
        let pooler = Pooler::new(None);
        assert_eq!(pooler.known(), None);
        pooler.found(PgBouncer::Off, "", &options);
        assert_eq!(pooler.known(), Some(PgBouncer::Off));
        pooler.found(PgBouncer::Transaction, "", &options);
        pooler.found(PgBouncer::Off, "", &options);
        assert_eq!(pooler.known(), Some(PgBouncer::Transaction));
    }

    #[test]
    fn supabase_has_session_mode_at_the_usual_port_of_its_pooler() {
        let mode = |config: &str| likely_mode(&config.parse().unwrap());
        let pooler = "host=aws-0-eu-central-1.pooler.supabase.com user=u";
        assert_eq!(mode(pooler), PgBouncer::Session);
        assert_eq!(mode(&format!("{pooler} port=5432")), PgBouncer::Session);
        assert_eq!(mode(&format!("{pooler} port=6543")), PgBouncer::Transaction);
        assert_eq!(mode("host=bouncer.example port=5432 user=u"), PgBouncer::Transaction);
    }

    #[test]
    fn a_name_with_quotes_stays_one_literal() {
        assert_eq!(quoted(r"it's a \"), r"E'it\'s a \\'");
    }
}
