//! The own pool, and what the server says of all applications' sessions.

use std::time::Duration;

use tierpool::config::{Key, PgSettings, Source};
use tierpool::postgres::{ServerProcess, TierSession};
use tierpool::{PgPool, Tier};

use crate::outcome::Failure;

/// The name by which the server knows the sessions of this program.
pub const OWN_NAME: &str = "tierpool";

/// What the server said.
#[derive(Clone, Debug)]
pub struct Server {
    pub healthy: bool,
    pub message: String,
    /// The sessions of all applications, or why they are not known; `None` of a server that does not answer.
    pub sessions: Option<Result<Vec<Session>, String>>,
}

/// A session of an application that has tiers.
#[derive(Clone, Debug)]
pub struct Session {
    pub pid: i32,
    pub app: String,
    pub tier: Tier,
    pub host: String,
    /// In the server's words; `None` where the role may not know.
    pub state: Option<String>,
    /// For how long its transaction has been open.
    pub busy_for: Option<Duration>,
    pub wait: Option<String>,
    pub blocked_by: Vec<i32>,
    /// Its statement, or the last one.
    pub query: String,
    /// It, at this statement and no other.
    pub meant: ServerProcess,
}

impl Session {
    /// Whether it is known to do something, or to have a transaction open.
    pub fn is_busy(&self) -> bool {
        self.state.as_deref().is_some_and(|state| state != "idle")
    }

    /// Whether a statement runs.
    pub fn is_running(&self) -> bool {
        matches!(self.state.as_deref(), Some("active" | "fastpath function call"))
    }
}

impl From<TierSession> for Session {
    fn from(told: TierSession) -> Self {
        Session {
            meant: ServerProcess::from(&told),
            pid: told.pid,
            app: told.app_name,
            tier: told.tier,
            host: told.host,
            state: told.state,
            busy_for: told.in_transaction_for.or(told.running_for),
            wait: told.wait_event,
            blocked_by: told.blocked_by,
            query: told.query,
        }
    }
}

/// The application that the settings name, if they do: else it would be this program.
pub fn named(settings: &PgSettings) -> Option<String> {
    (*settings.source(Key::AppName) != Source::Default).then(|| settings.app_name.clone())
}

/// A pool that opens one connection, when it asks, and has no door of its own.
pub fn pool(app: &str) -> Result<PgPool, Failure> {
    let builder = PgPool::builder().app_name(app).admin(false).min_size(0);
    builder.build_unchecked().map_err(|error| Failure::new(format_args!("{error:#}")))
}

/// Asks whether the server answers, and for the sessions. Blocks for some 10 s at the most.
pub fn ask(pool: &PgPool) -> Server {
    let health = pool.check_health(true);
    let sessions = health.healthy.then(|| match pool.tier_sessions() {
        Ok(sessions) => Ok(sessions.into_iter().map(Session::from).collect()),
        Err(error) => Err(error.to_string()),
    });
    Server { healthy: health.healthy, message: health.message, sessions }
}
