//! Whether a run was good, and whether it tells anything at all.

use std::time::Duration;

use super::drive::Ran;
use super::figures::{percent, time};
use super::scenario::{Model, Plan};
use crate::outcome::Code;

/// Of all requests, those that may fail.
const MOST_ERRORS: f64 = 0.01;

/// Of 20 requests 19 are to take less.
const LONGEST_P95: Duration = Duration::from_millis(400);

/// The part of the connections' time that may be needed at the rate asked.
const MOST_USED: f64 = 0.8;

/// A generator that is later than this for one of 100 arrivals does not make the load that was asked for.
const MOST_LAG: Duration = Duration::from_millis(10);

/// Threads that wait longer for a core, on average, measure their own queue. Such times are spread so that one in 100
/// is five times the average: as long as the lag that is allowed.
const MOST_QUEUED: Duration = Duration::from_millis(2);

/// What a run comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    Pass,
    Fail,
    /// It says nothing about pool and server.
    Invalid,
}

impl Grade {
    pub fn as_str(self) -> &'static str {
        match self {
            Grade::Pass => "pass",
            Grade::Fail => "fail",
            Grade::Invalid => "invalid",
        }
    }

    pub fn code(self) -> Code {
        match self {
            Grade::Pass => Code::Good,
            Grade::Fail => Code::Bad,
            Grade::Invalid => Code::Untold,
        }
    }
}

/// One of the lines by which a run is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    pub name: &'static str,
    pub limit: &'static str,
    pub found: String,
    pub holds: bool,
    /// It does not hold, and no slowness of this machine explains that.
    pub is_certain: bool,
}

/// The lines, and what they come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub thresholds: Vec<Threshold>,
    /// Why the run says nothing.
    pub invalid: Vec<String>,
}

impl Verdict {
    pub fn of(plan: &Plan, ran: &Ran) -> Verdict {
        let counts = &ran.record.counts;
        let part = |count: u64| count as f64 / counts.offered().max(1) as f64;
        let errors = part(counts.errors());
        let p95 = ran.record.latency.quantile(0.95);
        let thresholds = vec![
            Threshold {
                name: "errors",
                limit: "< 1 %",
                found: percent(errors, 2),
                holds: errors < MOST_ERRORS,
                is_certain: part(counts.failed) >= MOST_ERRORS,
            },
            Threshold {
                name: "p95",
                limit: "< 400 ms",
                found: p95.map_or_else(|| "none".to_owned(), time),
                holds: p95.is_some_and(|p95| p95 < LONGEST_P95),
                is_certain: false,
            },
            Threshold {
                name: "timeouts",
                limit: "none",
                found: counts.timed_out.to_string(),
                holds: counts.timed_out == 0,
                is_certain: false,
            },
            utilisation(plan, ran),
            Threshold {
                name: "ad-hoc probe",
                limit: "served",
                found: format!("{} of {}", ran.probed.served, ran.probed.asked),
                holds: ran.probed.is_served(),
                is_certain: ran.probed.refused > 0,
            },
        ];
        Verdict { thresholds, invalid: invalid(ran) }
    }

    /// The names of those that do not hold.
    pub fn broken(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.thresholds.iter().filter(|threshold| !threshold.holds).map(|threshold| threshold.name)
    }

    pub fn grade(&self) -> Grade {
        if !self.invalid.is_empty() && !self.thresholds.iter().any(|threshold| threshold.is_certain) {
            Grade::Invalid
        } else if self.thresholds.iter().all(|threshold| threshold.holds) {
            Grade::Pass
        } else {
            Grade::Fail
        }
    }
}

/// The part of the connections' time that requests need: at the rate asked, or what they had of it in the closed model,
/// where the rate follows the answers.
fn utilisation(plan: &Plan, ran: &Ran) -> Threshold {
    let connections = f64::from(ran.ceiling.max(1));
    let (used, least) = match plan.model {
        Model::Open { rate, .. } => {
            let needed = |hold: Duration| rate * hold.as_secs_f64() / connections;
            // What is short of cores is slower than its quickest request.
            (ran.record.mean_hold().map(needed), ran.record.service.shortest().map(needed))
        }
        Model::Closed { .. } => {
            (Some(ran.record.busy.as_secs_f64() / plan.time.as_secs_f64() / connections), None)
        }
    };
    Threshold {
        name: "utilisation",
        limit: "< 80 %",
        found: used.map_or_else(|| "unknown".to_owned(), |used| percent(used, 0)),
        holds: used.is_some_and(|used| used < MOST_USED),
        is_certain: least.is_some_and(|least| least >= MOST_USED),
    }
}

fn invalid(ran: &Ran) -> Vec<String> {
    let mut reasons = Vec::new();
    if ran.is_disturbed {
        reasons.push("requests of the load before were still under way".to_owned());
    }
    if ran.record.counts.offered() == 0 {
        reasons.push("no request came in this time".to_owned());
    }
    if let Some(lag) = ran.record.generator.quantile(0.99).filter(|lag| *lag > MOST_LAG) {
        let (lag, most) = (time(lag), time(MOST_LAG));
        reasons.push(format!("the generator was {lag} late for one request in 100, above {most}"));
    }
    let queued = ran.record.mean_queued();
    if queued > MOST_QUEUED {
        let (queued, most) = (time(queued), time(MOST_QUEUED));
        reasons.push(format!("cores are short: a request's thread waited {queued} for one, above {most}"));
    }
    reasons
}

/// A run with its verdict.
#[derive(Clone, Debug)]
pub struct Judged {
    pub ran: Ran,
    pub verdict: Verdict,
}

impl Judged {
    pub fn of(plan: &Plan, ran: Ran) -> Judged {
        Judged { verdict: Verdict::of(plan, &ran), ran }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::loadtest::probe::Probed;
    use crate::loadtest::record::{Record, Times};
    use crate::loadtest::scenario::tests::plan;
    use crate::loadtest::spread::{Outcome, Spread};

    const MS: Duration = Duration::from_millis(1);

    /// A run of `done` requests of 40 ms, with what a test says of it.
    pub fn ran(done: u64, ceiling: u32, change: impl FnOnce(&mut Ran)) -> Ran {
        let mut record = Record::over(30_000 * MS);
        let times = Times {
            due: Duration::ZERO,
            latency: 42 * MS,
            lag: Some(MS),
            generator: Some(MS),
            wait: Some(MS),
            service: Some(40 * MS),
            hold: Some(40 * MS),
        };
        (0..done).for_each(|_| record.add(Outcome::Done, times, None));
        let probed = Probed { asked: 9, served: 9, refused: 0, latency: Spread::new(), last_error: None };
        let mut ran = Ran { pool: "tierpool", ceiling, record, probed, opened: None, is_disturbed: false };
        change(&mut ran);
        ran
    }

    fn judged(line: &str, ran: &Ran) -> (Grade, Vec<&'static str>) {
        let verdict = Verdict::of(&plan(line), ran);
        (verdict.grade(), verdict.broken().collect())
    }

    #[test]
    fn peak_passes_on_fifty_connections_and_never_on_twenty() {
        let done = |ceiling| ran(1_000, ceiling, |_| {});
        assert_eq!(judged("peak", &done(50)), (Grade::Pass, vec![]));
        assert_eq!(judged("peak", &done(20)), (Grade::Fail, vec!["utilisation"]));
        let verdict = Verdict::of(&plan("peak"), &done(20));
        assert!(verdict.thresholds.iter().any(|threshold| threshold.found == "180 %"), "{verdict:?}");
    }

    #[test]
    fn each_threshold_fails_a_run_by_itself() {
        let with = |count, outcome| ran(1_000, 50, |ran| ran.record.add_many(outcome, count, 42 * MS));
        assert_eq!(judged("peak", &with(9, Outcome::Failed)).0, Grade::Pass);
        for outcome in [Outcome::Failed, Outcome::Late, Outcome::Dropped, Outcome::Unstarted] {
            assert_eq!(judged("peak", &with(20, outcome)), (Grade::Fail, vec!["errors"]), "{outcome:?}");
        }
        let failed = Verdict::of(&plan("peak"), &with(900, Outcome::Failed));
        assert_eq!((failed.broken().nth(1), failed.thresholds[1].found.as_str()), (Some("p95"), "never"));
        assert_eq!(judged("peak", &with(1, Outcome::TimedOut)), (Grade::Fail, vec!["timeouts"]));
        let slow = ran(1_000, 50, |ran| ran.record.add_many(Outcome::Done, 100, 400 * MS));
        assert_eq!(judged("peak", &slow), (Grade::Fail, vec!["p95"]));
        let unserved = ran(1_000, 50, |ran| ran.probed.asked += 1);
        assert_eq!(judged("peak", &unserved), (Grade::Fail, vec!["ad-hoc probe"]));
        let unasked = ran(1_000, 50, |ran| (ran.probed.asked, ran.probed.served) = (0, 0));
        assert_eq!(judged("peak", &unasked), (Grade::Fail, vec!["ad-hoc probe"]));
    }

    #[test]
    fn a_run_whose_generator_or_machine_lags_says_nothing() {
        let late = |count: u64| {
            ran(1_000, 50, |ran| {
                (0..count).for_each(|_| ran.record.generator.add(11 * MS));
                ran.record.add_many(Outcome::TimedOut, 1, 42 * MS);
            })
        };
        assert_eq!(judged("peak", &late(5)).0, Grade::Fail, "one in 200 may be late");
        assert_eq!(judged("peak", &late(50)).0, Grade::Invalid);
        let queued = |ms: u32| ran(1_000, 50, |ran| ran.record.queued = ms * MS);
        assert_eq!(judged("peak", &queued(2_001)).0, Grade::Invalid);
        assert_eq!(judged("peak", &queued(1_999)).0, Grade::Pass);
        assert_eq!(judged("peak", &ran(0, 50, |_| {})).0, Grade::Invalid);
        assert_eq!(judged("peak", &ran(1_000, 50, |ran| ran.is_disturbed = true)).0, Grade::Invalid);
    }

    #[test]
    fn what_no_slowness_of_the_machine_explains_fails_a_run_that_lags() {
        let late = |ceiling, change: fn(&mut Ran)| {
            ran(1_000, ceiling, |ran| {
                ran.record.queued = 9_000 * MS;
                change(ran);
            })
        };
        fn fail(ran: &mut Ran, count: u64) {
            ran.record.add_many(Outcome::Failed, count, MS);
        }
        let grade = |ran: &Ran| judged("peak", ran).0;
        assert_eq!(grade(&late(50, |ran| fail(ran, 20))), Grade::Fail);
        assert_eq!(grade(&late(50, |ran| fail(ran, 5))), Grade::Invalid);
        assert_eq!(grade(&late(50, |ran| (ran.probed.served, ran.probed.refused) = (8, 1))), Grade::Fail);
        assert_eq!(grade(&late(50, |ran| ran.probed.served = 8)), Grade::Invalid, "its answer was late");
        assert_eq!(grade(&late(20, |_| {})), Grade::Fail, "no request was quick enough for 20");
        assert_eq!(grade(&late(20, |ran| ran.record.service.add(9 * MS))), Grade::Invalid);
    }

    #[test]
    fn the_closed_model_is_judged_by_the_time_for_which_connections_were_held() {
        // 40 s of the 60 s that two connections have.
        assert_eq!(judged("peak --users 9", &ran(1_000, 2, |_| {})), (Grade::Pass, vec![]));
        assert_eq!(judged("peak --users 9", &ran(1_250, 2, |_| {})), (Grade::Fail, vec!["utilisation"]));
        let idle = Verdict::of(&plan("peak --users 9"), &ran(1_000, 50, |_| {}));
        assert!(idle.thresholds.iter().any(|threshold| threshold.found == "3 %"), "{idle:?}");
    }
}
