//! What is made of it all: the box, and why something is not well.

use tierpool::report::{Load, Verdict};
use tierpool::{DatabaseStats, Tier};

use super::picture::Process;
use crate::seen::join::{Count, Group};
use crate::seen::live::{Person, Told};
use crate::seen::server::Server;

/// What the tiers of an application have on the server.
fn counted<'a>(groups: &'a [Group], of: impl Fn(&'a Group) -> &'a Count) -> Count {
    let sum = |which: fn(&Count) -> usize| groups.iter().map(&of).map(which).sum();
    Count { open: sum(|count| count.open), busy: sum(|count| count.busy), hidden: sum(|count| count.hidden) }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Where no process tells, in use is what is not known to be idle on the server.
pub fn take_in_sessions(stats: &mut DatabaseStats, groups: &[Group]) {
    let busy = |count: Count| number(count.busy.saturating_add(count.hidden));
    let automation = busy(counted(groups, |group| &group.sessions.automation));
    let adhoc = busy(counted(groups, |group| &group.sessions.adhoc));
    stats.in_use = automation;
    stats.available = stats.available.saturating_sub(automation);
    stats.overflow = automation.saturating_sub(stats.automation.base_size);
    stats.guaranteed = stats.guaranteed.min(stats.reserved.saturating_sub(adhoc));
    stats.load = load(stats);
}

/// The box shows what the processes have together. Of the server it says what was seen just now, and what a process
/// says of itself where that is worse.
pub fn take_in_processes(stats: &mut DatabaseStats, processes: &[Process]) {
    let told = || processes.iter().map(|process| &process.pool.told);
    let sum = |of: &dyn Fn(&Told) -> u32| told().map(of).fold(0, u32::saturating_add);
    stats.total_connections = sum(&|told| told.total_connections);
    stats.reserved = sum(&|told| told.reserved);
    stats.guaranteed = sum(&|told| told.guaranteed);
    stats.available = sum(&|told| told.available);
    stats.in_use = sum(&|told| told.tiers.automation.lent);
    stats.overflow = sum(&|told| told.tiers.automation.overflow);
    stats.total_possible = sum(&|told| told.tiers.automation.ceiling);
    stats.automation.base_size = sum(&|told| told.tiers.automation.base_size);
    stats.adhoc.ceiling = sum(&|told| told.tiers.adhoc.ceiling);
    stats.adhoc.lent = sum(&|told| told.tiers.adhoc.lent);
    stats.load = load(stats);
    if stats.verdict != Verdict::Healthy {
        return;
    }
    let connections = if stats.reserved == 1 { "connection" } else { "connections" };
    stats.message = format!("Healthy: {} {connections} always available for ad-hoc work", stats.reserved);
    let worst = processes.iter().find_map(|Process { pool, .. }| Some((pool, unwell(&pool.told.verdict)?)));
    if let Some((pool, verdict)) = worst {
        stats.verdict = verdict;
        stats.is_healthy = false;
        stats.message = format!("process {}: {}", pool.process, pool.told.message);
    }
}

fn load(stats: &DatabaseStats) -> Load {
    if u64::from(stats.in_use) * 10 >= u64::from(stats.total_possible) * 9 {
        Load::High
    } else if stats.in_use > stats.automation.base_size {
        Load::Overflow
    } else {
        Load::Normal
    }
}

/// A verdict that is bad news. That a process has not seen the server of late is none: this program has.
fn unwell(verdict: &str) -> Option<Verdict> {
    match verdict {
        "Unreachable" => Some(Verdict::Unreachable),
        "Exhausted" => Some(Verdict::Exhausted),
        "CircuitOpen" => Some(Verdict::CircuitOpen),
        "Suspended" => Some(Verdict::Suspended),
        "Closed" => Some(Verdict::Closed),
        _ => None,
    }
}

/// Bounds what is left of the reserve by the room that the server has for what of it is not open yet. Why it is
/// short, where it is.
pub fn fit_into_room(
    stats: &mut DatabaseStats,
    processes: &[Process],
    elsewhere: &[Group],
    room: u32,
) -> Option<String> {
    let idle_here = processes.iter().map(|process| process.pool.told.tiers.adhoc.gauges.idle);
    let there = counted(elsewhere, |group| &group.sessions.adhoc);
    let idle_there = if processes.is_empty() { there.open - there.busy - there.hidden } else { 0 };
    let idle = idle_here.fold(number(idle_there), u32::saturating_add);
    let most = idle.saturating_add(room);
    if stats.guaranteed <= most {
        return None;
    }
    let wanted = std::mem::replace(&mut stats.guaranteed, most);
    Some(format!(
        "the reserve is short: {most} of {wanted} ad-hoc connections can be had, since the server has room for {room}"
    ))
}

/// Has the box and the verdict say no better than what was found. The own pool is a second old, and what its circuit
/// breaker does is nobody else's.
pub fn agree(stats: &mut DatabaseStats, server: &Server, reasons: &[String]) -> &'static str {
    let cause = stats.contact.failure.as_ref().map_or(&server.message, |failure| &failure.cause);
    match (server.healthy, reasons.first()) {
        (false, _) => {
            (stats.verdict, stats.message) =
                (Verdict::Unreachable, format!("Unreachable: the server does not answer: {cause}"));
        }
        (true, Some(reason)) if stats.verdict == Verdict::Healthy => {
            stats.message = format!("Degraded: {reason}");
            // The box has no word for it: one that promises nothing, and leaves the numbers as they are.
            (stats.verdict, stats.is_healthy) = (Verdict::Suspended, false);
            return "Degraded";
        }
        _ => {}
    }
    stats.is_healthy = stats.verdict == Verdict::Healthy;
    name(stats.verdict)
}

fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Healthy => "Healthy",
        Verdict::Unreachable => "Unreachable",
        Verdict::Exhausted => "Exhausted",
        Verdict::CircuitOpen => "CircuitOpen",
        Verdict::Suspended => "Suspended",
        Verdict::Closed => "Closed",
        _ => "Unknown",
    }
}

/// What is amiss in processes.
pub fn of_processes(processes: &[Process]) -> Vec<String> {
    let mut reasons = Vec::new();
    for Process { pool, .. } in processes {
        let (told, process) = (&pool.told, pool.process);
        if told.tiers.adhoc.ceiling < told.reserved {
            let there = told.tiers.adhoc.ceiling;
            reasons.push(format!("process {process}: {there} of {} reserved are there", told.reserved));
        }
        let (queues, limits) = (&told.queues, &told.connection_timeout_seconds);
        for (tier, queue, limit) in [
            (Tier::Automation, &queues.automation, limits.automation),
            (Tier::Adhoc, &queues.adhoc, limits.adhoc),
        ] {
            // Each by its own time, as far as it is told.
            let left = |person: &Person| person.seconds_left.unwrap_or(limit - person.seconds);
            let late = queue.iter().filter(|person| person.seconds > left(person));
            if let Some(person) = late.max_by(|a, b| a.seconds.total_cmp(&b.seconds)) {
                reasons.push(format!(
                    "process {process}: somebody has waited for {:.1} s in {tier}, and has {:.1} s left",
                    person.seconds,
                    left(person)
                ));
            }
        }
    }
    reasons
}
