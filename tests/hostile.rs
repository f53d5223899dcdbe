//! Whatever a server sends, calls end by their limits, memory stays bounded, and no thread is left.
//!
//! One test, since it measures its process: the scenarios of `hostile/scenarios.rs`, one after the other. `HOSTILE`
//! in the environment picks those whose name has that in it.
#![cfg(feature = "postgres")]

#[path = "hostile/endings.rs"]
mod endings;
#[path = "hostile/scenarios.rs"]
mod scenarios;
mod support;

use std::fs;
use std::time::Duration;

use scenarios::{Place, Scenario};
use support::hostile::{HostileServer, Step, frames};
use support::wait::{BOUND, SECOND, comes_true, thread_names, took};
use support::wire::chain;
use tierpool::Pool;
use tierpool::config::PgBouncer;
use tierpool::postgres::{
    Last, PgDriver, PgError, PgManager, PgOptions, SessionOptions, SocketTimeout, run_session,
    run_session_ending,
};

/// How long an opening may take.
const CONNECT: Duration = Duration::from_millis(400);
/// How long a server may be silent in a reply.
const SOCKET: Duration = Duration::from_millis(400);
/// How long a check may take.
const CHECK: Duration = Duration::from_millis(300);
/// How long a caller waits for a connection: for the look at a bad one and the opening of another.
const DEADLINE: Duration = Duration::from_millis(1500);
/// How late a call may be.
const LATE: Duration = Duration::from_millis(100);
/// The memory that a scenario may take.
const MEMORY: usize = 64 << 20;

#[test]
fn a_hostile_server_costs_neither_time_nor_memory_nor_threads() {
    let picked = std::env::var("HOSTILE").unwrap_or_default();
    let all: Vec<_> =
        scenarios::all().into_iter().filter(|scenario| scenario.name.contains(&picked)).collect();
    assert!(!all.is_empty(), "no scenario has {picked:?} in its name");
    // What the process keeps for good is there from here on.
    play_in_pool_of_a_healthy_server();
    let mut failed = Vec::new();
    for scenario in &all {
        if let Err(Fault::Late(fault) | Fault::Other(fault)) = run_in_time(scenario) {
            failed.push(format!("{}: {fault}", scenario.name));
        }
    }
    assert!(failed.is_empty(), "{} of {} scenarios:\n{}", failed.len(), all.len(), failed.join("\n"));
}

fn play_in_pool_of_a_healthy_server() {
    let steps = vec![Step::Serve(Vec::new())];
    let healthy = Scenario { name: String::new(), place: Place::QueryThatHolds, steps };
    assert!(run_in_time(&healthy).is_ok(), "a healthy server");
}

enum Fault {
    Late(String),
    Other(String),
}

/// A loaded machine can keep a thread from running now and then; what takes too long by design does so each time.
fn run_in_time(scenario: &Scenario) -> Result<(), Fault> {
    let mut tries = 0;
    loop {
        tries += 1;
        match run(scenario) {
            Err(Fault::Late(_)) if tries < 4 => {}
            outcome => return outcome,
        }
    }
}

fn run(scenario: &Scenario) -> Result<(), Fault> {
    let threads = threads();
    let good_start = vec![Step::Startup, Step::Send(frames::greeting(b'I'))];
    let scripts = match scenario.place {
        Place::Opening => vec![scenario.steps.clone()],
        Place::Cancel => vec![healthy()],
        _ => vec![[good_start, scenario.steps.clone()].concat(), healthy()],
    };
    let server = HostileServer::start(scripts, scenario.steps.clone()).expect("a server on loopback");
    let before = Memory::begin();
    let outcome = play(scenario.place, &server);
    let bytes = before.peak();
    outcome?;
    if bytes > MEMORY {
        return Err(Fault::Other(format!("it took {} MiB", bytes >> 20)));
    }
    // While the server is still at it.
    let (are_gone, time) = took(|| comes_true(BOUND, || self::threads().len() <= threads.len()));
    match time {
        _ if !are_gone => Err(Fault::Other(format!("threads are left: {:?}", self::threads()))),
        time if time > SECOND => Err(Fault::Late(format!("its threads ended after {time:?}"))),
        _ => Ok(()),
    }
}

fn healthy() -> Vec<Step> {
    vec![Step::Startup, Step::Send(frames::greeting(b'I')), Step::Serve(Vec::new())]
}

fn play(place: Place, server: &HostileServer) -> Result<(), Fault> {
    let mut options = PgOptions::default();
    options.connect_timeout = Some(CONNECT);
    options.socket_timeout = SocketTimeout::After(SOCKET);
    // Nothing is asked of a new connection.
    options.pgbouncer = Some(PgBouncer::Off);
    let manager = PgManager::new(server.url().parse().unwrap(), options).unwrap();
    match place {
        Place::Opening => {
            let outcome = timed("opening", CONNECT, || manager.connect_within(CONNECT))?;
            wrong(outcome.is_ok(), "a connection was opened")?;
            // Less than the opening may take: it is under way as the pool goes.
            let deadline = CONNECT / 4;
            let pool = pool(manager);
            let outcome = timed("get", deadline, || pool.get_timeout(deadline).map(drop))?;
            wrong(outcome.is_ok(), "a connection was lent")?;
            timed("drop of the pool", Duration::ZERO, || drop(pool))
        }
        Place::Ping => {
            let mut conn = opened(&manager)?;
            let outcome = timed("ping", CHECK, || conn.ping(CHECK))?;
            wrong(outcome.is_ok() || !conn.is_lost(), "the connection passes for good")?;
            timed("drop", Duration::ZERO, || drop(conn))
        }
        Place::Probe => {
            let mut conn = opened(&manager)?;
            server.go_ahead();
            let _ = timed("probe", CHECK, || conn.probe(CHECK))?;
            timed("drop", Duration::ZERO, || drop(conn))
        }
        Place::Parting => {
            let conn = opened(&manager)?;
            server.go_ahead();
            timed("drop", Duration::ZERO, || drop(conn))
        }
        Place::Cancel => {
            let conn = opened(&manager)?;
            let handle = conn.cancel_handle();
            let _ = timed("cancel", CHECK, || handle.cancel(CHECK))?;
            timed("drop", Duration::ZERO, || drop(conn))
        }
        _ => play_in_pool(place, server, &pool(manager)),
    }
}

fn play_in_pool(place: Place, server: &HostileServer, pool: &Pool<PgManager>) -> Result<(), Fault> {
    use Place::{LargeQueryThatHolds, PreparedThatHolds, QueryThatHolds, RestThatHolds};
    let holds = matches!(place, QueryThatHolds | LargeQueryThatHolds | PreparedThatHolds | RestThatHolds);
    let mut conn = lent(pool)?;
    match place {
        Place::Query | Place::QueryThatHolds | Place::LargeQuery | Place::LargeQueryThatHolds => {
            let is_large = matches!(place, Place::LargeQuery | Place::LargeQueryThatHolds);
            let text = if is_large { "HOSTILE ".repeat(1 << 20) } else { "HOSTILE".to_owned() };
            // What is large takes its time until the kernel takes no more, and the limit counts from there.
            let silence = if is_large { SOCKET + SECOND } else { SOCKET };
            let limit = if holds { BOUND } else { silence };
            let outcome = timed("query", limit, || conn.batch_execute(&text))?;
            wrong(!holds && outcome.is_ok(), "the query succeeded")?;
            wrong(!holds && !conn.is_lost(), "the connection passes for good")?;
            wrong(holds && conn.is_lost(), "the connection is lost")?;
        }
        Place::Prepared | Place::PreparedThatHolds => {
            // Each question is answered at once, so that nothing but their number bounds the time.
            let outcome = timed("query", BOUND, || conn.query("HOSTILE", &[]))?;
            wrong(holds != outcome.is_ok(), &format!("the query came to {outcome:?}"))?;
            wrong(holds == conn.is_lost(), &format!("the connection is lost: {}", conn.is_lost()))?;
        }
        Place::Begin => {
            let session = || run_session(&mut conn, &SessionOptions::new(), |tx| tx.batch_execute("SELECT"));
            let outcome = timed("session", SOCKET, session)?;
            wrong(outcome.is_ok(), "the session succeeded")?;
            wrong(!conn.is_lost(), "the connection passes for good")?;
        }
        Place::Ending => {
            conn.prepare_cached("HOSTILE").map_err(told)?;
            let options = SessionOptions::new();
            let session = || {
                run_session_ending(&mut conn, &options, |_| Ok::<_, PgError>(Last::execute("HOSTILE").into()))
            };
            let outcome = timed("session", SOCKET, session)?;
            let is_unknown = outcome.as_ref().is_err_and(PgError::is_outcome_unknown);
            wrong(!is_unknown, &format!("the session came to {outcome:?}"))?;
            wrong(!conn.is_lost(), "the connection passes for good")?;
        }
        Place::Reset => conn.batch_execute("BEGIN").map_err(told)?,
        _ => {}
    }
    timed("return", Duration::ZERO, || drop(conn))?;
    if matches!(place, Place::Rest | Place::RestUnnoticed | Place::RestThatHolds) {
        server.go_ahead();
    }
    let mut conn = lent(pool)?;
    let mut outcome = timed("query at last", SOCKET, || conn.batch_execute("SELECT"))?;
    if place == Place::RestUnnoticed && outcome.is_err() {
        drop(conn);
        conn = lent(pool)?;
        outcome = conn.batch_execute("SELECT");
    }
    outcome.map_err(told)?;
    let expected = if holds { 1 } else { 2 };
    wrong(server.connections() != expected, &format!("{} connections", server.connections()))
}

fn pool(manager: PgManager) -> Pool<PgManager> {
    let builder = Pool::builder()
        .driver(Box::new(PgDriver))
        .max_size(1)
        .test_on_check_out(true)
        .min_idle(Some(0))
        .validation_timeout(CHECK);
    builder.connection_timeout(DEADLINE).build_unchecked(manager)
}

fn lent(pool: &Pool<PgManager>) -> Result<tierpool::PooledConnection<PgManager>, Fault> {
    timed("get", DEADLINE, || pool.get())?.map_err(told)
}

fn opened(manager: &PgManager) -> Result<tierpool::postgres::PgConnection, Fault> {
    manager.connect_within(CONNECT).map_err(told)
}

fn told(error: impl std::error::Error) -> Fault {
    Fault::Other(chain(&error))
}

fn wrong(is_wrong: bool, what: &str) -> Result<(), Fault> {
    if is_wrong { Err(Fault::Other(what.to_owned())) } else { Ok(()) }
}

/// The value of `call`, which may take so long.
fn timed<T>(what: &'static str, limit: Duration, call: impl FnOnce() -> T) -> Result<T, Fault> {
    let (value, took) = took(call);
    if took > limit + LATE {
        Err(Fault::Late(format!("{what} took {took:?}, with a limit of {limit:?}")))
    } else {
        Ok(value)
    }
}

/// Those of the process that are not the server's.
fn threads() -> Vec<String> {
    thread_names().into_iter().filter(|name| !name.starts_with("hostile-")).collect()
}

/// The memory of this process from a moment on.
struct Memory(usize);

impl Memory {
    fn begin() -> Memory {
        // Has the kernel forget the peak.
        fs::write("/proc/self/clear_refs", "5").expect("/proc/self/clear_refs can be written");
        Memory(of_status("VmRSS:"))
    }

    fn peak(&self) -> usize {
        of_status("VmHWM:").saturating_sub(self.0)
    }
}

/// A figure of `/proc/self/status`, in bytes.
fn of_status(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("/proc/self/status can be read");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells it");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number of kB") << 10
}
