//! The threads of a pool, and the work that they have in hand.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::counters::{Counted, Gauge};
use super::errand::{Begun, Errand, Fate, GivenUp, Task};
use super::job::{Job, Work};
use super::keeper::{Keeper, Kept};
use super::linger::Linger;
use super::workers::Workers;
use crate::clock::{AtomicMillis, Millis};
use crate::error::UnderWay;

/// For how long after a caller has had its connection checked a worker is there for the next.
pub(crate) const STANDBY: Millis = Millis::new(10_000);

/// Work that helpers have in hand.
type Errands<S, T> = Vec<Arc<Errand<S, T>>>;

/// Keeper, openers and workers of one pool. `S` is a seat, `T` a connection.
pub(crate) struct Helpers<S, T> {
    keeper: Arc<Keeper>,
    /// Open connections.
    openers: Workers,
    /// Validate, reset, close and cancel.
    workers: Workers,
    /// Calls the handler of events. Foreign code that may block for ever, and nothing gives up on it: so it has a
    /// thread to itself, while there are events, and takes none that a connection waits for.
    teller: Workers,
    /// The pool itself, for the keeper of a pool that is closed.
    pool: OnceLock<Weak<dyn Kept>>,
    /// What helpers have in hand; the keeper gives up on what takes too long. Guards the list alone. Bounded by the
    /// seats and the zombies.
    errands: CachePadded<Mutex<Errands<S, T>>>,
    /// Checks that have ended and whose connection is on its way back into the pool.
    handing_back: Gauge,
    /// Connections given up on in the hands of a helper.
    zombies: Gauge,
    /// A round of validations ahead of checkouts.
    rounds: Gauge,
    /// Connections in hand for that, which will be back in time.
    ahead: Gauge,
    /// When a caller last had its connection checked, by the pool's clock. Relaxed: the keeper looks again, and is
    /// woken where it has no reason to look yet.
    asked_at: AtomicMillis,
    /// The pool is closed.
    ended: AtomicBool,
}

impl<S, T> Helpers<S, T> {
    pub(crate) fn new(pool: &str, threads: usize, keeper: Arc<Keeper>) -> Self {
        Helpers {
            keeper,
            openers: Workers::new(format!("{pool}-open"), threads),
            workers: Workers::new(format!("{pool}-close"), threads),
            teller: Workers::new(format!("{pool}-events"), 1),
            pool: OnceLock::new(),
            errands: CachePadded::default(),
            handing_back: Gauge::default(),
            zombies: Gauge::default(),
            rounds: Gauge::default(),
            ahead: Gauge::default(),
            asked_at: AtomicMillis::default(),
            ended: AtomicBool::new(false),
        }
    }

    /// Has the keeper look after the pool.
    pub(crate) fn look_after(&self, pool: Weak<dyn Kept>) -> io::Result<()> {
        self.keeper.take_charge(Weak::clone(self.pool.get_or_init(|| pool)))
    }

    /// Has the keeper look now. The keeper of a closed pool has gone once there was nothing left to watch, and comes
    /// back for what a borrower brings.
    pub(crate) fn wake_keeper(&self) {
        // Relaxed: whoever has put something on the list and does not see it was seen by the look of `end` at the list.
        match self.pool.get() {
            Some(pool) if self.ended.load(Ordering::Relaxed) && !self.are_idle() => {
                // Where the system has no thread to give, the next one asks again.
                let _ = self.keeper.take_charge(Weak::clone(pool));
            }
            _ => self.keeper.wake(),
        }
    }

    /// Has an opener do this.
    pub(crate) fn open(&self, call: impl FnOnce() + Send + 'static) {
        self.openers.submit(Job::call(call));
    }

    /// Has a worker do this, for somebody who waits for it.
    pub(crate) fn run(&self, call: impl FnOnce() + Send + 'static) {
        self.workers.submit(Job::call(call));
    }

    /// Has the handler of events called, once it is done with those before.
    pub(crate) fn tell(&self, call: impl FnOnce() + Send + 'static) {
        self.teller.submit(Job::call(call));
    }

    /// Has a worker do this errand, for somebody who waits for it.
    pub(crate) fn send(&self, errand: Arc<Errand<S, T>>)
    where
        Errand<S, T>: Work + 'static,
    {
        self.workers.submit(Job::Work(errand));
    }

    /// As `send`, for a caller that [lingers](Helpers::linger), and calls [`Helpers::staff_now`] where that has not
    /// been enough.
    pub(crate) fn send_awake(&self, errand: Arc<Errand<S, T>>)
    where
        Errand<S, T>: Work + 'static,
    {
        self.workers.submit_awake(Job::Work(errand));
    }

    /// How callers wait awake for what a worker does for them.
    pub(crate) fn linger(&self) -> &Linger {
        self.workers.linger()
    }

    /// Sees to it that a worker takes up what is queued, whoever was thought to do so.
    pub(crate) fn staff_now(&self) {
        self.workers.staff_now();
    }

    /// A caller had its connection checked at that time: one worker stays for the next.
    pub(crate) fn stand_by(&self, at: Millis) {
        let last = self.asked_at.load();
        if last != Millis::NEVER && at <= last {
            return;
        }
        if self.asked_at.swap(at) == Millis::NEVER {
            self.workers.keep_one();
            self.wake_keeper();
        }
    }

    /// Lets the worker go that stays, once no caller has asked for it for a while. Until when it stays, if it does.
    pub(crate) fn stand_down(&self, now: Millis) -> Option<Millis> {
        let last = self.asked_at.load();
        if last == Millis::NEVER {
            return None;
        }
        let until = last.plus(STANDBY);
        if now < until {
            return Some(until);
        }
        // In this order: one that asks between the two is forgotten, and the next has a worker stay again. In the other
        // one its worker would be let go as though nobody had asked since.
        self.workers.let_go();
        self.asked_at.store(Millis::NEVER);
        None
    }

    /// Begins a round of validations ahead of checkouts, unless there is one: one that hangs is not followed by others.
    pub(crate) fn begin_round(&self) -> Option<Counted> {
        self.rounds.enter_below(1)
    }

    /// Takes a connection to validate it ahead: until this is dropped it counts as one that will serve a caller.
    pub(crate) fn takes_ahead(&self) -> Counted {
        self.ahead.enter()
    }

    /// How many connections are in hand for that.
    pub(crate) fn taken_ahead(&self) -> usize {
        self.ahead.get() as usize
    }

    /// Whether something waits for a worker.
    pub(crate) fn are_wanted(&self) -> bool {
        self.workers.are_wanted()
    }

    /// Has a worker do this when there is one to spare.
    pub(crate) fn run_in_background(&self, call: impl FnOnce() + Send + 'static) {
        self.workers.submit_in_background(Job::call(call));
    }

    /// Puts work on the keeper's list.
    pub(crate) fn watch(&self, errand: &Arc<Errand<S, T>>) {
        self.errands.lock().push(Arc::clone(errand));
    }

    /// Takes work off the keeper's list that is done.
    pub(crate) fn forget_done(&self, errand: &Arc<Errand<S, T>>) {
        debug_assert!(errand.is_over(), "BUG: {:?} is forgotten before its end", errand.task);
        self.forget_where(|other| Arc::ptr_eq(other, errand));
    }

    /// Takes work off the keeper's list of which nothing is left to be watched: one whose seat was freed may have been
    /// taken up by a helper meanwhile.
    pub(crate) fn forget(&self, errand: &Arc<Errand<S, T>>) {
        self.forget_where(|other| Arc::ptr_eq(other, errand) && other.is_over());
    }

    fn forget_where(&self, is_over: impl Fn(&Arc<Errand<S, T>>) -> bool) {
        self.errands.lock().retain(|other| !is_over(other));
        // Relaxed: whoever ends the pool wakes the keeper afterwards.
        if self.ended.load(Ordering::Relaxed) {
            // It stays for errands only by then.
            self.keeper.wake();
        }
    }

    /// Takes up work on the present thread.
    pub(crate) fn begin(&self, errand: &Arc<Errand<S, T>>) -> Begun<T> {
        let begun = errand.begin();
        self.begun(errand, begun.has_seat);
        begun
    }

    /// Work has been taken up, which has its seat or has it no more.
    pub(crate) fn begun(&self, errand: &Arc<Errand<S, T>>, has_seat: bool) {
        if !has_seat {
            // Nothing of it was left to be watched until now; from now on its thread is.
            self.watch(errand);
            self.wake_keeper();
        }
    }

    /// The thread of some work is back: `lost` says whether it had been written off.
    pub(crate) fn take_back_thread(&self, task: Task, lost: bool) {
        if lost {
            self.group_of(task).found_again(task.rank());
        }
    }

    /// Work that has taken too long by now, and all openings once the pool is closed: nobody waits for those then.
    pub(crate) fn overdue(&self, now: Instant) -> Vec<Arc<Errand<S, T>>> {
        // Relaxed: the keeper was woken after it was set, and looks again.
        let ended = self.ended.load(Ordering::Relaxed);
        let is_late = |errand: &&Arc<Errand<S, T>>| {
            errand.give_up_at().instant() <= now || (ended && errand.task.is_open())
        };
        self.errands.lock().iter().filter(is_late).cloned().collect()
    }

    /// The work of a kind whose connections are in the hands of helpers.
    pub(crate) fn under_way(&self, is_kind: impl Fn(Task) -> bool) -> UnderWay {
        let errands = self.errands.lock();
        let of_kind = errands.iter().filter(|errand| is_kind(errand.task));
        of_kind.filter_map(|errand| errand.in_hand()).fold(UnderWay::default(), |sum, (time, given)| {
            UnderWay {
                count: sum.count + 1,
                longest: sum.longest.max(time),
                is_past_half: sum.is_past_half || time > given / 2,
            }
        })
    }

    /// Begins to hand a connection back into the pool, before its errand is finished.
    pub(crate) fn hand_back(&self) -> Counted {
        self.handing_back.enter()
    }

    /// The connections that are validated or reset for the pool alone, also since their caller has left, which the pool
    /// will lend or replace in time. For a moment one may count twice, or ahead of its caller being served with it.
    /// None is missed, but for the moment in which a caller is found gone: whoever finds its errand finished, by the
    /// lock of that, finds it among those handed back, until it is back.
    pub(crate) fn about_to_come(&self) -> usize {
        let is_coming = |errand: &&Arc<Errand<S, T>>| errand.is_left_to_pool() && errand.is_in_time();
        let checked = self.errands.lock().iter().filter(is_coming).count();
        checked + self.handing_back.get() as usize
    }

    /// Gives up one that takes too long; see [`Errand::give_up`]. Another thread may take the place of its own.
    pub(crate) fn give_up(
        &self,
        errand: &Errand<S, T>,
        pause: Duration,
        most_zombies: u32,
        note: impl FnOnce(&mut S, Fate),
    ) -> Option<GivenUp<S>> {
        let workers = self.group_of(errand.task);
        let given_up = errand.give_up(pause, &self.zombies, most_zombies, workers, note);
        workers.staff();
        given_up
    }

    /// Strikes off what needs no watching, and says when the next falls due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let mut errands = self.errands.lock();
        errands.retain(|errand| !errand.is_over());
        errands.iter().map(|errand| errand.give_up_at().instant()).min()
    }

    /// Whether nothing is in the hands of a helper.
    pub(crate) fn are_idle(&self) -> bool {
        self.errands.lock().is_empty()
    }

    pub(crate) fn zombies(&self) -> u32 {
        self.zombies.get()
    }

    pub(crate) fn set_limit(&self, threads: usize) {
        self.openers.set_limit(threads);
        self.workers.set_limit(threads);
    }

    /// Sees to it that threads take up what is queued.
    pub(crate) fn staff(&self) {
        self.openers.staff();
        self.workers.staff();
        self.teller.staff();
    }

    /// The pool is closed: whoever waits for a helper is sent away, threads go once their queues are empty, and the
    /// keeper as soon as there is nothing to watch.
    pub(crate) fn end(&self) {
        // Relaxed: `forget_where` and `overdue` say who looks again.
        self.ended.store(true, Ordering::Relaxed);
        self.errands.lock().iter().for_each(|errand| errand.dismiss_caller());
        self.openers.end();
        self.workers.end();
        self.teller.end();
        self.wake_keeper();
    }

    fn group_of(&self, task: Task) -> &Workers {
        if task.is_open() { &self.openers } else { &self.workers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn work_taken_up_just_as_its_seat_is_freed_stays_on_the_keepers_list() {
        let helpers = Helpers::<(), ()>::new("test", 1, Keeper::new("test", Clock::default()));
        let limit = Duration::from_secs(60);
        let errand = Arc::new(Errand::new((), Task::Close, limit));
        helpers.watch(&errand);
        assert!(helpers.give_up(&errand, limit, 1, |(), _| ()).is_some_and(|it| it.seat.is_some()));
        // Between the two halves of the keeper's step.
        assert!(!helpers.begin(&errand).has_seat);
        helpers.forget(&errand);
        assert!(!helpers.are_idle(), "its thread is not watched");
        errand.finish();
        helpers.forget(&errand);
        assert!(helpers.are_idle());
    }
}
