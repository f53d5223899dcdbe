//! Errands: sending a connection to a helper thread for validation or reset, and giving it up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use r2d2::ManageConnection;

use super::body::{Body, plan_keepalive};
use super::driver::Condition;
use super::shared::{Counters, Entry, Errand, Shared};
use super::watch::{Chore, Progress, Task};
use super::workers::Workers;
use crate::core::Waiter;
use crate::stats::CloseCause;

/// The thread that waits for the outcome. It is served the connection, or refused when there is none.
pub(crate) type Customer<M> = Waiter<Entry<M>, ()>;

impl<M: ManageConnection> Shared<M> {
    /// Hands a connection to a helper thread. The helper passes it on when done: to the customer if it still waits,
    /// else back into the pool. It is given up `validation_timeout` after the helper has begun.
    #[allow(clippy::boxed_local)] // Connections travel boxed, from slot to slot; here one is taken apart.
    pub(crate) fn send_aside(
        self: &Arc<Self>,
        entry: Box<Entry<M>>,
        chore: Chore,
        customer: Option<Arc<Customer<M>>>,
    ) {
        let limit = self.settings().validation_timeout;
        let Entry { body, seat, shared } = *entry;
        let errand = Arc::new(Errand {
            // Twice the time while it waits for a helper: they may all be stuck.
            progress: Mutex::new(Progress::new(seat, limit.saturating_mul(2))),
            customer,
            seen: body.seen,
            id: body.id,
            task: Task::Do(chore),
        });
        self.errands.lock().push(Arc::clone(&errand));
        // One pushed before `shut` looked at the list has been dismissed by it; for one pushed after, the list's
        // lock orders the closing before this look.
        if self.lending.is_closed() {
            errand.dismiss_customer();
        }
        self.closers.submit(Box::new(move || {
            let alive = errand.begin(limit);
            if !alive {
                shared.watch_again(&errand);
            }
            let closers = Arc::clone(&shared);
            shared.run_errand(body, &errand, chore, limit, alive);
            closers.take_back_thread(&errand);
        }));
        self.keeper.wake();
    }

    /// Has the keeper watch the thread of an errand whose seat was freed before any helper had time for it.
    pub(crate) fn watch_again(&self, errand: &Arc<Errand<M>>) {
        self.errands.lock().push(Arc::clone(errand));
        self.keeper.wake();
    }

    /// Takes an errand that has ended off the keeper's list.
    pub(crate) fn forget_errand(&self, errand: &Arc<Errand<M>>) {
        self.errands.lock().retain(|other| !Arc::ptr_eq(other, errand));
        if self.lending.is_closed() {
            // The keeper stays for errands only by then.
            self.keeper.wake();
        }
    }

    fn run_errand(
        self: Arc<Self>,
        mut body: Body<M::Connection>,
        errand: &Arc<Errand<M>>,
        chore: Chore,
        limit: Duration,
        alive: bool,
    ) {
        let done = if alive { self.do_chore(&mut body, chore, limit) } else { Ok(()) };
        let seat = errand.finish();
        if let (Ok(()), Some(seat)) = (&done, &seat) {
            let at = plan_keepalive(self.clock.coarse_ms(), self.settings().keepalive);
            self.lending.slot(seat.index()).card.set_keepalive_at(at);
        }
        self.forget_errand(errand);
        let Some(seat) = seat else {
            // The keeper has given it up and freed its seat; the zombie that it counted ends here.
            self.end(body, errand.task.cause());
            // Relaxed: a gauge; pairs with the count in `bury_alive`.
            self.counters.zombies.fetch_sub(1, Ordering::Relaxed);
            self.progressed();
            return;
        };
        let mut entry = Box::new(Entry { body, seat, shared: Arc::clone(&self) });
        if let Err(why) = &done {
            self.found_dead(errand.id, errand.seen, why);
            // The customer closes it: not before it stands in line again, or the next connection in this seat would
            // go to somebody behind it.
            entry.body.marked_broken = true;
        }
        let left = match &errand.customer {
            Some(customer) => customer.serve(entry).map(|()| customer.wake()).err(),
            None => Some(entry),
        };
        match left {
            None => {}
            Some(entry) if done.is_ok() && matches!(chore, Chore::Reset { .. }) => self.reinstate(entry),
            Some(entry) if done.is_ok() => self.restore(entry),
            Some(entry) => self.dispose(entry, errand.task.cause()),
        }
    }

    /// Takes a connection back that was reset. What it leads to may show only when its last reply has been read.
    fn reinstate(self: &Arc<Self>, mut entry: Box<Entry<M>>) {
        let condition =
            self.guarded("has_broken", || self.driver.condition(&self.manager, &mut entry.body.conn));
        match condition {
            Ok(Condition::Misrouted) => {
                if let Some(entry) = self.misrouted(entry) {
                    self.restore(entry);
                }
            }
            Ok(Condition::Broken) => self.condemn(entry, CloseCause::Broken, "it broke after its reset"),
            Err(panic) => self.condemn(entry, CloseCause::Broken, &panic),
            Ok(_) => self.restore(entry),
        }
    }

    /// Validates or resets on the present thread; a connection that comes out well is as good as new.
    pub(crate) fn do_chore(
        &self,
        body: &mut Body<M::Connection>,
        chore: Chore,
        limit: Duration,
    ) -> Result<(), String> {
        // Relaxed: the epoch from before the call, so that a suspicion raised meanwhile still applies.
        let epoch = self.fast.epoch.load(Ordering::Relaxed);
        let conn = &mut body.conn;
        let outcome = match chore {
            Chore::Validate { suspect: false } => {
                self.guarded("is_valid", || self.driver.validate(&self.manager, conn, limit))
            }
            Chore::Validate { suspect: true } => {
                self.guarded("is_valid", || self.driver.validate_suspect(&self.manager, conn, limit))
            }
            Chore::Reset { suspect } => {
                self.guarded("reset", || self.driver.reset(&self.manager, conn, suspect, limit))
            }
        };
        match outcome {
            Ok(Ok(())) => {
                body.seen = epoch;
                self.breaker.lock().ping_answered();
                body.fresh();
                Ok(())
            }
            Ok(Err(error)) => {
                let why = self.guarded("an error's text", || error.to_string()).unwrap_or_else(String::from);
                let _ = self.guarded("the error handler", || self.error_handler.handle_error(error));
                Err(why)
            }
            Err(panic) => Err(panic.into()),
        }
    }

    /// Gives up on errands that took too long. Returns when the next one falls due. Called by the keeper.
    pub(crate) fn give_up_errands(self: &Arc<Self>, now: Instant) -> Option<Instant> {
        // Once the pool is closed nobody waits for what is still being opened.
        let closed = self.lending.is_closed();
        let is_late = |errand: &Arc<Errand<M>>| {
            errand.give_up_at().is_some_and(|at| at <= now) || (closed && errand.task.is_open())
        };
        let late: Vec<_> = self.errands.lock().iter().filter(|errand| is_late(errand)).cloned().collect();
        for errand in late {
            self.give_up(&errand);
        }
        let mut errands = self.errands.lock();
        errands.retain(|errand| !errand.is_over());
        errands.iter().filter_map(|errand| errand.give_up_at()).min()
    }

    /// A helper takes too long. The connection stays with it as a zombie, and keeps its seat there where there are too
    /// many zombies.
    fn give_up(self: &Arc<Self>, errand: &Arc<Errand<M>>) {
        let limit = self.settings().validation_timeout;
        let (seat, news, lost) = {
            let mut progress = errand.progress.lock();
            if progress.done {
                // In the same moment.
                return;
            }
            if progress.seat.is_none() {
                // Nobody waits for it any more, but its thread does not come back.
                let lost = progress.begun && !std::mem::replace(&mut progress.lost, true);
                drop(progress);
                if lost {
                    self.crew_of(errand.task).write_off(errand.task.is_close());
                }
                return;
            }
            // One that no helper had time for tells nothing of the server, and neither does a slow close.
            let news = errand.task.has_connection() && progress.begun && !progress.late;
            let again = std::mem::replace(&mut progress.late, true);
            progress.give_up_at = Instant::now().checked_add(limit);
            // Under the lock: once the seat is gone the helper takes the count down.
            let may_free = self.bury_alive(errand.task, again);
            if let (Some(seat), true, false) = (&mut progress.seat, errand.task.is_close(), again) {
                seat.leaves(may_free);
            }
            let lost = may_free && progress.begun && !progress.lost;
            progress.lost |= lost;
            (if may_free { progress.seat.take() } else { None }, news, lost)
        };
        if lost {
            self.crew_of(errand.task).write_off(errand.task.is_close());
        }
        if news {
            self.found_dead(errand.id, errand.seen, &format!("no answer within {limit:.1?}"));
            self.ping_timed_out(limit);
        }
        // Before its seat is free, so that the customer has a chance to be in line for the next connection in it.
        errand.dismiss_customer();
        if let Some(seat) = seat {
            self.forget_errand(errand);
            self.vacate(seat.index());
            match errand.task {
                Task::Open(purpose) => self.attempt_hung(seat, purpose),
                _ => drop(seat),
            }
            self.demand();
        }
        self.progressed();
    }

    /// Of an errand that has ended: its helper's thread is back, if it had been written off.
    pub(crate) fn take_back_thread(&self, errand: &Errand<M>) {
        if errand.is_lost() {
            self.crew_of(errand.task).found_again(errand.task.is_close());
        }
    }

    fn crew_of(&self, task: Task) -> &Workers {
        if let Task::Open(_) = task { &self.openers } else { &self.closers }
    }

    /// Counts one more zombie, once for each, and says whether its seat may be freed: only so many may go without.
    fn bury_alive(&self, task: Task, again: bool) -> bool {
        let max = self.settings().effective_max_zombies();
        // Relaxed: gauges; the helper takes the count down when its call returns.
        if task.is_close() {
            if again {
                return self.counters.zombies.load(Ordering::Relaxed) <= max;
            }
            return self.counters.zombies.fetch_add(1, Ordering::Relaxed) < max;
        }
        let more = |zombies| (zombies < max).then_some(zombies + 1);
        let may = self.counters.zombies.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if may && task.has_connection() {
            self.count_closed(task.cause());
        }
        may
    }

    /// A connection proved dead or useless: closes it and makes the older ones suspect.
    pub(crate) fn condemn(self: &Arc<Self>, entry: Box<Entry<M>>, cause: CloseCause, why: &str) {
        self.found_dead(entry.body.id, entry.body.seen, why);
        self.dispose(entry, cause);
    }

    /// Makes all idle connections suspect that were last known good before now, unless that has been done since this
    /// one was known good.
    pub(crate) fn found_dead(self: &Arc<Self>, id: u64, seen: u64, why: &str) {
        self.warn(super::sinks::Warning::Dead, || format!("connection {id} is dead: {why}"));
        // Relaxed: epochs only grow, and a checkout that misses the change came before it. The comparison is the
        // cooldown: what this connection tells of is news only if it was trusted after the last alarm.
        let alarmed = self.suspect_before.load(Ordering::Relaxed);
        if seen < alarmed {
            return;
        }
        let epoch = self.next_epoch();
        self.suspect_before.fetch_max(epoch, Ordering::Relaxed);
        Counters::bump(&self.counters.suspicions);
        self.emit_aside(|| crate::event::Event::Suspect(crate::event::SuspectEvent { id }));
    }
}
