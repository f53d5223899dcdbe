//! What is between the pool and the server.

use std::fmt;

use postgres::Config;
use postgres::config::Host;

/// Whether a PgBouncer, or a pooler like it, is between the pool and the server, and when it lends its connections.
///
/// A client cannot ask a PgBouncer for its mode. What is right in transaction mode is right in session mode too, so
/// `true` stands for [`PgBouncer::Transaction`].
///
/// ```
/// use tierpool::config::PgBouncer;
///
/// assert_eq!(PgBouncer::from(true), PgBouncer::Transaction);
/// assert_eq!(PgBouncer::from(false), PgBouncer::Off);
/// assert_eq!(PgBouncer::Session.to_string(), "session");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PgBouncer {
    /// There is none: a connection is a session of the server.
    Off,
    /// It lends a server connection for as long as its client is connected. What a session sets stays.
    Session,
    /// It lends a server connection for one transaction. What a session sets goes to whoever comes next, so nothing
    /// is set.
    Transaction,
}

impl PgBouncer {
    /// Reads one of the words of [`Unit::PgBouncer`](crate::config::Unit::PgBouncer), in any case.
    pub(super) fn parse(word: &str) -> Option<PgBouncer> {
        match word.to_ascii_lowercase().as_str() {
            "session" => Some(PgBouncer::Session),
            "transaction" | "true" | "1" | "yes" | "on" => Some(PgBouncer::Transaction),
            "false" | "0" | "no" | "off" => Some(PgBouncer::Off),
            _ => None,
        }
    }

    /// The word for it in a setting.
    pub fn as_str(self) -> &'static str {
        match self {
            PgBouncer::Off => "false",
            PgBouncer::Session => "session",
            PgBouncer::Transaction => "transaction",
        }
    }
}

/// The host of a provider's pooler that is asked for session mode: Supabase serves that at port 5432 of its poolers'
/// hosts, and transaction mode at 6543.
pub(crate) fn session_pooler(config: &Config) -> Option<&str> {
    let is_pooler =
        |name: &&str| name.trim_end_matches('.').to_ascii_lowercase().ends_with(".pooler.supabase.com");
    let names = config.get_hosts().iter().filter_map(|host| match host {
        Host::Tcp(name) => Some(name.as_str()),
        #[cfg(unix)]
        Host::Unix(_) => None,
    });
    let is_usual_port = config.get_ports().iter().all(|port| *port == 5432);
    names.into_iter().find(is_pooler).filter(|_| is_usual_port)
}

impl From<bool> for PgBouncer {
    fn from(is_there: bool) -> Self {
        if is_there { PgBouncer::Transaction } else { PgBouncer::Off }
    }
}

impl fmt::Display for PgBouncer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
