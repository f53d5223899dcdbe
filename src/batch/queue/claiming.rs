//! Claims on the items of a table.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use postgres::Row;

use super::claims::Claims;
use super::item::Item;
use super::sql;
use super::table::Queue;
use crate::batch::claimed::{Claimed, Fate, Feed, FeedError, Pace, Room};
use crate::postgres::{Ending, Last, PgError, PgManager, Session};
use crate::tiers::TieredPool;

/// The items of a [`Queue`], claimed by one process as one owner. Each call is one statement in a transaction of its
/// own: none is open between them.
#[derive(Debug)]
pub struct QueueFeed {
    queue: Queue,
    claims: Claims,
    /// Nobody else's in any process.
    owner: String,
    remove: String,
}

impl Queue {
    /// Claims items of this queue, for [`run`](super::run).
    ///
    /// # Errors
    ///
    /// Settings that cannot be used, all of them at once, such as a lease of 0.
    pub fn feed(&self, claims: Claims) -> Result<QueueFeed, PgError> {
        claims.check()?;
        Ok(QueueFeed::new(self.clone(), claims))
    }
}

impl QueueFeed {
    fn new(queue: Queue, claims: Claims) -> Self {
        // The number of the process is for people who look into the table. The rest is of the system's choosing: a
        // generator that a program has seeded would choose the same in each of its processes.
        let owner = format!("{}-{:016x}", std::process::id(), RandomState::new().build_hasher().finish());
        let remove = sql::remove(&queue.table());
        QueueFeed { queue, claims, owner, remove }
    }

    /// What its claims have in the column `owner`.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The queue.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }
}

impl Feed for QueueFeed {
    type Item = Item;

    fn check(&self, pool: &TieredPool<PgManager>) -> Result<(), FeedError> {
        Ok(self.queue.check_removal(pool)?)
    }

    fn claim(&self, room: Room) -> Result<Claimed<Item>, FeedError> {
        let Claims { lease, attempts, until_empty, .. } = self.claims;
        let claim = sql::claim(&self.queue.table());
        let rows = self.queue.ask(|| {
            Last::query(claim.as_str())
                .with(self.owner.as_str())
                .with(lease.as_secs_f64())
                .with(limit(room.items))
                .with(limit(room.bytes))
                .with(attempts.cast_signed())
        })?;
        if rows.is_empty() && until_empty {
            let is_empty = sql::is_empty(&self.queue.table());
            let rows = self.queue.ask(|| Last::query(is_empty.as_str()))?;
            if rows.first().is_some_and(|row| row.get(0)) {
                return Ok(Claimed::over());
            }
        }
        let (mut items, mut dead) = (Vec::with_capacity(rows.len()), 0);
        for row in rows {
            match columns(&row)? {
                (id, attempt, Some(payload)) => items.push(Item::new(id, attempt, payload)),
                _ => dead += 1,
            }
        }
        // The statement locks them in order, and returns them in any.
        items.sort_unstable_by_key(Item::id);
        Ok(Claimed::new(items).with_dead(dead))
    }

    fn size(&self, item: &Item) -> usize {
        item.payload().len()
    }

    fn pace(&self) -> Pace {
        Pace { lease: Some(self.claims.lease), poll: self.claims.poll, bytes: self.claims.bytes }
    }

    fn renew(&self, items: &[Arc<Item>]) -> Result<(), FeedError> {
        let renew = sql::renew(&self.queue.table());
        let (ids, attempts) = keys(items);
        let seconds = self.claims.lease.as_secs_f64();
        self.queue.ask(|| {
            Last::execute(renew.as_str()).with(self.owner.as_str()).with(&ids).with(&attempts).with(seconds)
        })?;
        Ok(())
    }

    fn remove<'i>(&'i self, _: &mut Session<'_>, item: &'i Item) -> Result<Ending<'i, ()>, PgError> {
        let removal = Last::query(self.remove.as_str()).with(item.id()).with(&self.owner).with(item.claim());
        Ok(Ending::Last(removal.map(drop)))
    }

    fn removes_once(&self) -> bool {
        true
    }

    fn failed(&self, item: &Item, error: &str) -> Result<Fate, FeedError> {
        let fail = sql::fail(&self.queue.table());
        let delay = self.claims.delay_after(item.attempt()).mul_f64(1.0 + fastrand::f64());
        // A text of the server's cannot have it.
        let error = error.replace('\0', "\\0");
        let rows = self.queue.ask(|| {
            Last::query(fail.as_str())
                .with(item.id())
                .with(self.owner.as_str())
                .with(item.claim())
                .with(error.as_str())
                .with(delay.as_secs_f64())
                .with(self.claims.attempts.cast_signed())
        })?;
        let said = rows.first().map(|row| (row.get::<_, Option<bool>>(0), row.get(1)));
        Ok(match said {
            Some((Some(true), _)) => Fate::Dead,
            Some((Some(false), _)) => Fate::PutOff,
            Some((None, true)) => Fate::TakenOver,
            Some((None, false)) => Fate::Settled,
            None => unreachable!("BUG: a SELECT without FROM returned no row"),
        })
    }

    fn give_back(&self, items: &[Arc<Item>]) -> Result<(), FeedError> {
        let give_back = sql::give_back(&self.queue.table());
        let (ids, attempts) = keys(items);
        self.queue
            .ask(|| Last::execute(give_back.as_str()).with(self.owner.as_str()).with(&ids).with(&attempts))?;
        Ok(())
    }
}

/// Number, attempt and payload. Somebody may have changed the table since.
fn columns(row: &Row) -> Result<(i64, i32, Option<Vec<u8>>), PgError> {
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
}

/// A number as the server takes it.
fn limit(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn keys(items: &[Arc<Item>]) -> (Vec<i64>, Vec<i32>) {
    items.iter().map(|item| (item.id(), item.claim())).unzip()
}
