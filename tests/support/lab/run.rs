//! One run: a pool at work, the fault, the time after it, the end.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::figures::Figures;
use super::leaver::{Leaver, Leaving};
use super::record::{
    Record, SHIFT, WINDOW, by_end, first_done, full_from, in_checkouts, is_full, longest_blocks,
};
use super::scenario::{Moment, Scenario};
use super::stage::Stage;
use super::subject::{Kind, Outcome, Sample, Subject, WORKERS};
use super::watch::{Resources, Seen, Watch};
use super::worker::Crew;
use super::{ledger, logs, verdict};
use crate::support::wait::comes_true;

/// The name of the pool on the server.
const NAME: &str = "lab";
/// How long the pool works before the fault, and at least after it.
const BEFORE: Duration = Duration::from_millis(1500);
const AFTER: Duration = Duration::from_millis(1500);
/// When nothing may be left of the fault.
const CLEAN: Duration = Duration::from_secs(5);
/// How long a pool without bars is watched after the fault.
const OTHERS: Duration = Duration::from_secs(15);
/// For what has no bar of its own.
const PATIENCE: Duration = Duration::from_secs(20);
/// A fault shorter than this has no middle in which a program could leave.
const LEAVES_IN: Duration = Duration::from_secs(4);

/// The moments of a run, since its start.
#[derive(Clone, Copy, Debug)]
struct Times {
    begin: Duration,
    end: Duration,
    over: Duration,
}

/// What the time after the fault showed.
struct Aftermath {
    sessions: usize,
    sample: Sample,
    left: Resources,
}

/// Runs a scenario in this process, and returns the figures and the bars missed.
pub fn run(scenario: &Scenario, kind: Kind) -> (Figures, Vec<String>) {
    logs::capture();
    let stage = Stage::start(scenario.way);
    let mut leaver =
        (kind == Kind::Tierpool && scenario.lasts >= LEAVES_IN).then(|| Leaver::start(&stage.url()));
    let fds_of_others =
        |leaver: &Option<Leaver>| stage.proxy_fds() + leaver.as_ref().map_or(0, |_| Leaver::FDS);
    let before = Resources::now(fds_of_others(&leaver));
    let subject = kind.build(&stage.url(), NAME, WORKERS as u32);
    // All from here on but what the settings in force are.
    let mark = logs::count();
    let start = Instant::now();
    let crew = Crew::start(&subject, WORKERS, scenario.think, start, 0);
    let watch = Watch::start(Arc::clone(&subject), start);
    let works = comes_true(PATIENCE, || crew.least_done() >= 2 && start.elapsed() >= BEFORE);
    assert!(works, "the workers do not work before the fault");
    let steady = at_rest(|| fds_of_others(&leaver));

    let begin = start.elapsed();
    (scenario.begin)(&stage);
    let leaving = last_through(scenario, &mut leaver);
    (scenario.end)(&stage);
    let end = start.elapsed();
    let patience = if kind == Kind::Tierpool { Duration::ZERO } else { OTHERS };
    await_full_speed(scenario, &crew, start, (begin, end), patience);
    let after = await_cleanness(&stage, &*subject, start, end, steady);
    let over = start.elapsed();
    let log = logs::since(mark);

    let (records, stuck) = crew.stop(PATIENCE.min(Duration::from_secs(6)));
    let seen = watch.stop();
    let times = Times { begin, end, over };
    let mut figures = figures(scenario, &records, &seen, times);
    figures.stuck = stuck as f64;
    figures.evicted = after.sample.evicted as f64;
    figures.log_lines = log.len() as f64;
    figures.log_repeated = logs::most_repeated(&log) as f64;
    add_leaving(&mut figures, leaving);
    add_aftermath(&mut figures, &after, steady);
    let discrepancies = ledger::audit(&stage.cluster, &records);
    figures.lost = discrepancies.lost as f64;
    figures.doubled = discrepancies.doubled as f64;
    figures.undead = discrepancies.undead as f64;
    add_end(&mut figures, subject, before, || stage.proxy_fds());
    tell(&records, &log, &seen, times);
    (figures, verdict::missed(scenario, &figures, &log))
}

/// The least that this process needs while the pool works: threads started for the first connections have ended.
fn at_rest(fds_of_others: impl Fn() -> usize) -> Resources {
    let mut least = Resources::now(fds_of_others());
    comes_true(Duration::from_secs(1), || {
        least = least.min(Resources::now(fds_of_others()));
        false
    });
    least
}

/// Lets the fault last, with a program that leaves in the middle of it.
fn last_through(scenario: &Scenario, leaver: &mut Option<Leaver>) -> Option<Leaving> {
    let begun = Instant::now();
    let leaver = leaver.take();
    if leaver.is_some() {
        thread::sleep(scenario.lasts / 2);
    }
    let leaving = leaver.map(Leaver::leave);
    // The fault's own length; nothing is waited for.
    thread::sleep(scenario.lasts.saturating_sub(begun.elapsed()));
    leaving
}

/// Waits as long as its bar says, or for `patience`.
fn await_full_speed(
    scenario: &Scenario,
    crew: &Crew,
    start: Instant,
    (begin, end): (Duration, Duration),
    patience: Duration,
) {
    let from = if scenario.bars.recovers_from == Moment::End { end } else { begin };
    let before = begin.saturating_sub(WINDOW);
    let usual = in_checkouts(&by_end(&crew.records_since(before)), before);
    let limit = (from + scenario.bars.full).max(end + patience) + AFTER;
    comes_true(limit.saturating_sub(start.elapsed()), || {
        // One that ended a moment ago: the figures look at windows a step apart, which may begin a little later.
        let window = start.elapsed().saturating_sub(WINDOW + 4 * SHIFT);
        let recent = crew.records_since(window);
        let is_full = || is_full(&by_end(&recent), WORKERS, usual, window);
        // A worker that is in a long piece of work has no record of it yet, and none of any other.
        window >= end + AFTER - WINDOW && (scenario.is_slow() || is_full())
    });
}

/// Waits until nothing is left of the fault, as long as may be.
fn await_cleanness(
    stage: &Stage,
    subject: &dyn Subject,
    start: Instant,
    end: Duration,
    steady: Resources,
) -> Aftermath {
    let left = (end + CLEAN).max(start.elapsed() + AFTER).saturating_sub(start.elapsed());
    let mut aftermath = None;
    comes_true(left, || {
        let sessions = stage.sessions(NAME);
        let after = Aftermath { sessions, sample: subject.sample(), left: Resources::now(stage.proxy_fds()) };
        let clean = after.left.is_within(steady)
            && after.sample.zombies == 0
            && after.sessions == after.sample.size as usize
            && after.sample.size as usize >= WORKERS;
        aftermath = Some(after);
        clean
    });
    aftermath.expect("BUG: a condition that was never looked at")
}

fn figures(scenario: &Scenario, records: &[Record], seen: &Seen, times: Times) -> Figures {
    let Times { begin, end, over } = times;
    let count = |wanted: fn(&Outcome) -> bool| {
        let later = records.iter().filter(|record| record.end >= begin);
        later.filter(|record| wanted(&record.outcome)).count() as f64
    };
    let [get, query, drop] = longest_blocks(records).map(|block| block.as_secs_f64());
    let from = if scenario.bars.recovers_from == Moment::End { end } else { begin };
    let sorted = by_end(records);
    let usual = in_checkouts(&sorted, begin.saturating_sub(WINDOW));
    let since = |at: Option<Duration>| at.map_or(f64::INFINITY, |at| at.saturating_sub(from).as_secs_f64());
    // Those under way when it begins may take that long to fail, and longer on a machine that stalls.
    let settled = begin + Duration::from_secs(1) + 2 * seen.stall;
    Figures {
        outage: end.saturating_sub(begin).as_secs_f64(),
        done: count(|outcome| matches!(outcome, Outcome::Done)),
        get,
        query,
        drop,
        not_got: count(|outcome| matches!(outcome, Outcome::NotGot(_))),
        failed: count(|outcome| matches!(outcome, Outcome::Failed(_) | Outcome::Unknown(_))),
        unknown: count(|outcome| matches!(outcome, Outcome::Unknown(_))),
        unnamed: unnamed(scenario, records, seen, begin) as f64,
        refusal: refusal(scenario, records, times),
        first: since(first_done(records, from)),
        full: if scenario.is_slow() { 0.0 } else { since(full_from(&sorted, WORKERS, usual, from, over)) },
        attempts_a_second: seen.most_attempts_a_second(begin) as f64,
        attempts: seen.attempts_at(end).saturating_sub(seen.attempts_at(settled)) as f64,
        stall: seen.stall.as_secs_f64(),
        ..Figures::default()
    }
}

/// Failed checkouts after the first failed attempt to connect that do not tell the right cause.
fn unnamed(scenario: &Scenario, records: &[Record], seen: &Seen, begin: Duration) -> usize {
    let Some(known) = seen.first_failure(begin) else { return 0 };
    let refused = records.iter().filter(|record| record.end > known).filter_map(|record| {
        if let Outcome::NotGot(failure) = &record.outcome { Some(failure) } else { None }
    });
    refused.filter(|failure| !(scenario.bars.cause)(failure)).count()
}

/// The longest that a checkout took to fail, of those begun when the pool should know.
fn refusal(scenario: &Scenario, records: &[Record], times: Times) -> f64 {
    let Some(after) = scenario.bars.refuses_after else { return 0.0 };
    let within = |record: &&Record| record.start >= times.begin + after && record.end <= times.end;
    let refused = records.iter().filter(within).filter(|r| matches!(r.outcome, Outcome::NotGot(_)));
    refused.map(|record| record.steps[0].as_secs_f64()).fold(0.0, f64::max)
}

fn add_leaving(figures: &mut Figures, leaving: Option<Leaving>) {
    if let Some(leaving) = leaving {
        (figures.close, figures.woken, figures.exit) = (leaving.close, leaving.woken, leaving.exit);
        figures.stall = figures.stall.max(leaving.stall);
    }
}

fn add_aftermath(figures: &mut Figures, after: &Aftermath, steady: Resources) {
    figures.sessions = after.sessions as f64;
    figures.size = f64::from(after.sample.size);
    figures.zombies = f64::from(after.sample.zombies);
    figures.threads_left = after.left.threads.saturating_sub(steady.threads) as f64;
    figures.fds_left = after.left.fds.saturating_sub(steady.fds) as f64;
}

/// Closes the pool and looks at what it leaves behind.
fn add_end(
    figures: &mut Figures,
    subject: Arc<dyn Subject>,
    before: Resources,
    fds_of_others: impl Fn() -> usize,
) {
    subject.close(CLEAN);
    drop(subject);
    comes_true(CLEAN, || Resources::now(fds_of_others()).is_within(before));
    let after = Resources::now(fds_of_others());
    figures.threads_after = after.threads.saturating_sub(before.threads) as f64;
    figures.fds_after = after.fds.saturating_sub(before.fds) as f64;
}

/// Says what a person wants to see who looks into a run.
fn tell(records: &[Record], log: &[String], seen: &Seen, times: Times) {
    println!("{times:.3?}, stall {:.3?}", seen.stall);
    for (at, sample) in seen.samples.iter().filter(|(at, _)| *at >= times.begin) {
        println!("attempts {at:.3?}: {sample:?}");
    }
    for line in log {
        println!("log {line}");
    }
    let mut errors: Vec<_> = records.iter().filter(|record| record.outcome.failure().is_some()).collect();
    errors.sort_by_key(|record| record.end);
    println!("{} errors, of them:", errors.len());
    for record in errors.iter().take(24).chain(errors.iter().skip(24).rev().take(4)) {
        println!(
            "failure {:.3?}..{:.3?} {:.3?} {:?}",
            record.start, record.end, record.steps, record.outcome
        );
    }
}
