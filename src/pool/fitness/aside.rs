//! Checking a connection on a helper thread: for a caller that waits for it, or for the pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use r2d2::ManageConnection;

use super::judge::perform;
use super::retire::{is_spare, misrouted, restore};
use super::suspect::{dispose_dead, found_dead};
use crate::core::Outcome;
use crate::pool::connection::body::plan_keepalive;
use crate::pool::driver::layer::Condition;
use crate::pool::parts::caller::Caller;
use crate::pool::parts::counters::Counted;
use crate::pool::parts::errand::{Check, Finished, Task, ToCheck};
use crate::pool::parts::linger::LONGEST;
use crate::pool::shared::{Checked, Entry, Errand, Seat, Shared};
use crate::pool::supply::close::{close_body, dispose};
use crate::pool::tell::notify::guarded;
use crate::stats::CloseCause;

/// What a caller gets of a check.
pub(crate) enum Answer<M: ManageConnection> {
    Checked(Checked<M>),
    /// Nothing: a helper still has the connection, and puts it back or gives it up.
    Gone,
    /// Nothing by its deadline. The same holds.
    Late,
}

/// Hands a connection to a helper thread, which puts it back into the pool when done. It is given up
/// `validation_timeout` after the helper has begun.
pub(crate) fn send_aside<M: ManageConnection>(entry: Box<Entry<M>>, check: Check) {
    let shared = Arc::clone(&entry.shared);
    let limit = shared.settings().validation_timeout;
    let errand = prepare(entry, check, limit, Instant::now(), None);
    watch(&shared, &errand);
    shared.helpers.send(errand);
    shared.helpers.wake_keeper();
}

/// The same on the present thread, which is a helper's, of a connection that counts as coming back meanwhile.
pub(crate) fn check_here<M: ManageConnection>(entry: Box<Entry<M>>, check: Check, coming: Counted) {
    let shared = Arc::clone(&entry.shared);
    let limit = shared.settings().validation_timeout;
    let errand = prepare(entry, check, limit, Instant::now(), None);
    errand.set_coming(coming);
    watch(&shared, &errand);
    shared.helpers.wake_keeper();
    run_errand(errand);
}

/// The same for a caller that waits for it until its deadline; where it has left by then, the connection is put back.
///
/// A caller that waits awake has the keeper woken only after that time: most errands are over before, and nobody had to
/// be woken. It is on the keeper's list from the first, for whoever closes the pool meanwhile.
pub(crate) fn check_for_caller<M: ManageConnection>(
    entry: Box<Entry<M>>,
    check: Check,
    limit: Duration,
    since: Instant,
    deadline: Option<Instant>,
) -> Answer<M> {
    let shared = Arc::clone(&entry.shared);
    let helpers = &shared.helpers;
    let errand = prepare(entry, check, limit, since, Some(Caller::new()));
    let Some(caller) = &errand.caller else { unreachable!("BUG: an errand for a caller has none") };
    watch(&shared, &errand);
    let linger = helpers.linger();
    if linger.may() {
        helpers.send_awake(Arc::clone(&errand));
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
        helpers.send(Arc::clone(&errand));
        helpers.wake_keeper();
    }
    match caller.wait(deadline) {
        Outcome::Served(entry) => {
            helpers.forget_done(&errand);
            Answer::Checked(if caller.is_dead() { Checked::Dead(entry) } else { Checked::Fit(entry) })
        }
        Outcome::Refused(()) => Answer::Gone,
        Outcome::Nothing => Answer::Late,
    }
}

/// Makes an errand of a check. The connection stays in its box all the way; its seat goes ahead of it, into the hands
/// of whoever decides what becomes of it.
fn prepare<M: ManageConnection>(
    mut entry: Box<Entry<M>>,
    check: Check,
    limit: Duration,
    since: Instant,
    caller: Option<Caller<Entry<M>>>,
) -> Arc<Errand<M>> {
    let task = Task::Check(check, entry.body.subject());
    let seat = entry.seat.lift();
    let to_check = ToCheck { seat, conn: entry, task, limit, run: run_errand::<M> };
    Arc::new(Errand::<M>::check(to_check, since, caller))
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

/// Does the check, on a helper's thread.
fn run_errand<M: ManageConnection>(errand: Arc<Errand<M>>) {
    let begun = errand.begin();
    let (Some(mut entry), Task::Check(check, subject)) = (begun.conn, errand.task) else {
        unreachable!("BUG: {:?} is no check", errand.task)
    };
    let Entry { body, shared, .. } = &mut *entry;
    shared.helpers.begun(&errand, begun.has_seat);
    if !begun.has_seat {
        // The keeper has freed its seat meanwhile, and watches this thread until the connection is gone.
        let Entry { body, shared, .. } = *entry;
        close_body(&shared, body, check.cause(), shared.now());
        return end_without_seat(&shared, &errand, errand.finish());
    }
    let done = perform(shared, body, check, errand.limit);
    let handing_back = shared.helpers.hand_back();
    let ended = errand.finish();
    let Some(seat) = ended.seat else {
        // The keeper has given it up, with this thread.
        let Entry { body, shared, .. } = *entry;
        drop(handing_back);
        close_body(&shared, body, check.cause(), shared.now());
        return end_without_seat(&shared, &errand, ended);
    };
    if let Err(why) = &done {
        found_dead(shared, subject, why);
    }
    entry.seat = seat;
    let (left, handing_back) = match &errand.caller {
        Some(caller) => {
            // Not while its caller may have it already; for one that has left it begins anew, a moment later.
            drop(handing_back);
            let left = caller.serve(entry, done.is_err()).err();
            let handing_back = left.as_ref().map(|entry| entry.shared.helpers.hand_back());
            (left, handing_back)
        }
        None => (Some(entry), Some(handing_back)),
    };
    // A caller that is served takes the errand off the list.
    if let Some(entry) = left {
        entry.shared.helpers.forget(&errand);
        match done {
            Ok(()) => take_back(entry, check),
            Err(_) => dispose(entry, check.cause()),
        }
    }
    drop((handing_back, ended.coming));
}

/// Ends an errand whose connection is gone, and was counted as a zombie when its seat was freed.
fn end_without_seat<M: ManageConnection>(
    shared: &Shared<M>,
    errand: &Arc<Errand<M>>,
    ended: Finished<Seat<M>>,
) {
    shared.helpers.forget(errand);
    drop(ended.zombie);
    shared.changed.tell();
    shared.helpers.take_back_thread(errand.task, ended.thread_is_lost);
}

/// Takes a connection back that came well out of its check.
fn take_back<M: ManageConnection>(entry: Box<Entry<M>>, check: Check) {
    let shared = &entry.shared;
    let now = shared.now();
    entry.card().set_keepalive_at(plan_keepalive(now, shared.settings().keepalive));
    entry.card().set_checked_at(now);
    if matches!(check, Check::Reset { .. }) { reinstate(entry) } else { restore(entry) }
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
