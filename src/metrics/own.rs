//! The names of this crate: `db_pool_…`.

use std::borrow::Cow;

use super::family::{Families, Family, Kind, Label, Times};
use super::reading::Reading;
use crate::stats::{BreakerState, CloseCause, FleetStatus};

/// The first bound of hold times: the pool's coarse clock, with its grain of 10 ms, tells no shorter ones apart.
pub(super) const FIRST_HOLD_MS: u64 = 25;

pub(super) fn families(readings: &[Reading]) -> Vec<Family> {
    let mut told = Families::new(readings, labels);
    gauges(&mut told);
    fleet(&mut told);
    settings(&mut told);
    counters(&mut told);
    let wait = "How long checkouts waited, those that timed out included; a direct one counts as 0.";
    told.histogram("db_pool_wait_seconds", wait, |r| Times::of(&r.stats.wait));
    let open = "How long it took to open a connection, where that succeeded.";
    told.histogram("db_pool_open_seconds", open, |r| Times::of(&r.stats.open));
    let hold = "How long connections were held by borrowers who have returned them.";
    told.histogram("db_pool_hold_seconds", hold, |r| Times::from_bound(&r.stats.hold, FIRST_HOLD_MS));
    told.done()
}

fn labels(reading: &Reading) -> Vec<Label> {
    let mut labels = vec![("pool", Cow::Owned(reading.pool.clone()))];
    labels.extend(reading.tier.map(|tier| ("tier", Cow::Borrowed(tier.as_str()))));
    labels
}

fn gauges(told: &mut Families<'_>) {
    told.gauge("db_pool_size", "The base size: connections kept once opened.", |r| r.status.size);
    told.gauge("db_pool_max", "The ceiling in force.", |r| r.stats.ceiling);
    told.gauge("db_pool_checked_out", "Connections in use.", |r| r.status.checked_out);
    told.gauge("db_pool_overflow", "Connections above the base size.", |r| r.status.overflow);
    let available = "Connections that could still be had: 0 while the breaker is open or nothing is lent.";
    told.gauge("db_pool_available", available, |r| r.status.available);
    let utilization = "Connections in use, in percent of the ceiling.";
    told.gauge("db_pool_utilization_percent", utilization, |r| r.status.utilization_percent);
    told.add_by(Kind::Gauge, ("db_pool_connections", "state"), "Connections by state.", |r| {
        let gauges = r.stats.gauges;
        [("idle", gauges.idle), ("in_use", gauges.in_use), ("opening", gauges.opening)]
    });
    told.gauge("db_pool_waiting", "Threads that wait for a connection.", |r| r.stats.gauges.waiting);
    let oldest = "How long the oldest waiter has waited; 0 without one.";
    told.gauge("db_pool_oldest_waiter_seconds", oldest, |r| r.stats.oldest_waiter.unwrap_or_default());
    let in_use = "The most connections in use within the last 30 s to 60 s, as sampled.";
    told.gauge("db_pool_in_use_peak", in_use, |r| r.stats.recent_peak_in_use);
    let waiting = "The most threads waiting within the last 30 s to 60 s.";
    told.gauge("db_pool_waiting_peak", waiting, |r| r.stats.recent_peak_waiting);
    let zombies = "Connections given up on, or being closed, whose close has not finished.";
    told.gauge("db_pool_zombies", zombies, |r| r.stats.gauges.zombies);
    let breaker = "1 while the circuit breaker is open, its probes included.";
    told.gauge("db_pool_breaker_open", breaker, |r| r.stats.breaker != BreakerState::Closed);
    told.add(Kind::Gauge, "db_pool_reserved", "Connections promised to the ad-hoc tier.", |r| {
        r.budget.as_ref().map(|budget| budget.reserved)
    });
    let free = "Connections of the reserve that the ad-hoc tier could have now.";
    told.add(Kind::Gauge, "db_pool_reserved_free", free, |r| r.budget.as_ref().map(|budget| budget.free));
}

fn fleet(told: &mut Families<'_>) {
    let slots = "Slots of the fleet, as the pool saw them last: taken by whichever program, and free.";
    told.add_by(Kind::Gauge, ("db_pool_fleet_slots", "state"), slots, |r| {
        let of = |[held, all]: [u32; 2]| [("held", held), ("free", all.saturating_sub(held))];
        r.fleet_slots.map(of).into_iter().flatten().collect::<Vec<_>>()
    });
    let mut gauge = |name, help, value: fn(&FleetStatus) -> u32| {
        told.add(Kind::Gauge, name, help, |r| r.fleet.as_ref().map(value));
    };
    gauge("db_pool_fleet_members", "Programs in the fleet.", |fleet| fleet.members);
    let wanting = "Programs of the fleet that have less than their share, or nothing, and find no free slot.";
    gauge("db_pool_fleet_wanting", wanting, |fleet| fleet.wanting + fleet.asking);
    gauge("db_pool_fleet_share", "Connections that the pool may have while others are short.", |fleet| {
        fleet.share
    });
}

fn settings(told: &mut Families<'_>) {
    let mut limit = |name, help, value: fn(&Reading) -> Option<f64>| told.add(Kind::Gauge, name, help, value);
    let total = "The budget of both tiers.";
    limit("db_pool_config_total_connections", total, |r| r.budget.as_ref().map(|b| b.total.into()));
    let overflow = "How many connections may be above the base size.";
    limit("db_pool_config_max_overflow", overflow, |r| Some(r.settings.max_overflow.into()));
    let idle = "Idle connections that the pool keeps.";
    limit("db_pool_config_min_idle", idle, |r| Some(r.settings.effective_min_idle().into()));
    let waiting = "The bound of the queue, where there is one.";
    limit("db_pool_config_max_waiting", waiting, |r| r.settings.max_waiting.map(f64::from));
    let timeout = "How long a checkout waits, where that has an end.";
    limit("db_pool_config_connection_timeout_seconds", timeout, Reading::connection_timeout);
    let lifetime = "The age at which a connection is replaced, where there is one.";
    limit("db_pool_config_max_lifetime_seconds", lifetime, |r| {
        r.settings.max_lifetime.map(|age| age.as_secs_f64())
    });
    let idle = "How long a connection may be idle, where that has an end.";
    limit("db_pool_config_idle_timeout_seconds", idle, |r| {
        r.settings.idle_timeout.map(|idle| idle.as_secs_f64())
    });
}

fn counters(told: &mut Families<'_>) {
    told.add_by(Kind::Counter, ("db_pool_checkouts", "outcome"), "Checkouts by outcome.", |r| {
        let ended = r.stats.checkouts;
        let served = [("direct", ended.direct), ("waited", ended.waited)];
        [served[0], served[1], ("timed_out", ended.timed_out), ("rejected", ended.rejected)]
    });
    told.counter("db_pool_opened", "Connections opened.", |r| r.stats.opened);
    told.add_by(Kind::Counter, ("db_pool_closed", "cause"), "Connections closed, by cause.", |r| {
        CloseCause::ALL.map(|cause| (cause.as_str(), r.stats.closed.count(cause)))
    });
    let failures = "Failed attempts to open, by class.";
    told.add_by(Kind::Counter, ("db_pool_open_failures", "class"), failures, |r| {
        let failed = r.stats.open_failures;
        [("transient", failed.transient), ("exhausted", failed.exhausted), ("permanent", failed.permanent)]
    });
    let busy = "Connection-seconds in use by borrowers who have returned them.";
    told.counter("db_pool_busy_seconds", busy, |r| r.stats.busy);
    told.counter("db_pool_breaker_openings", "Times the circuit breaker opened.", |r| {
        r.stats.breaker_openings
    });
    let dirty = "Connections returned in need of a reset.";
    told.counter("db_pool_returned_dirty", dirty, |r| r.stats.returned_dirty);
    let slow = "Checkouts slower than slow_checkout.";
    told.counter("db_pool_slow_checkouts", slow, |r| r.stats.slow_checkouts);
    told.counter("db_pool_long_holds", "Holds longer than leak_threshold.", |r| r.stats.long_holds);
    let cancelled = "Checkouts whose statement the pool had cancelled, after cancel_stuck_after.";
    told.counter("db_pool_stuck_cancelled", cancelled, |r| r.stats.stuck_cancelled);
    let terminated = "Checkouts that the pool ended, after terminate_stuck_after.";
    told.counter("db_pool_stuck_terminated", terminated, |r| r.stats.stuck_terminated);
    told.counter("db_pool_slow_queries", "Statements slower than slow_query.", |r| r.stats.slow_queries);
    let timeouts = "Statements cancelled by the server (SQLSTATE 57014) unasked, as far as is known here.";
    told.counter("db_pool_statement_timeouts", timeouts, |r| r.stats.statement_timeouts);
    told.counter("db_pool_events_lost", "Events that a full channel or a slow handler lost.", |r| {
        r.stats.events_lost
    });
    told.add_by(Kind::Counter, ("db_pool_batch_items", "outcome"), "Items of batches, by outcome.", |r| {
        [("committed", r.stats.items_committed), ("failed", r.stats.items_failed)]
    });
}
