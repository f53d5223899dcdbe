//! What the server and a connection to it show, asked within limits and of nobody twice.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tierpool::config::{PgBouncer, PgSettings, TargetSessionAttrs};
use tierpool::postgres::{PgConnection, PgManager, ServerActivity, SessionOptions};
use tierpool::{Error, FailureClass, PgError, PgPool, PooledConnection, Tier};

use crate::outcome::Failure;
use crate::seen::server::{OWN_NAME, is_named, without_role};

/// The longest that is waited for one answer of a server or a pooler.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The longest that opening a connection is waited for, whatever the settings allow.
const LONGEST_OPENING: Duration = Duration::from_secs(15);

/// What the pool may take beyond the connect timeout, so that it is the opening that tells what is wrong.
const GRACE: Duration = Duration::from_secs(1);

/// Numbers and yes or no alone: what a server calls itself is told by the library, which makes it harmless.
const FACTS: &str = "
    SELECT
        CAST(pg_catalog.current_setting('server_version_num') AS int4) AS version,
        pg_catalog.pg_is_in_recovery() AS is_standby,
        CAST(pg_catalog.current_setting('transaction_read_only') AS bool) AS is_read_only,
        CAST((SELECT setting FROM pg_catalog.pg_settings WHERE name = 'statement_timeout') AS int8) AS statement_ms,
        CAST((SELECT setting FROM pg_catalog.pg_settings WHERE name = 'idle_session_timeout') AS int8) AS idle_ms,
        CAST((SELECT setting FROM pg_catalog.pg_settings WHERE name = 'lock_timeout') AS int8) AS lock_ms,
        CAST((SELECT setting FROM pg_catalog.pg_settings WHERE name = 'idle_in_transaction_session_timeout') AS int8)
            AS idle_in_transaction_ms,
        coalesce((SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()), false)
            AS is_encrypted,
        coalesce(pg_catalog.inet_client_addr() <<= '127.0.0.0/8' OR pg_catalog.inet_client_addr() <<= '::1', true)
            AS is_here";

/// The limit of a statement, in milliseconds; one that is not in force is 0.
const STATEMENT_LIMIT: &str =
    "SELECT CAST(setting AS int8) FROM pg_catalog.pg_settings WHERE name = 'statement_timeout'";

/// What a connection shows of itself and of its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// As 150004.
    pub version: i32,
    pub is_standby: bool,
    /// Whether transactions begin as read-only: on a standby they do, too.
    pub is_read_only: bool,
    pub statement_timeout: Option<Duration>,
    pub lock_timeout: Option<Duration>,
    pub idle_in_transaction: Option<Duration>,
    /// `None` also before PostgreSQL 14.
    pub idle_session_timeout: Option<Duration>,
    /// Whether the server's own connection is: behind a pooler that is the pooler's.
    pub is_encrypted: bool,
    /// Whether the server sees its client on its own machine.
    pub is_here: bool,
}

impl Facts {
    fn of(conn: &mut PgConnection) -> Result<Self, PgError> {
        let rows = conn.query_typed(FACTS, &[])?;
        let row = rows.first().ok_or_else(nothing)?;
        let limit = |column| row.try_get::<_, Option<i64>>(column).map(limit_of);
        Ok(Facts {
            version: row.try_get("version")?,
            is_standby: row.try_get("is_standby")?,
            is_read_only: row.try_get("is_read_only")?,
            statement_timeout: limit("statement_ms")?,
            lock_timeout: limit("lock_ms")?,
            idle_in_transaction: limit("idle_in_transaction_ms")?,
            idle_session_timeout: limit("idle_ms")?,
            is_encrypted: row.try_get("is_encrypted")?,
            is_here: row.try_get("is_here")?,
        })
    }
}

pub fn nothing() -> PgError {
    PgError::from(std::io::Error::other("the server answered without a row"))
}

/// The server's zero stands for no limit.
fn limit_of(ms: Option<i64>) -> Option<Duration> {
    ms.and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms > 0).map(Duration::from_millis)
}

/// What is seen of a server that let a connection in. What it did not answer is told in words.
#[derive(Debug)]
pub struct Seen {
    pub opened_in: Duration,
    /// The server is not of the kind that `target_session_attrs` asks for, and no other one is there.
    pub is_misfit: bool,
    /// Nothing was set in a session, since it is not known to be one's own.
    pub is_careful: bool,
    pub pooler: PgBouncer,
    pub facts: Result<Facts, String>,
    /// The limit of statements in a session of the pool, where that has one of its own.
    pub in_session: Option<Result<Option<Duration>, String>>,
    pub activity: Result<ServerActivity, String>,
}

/// Why there is no connection.
#[derive(Debug)]
pub struct Refusal {
    /// It will be the same the next time: somebody has answered, and said no.
    pub is_final: bool,
    /// The server's code.
    pub code: Option<String>,
    pub what: String,
}

/// Opens a connection as the pool's ad-hoc tier does, and looks around. Settings of which no pool can be made are the
/// one failure.
///
/// Where it is not sure that the pooler keeps sessions apart, as the settings say, nothing is set in one.
pub fn look(
    settings: &PgSettings,
    profile: Option<&str>,
    is_sure: bool,
) -> Result<Result<Seen, Refusal>, Failure> {
    let wanted = settings.server.session_attrs();
    let seen = |pool: &PgPool, conn, is_misfit| {
        let seen = seen(pool, conn, is_misfit);
        if is_sure { seen } else { Seen { pooler: PgBouncer::Session, is_careful: true, ..seen } }
    };
    let opened = |attrs| opened(settings, profile, attrs, is_sure);
    let (pool, outcome) = opened(wanted)?;
    let refusal = match outcome {
        Ok(conn) => return Ok(Ok(seen(&pool, conn, false))),
        Err(refusal) => refusal,
    };
    drop(pool);
    // Of another kind, perhaps: which is more to say than that it did not let the pool in.
    if !refusal.is_final && wanted != TargetSessionAttrs::Any {
        let (pool, outcome) = opened(TargetSessionAttrs::Any)?;
        if let Ok(conn) = outcome {
            return Ok(Ok(seen(&pool, conn, true)));
        }
    }
    Ok(Err(refusal))
}

type Opened = Result<(PooledConnection<PgManager>, Duration), Refusal>;

fn opened(
    settings: &PgSettings,
    profile: Option<&str>,
    attrs: TargetSessionAttrs,
    is_sure: bool,
) -> Result<(PgPool, Opened), Failure> {
    let mut builder = PgPool::builder().outside_fleet().admin(false).min_size(0).inquiry_timeout(PATIENCE);
    builder = without_role(builder.target_session_attrs(attrs), settings);
    if !is_sure {
        builder = builder.pgbouncer(PgBouncer::Transaction);
    }
    if let Some(profile) = profile {
        builder = builder.profile(profile);
    }
    // Under the application's name its sessions can be told from others'.
    if !is_named(settings) {
        builder = builder.app_name(OWN_NAME);
    }
    let pool = builder.build_unchecked().map_err(|error| Failure::new(format_args!("{error:#}")))?;
    let given = Some(settings.connect_timeout).filter(|limit| !limit.is_zero());
    let limit = given.unwrap_or(LONGEST_OPENING).min(LONGEST_OPENING);
    let begun = Instant::now();
    let outcome = pool.tier(Tier::Adhoc).get_timeout(limit + GRACE);
    let outcome = outcome.map(|conn| (conn, begun.elapsed())).map_err(|error| refusal(&error));
    Ok((pool, outcome))
}

fn refusal(error: &Error) -> Refusal {
    let Some(last) = error.open_failure() else {
        return Refusal { is_final: false, code: None, what: error.to_string() };
    };
    Refusal {
        is_final: last.class() != FailureClass::Transient,
        code: last.code().map(str::to_owned),
        what: last.to_string(),
    }
}

fn seen(pool: &PgPool, opened: (PooledConnection<PgManager>, Duration), is_misfit: bool) -> Seen {
    let (mut conn, opened_in) = opened;
    let pooler = conn.pgbouncer();
    let facts = within(PATIENCE, move || Facts::of(&mut conn));
    let in_session = (pooler == PgBouncer::Transaction && facts.is_ok()).then(|| {
        let pool = pool.clone();
        within(PATIENCE, move || limit_in_session(&pool))
    });
    // Bounded by itself; not asked where the server has already been silent for long.
    let activity = match &facts {
        Ok(_) => pool.server_activity().map_err(|error| error.to_string()),
        Err(error) => Err(error.clone()),
    };
    Seen { opened_in, is_misfit, is_careful: false, pooler, facts, in_session, activity }
}

fn limit_in_session(pool: &PgPool) -> Result<Option<Duration>, PgError> {
    pool.session_with(Tier::Adhoc, &SessionOptions::new(), |tx| {
        let rows = tx.client()?.query_typed(STATEMENT_LIMIT, &[])?;
        let row = rows.first().ok_or_else(nothing)?;
        Ok(limit_of(row.try_get(0)?))
    })
}

/// Asks on a thread of its own, so that nothing that a server does, or does a byte at a time, is waited for longer. On
/// expiry that thread is left, to the end of the program.
pub fn within<T: Send + 'static>(
    limit: Duration,
    ask: impl FnOnce() -> Result<T, PgError> + Send + 'static,
) -> Result<T, String> {
    let (answer, answered) = mpsc::channel();
    // Nobody listens any more after an expiry.
    let asking = move || drop(answer.send(ask()));
    thread::Builder::new()
        .name("tierpool-verify".to_owned())
        .spawn(asking)
        .map_err(|error| format!("not asked, as no thread could be started: {error}"))?;
    match answered.recv_timeout(limit) {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_longer_than_its_limit_is_left() {
        let (open, opened) = mpsc::channel::<()>();
        let told = within(Duration::from_millis(20), move || {
            let _ = opened.recv();
            Ok(())
        });
        assert_eq!(told, Err("no answer within 0 s".to_owned()));
        drop(open);
        assert_eq!(within(PATIENCE, || Ok(7)), Ok(7));
    }

    #[test]
    fn zero_is_no_limit() {
        let told = [Some(0), Some(-1), None, Some(1500)].map(limit_of);
        assert_eq!(told, [None, None, None, Some(Duration::from_millis(1500))]);
    }
}
