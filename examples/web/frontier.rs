//! What is still to be fetched: kept in the database, so that a program that ends leaves it to the next one.

use std::collections::HashMap;
use std::sync::Arc;

use tierpool::batch::Failed;
use tierpool::postgres::{Retry, Session, SessionOptions};
use tierpool::{PgError, PgPool, Tier};

use super::answer::{Marks, Target};
use super::hosts::Hosts;
use super::link::split;
use super::server::with_causes;

/// The most addresses in a wave: they are in memory together.
const WAVE: i64 = 10_000;

/// A run over the frontier.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub id: i64,
    /// An earlier program began it and did not come to its end.
    pub is_resumed: bool,
}

/// One transaction, repeated where a failure passes: each of those here leaves the same in the database when it is done
/// twice. What it returns may tell that it was: a run that was begun by a COMMIT whose answer was lost is resumed.
fn transact<T>(
    pool: &PgPool,
    work: impl FnMut(&mut Session<'_>) -> Result<T, PgError>,
) -> Result<T, PgError> {
    let options = SessionOptions::new().idempotent(true).retry(Retry::default());
    pool.session_with(Tier::Automation, &options, work)
}

/// Goes on with the run over `web` that is not ended, or begins one in which every known address is pending again. A
/// run over another web is ended by that: what it stored is asked for again, and what this web lacks is found missing.
///
/// # Errors
/// The database's.
pub fn begin(pool: &PgPool, web: &str, first: &str) -> Result<Run, PgError> {
    transact(pool, |tx| {
        let open = "SELECT max(id) FROM tierpool_web.runs WHERE ended IS NULL AND web = $1";
        let open: Option<i64> = tx.query_one(open, &[&web])?.get(0);
        if let Some(id) = open {
            return Ok(Run { id, is_resumed: true });
        }
        tx.execute("UPDATE tierpool_web.runs SET ended = now() WHERE ended IS NULL", &[])?;
        tx.execute("UPDATE tierpool_web.urls SET state = 'pending', requests = 0, note = NULL", &[])?;
        let add = "INSERT INTO tierpool_web.urls (url, depth) VALUES ($1, 0) ON CONFLICT (url) DO NOTHING";
        tx.execute(add, &[&first])?;
        let row = tx.query_one("INSERT INTO tierpool_web.runs (web) VALUES ($1) RETURNING id", &[&web])?;
        Ok(Run { id: row.get(0), is_resumed: false })
    })
}

const ADD: &str = "
INSERT INTO tierpool_web.urls (url, depth)
SELECT l.target, min(u.depth) + 1
FROM tierpool_web.links l JOIN tierpool_web.urls u ON u.id = l.url_id
WHERE l.target IS NOT NULL AND NOT EXISTS (SELECT FROM tierpool_web.urls k WHERE k.url = l.target)
GROUP BY l.target ORDER BY l.target
ON CONFLICT (url) DO NOTHING";

const PENDING: &str = "
SELECT id, url, etag, modified, hash FROM tierpool_web.urls WHERE state = 'pending' ORDER BY depth, id LIMIT $1";

/// The next wave: what has been linked since the last one and is not known yet, and what else is pending; in the order
/// in which the hosts can take it, so that a slow host's pages do not take all threads.
///
/// # Errors
/// The database's.
pub fn wave(pool: &PgPool, hosts: &Hosts) -> Result<Vec<Target>, PgError> {
    let rows = transact(pool, |tx| {
        tx.execute(ADD, &[])?;
        tx.query(PENDING, &[&WAVE])
    })?;
    let targets = rows.iter().map(|row| Target {
        id: row.get(0),
        url: row.get(1),
        known: Marks { etag: row.get(2), modified: row.get(3) },
        hash: row.get(4),
        requests: Arc::default(),
    });
    Ok(in_turn(targets.collect(), hosts))
}

/// Orders targets by when their hosts come to them, each at its pace.
fn in_turn(targets: Vec<Target>, hosts: &Hosts) -> Vec<Target> {
    let mut ahead = HashMap::new();
    let mut due: Vec<_> = targets
        .into_iter()
        .map(|target| {
            let name = split(&target.url).map_or("", |(name, _)| name);
            let place = ahead.entry(name.to_owned()).or_insert(0_u32);
            let due = hosts.get(name).map(|host| host.interval()).unwrap_or_default() * *place;
            *place += 1;
            (due, target)
        })
        .collect();
    // Stable: hosts of the same pace take turns.
    due.sort_by_key(|(due, _)| *due);
    due.into_iter().map(|(_, target)| target).collect()
}

const FAIL: &str = "
UPDATE tierpool_web.urls u SET state = 'failed', requests = f.requests, note = f.note
FROM unnest($1::bigint[], $2::integer[], $3::text[]) AS f (id, requests, note)
WHERE u.id = f.id";

/// Notes what could not be fetched or stored. What is known of it stays: the next run asks for it again.
///
/// # Errors
/// The database's.
pub fn note_failures(pool: &PgPool, failed: &[&Failed<Target>]) -> Result<(), PgError> {
    if failed.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = failed.iter().map(|failed| failed.item.id).collect();
    let requests: Vec<i32> = failed.iter().map(|failed| failed.item.requests()).collect();
    let notes: Vec<String> = failed.iter().map(|failed| with_causes(&*failed.error)).collect();
    transact(pool, |tx| tx.execute(FAIL, &[&ids, &requests, &notes])).map(drop)
}

/// Notes that nothing is pending any more.
///
/// # Errors
/// The database's.
pub fn end(pool: &PgPool, run: Run) -> Result<(), PgError> {
    let sql = "UPDATE tierpool_web.runs SET ended = now() WHERE id = $1";
    transact(pool, |tx| tx.execute(sql, &[&run.id])).map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::answer::{Marks, Target};
    use super::super::hosts::Hosts;
    use super::super::robots::Robots;
    use super::in_turn;

    #[test]
    fn a_slow_host_stands_behind_what_others_can_take_meanwhile() {
        let hosts = Hosts::new(["fast.test", "slow.test"], 10);
        let slow = || Ok(Robots::parse("User-agent: *\nCrawl-delay: 0.25", "me"));
        hosts.get("slow.test").unwrap().rules(slow).unwrap();
        let target = |(id, host)| Target {
            id,
            url: format!("http://{host}/{id}"),
            known: Marks::default(),
            hash: None,
            requests: Arc::default(),
        };
        let slow = (0..3).map(|id| (id, "slow.test"));
        let targets = slow.chain((3..9).map(|id| (id, "fast.test"))).map(target).collect();
        let order: Vec<_> = in_turn(targets, &hosts).iter().map(|target| target.id).collect();
        assert_eq!(order, [0, 3, 4, 5, 1, 6, 7, 2, 8]);
    }
}
