//! Threads on demand: started when there is a job, ended when there has been none for a while.
//!
//! Where a caller waits awake for the end of its job, the thread that does it stays awake for a moment afterwards and
//! meets the next one without having been put to sleep. Such a job wakes and starts nobody while one is awake: its
//! caller sees to that if it is not done in the time that it stays awake itself ([`Workers::staff_now`]). It is put
//! into the [`Mailbox`] of the thread that has nothing to do, else into the queue like all others; a thread looks at
//! both before it sleeps. What the awake go by are hints. One that shares its core with the callers for whom it is
//! awake starts another in its place.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use log::Level;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::job::Job;
use super::linger::Linger;
use super::mailbox::Mailbox;
use crate::foreign::caught;
use crate::lines::say;
use crate::process::PoolThread;

/// Whether somebody waits for the end of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    Foreground,
    Background,
}

/// How long a thread without a job stays, so that a series of jobs does not start a thread for each.
const LINGER: Duration = Duration::from_millis(500);

/// What callers write, what threads of the group write and what both read lie apart from each other: a line that two
/// cores write to goes back and forth between them.
struct Group {
    name: String,
    /// No job runs under it.
    state: CachePadded<Mutex<Queue>>,
    changed: Condvar,
    linger: CachePadded<Linger>,
    /// There is something in the queue, for the thread that waits awake. Written under the lock. Relaxed: whoever sees
    /// it looks under the lock, and whoever does not see it does so soon after.
    is_hinted: AtomicBool,
    /// Of the thread that waits awake. Its lock is taken under that of the queue, never the other way round.
    mailbox: CachePadded<Mailbox<Job>>,
}

struct Taken {
    job: Job,
    rank: Rank,
    met: Met,
}

/// How a thread comes to a job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Met {
    Asleep,
    /// Awake, as its caller is.
    Awake,
    /// Awake, by a thread that has started another in its place meanwhile: this job is its last.
    Replaced,
}

#[derive(Default)]
struct Queue {
    /// Bounded by its users: a job stands for a seat, for a zombie, or for an event that its handler is to be told of,
    /// and each of them is bounded.
    jobs: VecDeque<(Job, Met)>,
    /// Jobs for whose end nobody waits. They never take the last thread, so that closes that hang do not keep a
    /// caller's connection from being validated.
    background: VecDeque<Job>,
    background_running: usize,
    threads: usize,
    /// Those among them that have not looked at the queue yet: each takes a job, and none is started in its place.
    starting: usize,
    /// Threads given up on, in calls that may never return; others take their places meanwhile. Bounded by the zombies.
    lost: usize,
    lost_background: usize,
    resting: usize,
    /// Threads at work for a caller that waits awake, or awake after that: they look at the queue next. An estimate,
    /// which costs a moment where it is too high, and a wake where it is too low.
    awake: usize,
    /// One of them has nothing to do.
    lingers: bool,
    /// One thread is to stay although there is no job, and whether one does.
    is_one_kept: bool,
    one_stays: bool,
    limit: usize,
    /// No more jobs will come: threads end as soon as the queue is empty.
    ended: bool,
}

impl Queue {
    /// How many of the background jobs may begin.
    fn background_ready(&self) -> usize {
        // A group of one has no thread to spare; it is lent another once this one has been given up on.
        let most = self.limit.saturating_sub(1).max(1) + self.lost_background;
        self.background.len().min(most.saturating_sub(self.background_running))
    }

    /// How many threads there may be.
    fn most(&self) -> usize {
        self.limit + self.lost
    }

    fn ready(&self) -> usize {
        self.jobs.len() + self.background_ready()
    }

    /// Whether one that has nothing to do is to stay, and none does yet.
    fn may_stay(&self) -> bool {
        !self.ended && self.threads <= self.most() && self.is_one_kept && !self.one_stays
    }

    /// The next job.
    fn take(&mut self) -> Option<Taken> {
        if let Some((job, met)) = self.jobs.pop_front() {
            self.awake += usize::from(met == Met::Awake);
            return Some(Taken { job, rank: Rank::Foreground, met });
        }
        if self.background_ready() == 0 {
            return None;
        }
        self.background_running += 1;
        self.background.pop_front().map(|job| Taken { job, rank: Rank::Background, met: Met::Asleep })
    }
}

/// A bounded group of threads for calls into a database layer that may block.
pub(crate) struct Workers(Arc<Group>);

impl Workers {
    pub(crate) fn new(name: String, limit: usize) -> Self {
        let state = Queue { limit, ..Queue::default() };
        Workers(Arc::new(Group {
            name,
            state: CachePadded::new(Mutex::new(state)),
            changed: Condvar::new(),
            linger: CachePadded::default(),
            is_hinted: AtomicBool::new(false),
            mailbox: CachePadded::default(),
        }))
    }

    pub(crate) fn submit(&self, job: Job) {
        let mut state = self.0.state.lock();
        state.jobs.push_back((job, Met::Asleep));
        self.staff_for(state);
    }

    /// As `submit`, for a job that can wait for as long as it must.
    pub(crate) fn submit_in_background(&self, job: Job) {
        let mut state = self.0.state.lock();
        state.background.push_back(job);
        self.staff_for(state);
    }

    /// As `submit`, for a caller that waits awake for a moment and then calls [`Workers::staff_now`], or has its job
    /// done.
    pub(crate) fn submit_awake(&self, job: Job) {
        let Err(job) = self.0.mailbox.put(job) else { return };
        let mut state = self.0.state.lock();
        state.jobs.push_back((job, Met::Awake));
        if state.awake > 0 {
            self.0.hint(&state);
        } else {
            self.staff_for(state);
        }
    }

    /// Has one thread stay when there is no job, until it is let go.
    pub(crate) fn keep_one(&self) {
        let mut state = self.0.state.lock();
        state.is_one_kept = !state.ended;
    }

    /// Lets the one that stays go.
    pub(crate) fn let_go(&self) {
        let mut state = self.0.state.lock();
        if std::mem::take(&mut state.is_one_kept) {
            drop(state);
            self.0.changed.notify_all();
        }
    }

    /// Whether something is in the queue.
    pub(crate) fn are_wanted(&self) -> bool {
        self.0.is_awaited()
    }

    /// How those wait who wait awake for its jobs.
    pub(crate) fn linger(&self) -> &Linger {
        &self.0.linger
    }

    /// Gives up on a thread that is stuck in a job of this rank: another may take its place as soon as `staff` is
    /// called.
    pub(crate) fn write_off(&self, rank: Rank) {
        let mut state = self.0.state.lock();
        state.lost += 1;
        state.lost_background += usize::from(rank == Rank::Background);
    }

    /// A thread written off has come back.
    pub(crate) fn found_again(&self, rank: Rank) {
        let mut state = self.0.state.lock();
        state.lost -= 1;
        state.lost_background -= usize::from(rank == Rank::Background);
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        self.0.state.lock().limit = limit;
        self.staff();
    }

    /// Sees to it that a thread takes up what is queued. Called again by the keeper, in case the system had no
    /// thread to give.
    pub(crate) fn staff(&self) {
        self.staff_for(self.0.state.lock());
    }

    /// As `staff`, without counting on threads that are awake: they may be stuck, or have lost their core to others.
    pub(crate) fn staff_now(&self) {
        let mut state = self.0.state.lock();
        self.0.empty_mailbox(&mut state);
        (state.awake, state.lingers) = (0, false);
        self.staff_for(state);
    }

    fn staff_for(&self, state: MutexGuard<'_, Queue>) {
        self.0.hint(&state);
        let ready = state.ready();
        if ready <= state.starting + usize::from(state.lingers) {
            return;
        }
        if state.resting >= ready || state.threads >= state.most() {
            drop(state);
            self.0.changed.notify_one();
            return;
        }
        self.0.start(state, Met::Asleep);
    }

    /// Lets resting threads go at once; queued jobs are still done.
    pub(crate) fn end(&self) {
        self.0.state.lock().ended = true;
        self.0.changed.notify_all();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.end();
    }
}

impl Group {
    /// Starts a thread, which waits awake at first where the last job of another was one met so. Says whether it could.
    fn start(self: &Arc<Self>, mut state: MutexGuard<'_, Queue>, last: Met) -> bool {
        state.threads += 1;
        state.starting += 1;
        state.awake += usize::from(last == Met::Awake);
        drop(state);
        let group = Arc::clone(self);
        let counted = PoolThread::counted();
        let started = std::thread::Builder::new().name(self.name.clone()).spawn(move || {
            let _counted = counted;
            group.run(last);
        });
        if let Err(error) = &started {
            let mut state = self.state.lock();
            state.threads -= 1;
            state.starting -= 1;
            state.awake = state.awake.saturating_sub(usize::from(last == Met::Awake));
            drop(state);
            say!(
                Level::Error,
                "tierpool",
                [thread = self.name.as_str(), error = error.to_string()],
                "cannot start thread `{}`: {error}",
                self.name
            );
        }
        started.is_ok()
    }

    fn run(self: &Arc<Self>, mut met: Met) {
        self.state.lock().starting -= 1;
        while let Some(taken) = self.next(met) {
            // Jobs catch the panics of user code where they know what to do about them; this is for our own.
            if caught(|| taken.job.run()).is_err() {
                let name = self.name.as_str();
                say!(Level::Error, "tierpool", [thread = name], "a job of thread `{name}` panicked");
            }
            if taken.rank == Rank::Background {
                self.state.lock().background_running -= 1;
            }
            met = taken.met;
        }
    }

    /// The next job, or `None` when this thread has left the group.
    fn next(self: &Arc<Self>, last: Met) -> Option<Taken> {
        let mut state = self.state.lock();
        let mut replaced = false;
        if last == Met::Replaced {
            state.awake = state.awake.saturating_sub(1);
            if state.ready() == 0 {
                state.threads -= 1;
                return None;
            }
        }
        if last == Met::Awake {
            state = self.linger(state);
            let has_room = state.threads < state.most() && !state.ended;
            if state.ready() > 0 && has_room && self.linger.is_to_move() {
                replaced = self.start(state, Met::Awake);
                state = self.state.lock();
            }
        }
        loop {
            if let Some(mut taken) = state.take() {
                self.hint(&state);
                if replaced && taken.met == Met::Awake {
                    taken.met = Met::Replaced;
                }
                return Some(taken);
            }
            let spare = state.ended || state.threads > state.most();
            let timed_out = spare || self.rest(&mut state);
            if timed_out && state.ready() == 0 && !state.may_stay() {
                state.threads -= 1;
                return None;
            }
        }
    }

    /// Waits awake for a job, unless another does, once the last one's caller was awake.
    fn linger<'a>(&'a self, mut state: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        if state.ready() == 0 && !state.lingers && !state.ended && self.linger.is_on() {
            state.lingers = true;
            self.mailbox.open();
            drop(state);
            self.linger.until(None, || self.is_awaited());
            state = self.state.lock();
            self.empty_mailbox(&mut state);
            state.lingers = false;
        }
        state.awake = state.awake.saturating_sub(1);
        state
    }

    /// Nobody looks into the mailbox any more: what is inside is next.
    fn empty_mailbox(&self, state: &mut Queue) {
        if let Some(job) = self.mailbox.close() {
            state.jobs.push_front((job, Met::Awake));
        }
    }

    /// Sleeps until something changes. True where nothing has for a while, and the thread is not the one that stays.
    fn rest(&self, state: &mut MutexGuard<'_, Queue>) -> bool {
        state.resting += 1;
        let timed_out = if state.may_stay() {
            state.one_stays = true;
            self.changed.wait(state);
            state.one_stays = false;
            false
        } else {
            self.changed.wait_for(state, LINGER).timed_out()
        };
        state.resting -= 1;
        timed_out
    }

    /// Whether there is something for the thread that waits awake.
    fn is_awaited(&self) -> bool {
        self.mailbox.is_full() || self.is_hinted.load(Ordering::Relaxed)
    }

    /// Tells the thread that waits awake whether there is something in the queue.
    fn hint(&self, state: &Queue) {
        self.is_hinted.store(state.ready() > 0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
