//! Who has connections, and who waits.

use std::borrow::Cow;
use std::path::Path;

use tierpool::Tier;

use super::grid::{Cell, Column, Grid, Row, column};
use super::seen::Seen;
use crate::seen::live::{ByTier, LivePool, Person};
use crate::seen::server::Session;
use crate::table::seconds;

const HOLDERS: [Column; 12] = [
    column("tier", 5, 6),
    column("pool", 16, 1),
    column("host", 15, 2),
    column("process", 7, 3),
    column("thread", 14, 8),
    column("line", 24, 9),
    column("tag", 16, 5),
    column("held", 9, 12),
    column("pid", 7, 10),
    column("blocked by", 14, 7),
    column("state", 12, 11),
    column("query or wait", 60, 0),
];

/// Connections that are out, and sessions of others that are at work.
pub fn holders(seen: &Seen) -> Grid {
    let joined = &seen.joined;
    let mut rows = Vec::new();
    for pool in &joined.pools {
        for (tier, person) in pool.people(|told| &told.holders) {
            let session = person.backend_pid.and_then(|pid| joined.session(pool, tier, pid));
            // Of a list alone that there is one can be said that somebody is not there.
            let is_listed = seen.answers && joined.unlisted.is_none();
            let is_missing =
                is_listed && person.backend_pid.is_some_and(|pid| !joined.sessions.contains_key(&pid));
            rows.push(holder(pool, tier, person, session, is_missing));
        }
    }
    rows.extend(joined.elsewhere().filter(|session| session.is_busy()).map(without_socket));
    let summary = vec![format!("{} connections are held or at work", rows.len())];
    Grid { columns: &HOLDERS, sorts: &[7, 0, 10, 4, 5], rows, summary }
}

fn holder(pool: &LivePool, tier: Tier, person: &Person, session: Option<&Session>, is_missing: bool) -> Row {
    let state = match session {
        Some(session) => state(session),
        None if is_missing => "not there".to_owned(),
        None => "?".to_owned(),
    };
    let pid = person.backend_pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
    let cells = vec![
        Cell::text(short(tier)),
        Cell::text(&pool.name),
        Cell::text("here"),
        Cell::text(pool.process.to_string()),
        Cell::text(&person.thread),
        Cell::text(line(&person.location)),
        Cell::text(person.tag.clone().unwrap_or_default()),
        Cell::number(seconds(person.seconds), person.seconds),
        Cell::text(&pid),
        Cell::text(session.map(blocked_by).unwrap_or_default()),
        Cell::text(state),
        Cell::text(session.map(doing).unwrap_or_default()),
    ];
    // Who has the connection is part of it: the next one who has it is somebody else.
    let Person { thread, location, connection_id, .. } = person;
    let id = format!("{}/{}/{tier}/{connection_id}/{pid}/{thread}/{location}", pool.process, pool.name);
    of_session(id, cells, session)
}

/// A session that no process here has told of: who has it is not known.
fn without_socket(session: &Session) -> Row {
    let busy = session.busy_for.map(|time| time.as_secs_f64());
    let held = busy.map_or_else(Cell::default, |busy| Cell::number(seconds(busy), busy));
    let unknown = || Cell::text("-");
    let cells = vec![
        Cell::text(short(session.tier)),
        Cell::text(&session.app),
        Cell::text(&session.host),
        unknown(),
        unknown(),
        unknown(),
        unknown(),
        held,
        Cell::text(session.pid.to_string()),
        Cell::text(blocked_by(session)),
        Cell::text(state(session)),
        Cell::text(doing(session)),
    ];
    of_session(format!("session {}", session.pid), cells, Some(session))
}

fn of_session(id: String, cells: Vec<Cell>, session: Option<&Session>) -> Row {
    let is_alarming = session.is_some_and(|session| !session.blocked_by.is_empty());
    Row { id, cells, session: session.cloned(), is_alarming }
}

/// A tier in few letters.
fn short(tier: Tier) -> &'static str {
    match tier {
        Tier::Automation => "auto",
        Tier::Adhoc => "adhoc",
    }
}

fn state(session: &Session) -> String {
    match session.state.as_deref() {
        Some("idle in transaction") => "idle in tx".to_owned(),
        Some("idle in transaction (aborted)") => "failed tx".to_owned(),
        Some("fastpath function call") => "active".to_owned(),
        Some(state) => state.to_owned(),
        None => "?".to_owned(),
    }
}

fn blocked_by(session: &Session) -> String {
    let pids = session.blocked_by.iter().map(i32::to_string);
    pids.collect::<Vec<_>>().join(",")
}

/// What runs and what it waits for, or what ran last.
fn doing(session: &Session) -> String {
    let query = without_password(&session.query);
    match &session.wait {
        Some(wait) if session.is_running() => format!("[{wait}] {query}"),
        _ if session.is_running() || query.is_empty() => query.into_owned(),
        _ => format!("last: {query}"),
    }
}

/// A statement, and of one that speaks of a password nothing behind that word.
fn without_password(query: &str) -> Cow<'_, str> {
    const WORD: &str = "password";
    let found = query.to_ascii_lowercase().find(WORD);
    found.map_or(Cow::Borrowed(query), |at| Cow::Owned(format!("{} [redacted]", &query[..at + WORD.len()])))
}

/// `src/a.rs:7:9` as `a.rs:7`.
fn line(location: &str) -> String {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let without_column = match location.rsplit_once(':') {
        Some((line, column)) if is_number(column) && line.contains(':') => line,
        _ => location,
    };
    let name = Path::new(without_column).file_name();
    name.map_or_else(|| without_column.to_owned(), |name| name.to_string_lossy().into_owned())
}

const WAITERS: [Column; 8] = [
    column("tier", 5, 3),
    column("pool", 20, 1),
    column("process", 7, 2),
    column("thread", 24, 4),
    column("place", 5, 6),
    column("waited", 9, 7),
    column("left", 9, 5),
    column("line", 40, 0),
];

/// The queues.
pub fn waiters(seen: &Seen) -> Grid {
    let mut rows = Vec::new();
    for pool in &seen.joined.pools {
        let ByTier { automation, adhoc } = &pool.told.queues;
        for (tier, queue) in [(Tier::Automation, automation), (Tier::Adhoc, adhoc)] {
            rows.extend((1_u32..).zip(queue).map(|(place, person)| waiter(pool, tier, place, person)));
        }
    }
    let summary = vec![format!("{} wait for a connection in processes of this machine", rows.len())];
    Grid { columns: &WAITERS, sorts: &[5, 4, 0, 3], rows, summary }
}

fn waiter(pool: &LivePool, tier: Tier, place: u32, person: &Person) -> Row {
    let left = person.seconds_left;
    let cells = vec![
        Cell::text(short(tier)),
        Cell::text(&pool.name),
        Cell::text(pool.process.to_string()),
        Cell::text(&person.thread),
        // The first one first.
        Cell::number(place.to_string(), -f64::from(place)),
        Cell::number(seconds(person.seconds), person.seconds),
        Cell::text(left.map_or_else(|| "-".to_owned(), seconds)),
        Cell::text(line(&person.location)),
    ];
    Row {
        id: format!("{}/{}/{tier}/{}/{}", pool.process, pool.name, person.thread, person.location),
        cells,
        session: None,
        is_alarming: left.is_some_and(|left| left < person.seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::super::seen::tests::{idle, person, running, with_pools};
    use super::*;
    use crate::seen::live::tests::pool;

    fn texts(row: &Row) -> Vec<&str> {
        row.cells.iter().map(|cell| cell.text.as_str()).collect()
    }

    #[test]
    fn a_holder_has_its_session_by_the_number_and_none_is_shown_twice() {
        let mut blocked = running(41, 2);
        blocked.blocked_by = vec![7, 0];
        blocked.wait = Some("Lock: tuple".to_owned());
        let holding = pool(900, &[41, 42], |told| {
            told.holders.automation =
                vec![person("worker", Some(41)), person("other", Some(99)), person("far", None)];
        });
        let grid = holders(&with_pools(vec![holding], vec![blocked, idle(43, 5)]));
        let of_41 = [
            "auto",
            "scraper",
            "here",
            "900",
            "worker",
            "scraper.rs:7",
            "page 1",
            "1.5 s",
            "41",
            "7,0",
            "active",
            "[Lock: tuple] UPDATE page SET seen = now()",
        ];
        assert_eq!(texts(&grid.rows[0]), of_41);
        assert!(grid.rows[0].is_alarming);
        assert_eq!(texts(&grid.rows[1])[8..11], ["99", "", "not there"]);
        assert_eq!(texts(&grid.rows[2])[8..11], ["?", "", "?"]);
        assert_eq!(texts(&grid.rows[3])[2..5], ["10.0.0.7", "-", "-"]);
        assert_eq!(texts(&grid.rows[3])[10..], ["idle in tx", "last: UPDATE page SET seen = now()"]);
        assert_eq!(grid.rows.len(), 4);
    }

    #[test]
    fn a_password_in_a_statement_is_not_shown() {
        for (query, shown) in [
            ("ALTER ROLE x PASSWORD 'hush'", "ALTER ROLE x PASSWORD [redacted]"),
            ("é; CREATE USER x password $a$hush$a$ LOGIN", "é; CREATE USER x password [redacted]"),
            ("SELECT 'x'", "SELECT 'x'"),
        ] {
            let mut session = running(41, 2);
            session.query = query.to_owned();
            assert_eq!(doing(&session), shown);
        }
    }

    #[test]
    fn who_is_not_listed_may_be_there_where_nothing_is() {
        let holding = pool(900, &[41], |told| told.holders.automation = vec![person("worker", Some(41))]);
        let mut seen = with_pools(vec![holding], Vec::new());
        assert_eq!(texts(&holders(&seen).rows[0])[10], "not there");
        seen.joined.unlisted = Some("no answer within 5 s".to_owned());
        assert_eq!(texts(&holders(&seen).rows[0])[10], "?");
    }

    #[test]
    fn waiters_have_their_place_in_line_and_the_time_that_they_have_left() {
        let crowded = pool(900, &[], |told| {
            told.queues.adhoc = vec![person("first", None), person("second", None)];
        });
        let grid = waiters(&with_pools(vec![crowded], Vec::new()));
        let second = ["adhoc", "scraper", "900", "second", "2", "1.5 s", "0.5 s", "scraper.rs:7"];
        assert_eq!(texts(&grid.rows[1]), second);
        assert!(grid.rows[1].is_alarming, "more than half of its time is up");
    }

    #[test]
    fn a_line_is_told_without_its_folder_and_column_and_what_is_none_stays() {
        for (location, shown) in [
            ("src/a.rs:7:9", "a.rs:7"),
            ("a.rs:7", "a.rs:7"),
            ("..", ".."),
            ("", ""),
            (":::", ":::"),
            ("/x/y?z:1:2", "y?z:1"),
        ] {
            assert_eq!(line(location), shown, "{location:?}");
        }
    }
}
