//! Sessions a second, by one thread: a transaction of one statement, on loopback and behind a relay.
//!
//! By hand a transaction takes three round trips, if the statement is prepared once for a connection and r2d2 does not
//! check it: BEGIN, the statement, COMMIT.

use std::time::{Duration, Instant};

use r2d2_postgres::postgres::Statement;
use tierpool::postgres::Last;
use tierpool::{PgError, PgPool};

use super::pools::{self, R2d2};
use crate::common::mode::Mode;
use crate::common::rounds::Rounds;
use crate::common::table::{Bound, Row, Table};
use crate::support::cluster::Cluster;
use crate::support::proxy::Proxy;

const CONNECTIONS: u32 = 2;
const INSERT: &str = "INSERT INTO noted VALUES ($1)";
/// Sessions ahead of those that count, in which the connection is looked up and the statement prepared.
const WARM: u32 = 10;
/// How long a round of a subject may take, about, where a session takes four round trips.
const ROUND: Duration = Duration::from_millis(500);

/// What a packet takes to the server, and as much back; none on loopback.
const DELAYS: [Option<Duration>; 3] = [None, Some(JUDGED), Some(Duration::from_millis(10))];
/// The one for which there are limits.
const JUDGED: Duration = Duration::from_millis(1);

/// A name, and one session.
type Work<'a> = (&'static str, Box<dyn Fn() + 'a>);

pub fn measure(mode: Mode, cluster: &Cluster, table: &mut Table) {
    let mut admin = cluster.client();
    admin
        .batch_execute("CREATE TABLE IF NOT EXISTS noted (key bigint NOT NULL)")
        .expect("the database is ours");
    let proxy = Proxy::start(cluster.port()).expect("a proxy can be started");
    for delay in DELAYS {
        admin.batch_execute("TRUNCATE noted").expect("it was made");
        proxy.delay(delay.unwrap_or_default());
        let url = match delay {
            None => cluster.plain_url(),
            Some(_) => cluster.plain_url_through(proxy.port()),
        };
        compare(mode, &url, delay, table);
    }
}

fn compare(mode: Mode, url: &str, delay: Option<Duration>, table: &mut Table) {
    let ours = pools::ours_at(url, CONNECTIONS);
    let theirs = |tested| pools::r2d2_at(url.parse().expect("the cluster's URL is one"), CONNECTIONS, tested);
    let (tuned, theirs) = (theirs(false), theirs(true));
    let works: [Work<'_>; 4] = [
        ("session", Box::new(|| session(&ours))),
        ("session_ending", Box::new(|| session_ending(&ours))),
        ("r2d2, tuned", Box::new(|| by_hand(&tuned))),
        ("r2d2", Box::new(|| as_most(&theirs))),
    ];
    let trip = 2 * delay.unwrap_or(Duration::from_micros(50));
    let sessions = mode.pick((ROUND.as_secs_f64() / (4 * trip).as_secs_f64()) as u32, 3);
    let rates = Rounds::run(mode.pick(11, 1), works.len(), |work| rate(&works[work].1, sessions, mode));
    let place = match delay {
        None => "on loopback".to_owned(),
        Some(delay) => format!("a relay of {delay:?} each way"),
    };
    let row = |ours: usize, peer: usize| {
        let shown = |work: usize| format!("{} {:.0}/s", works[work].0, rates.median(work));
        Row::new(
            format!("sessions of one statement, {place}"),
            shown(ours),
            shown(peer),
            rates.ratio(ours, peer),
        )
    };
    let judged = |row: Row, bar, goal| match delay {
        Some(JUDGED) => row.bar(Bound::AtLeast(bar)).goal(Bound::AtLeast(goal)),
        _ => row,
    };
    table.push(judged(row(0, 2), 1.4, 1.4));
    table.push(judged(row(1, 2), 1.4, 3.0));
    table.push(row(1, 3));
}

/// Sessions a second.
fn rate(session: &dyn Fn(), sessions: u32, mode: Mode) -> f64 {
    (0..mode.pick(WARM, 1)).for_each(|_| session());
    let begun = Instant::now();
    (0..sessions).for_each(|_| session());
    f64::from(sessions) / begun.elapsed().as_secs_f64()
}

fn session(pool: &PgPool) {
    let written = pool.session(|tx| tx.execute_cached(INSERT, &[&1_i64]));
    assert_eq!(written.map_err(|error: PgError| error.to_string()), Ok(1));
}

fn session_ending(pool: &PgPool) {
    let written = pool.session_ending(|_| Ok(Last::execute(INSERT).with(1_i64).into()));
    assert_eq!(written.map_err(|error: PgError| error.to_string()), Ok(1));
}

/// As far as one can go with r2d2, where its check is off too.
fn by_hand(pool: &R2d2) {
    let mut conn = pool.get().unwrap();
    let known = r2d2::PooledConnection::extensions(&conn).get::<Statement>().cloned();
    let statement = known.unwrap_or_else(|| {
        let statement = conn.prepare(INSERT).unwrap();
        r2d2::PooledConnection::extensions_mut(&mut conn).insert(statement.clone());
        statement
    });
    let mut transaction = conn.transaction().unwrap();
    assert_eq!(transaction.execute(&statement, &[&1_i64]).unwrap(), 1);
    transaction.commit().unwrap();
}

/// With r2d2's check, and a text that is prepared each time.
fn as_most(pool: &R2d2) {
    let mut conn = pool.get().unwrap();
    let mut transaction = conn.transaction().unwrap();
    assert_eq!(transaction.execute(INSERT, &[&1_i64]).unwrap(), 1);
    transaction.commit().unwrap();
}
