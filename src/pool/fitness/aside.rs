//! Checking a connection on a helper thread: for a caller that waits for it, or for the pool.

use std::sync::Arc;
use std::time::Duration;

use r2d2::ManageConnection;

use super::judge::perform;
use super::retire::{misrouted, restore};
use super::suspect::{dispose_dead, found_dead};
use crate::core::Waiter;
use crate::pool::connection::body::{Body, plan_keepalive};
use crate::pool::driver::layer::Condition;
use crate::pool::parts::errand::{Check, Task};
use crate::pool::shared::{Checked, Entry, Errand, Shared};
use crate::pool::supply::close::{close_body, dispose};
use crate::pool::tell::notify::guarded;
use crate::stats::CloseCause;

/// The thread that waits for the outcome. It is served the connection, or refused where there is none to be had.
pub(crate) type Caller<M> = Waiter<Checked<M>, ()>;

/// Hands a connection to a helper thread. The helper passes it on when done: to the caller if it still waits, else
/// back into the pool. It is given up `validation_timeout` after the helper has begun.
#[allow(clippy::boxed_local)] // Connections travel boxed, from slot to slot; here one is taken apart.
pub(crate) fn send_aside<M: ManageConnection>(
    entry: Box<Entry<M>>,
    check: Check,
    caller: Option<Arc<Caller<M>>>,
) {
    let Entry { body, seat, shared } = *entry;
    let limit = shared.settings().validation_timeout;
    let task = Task::Check(check, body.subject());
    // Twice the time while it waits for a helper: they may all be stuck.
    let errand = Arc::new(Errand::<M>::new(seat, task, limit.saturating_mul(2), caller));
    shared.helpers.watch(&errand);
    // One watched before the pool's end looked at the list has been dismissed by it; for one watched after, the
    // list's lock orders the closing before this look.
    if shared.lending.is_closed() {
        errand.dismiss_caller();
    }
    let pool = Arc::clone(&shared);
    shared.helpers.run(Box::new(move || {
        let alive = pool.helpers.begin(&errand, limit);
        let lost = run_errand(&pool, body, &errand, check, limit, alive);
        pool.helpers.take_back_thread(errand.task, lost);
    }));
    shared.helpers.wake_keeper();
}

/// Returns whether the thread had been written off meanwhile.
fn run_errand<M: ManageConnection>(
    shared: &Arc<Shared<M>>,
    mut body: Body<M::Connection>,
    errand: &Arc<Errand<M>>,
    check: Check,
    limit: Duration,
    alive: bool,
) -> bool {
    let subject = body.subject();
    let done = if alive { perform(shared, &mut body, check, limit) } else { Ok(()) };
    let handing_back = errand.is_for_pool().then(|| shared.helpers.hand_back());
    let ended = errand.finish();
    if let (Ok(()), Some(seat)) = (&done, &ended.seat) {
        let at = plan_keepalive(shared.now(), shared.settings().keepalive);
        shared.card(seat.index()).set_keepalive_at(at);
    }
    shared.helpers.forget(errand);
    let Some(seat) = ended.seat else {
        // The keeper has given it up and freed its seat; the zombie that it counted ends here.
        drop(handing_back);
        close_body(shared, body, check.cause());
        drop(ended.zombie);
        shared.changed.tell();
        return ended.thread_is_lost;
    };
    let entry = Box::new(Entry { body, seat, shared: Arc::clone(shared) });
    let checked = match done {
        Ok(()) => Checked::Fit(entry),
        Err(why) => {
            found_dead(shared, subject, &why);
            Checked::Dead(entry)
        }
    };
    let left = match &errand.caller {
        Some(caller) => caller.serve(Box::new(checked)).map(|()| caller.wake()).err().map(|left| *left),
        None => Some(checked),
    };
    match left {
        None => {}
        Some(Checked::Fit(entry)) if matches!(check, Check::Reset { .. }) => reinstate(entry),
        Some(Checked::Fit(entry)) => restore(entry),
        Some(Checked::Dead(entry)) => dispose(entry, check.cause()),
    }
    drop(handing_back);
    ended.thread_is_lost
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
        Ok(Condition::Broken) => dispose_dead(entry, CloseCause::Broken, "it broke after its reset"),
        Err(panic) => dispose_dead(entry, CloseCause::Broken, &panic),
        Ok(_) => restore(entry),
    }
}
