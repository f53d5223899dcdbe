//! Work in the hands of a helper thread, and the right to give it up.
//!
//! An errand has the seat of its connection while it is under way, and whoever takes the seat out decides what becomes
//! of the connection: the helper when its call has returned, or the keeper when that takes too long. The connection of
//! a check is in the errand as well until a helper takes it up, and from then on with the helper.
//!
//! | state | seat | taken up by a helper | given up | what is left to watch |
//! | --- | --- | --- | --- | --- |
//! | `Queued` | here | no | no | the seat |
//! | `QueuedLate` | here | no | yes, and kept for want of room among the zombies | the seat |
//! | `Running` | here | yes | no | the seat |
//! | `RunningLate` | here | yes | yes, and kept for want of room among the zombies | the seat |
//! | `Freed` | freed | no | yes | nothing, until a helper takes it up |
//! | `Straggling` | freed | yes, afterwards | yes | the helper's thread |
//! | `Lost` | freed | yes | yes, with the helper's thread | nothing |
//! | `Done` | taken by the helper, or freed before | yes | | nothing |
//!
//! `begin` leads from `Queued` to `Running`, from `QueuedLate` to `RunningLate` and from `Freed` to `Straggling`;
//! `give_up` from the first two rows to `QueuedLate` or `Freed`, from the next two to `RunningLate` or `Lost`, from
//! `Straggling` to `Lost`; `finish` from every state with a helper to `Done`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::caller::Caller;
use super::counters::{Counted, Gauge};
use super::generations::Generation;
use super::job::Work;
use super::workers::{Rank, Workers};
use crate::clock::Deadline;
use crate::stats::CloseCause;

/// What a helper does with a connection before it may be lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// With `suspect` for one that another's death makes doubtful: nothing but a sign of life will do.
    Validate { suspect: bool },
    /// With `suspect` for a connection whose borrower panicked.
    Reset { suspect: bool },
}

impl Check {
    /// The cause with which the connection is closed if it does not come out of it well.
    pub(crate) fn cause(self) -> CloseCause {
        match self {
            Check::Validate { .. } => CloseCause::Invalid,
            Check::Reset { .. } => CloseCause::Broken,
        }
    }
}

/// By what it is judged what a connection's silence means for others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) id: u64,
    /// The generation in which it was last found fit.
    pub(crate) seen: Generation,
}

/// What an attempt to open a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Somebody waits, or there are fewer connections than the pool keeps.
    Demand,
    /// The replacement of one that is due.
    Renewal,
    /// To see whether the server is back.
    Probe,
}

/// Why a helper has a seat in hand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    Check(Check, Subject),
    /// Of a connection that has been counted as closed.
    Close,
    Open(Purpose),
}

impl Task {
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Task::Open(_))
    }

    /// Nobody waits for the end of a close.
    pub(crate) fn rank(self) -> Rank {
        if matches!(self, Task::Close) { Rank::Background } else { Rank::Foreground }
    }
}

/// See the table above.
enum State<S> {
    Queued(S),
    QueuedLate(S),
    Running(S),
    RunningLate(S),
    Freed,
    Straggling,
    Lost,
    Done,
}

#[repr(C)] // See [`Errand`].
struct Watched<S, T> {
    state: State<S>,
    /// The connection, for the helper that takes it up.
    conn: Option<Box<T>>,
    /// When somebody came to hand it over, or a helper took it up.
    since: Instant,
    /// When the keeper gives up.
    give_up_at: Deadline,
    /// The zombie as which it has been counted.
    zombie: Option<Counted>,
    /// As long as its connection counts as one that will be back in time.
    coming: Option<Counted>,
}

impl<S, T> Watched<S, T> {
    /// Handed over `since` then, for a helper to be found within `patience`.
    fn queued(seat: S, conn: Option<Box<T>>, since: Instant, patience: Duration) -> Self {
        let give_up_at = Deadline::after(since, patience);
        Watched { state: State::Queued(seat), conn, since, give_up_at, zombie: None, coming: None }
    }
}

/// One piece of work: `S` is the seat, `T` the connection.
#[repr(C)] // What a helper needs first comes first, so that it waits for fewer lines of its caller's cache.
pub(crate) struct Errand<S, T> {
    /// What a helper does that is given the errand alone. From above, where it is known what a check is: a part, as
    /// this is, may not call it by its name.
    run: fn(Arc<Self>),
    /// Nothing foreign runs under it. Gauges, the state of [`Workers`] and, for a seat kept, the desk are touched.
    watched: Mutex<Watched<S, T>>,
    pub(crate) task: Task,
    /// For how long its silence may last once a helper has it in hand.
    pub(crate) limit: Duration,
    pub(crate) caller: Option<Caller<T>>,
}

impl<S: Send, T: Send> Work for Errand<S, T> {
    fn run(self: Arc<Self>) {
        (self.run)(self);
    }
}

/// A connection to be checked, as an errand is made of it.
pub(crate) struct ToCheck<S, T> {
    pub(crate) seat: S,
    pub(crate) conn: Box<T>,
    pub(crate) task: Task,
    pub(crate) limit: Duration,
    pub(crate) run: fn(Arc<Errand<S, T>>),
}

/// What a helper has that takes an errand up.
pub(crate) struct Begun<T> {
    /// Its seat is not gone yet.
    pub(crate) has_seat: bool,
    /// Of a check.
    pub(crate) conn: Option<Box<T>>,
}

/// What a helper finds at the end of its work.
pub(crate) struct Finished<S> {
    /// `None` where the keeper has given the connection up and freed its seat.
    pub(crate) seat: Option<S>,
    /// To be dropped when the connection is gone, and when it is back.
    pub(crate) zombie: Option<Counted>,
    pub(crate) coming: Option<Counted>,
    /// The helper's thread has been written off.
    pub(crate) thread_is_lost: bool,
}

/// What giving up has come to.
pub(crate) struct GivenUp<S> {
    /// `None` where it stays with the helper.
    pub(crate) seat: Option<S>,
    /// The silence of this connection in a helper's hands is the server's, and has not been told before.
    pub(crate) silent: Option<Subject>,
}

/// What becomes of the seat of an errand that is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Freed,
    Kept,
}

impl<S, T> Errand<S, T> {
    /// Work for which a helper has to be found within `limit`, and which may take as long again.
    pub(crate) fn new(seat: S, task: Task, limit: Duration) -> Self {
        let watched = Watched::queued(seat, None, Instant::now(), limit);
        Errand {
            watched: Mutex::new(watched),
            caller: None,
            task,
            limit,
            run: |errand| unreachable!("BUG: {:?} is no job of its own", errand.task),
        }
    }

    /// The check of a connection that somebody has been at `since` then, with a caller that waits for it or none. It
    /// may wait twice as long for a helper as it may take: they may all be stuck.
    pub(crate) fn check(to_check: ToCheck<S, T>, since: Instant, caller: Option<Caller<T>>) -> Self {
        let ToCheck { seat, conn, task, limit, run } = to_check;
        let watched = Watched::queued(seat, Some(conn), since, limit.saturating_mul(2));
        Errand { watched: Mutex::new(watched), caller, task, limit, run }
    }

    /// Its connection counts as one that will be back in time, until it is, or is given up.
    pub(crate) fn set_coming(&self, coming: Counted) {
        self.watched.lock().coming = Some(coming);
    }

    /// A helper takes it up: from now on its silence is the server's, and may last for its limit. Where its seat is
    /// gone already, for want of a helper, only the helper's thread is left to be watched, and this has to be put on
    /// the keeper's list again.
    pub(crate) fn begin(&self) -> Begun<T> {
        let mut watched = self.watched.lock();
        let conn = watched.conn.take();
        let (state, has_seat) = match std::mem::replace(&mut watched.state, State::Done) {
            State::Queued(seat) => (State::Running(seat), true),
            // The keeper goes on asking whether there is room among the zombies.
            State::QueuedLate(seat) => {
                watched.state = State::RunningLate(seat);
                return Begun { has_seat: true, conn };
            }
            State::Freed => (State::Straggling, false),
            State::Running(_) | State::RunningLate(_) | State::Straggling | State::Lost | State::Done => {
                unreachable!("BUG: {:?} was begun twice", self.task)
            }
        };
        watched.state = state;
        watched.since = Instant::now();
        watched.give_up_at = Deadline::after(watched.since, self.limit);
        Begun { has_seat, conn }
    }

    /// A part of the work is done: the next may take this long.
    pub(crate) fn allow(&self, limit: Duration) {
        let mut watched = self.watched.lock();
        if matches!(watched.state, State::Running(_)) {
            watched.give_up_at = Deadline::of(limit);
        }
    }

    /// The helper is done.
    pub(crate) fn finish(&self) -> Finished<S> {
        let mut watched = self.watched.lock();
        let (zombie, coming) = (watched.zombie.take(), watched.coming.take());
        let (seat, thread_is_lost) = match std::mem::replace(&mut watched.state, State::Done) {
            State::Running(seat) | State::RunningLate(seat) => (Some(seat), false),
            State::Straggling => (None, false),
            State::Lost => (None, true),
            State::Queued(_) | State::QueuedLate(_) | State::Freed | State::Done => {
                unreachable!("BUG: {:?} ended without having begun", self.task)
            }
        };
        Finished { seat, zombie, coming, thread_is_lost }
    }

    /// It takes too long. The connection stays with the helper as a zombie, and keeps its seat there where there are
    /// `most` zombies; then this is asked again after `pause`. `None` where nothing is left to be done: it ended in the
    /// same moment, or only its thread was left.
    ///
    /// A thread of `workers` that is given up as well is written off, before the helper can be back. `note` runs under
    /// the errand's lock, the first time alone where the seat is kept.
    pub(crate) fn give_up(
        &self,
        pause: Duration,
        zombies: &Gauge,
        most: u32,
        workers: &Workers,
        note: impl FnOnce(&mut S, Fate),
    ) -> Option<GivenUp<S>> {
        let mut watched = self.watched.lock();
        let (mut seat, is_running, is_late) = match std::mem::replace(&mut watched.state, State::Done) {
            State::Queued(seat) => (seat, false, false),
            State::QueuedLate(seat) => (seat, false, true),
            State::Running(seat) => (seat, true, false),
            State::RunningLate(seat) => (seat, true, true),
            State::Straggling => {
                workers.write_off(self.task.rank());
                watched.state = State::Lost;
                return None;
            }
            over => {
                watched.state = over;
                return None;
            }
        };
        watched.coming = None;
        // One that no helper had time for tells nothing of the server, and neither does a slow close.
        let silent = match self.task {
            Task::Check(_, subject) if is_running && !is_late => Some(subject),
            _ => None,
        };
        watched.give_up_at = Deadline::of(pause);
        if !self.counts_as_zombie(&mut watched.zombie, zombies, most) {
            if !is_late {
                note(&mut seat, Fate::Kept);
            }
            watched.state = if is_running { State::RunningLate(seat) } else { State::QueuedLate(seat) };
            return Some(GivenUp { seat: None, silent });
        }
        note(&mut seat, Fate::Freed);
        if is_running {
            workers.write_off(self.task.rank());
        }
        watched.state = if is_running { State::Lost } else { State::Freed };
        Some(GivenUp { seat: Some(seat), silent })
    }

    /// Counts it as a zombie and says whether its seat may be freed: only so many may go without. A close that hangs
    /// counts in any case.
    fn counts_as_zombie(&self, zombie: &mut Option<Counted>, zombies: &Gauge, most: u32) -> bool {
        match (self.task, &zombie) {
            (Task::Close, Some(_)) => zombies.get() <= most,
            (Task::Close, None) => zombie.insert(zombies.enter()).before < most,
            _ => {
                *zombie = zombies.enter_below(most);
                zombie.is_some()
            }
        }
    }

    /// Sends whoever waits for it away, to look for another connection.
    pub(crate) fn dismiss_caller(&self) {
        self.caller.iter().for_each(|caller| caller.dismiss());
    }

    /// Whether it is for the pool by now: the caller that it was meant for may have left.
    pub(crate) fn is_left_to_pool(&self) -> bool {
        matches!(self.task, Task::Check(..)) && self.caller.as_ref().is_none_or(Caller::is_gone)
    }

    /// Whether its connection is in hand, and has not been given up on.
    pub(crate) fn is_in_time(&self) -> bool {
        matches!(self.watched.lock().state, State::Queued(_) | State::Running(_))
    }

    /// For how long its connection has been in hand, and for how long it may be; `None` where its seat is gone.
    pub(crate) fn in_hand(&self) -> Option<(Duration, Duration)> {
        use State::{Queued, QueuedLate, Running, RunningLate};
        let watched = self.watched.lock();
        let has_seat = matches!(watched.state, Queued(_) | QueuedLate(_) | Running(_) | RunningLate(_));
        let given = watched.give_up_at.instant().saturating_duration_since(watched.since);
        has_seat.then(|| (watched.since.elapsed(), given))
    }

    /// For how long a helper has been at it, if one is.
    pub(crate) fn at_work_for(&self) -> Option<Duration> {
        let watched = self.watched.lock();
        let is_at_work = matches!(watched.state, State::Running(_) | State::RunningLate(_));
        is_at_work.then(|| watched.since.elapsed())
    }

    pub(crate) fn give_up_at(&self) -> Deadline {
        self.watched.lock().give_up_at
    }

    /// Whether the keeper has nothing to watch.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.watched.lock().state, State::Freed | State::Lost | State::Done)
    }
}

#[cfg(test)]
mod tests;
