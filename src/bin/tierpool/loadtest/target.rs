//! What is loaded: a pool of this library, or one of r2d2's.

use std::ops::DerefMut;
use std::time::{Duration, Instant};

use tierpool::config::{Key, Overrides, PgSettings, Source};
use tierpool::postgres::{PgConnection, PgManager, PgOptions, SessionOptions, SocketTimeout, run_session};
use tierpool::{Error, ErrorKind, PgBuilder, PgError, PgPool, Tier};

use super::scenario::Work;
use super::spread::Outcome;
use crate::outcome::Failure;

/// The name by which the server knows these sessions.
const OWN_NAME: &str = "tierpool-loadtest";

/// A server that has not let anybody in by then is not loaded.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is still held after this is ended.
const CLOSING: Duration = Duration::from_secs(5);

/// What became of one request, and when.
#[derive(Debug)]
pub struct Served {
    pub wait: Duration,
    pub service: Option<Duration>,
    pub hold: Option<Duration>,
    pub fault: Option<Fault>,
}

/// Why a request was not served.
#[derive(Debug)]
pub struct Fault {
    pub outcome: Outcome,
    pub told: String,
}

/// How long the pool took to open its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    pub count: u64,
    /// The bounds of the buckets in which these lie.
    pub p50: Option<Duration>,
    pub p95: Option<Duration>,
    pub p99: Option<Duration>,
}

/// A pool under load.
pub trait Target: Send + Sync {
    fn name(&self) -> &'static str;
    /// The connections that requests have among them.
    fn ceiling(&self) -> u32;
    /// Does what a request asks for.
    fn serve(&self, work: &Work) -> Served;
    /// Asks as a person does who needs a connection now.
    fn ask(&self) -> Result<(), Fault>;
    /// `None` where the pool does not tell.
    fn opened(&self) -> Option<Opened>;
    /// Ends it, in bounded time.
    fn close(&self);
}

/// A pool as the settings say.
pub struct Ours(PgPool);

impl Ours {
    /// Builds the pool, and opens a connection.
    pub fn build(settings: &PgSettings) -> Result<Self, Failure> {
        let automation = &settings.automation;
        let builder = PgBuilder::new().app_name(OWN_NAME);
        let builder = match settings.source(Key::BaseSize) {
            Source::Builder { .. } => {
                builder.base_size(automation.base_size).max_overflow(automation.max_overflow)
            }
            _ => builder,
        };
        let pool = builder.build_within(PATIENCE.min(automation.connection_timeout));
        pool.map(Ours).map_err(|error| not_made(&error))
    }
}

/// The settings, with a scenario's ceiling where nobody has set one.
pub fn settings(ceiling: u32) -> Result<PgSettings, Failure> {
    let loaded = |overrides: &Overrides| {
        PgSettings::from_env(overrides).map_err(|faults| crate::config::unusable(&faults))
    };
    let mut overrides = Overrides::default();
    overrides.app_name = Some(OWN_NAME.to_owned());
    let settings = loaded(&overrides)?;
    if !is_unset(&settings) {
        return Ok(settings);
    }
    (overrides.base_size, overrides.max_overflow) = (Some(ceiling), Some(0));
    loaded(&overrides)
}

fn not_made(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format_args!("no load was made: {error:#}"))
}

/// Whether nobody has set how many connections there may be, in whichever way.
fn is_unset(settings: &PgSettings) -> bool {
    let is_default = |key| matches!(settings.source(key), Source::Default);
    let follows = |key| matches!(settings.source(key), Source::Default | Source::Follows { .. });
    is_default(Key::BaseSize)
        && is_default(Key::MaxOverflow)
        && follows(Key::MaxSize)
        && follows(Key::TotalConnections)
}

impl Target for Ours {
    fn name(&self) -> &'static str {
        "tierpool"
    }

    fn ceiling(&self) -> u32 {
        self.0.automation().max_size()
    }

    fn serve(&self, work: &Work) -> Served {
        served(|| self.0.get(Tier::Automation).map_err(of_checkout), work)
    }

    fn ask(&self) -> Result<(), Fault> {
        asked(&mut *self.0.get(Tier::Adhoc).map_err(of_checkout)?)
    }

    fn opened(&self) -> Option<Opened> {
        let stats = self.0.automation().stats();
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|part| stats.open.quantile(part));
        Some(Opened { count: stats.opened, p50, p95, p99 })
    }

    fn close(&self) {
        self.0.close(CLOSING);
    }
}

/// A pool of r2d2's with its own defaults, the same connections, and as many as both tiers have: there the person at
/// the prompt queues with everybody else.
pub struct Theirs(r2d2::Pool<PgManager>);

impl Theirs {
    /// Builds the pool, and opens all of its connections.
    pub fn build(settings: &PgSettings) -> Result<Self, Failure> {
        let mut options = PgOptions::default();
        options.statement_timeout = settings.automation_statement_timeout;
        options.statement_cache_size = settings.statement_cache_size;
        options.pgbouncer = settings.pgbouncer;
        options.target_session_attrs = Some(settings.server.session_attrs());
        options.connect_timeout = Some(settings.connect_timeout);
        options.socket_timeout = match settings.socket_timeout {
            None => SocketTimeout::AfterStatementTimeout,
            Some(Duration::ZERO) => SocketTimeout::Off,
            Some(limit) => SocketTimeout::After(limit),
        };
        let manager = PgManager::with_tls(settings.connect_config("r2d2"), options, settings.server.tls())
            .map_err(|error| not_made(&error))?;
        let pool = r2d2::Pool::builder()
            .max_size(settings.automation.ceiling() + settings.adhoc.ceiling())
            .connection_timeout(settings.automation.connection_timeout)
            .build(manager);
        pool.map(Theirs).map_err(|error| not_made(&error))
    }
}

impl Target for Theirs {
    fn name(&self) -> &'static str {
        "r2d2"
    }

    fn ceiling(&self) -> u32 {
        self.0.max_size()
    }

    fn serve(&self, work: &Work) -> Served {
        served(|| self.0.get().map_err(of_their_checkout), work)
    }

    fn ask(&self) -> Result<(), Fault> {
        asked(&mut *self.0.get().map_err(of_their_checkout)?)
    }

    fn opened(&self) -> Option<Opened> {
        None
    }

    /// It has no end but that of its last handle, which is this one.
    fn close(&self) {}
}

fn asked(conn: &mut PgConnection) -> Result<(), Fault> {
    conn.simple_query("SELECT 1").map(|_| ()).map_err(|error| of_work(&PgError::from(error)))
}

/// Takes a connection, has it do the work, and measures both.
fn served<C: DerefMut<Target = PgConnection>>(
    checkout: impl FnOnce() -> Result<C, Fault>,
    work: &Work,
) -> Served {
    let asked = Instant::now();
    let checkout = checkout();
    let wait = asked.elapsed();
    match checkout {
        Err(fault) => Served { wait, service: None, hold: None, fault: Some(fault) },
        Ok(mut conn) => {
            let held = Instant::now();
            let done = do_work(&mut conn, work);
            let service = held.elapsed();
            drop(conn);
            let service = done.is_ok().then_some(service);
            let fault = done.err().map(|error| of_work(&error));
            Served { wait, service, hold: Some(held.elapsed()), fault }
        }
    }
}

fn do_work(conn: &mut PgConnection, work: &Work) -> Result<(), PgError> {
    if work.in_transaction {
        let options = SessionOptions::new();
        run_session(conn, &options, |tx| work.statements.iter().try_for_each(|sql| tx.batch_execute(sql)))
    } else {
        work.statements.iter().try_for_each(|sql| conn.batch_execute(sql)).map_err(PgError::from)
    }
}

fn of_checkout(error: Error) -> Fault {
    let outcome = match error.kind() {
        ErrorKind::Timeout => Outcome::TimedOut,
        ErrorKind::Exhausted | ErrorKind::QueueFull => Outcome::Dropped,
        _ => Outcome::Failed,
    };
    Fault { outcome, told: told(&error) }
}

/// It has no other error than that the time was up.
fn of_their_checkout(error: r2d2::Error) -> Fault {
    Fault { outcome: Outcome::TimedOut, told: told(&error) }
}

fn of_work(error: &PgError) -> Fault {
    let is_timeout = error.is_statement_timeout() || error.is_client_timeout();
    Fault { outcome: if is_timeout { Outcome::TimedOut } else { Outcome::Failed }, told: told(error) }
}

/// An error in words that a terminal may be shown.
fn told(error: &dyn std::fmt::Display) -> String {
    crate::seen::live::shown(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceiling_of_the_scenario_holds_only_where_nobody_has_set_one() {
        let unset = |variable: &str, value: &str| {
            let env = |name: &str| match name {
                "DATABASE_URL" => Some("postgresql://app@db.example/news".to_owned()),
                _ => (name == variable).then(|| value.to_owned()),
            };
            is_unset(&PgSettings::load(&Overrides::default(), env).unwrap())
        };
        assert!(unset("PGAPPNAME", "x") && unset("DB_POOL_RESERVED", "3") && unset("DB_POOL_MIN", "1"));
        for (variable, value) in [
            ("DB_CONNECTION_LIMIT", "20"),
            ("DB_POOL_SIZE", "50"),
            ("DB_POOL_PROFILE", "web"),
            ("DB_TOTAL_CONNECTIONS", "60"),
            ("USE_PGBOUNCER", "transaction"),
        ] {
            assert!(!unset(variable, value), "{variable}");
        }
    }
}
