//! Retiring: connections that are too old, evicted, or one too many.

use std::sync::Arc;

use log::Level;
use r2d2::ManageConnection;

use crate::clock::Millis;
use crate::config::Settings;
use crate::lines::say;
use crate::pool::shared::{Entry, Shared};
use crate::pool::supply::close::{dispose, put_back};
use crate::pool::supply::demand::demand;
use crate::stats::CloseCause;

/// After a whole generation was replaced for being misrouted, the next such replacement waits this long.
const MISROUTED_COOLDOWN: Millis = Millis::new(5_000);

/// Gives a connection that works back to the pool: to a waiter, to its slot, or to be closed if it is too old,
/// evicted or one too many.
pub(crate) fn restore<M: ManageConnection>(mut entry: Box<Entry<M>>) {
    let shared = Arc::clone(&entry.shared);
    let now = shared.now();
    let settings = shared.settings();
    if shared.generations.is_evicted(entry.body.born) {
        return dispose(entry, CloseCause::Evicted);
    }
    entry.body.spared = entry.body.is_due(now, settings.max_uses);
    if entry.body.spared && may_retire(&entry, now) {
        return dispose(entry, CloseCause::Expired);
    }
    let counts = shared.lending.counts();
    if counts.size() > counts.ceiling {
        return dispose(entry, CloseCause::Idle);
    }
    // This one counts as in use.
    let spare = cause_of_spare(counts.size(), counts.idle, &settings);
    if let Some(cause) = spare
        && settings.overflow_linger.is_zero()
        && counts.waiting == 0
    {
        return dispose(entry, cause);
    }
    entry.body.rests(now, shared.fast.ping_after());
    put_back(entry);
}

/// As what a connection is closed that has rested for `overflow_linger`, if it is one of those that are not kept once
/// they are opened; `idle` are idle besides it. A minimum that was asked for stays, also where it reaches into them: it
/// would be opened again.
pub(crate) fn cause_of_spare(size: usize, idle: usize, settings: &Settings) -> Option<CloseCause> {
    let others = if settings.min_idle.is_some() { idle } else { size.saturating_sub(1) };
    let is_spare = size > settings.kept_size() as usize
        && size > settings.min_size as usize
        && others >= settings.effective_min_idle() as usize;
    let cause = if size > settings.base_size as usize { CloseCause::Overflow } else { CloseCause::Idle };
    is_spare.then_some(cause)
}

/// Whether a connection that is due may be closed now. While callers wait and the ceiling leaves room, its
/// replacement is opened first, and it works on meanwhile, for a while.
pub(crate) fn may_retire<M: ManageConnection>(entry: &Entry<M>, now: Millis) -> bool {
    let shared = &entry.shared;
    if entry.body.is_overdue(now, shared.settings().max_uses) || shared.supply.take_credit() {
        return true;
    }
    // One whose uses are up is due from now on: the demand for replacements is counted on the cards.
    entry.card().set_due_at(now);
    let counts = shared.lending.counts();
    // At the ceiling one that is being opened already is as good as a replacement.
    if counts.waiting == 0 || (counts.size() >= counts.ceiling && counts.opening == 0) {
        return true;
    }
    demand(shared);
    false
}

/// A connection leads to the wrong server: all of its generation are replaced, once in a while at the most. Until
/// that is due again it is given back to be kept, and what it tells is not forgotten: closing each one that meets the
/// wrong server would be a storm of openings for as long as there is no other.
pub(crate) fn misrouted<M: ManageConnection>(entry: Box<Entry<M>>) -> Option<Box<Entry<M>>> {
    let shared = Arc::clone(&entry.shared);
    // One of a generation replaced already tells nothing of those opened since.
    if shared.generations.is_evicted(entry.body.born) {
        dispose(entry, CloseCause::Evicted);
        return None;
    }
    let now = shared.now();
    if !shared.generations.may_reroute(now, now.plus(MISROUTED_COOLDOWN)) {
        return Some(entry);
    }
    dispose(entry, CloseCause::Evicted);
    say!(Level::Warn, shared.origin(), [], "a connection leads to the wrong server: replacing all of them");
    evict(&shared);
    None
}

/// Has every connection open now replaced: idle ones at once, those in use at their checkin.
pub(crate) fn evict<M: ManageConnection>(shared: &Arc<Shared<M>>) {
    shared.generations.evict_before(shared.fast.next_generation());
    for index in 0..shared.lending.slots().count() {
        let Some(entry) = shared.lending.take_at(index) else { continue };
        if shared.generations.is_evicted(entry.body.born) {
            dispose(entry, CloseCause::Evicted);
        } else {
            put_back(entry);
        }
    }
    demand(shared);
}

/// Whether one that counts as in use may be closed without that another has to be opened for it.
pub(crate) fn is_spare<M: ManageConnection>(shared: &Shared<M>) -> bool {
    let (counts, settings) = (shared.lending.counts(), shared.settings());
    counts.size() > settings.min_size as usize && counts.idle >= settings.min_idle.unwrap_or(0) as usize
}

/// Closes one connection that has been idle for so long, unless it is one of those that are kept. Whether it did.
#[cfg(feature = "postgres")]
pub(crate) fn give_up_one<M: ManageConnection>(shared: &Arc<Shared<M>>, idle_for: Millis) -> bool {
    let now = shared.now();
    for index in 0..shared.lending.slots().count() {
        let Some(entry) = shared.lending.take_at(index) else { continue };
        if is_spare(shared) && now.since(entry.card().idle_since()) >= idle_for {
            dispose(entry, CloseCause::Idle);
            return true;
        }
        put_back(entry);
    }
    false
}

/// Closes what is idle just now. What the pool itself has in hand for a look is closed by whoever puts it back.
pub(crate) fn evict_idle<M: ManageConnection>(shared: &Arc<Shared<M>>) {
    for index in 0..shared.lending.slots().count() {
        let entry = shared.lending.take_at(index).or_else(|| {
            shared.card(index).ask_to_close();
            shared.lending.take_at(index)
        });
        if let Some(entry) = entry {
            dispose(entry, CloseCause::Evicted);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread::yield_now;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{MemoryManager, Pool};

    fn pool() -> Pool<MemoryManager> {
        pool_of(0)
    }

    fn pool_of(kept: u32) -> Pool<MemoryManager> {
        Pool::builder().max_size(1).min_idle(Some(kept)).build(MemoryManager).unwrap()
    }

    /// Takes the connection, which rests, as the keeper does.
    fn take(pool: &Pool<MemoryManager>) -> Box<Entry<MemoryManager>> {
        pool.shared().lending.take_at(0).expect("it rests")
    }

    fn evicted(pool: &Pool<MemoryManager>) -> u64 {
        pool.stats().closed.count(CloseCause::Evicted)
    }

    #[test]
    fn what_the_pool_has_in_hand_as_all_that_rest_are_closed_is_closed_as_it_is_put_back() {
        let pool = pool();
        drop(pool.get().unwrap());
        let in_hand = take(&pool);
        pool.evict_idle();
        assert_eq!(evicted(&pool), 0);
        put_back(in_hand);
        assert_eq!(evicted(&pool), 1);
    }

    #[test]
    fn the_mark_ends_with_its_connection_and_with_the_next_checkin() {
        let pool = pool_of(1);
        let in_hand = take(&pool);
        pool.evict_idle();
        dispose(in_hand, CloseCause::Idle);
        let end = Instant::now() + Duration::from_secs(10);
        while pool.state().idle_connections == 0 {
            assert!(Instant::now() < end, "none was opened in its place");
            yield_now();
        }
        put_back(take(&pool));
        assert_eq!((evicted(&pool), pool.state().idle_connections), (0, 1));

        let on_its_way = take(&pool);
        pool.evict_idle();
        assert!(pool.shared().lending.put(0, on_its_way).is_ok());
        drop(pool.get().unwrap());
        put_back(take(&pool));
        assert_eq!((evicted(&pool), pool.state().idle_connections), (0, 1));
    }

    #[test]
    fn what_a_borrower_has_as_all_that_rest_are_closed_stays() {
        let pool = pool();
        let lent = pool.get().unwrap();
        pool.evict_idle();
        drop(lent);
        put_back(take(&pool));
        assert_eq!((evicted(&pool), pool.state().idle_connections), (0, 1));
    }

    #[test]
    fn what_is_put_back_as_all_that_rest_are_closed_is_closed() {
        const ROUNDS: u32 = 20_000;
        let (pool, together, mut missed) = (pool(), Barrier::new(2), 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    together.wait();
                    pool.evict_idle();
                    together.wait();
                }
            });
            for _ in 0..ROUNDS {
                drop(pool.get().unwrap());
                let in_hand = take(&pool);
                together.wait();
                put_back(in_hand);
                together.wait();
                missed += u32::from(pool.state().idle_connections > 0);
            }
        });
        assert_eq!(missed, 0);
    }
}
