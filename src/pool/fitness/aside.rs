//! Checking a connection on a helper thread: for a caller that waits for it, or for the pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use r2d2::ManageConnection;

use super::judge::perform;
use super::retire::{is_spare, misrouted, restore};
use super::suspect::{dispose_dead, found_dead};
use crate::core::Outcome;
use crate::pool::connection::body::{Body, plan_keepalive};
use crate::pool::driver::layer::Condition;
use crate::pool::parts::caller;
use crate::pool::parts::counters::Counted;
use crate::pool::parts::errand::{Check, Task};
use crate::pool::parts::linger::LONGEST;
use crate::pool::parts::workers::Job;
use crate::pool::shared::{Checked, Entry, Errand, Shared};
use crate::pool::supply::close::{close_body, dispose};
use crate::pool::tell::notify::guarded;
use crate::stats::CloseCause;

/// The thread that waits for the outcome.
type Caller<M> = caller::Caller<Checked<M>>;

/// Hands a connection to a helper thread, which puts it back into the pool when done. It is given up
/// `validation_timeout` after the helper has begun.
pub(crate) fn send_aside<M: ManageConnection>(entry: Box<Entry<M>>, check: Check) {
    let shared = Arc::clone(&entry.shared);
    let limit = shared.settings().validation_timeout;
    let (errand, job) = prepare(entry, check, limit, None);
    watch(&shared, &errand);
    shared.helpers.run(job);
    shared.helpers.wake_keeper();
}

/// The same on the present thread, which is a helper's, of a connection that counts as coming back meanwhile.
pub(crate) fn check_here<M: ManageConnection>(entry: Box<Entry<M>>, check: Check, coming: Counted) {
    let shared = Arc::clone(&entry.shared);
    let limit = shared.settings().validation_timeout;
    let (errand, job) = prepare(entry, check, limit, None);
    errand.set_coming(coming);
    watch(&shared, &errand);
    shared.helpers.wake_keeper();
    job();
}

/// The same for a caller that waits for it until its deadline; where it has left by then, the connection is put back.
///
/// A caller that waits awake has the keeper woken only after that time: most errands are over before, and nobody had to
/// be woken. It is on the keeper's list from the first, for whoever closes the pool meanwhile.
pub(crate) fn check_for_caller<M: ManageConnection>(
    entry: Box<Entry<M>>,
    check: Check,
    limit: Duration,
    deadline: Option<Instant>,
) -> Outcome<Checked<M>, ()> {
    let shared = Arc::clone(&entry.shared);
    let helpers = &shared.helpers;
    let caller = Arc::new(Caller::<M>::new());
    let (errand, job) = prepare(entry, check, limit, Some(Arc::clone(&caller)));
    watch(&shared, &errand);
    let linger = helpers.linger();
    if linger.may() {
        helpers.run_awake(job);
        if caller.linger(linger, deadline) {
            linger.learn(true);
        } else {
            // Where the helper has only just come to it, by having to be woken first, nothing is known of the work.
            if errand.at_work_for().is_some_and(|time| time >= LONGEST / 2) {
                linger.learn(false);
            }
            helpers.staff_now();
            helpers.wake_keeper();
        }
    } else {
        helpers.run(job);
        helpers.wake_keeper();
    }
    let outcome = caller.wait(deadline);
    if let Outcome::Served(_) = outcome {
        helpers.forget(&errand);
    }
    outcome
}

#[allow(clippy::boxed_local)] // Connections travel boxed, from slot to slot; here one is taken apart.
fn prepare<M: ManageConnection>(
    entry: Box<Entry<M>>,
    check: Check,
    limit: Duration,
    caller: Option<Arc<Caller<M>>>,
) -> (Arc<Errand<M>>, Job) {
    let Entry { body, seat, shared } = *entry;
    let task = Task::Check(check, body.subject());
    // Twice the time while it waits for a helper: they may all be stuck.
    let errand = Arc::new(Errand::<M>::new(seat, task, limit.saturating_mul(2), caller));
    let taken = Arc::clone(&errand);
    let job = Box::new(move || {
        let alive = shared.helpers.begin(&errand, limit);
        run_errand(shared, body, &errand, check, limit, alive);
    });
    (taken, job)
}

/// Has the keeper watch over it.
fn watch<M: ManageConnection>(shared: &Shared<M>, errand: &Arc<Errand<M>>) {
    shared.helpers.watch(errand);
    // One watched before the pool's end looked at the list has been dismissed by it; for one watched after, the
    // list's lock orders the closing before this look.
    if shared.lending.is_closed() {
        errand.dismiss_caller();
    }
}

fn run_errand<M: ManageConnection>(
    shared: Arc<Shared<M>>,
    mut body: Body<M::Connection>,
    errand: &Arc<Errand<M>>,
    check: Check,
    limit: Duration,
    alive: bool,
) {
    let subject = body.subject();
    let done = if alive { perform(&shared, &mut body, check, limit) } else { Ok(()) };
    let handing_back = errand.is_for_pool().then(|| shared.helpers.hand_back());
    let ended = errand.finish();
    let Some(seat) = ended.seat else {
        // The keeper has given it up and freed its seat; the zombie that it counted ends here.
        shared.helpers.forget(errand);
        drop(handing_back);
        close_body(&shared, body, check.cause());
        drop(ended.zombie);
        shared.changed.tell();
        return shared.helpers.take_back_thread(errand.task, ended.thread_is_lost);
    };
    let is_fit = match done {
        Ok(()) => true,
        Err(why) => {
            found_dead(&shared, subject, &why);
            false
        }
    };
    // Not a clone of it: the count of that would go back and forth between the caller and this thread.
    let entry = Box::new(Entry { body, seat, shared });
    let checked = if is_fit { Checked::Fit(entry) } else { Checked::Dead(entry) };
    let left = match &errand.caller {
        Some(caller) => caller.serve(Box::new(checked)).err().map(|left| *left),
        None => Some(checked),
    };
    // A caller that is served takes the errand off the list.
    if let Some(Checked::Fit(entry) | Checked::Dead(entry)) = &left {
        entry.shared.helpers.forget(errand);
    }
    match left {
        None => {}
        Some(Checked::Fit(entry)) => {
            let shared = &entry.shared;
            let now = shared.now();
            entry.card().set_keepalive_at(plan_keepalive(now, shared.settings().keepalive));
            entry.card().set_checked_at(now);
            if matches!(check, Check::Reset { .. }) { reinstate(entry) } else { restore(entry) }
        }
        Some(Checked::Dead(entry)) => dispose(entry, check.cause()),
    }
    drop((handing_back, ended.coming));
}

/// Takes a connection back that was reset. What it leads to may show only when its last reply has been read.
fn reinstate<M: ManageConnection>(mut entry: Box<Entry<M>>) {
    let Entry { body, shared, .. } = &mut *entry;
    match guarded(shared, "has_broken", || shared.hooks.condition(&mut body.conn)) {
        Ok(Condition::Misrouted) => {
            if let Some(entry) = misrouted(entry) {
                restore(entry);
            }
        }
        Ok(Condition::Unrestorable) => dispose(entry, CloseCause::Broken),
        Ok(Condition::Spare) if is_spare(shared) => dispose(entry, CloseCause::Idle),
        Ok(Condition::Broken) => dispose_dead(entry, CloseCause::Broken, "it broke after its reset"),
        Err(panic) => dispose_dead(entry, CloseCause::Broken, &panic),
        Ok(_) => restore(entry),
    }
}
