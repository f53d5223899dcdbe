//! The bars of a scenario, held against the figures of a run.

use super::figures::Figures;
use super::scenario::{Bars, Scenario};
use super::subject::{DEADLINE, GRACE};

/// A process is gone this many seconds after the end of `main`.
const EXIT: f64 = 0.2;
/// Attempts to connect in a second.
const ATTEMPTS_A_SECOND: f64 = 20.0;
/// No line of the log is there this often.
const LOG_REPEATED: f64 = 4.0;

/// Says of each bar that was missed which one, by how much, and what the machine's own stall was.
pub fn missed(scenario: &Scenario, figures: &Figures, log: &[String]) -> Vec<String> {
    let bars = &scenario.bars;
    let f = figures;
    let unsaid = bars.says.iter().filter(|text| !log.iter().any(|line| line.contains(**text)));
    let mut missed: Vec<String> = unsaid.map(|text| format!("the log does not say {text:?}")).collect();
    let mut within = |what: &str, found: f64, bar: f64| {
        if found > bar {
            missed
                .push(format!("{what}: {found:.3}, at most {bar:.3} (stall of the machine {:.3})", f.stall));
        }
    };
    for (what, found, bar) in times(bars, f) {
        within(what, found, bar + f.stall);
    }
    let exactly_none = [
        ("work lost", f.lost),
        ("work done twice", f.doubled),
        ("work done though reported as failed", f.undead),
        ("workers that never came back", f.stuck),
        ("failed checkouts without the right cause", f.unnamed),
        ("zombies left", f.zombies),
        ("threads left", f.threads_left),
        ("descriptors left", f.fds_left),
        ("threads left after the pool", f.threads_after),
        ("descriptors left after the pool", f.fds_after),
        ("sessions beyond the pool's count", (f.sessions - f.size).abs()),
    ];
    for (what, found) in exactly_none {
        within(what, found, 0.0);
    }
    within("attempts to connect in a second", f.attempts_a_second, ATTEMPTS_A_SECOND);
    if let Some(lines) = bars.log_lines {
        within("lines in the log", f.log_lines, lines as f64 - 1.0);
        within("repetitions of a line in the log", f.log_repeated, LOG_REPEATED - 1.0);
    }
    let checkouts = bars.checkouts_failed.filter(|_| f.outage <= bars.short_outage.as_secs_f64());
    let counted = [
        ("failed checkouts", f.not_got, checkouts.map(|most| most as f64)),
        ("failed queries", f.failed, bars.queries_failed.map(|most| most as f64)),
        ("attempts to connect during the fault", f.attempts, bars.attempts.map(|most| most as f64)),
        ("connections replaced", f.evicted, bars.evicted.map(|most| most as f64)),
    ];
    for (what, found, bar) in counted {
        within(what, found, bar.unwrap_or(f64::INFINITY));
    }
    missed
}

/// Whether all that counts work and workers holds. The rest is measured in time, or falls short for want of it, as a
/// run that comes to no end does: there a busy machine can make the pool look worse than it is, and never better.
pub fn is_sound(f: &Figures) -> bool {
    [f.lost, f.doubled, f.undead, f.stuck, f.unnamed].iter().all(|count| *count == 0.0)
}

/// What is measured in seconds, and so gets the machine's stall on top.
fn times(bars: &Bars, f: &Figures) -> Vec<(&'static str, f64, f64)> {
    let grace = GRACE.as_secs_f64();
    let deadline = DEADLINE.as_secs_f64();
    vec![
        ("longest block in get", f.get, deadline + grace),
        ("longest block in a query", f.query, bars.query.map_or(f64::INFINITY, |bar| bar.as_secs_f64())),
        ("longest block in drop", f.drop, grace),
        ("time to refuse a checkout", f.refusal, grace),
        ("first success", f.first, bars.first.as_secs_f64()),
        ("full speed", f.full, bars.full.as_secs_f64()),
        ("close beyond its limit", f.close, grace),
        ("waiters woken by close", f.woken, grace),
        ("exit after main", f.exit, EXIT),
    ]
}
