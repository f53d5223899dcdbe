//! The own pool, and what the server says of all applications' sessions.

use std::time::Duration;

use tierpool::config::{Key, Overrides, PgBouncer, PgSettings, Source};
use tierpool::postgres::{ServerProcess, TierSession};
use tierpool::{PgBuilder, PgPool, Tier};

use super::live::shown;
use crate::outcome::Failure;

/// The name by which the server knows the sessions of this program.
pub const OWN_NAME: &str = "tierpool";

/// How long a connection is waited for that tells whether a pooler is in between.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked about.
#[derive(Clone, Debug, Default)]
pub struct Meant {
    /// The application; `None` for all but this program.
    pub app: Option<String>,
    /// The servers of the settings, each as `host:port/database`.
    pub servers: Vec<String>,
}

/// What the server said.
#[derive(Clone, Debug)]
pub struct Server {
    pub healthy: bool,
    pub message: String,
    /// The sessions of all applications, or why they are not known; `None` of a server that does not answer.
    pub sessions: Option<Result<Vec<Session>, String>>,
    /// How many ad-hoc connections more it has room for, or why that is not known; `None` where nobody has asked.
    pub room: Option<Result<u32, String>>,
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

    /// Whether the role may not see what it does.
    pub fn is_hidden(&self) -> bool {
        self.state.is_none()
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

impl Meant {
    /// The application that is named, else the one that the settings name, if they do: else it would be this program.
    pub fn of(app: Option<&String>, settings: &PgSettings) -> Self {
        let app = app.or(is_named(settings).then_some(&settings.app_name)).cloned();
        // As what processes tell is taken in.
        let servers = settings.server.addresses().iter().map(|server| shown(server)).collect();
        Meant { app, servers }
    }

    /// Whether an application of this name is meant.
    pub fn has(&self, name: &str) -> bool {
        self.app.as_deref().map_or(name != OWN_NAME, |app| app == name)
    }

    /// Whether one of a pool's servers is one of these; where it does not tell them it may be.
    pub fn may_be_at(&self, servers: &[String]) -> bool {
        servers.is_empty() || servers.iter().any(|server| self.servers.contains(server))
    }
}

/// Whether the settings name the application, and not the program that loads them.
pub fn is_named(settings: &PgSettings) -> bool {
    *settings.source(Key::AppName) != Source::Default
}

/// A pool that opens one connection, when it asks, and has no door of its own.
pub fn pool(app: &str) -> Result<PgPool, Failure> {
    built(PgPool::builder().app_name(app))
}

/// The same, outside of the fleet that the settings may name: to look at it, or at a server that cannot hold it.
pub fn outside_fleet(app: &str) -> Result<PgPool, Failure> {
    built(PgPool::builder().app_name(app).outside_fleet())
}

/// A pool of the tool's own has the sizes that the settings say, and asks no role how many it may have.
pub fn without_role(builder: PgBuilder, settings: &PgSettings) -> PgBuilder {
    if settings.total_from_role { builder.total_connections(settings.total_connections) } else { builder }
}

fn built(builder: PgBuilder) -> Result<PgPool, Failure> {
    let builder = match PgSettings::from_env(&Overrides::default()) {
        Ok(settings) => without_role(builder, &settings),
        // The build tells of all faults.
        Err(_) => builder,
    };
    let pool = builder.admin(false).min_size(0).build_unchecked();
    pool.map_err(|error| Failure::new(format_args!("{error:#}")))
}

/// Asks whether the server answers, and for the sessions. Blocks for some 10 s at the most.
pub fn ask(pool: &PgPool) -> Server {
    let health = pool.check_health(true);
    let sessions = health.healthy.then(|| match pool.tier_sessions() {
        Ok(sessions) => Ok(sessions.into_iter().map(Session::from).collect()),
        Err(error) => Err(error.to_string()),
    });
    Server { healthy: health.healthy, message: health.message, sessions, room: None }
}

/// Asks how many ad-hoc connections more the server has room for, when this program has gone; `None` behind a pooler,
/// whose sessions belong to whoever it served last. Blocks for some 10 s at the most.
pub fn room(pool: &PgPool) -> Option<Result<u32, String>> {
    let pooler = pool.adhoc().get_timeout(PATIENCE).map(|conn| conn.pgbouncer());
    let is_pooled = pooler.is_ok_and(|pooler| pooler != PgBouncer::Off);
    (!is_pooled).then(|| match pool.server_activity() {
        Ok(activity) => Ok(activity.adhoc.room.saturating_add(1)),
        Err(error) => Err(error.to_string()),
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A session of automation in that state for so long.
    pub fn session(pid: i32, seconds: u64, state: &str) -> Session {
        Session {
            pid,
            app: "scraper".to_owned(),
            tier: Tier::Automation,
            host: "10.0.0.7".to_owned(),
            state: Some(state.to_owned()),
            busy_for: Some(Duration::from_secs(seconds)),
            wait: None,
            blocked_by: Vec::new(),
            query: "UPDATE page SET seen = now()".to_owned(),
            meant: ServerProcess::from(pid),
        }
    }
}
