//! A PgBouncer between the pool and the server: what is known of it, and what it asks of a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

use log::Level;
use postgres::Config;

use crate::config::{PgBouncer, session_pooler};
use crate::lines::say;
use crate::postgres::options::{PgOptions, ResetPolicy, in_milliseconds};

/// The driver speaks UTF-8 only.
pub(super) const IN_UTF8: &str = "SET client_encoding = 'UTF8'";

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
pub(in crate::postgres) struct Pooler {
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
            say!(
                Level::Info,
                "tierpool::postgres",
                [mode = mode.to_string()],
                "a PgBouncer or another pooler is in between ({clue}); from here on it counts as one in {mode} mode. \
                 The setting pgbouncer says otherwise: session, transaction or false"
            );
            if mode == PgBouncer::Transaction && resets_session(&options.reset) {
                say!(
                    Level::Warn,
                    "tierpool::postgres",
                    [],
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

pub(super) fn resets_session(policy: &ResetPolicy) -> bool {
    matches!(policy, ResetPolicy::Full | ResetPolicy::Sql(_))
}

/// The mode to go by where a pooler was found and nobody said which: that of transactions, which is safe for both, but
/// at the address of a provider's pooler in session mode.
pub(in crate::postgres) fn likely_mode(config: &Config) -> PgBouncer {
    if session_pooler(config).is_some() { PgBouncer::Session } else { PgBouncer::Transaction }
}

/// How one connection is to be used, by what is between it and the server.
#[derive(Clone, Debug)]
pub(in crate::postgres) struct Behind {
    pub mode: PgBouncer,
    pub statement_timeout: Option<Duration>,
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

    /// What a new session is sent because of it.
    ///
    /// Either way the server itself answers once. A pooler takes clients also while it has no server for them: without
    /// that answer the pool would open connections that fail at their first use, as fast as its borrowers ask for them,
    /// and would never know of the outage.
    pub fn first_set(&self) -> Option<String> {
        match self.mode {
            PgBouncer::Off => None,
            PgBouncer::Session => Some(self.set_statement_timeout().unwrap_or_default()),
            PgBouncer::Transaction => Some(String::new()),
        }
    }

    pub fn set_statement_timeout(&self) -> Option<String> {
        self.statement_timeout.map(|limit| format!("SET statement_timeout = {}", in_milliseconds(limit)))
    }

    /// What `RESET ALL` takes away from a session that PgBouncer opened: what the client asked for at start-up came
    /// to the server as `SET`.
    pub fn restored_after_reset(&self) -> String {
        let mut text = IN_UTF8.to_owned();
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
