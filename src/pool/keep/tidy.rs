//! Tidying: looking at every idle connection, retiring what is old or idle for long, validating what may have died
//! unseen.

use std::sync::Arc;
use std::time::Duration;

use r2d2::ManageConnection;

use crate::clock::Millis;
use crate::config::Settings;
use crate::core::Counts;
use crate::pool::connection::body::plan_keepalive;
use crate::pool::connection::card::Card;
use crate::pool::fitness::aside::send_aside;
use crate::pool::fitness::retire::{cause_of_spare, may_retire};
use crate::pool::parts::errand::Check;
use crate::pool::shared::{Entry, Shared};
use crate::pool::supply::close::{dispose, put_back};
use crate::stats::CloseCause;

/// Looks at every idle connection and does what is due with it.
pub(crate) fn sweep<M: ManageConnection>(shared: &Arc<Shared<M>>, now: Millis, settings: &Settings) {
    // All are looked at once after each change; what is in use meanwhile is looked at when it is returned, or lent
    // again.
    let changed = shared.rounds.begin_sweep(shared.fast.generation());
    for index in 0..shared.lending.slots().count() {
        let card = shared.card(index);
        let look = changed
            || is_due_for_validation(card, now, settings)
            || needs_a_look(shared, card, now, settings);
        if look && let Some(entry) = shared.lending.take_at(index) {
            tidy(entry, now, settings);
        }
    }
}

/// Whether there is reason to take a slot's connection out for a moment. A caller finds it missing meanwhile, and
/// the gauges show it in use, so one that would be put back is left alone.
fn needs_a_look<M: ManageConnection>(
    shared: &Shared<M>,
    card: &Card,
    now: Millis,
    settings: &Settings,
) -> bool {
    let size = shared.lending.size();
    // Asked last, since it walks over all slots.
    let is_spare =
        || cause_of_spare(size, shared.lending.counts().idle.saturating_sub(1), settings).is_some();
    let idle_for = now.since(card.idle_since());
    let past = |limit: Duration| idle_for >= Millis::of(limit);
    card.due_at() <= now
        || (size > settings.min_size as usize && settings.idle_timeout.is_some_and(past))
        || (size > settings.kept_size() as usize && past(settings.overflow_linger) && is_spare())
        || size > settings.ceiling() as usize
}

/// Whether nothing has been heard of a connection for the time of its keepalive. One used since that was planned
/// gets a new plan, so that connections that fell idle together are not validated together.
fn is_due_for_validation(card: &Card, now: Millis, settings: &Settings) -> bool {
    let Some(period) = settings.keepalive else { return false };
    let at = card.keepalive_at();
    if now < at && at != Millis::NEVER {
        return false;
    }
    // A plan is at least nine tenths of the period ahead, or without end when there was none.
    if at == Millis::NEVER || card.idle_since() > at.less(Millis::of(period - period / 10)) {
        card.set_keepalive_at(plan_keepalive(card.idle_since(), settings.keepalive));
    }
    card.keepalive_at() <= now
}

fn tidy<M: ManageConnection>(entry: Box<Entry<M>>, now: Millis, settings: &Settings) {
    let idle_for = now.since(entry.card().idle_since());
    let counts = entry.shared.lending.counts();
    if let Some(cause) = reason_to_close(&entry, now, idle_for, &counts, settings) {
        return dispose(entry, cause);
    }
    let suspect = entry.shared.generations.is_suspect(entry.body.seen);
    if suspect || is_due_for_validation(entry.card(), now, settings) {
        return send_aside(entry, Check::Validate { suspect });
    }
    put_back(entry);
}

fn reason_to_close<M: ManageConnection>(
    entry: &Entry<M>,
    now: Millis,
    idle_for: Millis,
    counts: &Counts,
    settings: &Settings,
) -> Option<CloseCause> {
    let size = counts.size();
    let past = |limit: Duration| idle_for >= Millis::of(limit);
    if entry.shared.generations.is_evicted(entry.body.born) {
        return Some(CloseCause::Evicted);
    }
    if entry.body.is_due(now, settings.max_uses) && may_retire(entry, now) {
        return Some(CloseCause::Expired);
    }
    if size > counts.ceiling {
        return Some(CloseCause::Idle);
    }
    // This one counts as in use while the keeper has it in hand, so those idle are others.
    let spare = cause_of_spare(size, counts.idle, settings);
    if spare.is_some() && past(settings.overflow_linger) {
        return spare;
    }
    let spare = size > settings.min_size as usize;
    (spare && settings.idle_timeout.is_some_and(past)).then_some(CloseCause::Idle)
}
