//! Checkin: what becomes of a connection when its borrower is done with it.

use std::sync::Arc;

use r2d2::ManageConnection;

use crate::clock::Millis;
use crate::pool::connection::card::Returned;
use crate::pool::driver::layer::Condition;
use crate::pool::fitness::aside::send_aside;
use crate::pool::fitness::judge::{Fitness, fitness};
use crate::pool::fitness::retire::{is_spare, misrouted, restore};
use crate::pool::fitness::suspect::dispose_dead;
use crate::pool::parts::errand::Check;
use crate::pool::shared::{Entry, Lending};
use crate::pool::supply::close::{dispose, dispose_refused};
use crate::pool::tell::accounts;
use crate::pool::tell::notify::guarded;
use crate::stats::CloseCause;

/// Takes a connection back. Never blocks, and calls nothing of the user's but the driver's `condition` (for a plain
/// manager: `has_broken`) and an event handler.
#[inline]
pub(crate) fn checkin<M: ManageConnection>(mut entry: Box<Entry<M>>) {
    let now = entry.shared.now();
    let returned = entry.card().returned(now);
    entry.body.uses += 1;

    let condition = {
        let Entry { body, shared, .. } = &mut *entry;
        guarded(shared, "has_broken", || shared.hooks.condition(&mut body.conn))
    };
    let fast = &entry.shared.fast;
    let plain = matches!(condition, Ok(Condition::Clean))
        && !entry.body.marked_broken
        && entry.body.seen == fast.generation()
        && now < entry.body.expires_at()
        && entry.body.uses < fast.max_uses()
        && fast.is_carefree()
        && !returned.warned
        && log::max_level() < log::LevelFilter::Debug
        && !std::thread::panicking();
    if !plain {
        return checkin_closely(entry, condition, returned);
    }
    let ping_after = fast.ping_after();
    rest(entry, now, ping_after);
}

/// Puts a connection that is fit into its slot, or hands it on.
#[inline]
fn rest<M: ManageConnection>(mut entry: Box<Entry<M>>, now: Millis, ping_after: Millis) {
    entry.body.rests_after_use(now, ping_after);
    if let Err(entry) = Lending::<M>::put_owned(entry, |entry| (&entry.shared.lending, entry.seat.index())) {
        dispose_refused(entry);
    }
}

/// The checkin of a connection about which there is something to say.
#[cold]
fn checkin_closely<M: ManageConnection>(
    mut entry: Box<Entry<M>>,
    condition: Result<Condition, Box<str>>,
    returned: Returned,
) {
    if entry.shared.is_inherited() {
        // The parent's, which goes on to use it.
        return std::mem::forget(entry);
    }
    let shared = Arc::clone(&entry.shared);
    accounts::returned(&shared, entry.body.id, returned);
    let suspect = std::thread::panicking();
    match condition {
        // What was done to it tells nothing of the server.
        _ if entry.card().is_seized() => dispose_refused(entry),
        Ok(Condition::Broken) => dispose_dead(entry, CloseCause::Broken, "it was returned broken"),
        Err(panic) => dispose_dead(entry, CloseCause::Broken, &panic),
        Ok(condition) if entry.body.marked_broken || condition == Condition::Unrestorable => {
            dispose(entry, CloseCause::Broken)
        }
        Ok(Condition::Misrouted) => {
            // In what state it came back is not known.
            if let Some(entry) = misrouted(entry) {
                send_aside(entry, Check::Reset { suspect });
            }
        }
        Ok(_) if shared.lending.is_closed() => dispose(entry, CloseCause::Closed),
        Ok(Condition::Spare) if !suspect && is_spare(&shared) => dispose(entry, CloseCause::Idle),
        Ok(condition)
            if suspect || matches!(condition, Condition::Dirty | Condition::Due | Condition::Spare) =>
        {
            if condition == Condition::Dirty {
                accounts::returned_dirty(&shared);
            }
            send_aside(entry, Check::Reset { suspect });
        }
        Ok(_) => {
            // A suspect stays one: `seen` is left as it is, and its next checkout validates it.
            if fitness(&shared, &entry) == Fitness::Fit {
                entry.body.seen = shared.fast.generation();
            }
            restore(entry);
        }
    }
}
