//! Claims items for the workers, and renews the claims.

use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use log::Level;

use crate::batch::claimed::{Feed, Hand, Job};
use crate::batch::feed::{Fed, send};
use crate::batch::floor::{EndOnPanic, OUTAGE_PAUSE};
use crate::lines::say;
use crate::text::line;

/// How soon a renewal that failed is tried again.
const RENEW_AGAIN: Duration = Duration::from_secs(1);

/// Claims items until none will come or the batch is over. An outage is waited for as the workers do.
pub(super) fn claim<'a, F: Feed>(hand: &Hand<'a, F>, sender: Sender<Job<'a, F>>) -> Fed {
    let floor = hand.floor;
    let _guard = EndOnPanic(&floor.signals);
    let mut outage_since = None;
    let mut is_checked = false;
    while !floor.signals.is_over() {
        let Some(room) = hand.room() else { continue };
        let checked = if is_checked { Ok(()) } else { hand.feed.check(floor.pool) };
        is_checked |= checked.is_ok();
        let claimed = match checked.and_then(|()| hand.feed.claim(room)) {
            Ok(claimed) => claimed,
            Err(error) => {
                let since = *outage_since.get_or_insert_with(Instant::now);
                if !error.passes() || since.elapsed() >= floor.options.outage {
                    floor.give_up(error.into_inner());
                }
                floor.signals.pause(OUTAGE_PAUSE);
                continue;
            }
        };
        outage_since = None;
        let is_short = claimed.items().len() + (claimed.dead() as usize) < room.items;
        let is_over = claimed.is_over();
        for job in hand.add(claimed) {
            // There is a place for each item that may be held. One beyond these waits for a worker, while there are
            // any; in hand it is in either case, and given back from there.
            let _ = send(&floor.signals, &sender, job);
        }
        if is_over && hand.is_empty() {
            return Fed::All;
        }
        if is_short {
            floor.signals.pause(hand.pace.poll.mul_f64(1.0 + fastrand::f64() / 2.0));
        }
    }
    Fed::Rest { in_hand: false }
}

/// Renews the claims on all that is held, until told that there is nothing to renew: past a stop too, since what the
/// workers have begun by then is finished.
pub(super) fn renew<F: Feed>(hand: &Hand<'_, F>) {
    let _guard = EndOnPanic(&hand.floor.signals);
    let Some(lease) = hand.pace.lease else { return };
    let usual = lease / 3;
    let mut pause = usual;
    while hand.pause_renewals(pause) {
        let items = hand.items();
        pause = usual;
        if items.is_empty() {
            continue;
        }
        if let Err(error) = hand.feed.renew(&items) {
            pause = usual.min(RENEW_AGAIN);
            say!(
                Level::Warn,
                "tierpool::batch",
                [items = items.len(), error = line(&error)],
                "the claims on {} items could not be renewed: {}",
                items.len(),
                line(&error)
            );
        }
    }
}
