//! What can be seen of a pool just now: gauges, holders, waiters.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use r2d2::ManageConnection;

use crate::clock::Millis;
use crate::config::Settings;
use crate::core::Counts;
use crate::error::UnderWay;
use crate::pool::parts::errand::{Check, Task};
use crate::pool::shared::Shared;
use crate::stats::{Gauges, Holder, LendingState, Waiting};
use crate::threads;

/// A number of things in the pool, as it is told.
pub(crate) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

pub(crate) fn gauges<M: ManageConnection>(shared: &Shared<M>) -> Gauges {
    gauges_of(shared, &shared.lending.counts())
}

pub(crate) fn gauges_of<M: ManageConnection>(shared: &Shared<M>, counts: &Counts) -> Gauges {
    Gauges {
        idle: count(counts.idle),
        in_use: count(counts.in_use),
        opening: count(counts.opening),
        waiting: count(counts.waiting),
        zombies: shared.helpers.zombies() + count(counts.leaving),
    }
}

/// The ceiling in force: less than the settings ask for while growth waits for the other tier of a budget.
pub(crate) fn ceiling(settings: &Settings, counts: &Counts) -> u32 {
    settings.ceiling().min(count(counts.ceiling))
}

/// Whether it lends.
pub(crate) fn lending<M: ManageConnection>(shared: &Shared<M>) -> LendingState {
    if shared.lending.is_closed() {
        LendingState::Closed
    } else if shared.lending.is_suspended() {
        LendingState::Suspended
    } else {
        LendingState::Lending
    }
}

/// The validations under way: in the hands of helpers, and on the threads of callers.
pub(crate) fn validating<M: ManageConnection>(shared: &Shared<M>) -> UnderWay {
    let now = shared.exact_now();
    let aside = under_way(shared, |task| matches!(task, Task::Check(Check::Validate { .. }, _)));
    let proved = shared.lending.slots().filter_map(|slot| slot.card.proved_for(now));
    proved.fold(aside, |sum, time| UnderWay {
        count: sum.count + 1,
        longest: sum.longest.max(time.duration()),
        ..sum
    })
}

/// The resets under way.
pub(crate) fn resetting<M: ManageConnection>(shared: &Shared<M>) -> UnderWay {
    under_way(shared, |task| matches!(task, Task::Check(Check::Reset { .. }, _)))
}

/// The attempts to connect that are under way.
pub(crate) fn opening<M: ManageConnection>(shared: &Shared<M>) -> UnderWay {
    under_way(shared, Task::is_open)
}

/// The work of a kind in the hands of helpers.
fn under_way<M: ManageConnection>(shared: &Shared<M>, is_kind: impl Fn(Task) -> bool) -> UnderWay {
    shared.helpers.under_way(is_kind)
}

/// How many connections borrowers have: those in use but for what the pool itself validates or puts back in order.
pub(crate) fn held<M: ManageConnection>(shared: &Shared<M>) -> u32 {
    count(shared.lending.slots().filter(|slot| slot.card.counted_thread() != 0).count())
}

/// How many connections the pool itself has in hand and will lend when it is done with them, or replace: those that it
/// checks, and those that were opened and count as such, and are not in the pool yet.
pub(crate) fn in_own_hands<M: ManageConnection>(shared: &Shared<M>) -> usize {
    shared.helpers.about_to_come() + shared.supply.introducing() as usize
}

/// Takes note of the number of connections in use, for its peak.
pub(crate) fn sample_in_use<M: ManageConnection>(shared: &Shared<M>) {
    shared.counters.peak_in_use.note(held(shared));
}

/// Takes note of the gauges of this moment, for the peaks of the last minute.
pub(crate) fn sample<M: ManageConnection>(shared: &Shared<M>, counts: &Counts) {
    sample_gauges(shared, counts.in_use, counts.waiting, shared.exact_now());
}

/// As [`sample`], for whoever knows them by the way.
pub(crate) fn sample_gauges<M: ManageConnection>(
    shared: &Shared<M>,
    in_use: usize,
    waiting: usize,
    now: Millis,
) {
    shared.counters.recent_in_use.note(count(in_use), now);
    shared.counters.recent_waiting.note(count(waiting), now);
}

/// How many connections of this pool a thread has, going by who took them or last used them.
pub(crate) fn held_by<M: ManageConnection>(shared: &Shared<M>, thread: u64) -> usize {
    shared.lending.slots().filter(|slot| slot.card.counted_thread() == thread).count()
}

/// Checkouts that are out, longest first.
pub(crate) fn holders<M: ManageConnection>(shared: &Shared<M>) -> Vec<Holder> {
    let now = shared.exact_now();
    let told = shared.lending.slots().filter_map(|slot| {
        let mut holder = slot.card.holder(now)?;
        // Foreign code, so none of it under the lock of a card.
        let control = slot.card.control(holder.connection_id);
        holder.backend_pid = control.and_then(|control| control.backend_pid());
        Some(holder)
    });
    let mut holders: Vec<_> = told.collect();
    holders.sort_by_key(|holder| Reverse(holder.held));
    holders
}

/// The numbers by which the server knows the connections that are open, as far as they are known.
pub(crate) fn backend_pids<M: ManageConnection>(shared: &Shared<M>) -> Vec<i32> {
    // Foreign code, so none of it under the lock of a card.
    let controls = shared.lending.slots().filter_map(|slot| slot.card.present_control());
    let mut pids: Vec<_> = controls.filter_map(|control| control.backend_pid()).collect();
    pids.sort_unstable();
    pids
}

/// Threads in the queue, in its order, so many at the most.
pub(crate) fn waiters<M: ManageConnection>(shared: &Shared<M>, most: usize) -> Vec<Waiting> {
    let waiters = shared.lending.first_in_line(most).into_iter();
    let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
    let told = waiters.map(|waiter| Waiting {
        thread: threads::name(waiter.who.thread),
        location: waiter.who.location,
        waited: waiter.who.since.elapsed(),
        time_left: waiter.who.deadline.map(left),
    });
    told.collect()
}

/// For how long the one has waited that has waited longest. Not always the first in line: one that was busy with a
/// connection before it came to stand there began earlier than others ahead of it.
pub(crate) fn longest_wait<M: ManageConnection>(shared: &Shared<M>) -> Option<Duration> {
    shared.lending.least_in_line(|who| who.since).map(|since| since.elapsed())
}
