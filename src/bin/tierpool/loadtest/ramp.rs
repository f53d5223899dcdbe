//! The highest rate that is carried, looked for in steps.

use std::time::Duration;

use serde_json::{Value, json};

use super::figures::{millis, percent, time};
use super::options::RATES;
use super::scenario::{Model, Plan, Shape};
use super::verdict::{Grade, Judged};
use crate::outcome::Failure;
use crate::table::Table;

/// The steps, as parts of the rate asked.
const STEPS: [f64; 10] = [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0];

/// The shortest time of one.
const SHORTEST: Duration = Duration::from_secs(3);

/// The longest, where few requests come.
const LONGEST: Duration = Duration::from_secs(60);

/// So many requests say something of a rate.
const ENOUGH: f64 = 100.0;

/// Before each, for as large a part of its time, the same load is made and not counted: connections are opened in it.
const WARM_UP: u32 = 3;

/// One rate, and what became of it.
#[derive(Clone, Debug)]
struct Step {
    rate: f64,
    grade: Grade,
    p95: Option<Duration>,
    errors: f64,
    broken: Vec<&'static str>,
    invalid: Vec<String>,
}

/// The steps made: all but the last pass.
#[derive(Clone, Debug)]
pub struct Ramp(Vec<Step>);

impl Ramp {
    /// Makes one step after the other, until one does not pass. None in the closed model, which has no rate.
    pub fn climb(
        plan: &Plan,
        mut run: impl FnMut(&Plan, String) -> Result<Judged, Failure>,
    ) -> Result<Ramp, Failure> {
        let Model::Open { rate: asked, seed, .. } = plan.model else { return Ok(Ramp(Vec::new())) };
        let mut steps = Vec::new();
        for rate in STEPS.map(|part| asked * part).into_iter().filter(|rate| RATES.contains(rate)) {
            let model = Model::Open { rate, shape: Shape::Even, seed };
            let time = Duration::from_secs_f64(ENOUGH / rate).clamp(SHORTEST, LONGEST);
            run(&plan.with(model, time / WARM_UP), format!("warm-up, {rate}/s"))?;
            let step = plan.with(model, time);
            let Judged { ran, verdict } = run(&step, format!("ramp, {rate}/s"))?;
            let counts = &ran.record.counts;
            steps.push(Step {
                rate,
                grade: verdict.grade(),
                p95: ran.record.latency.quantile(0.95),
                errors: counts.errors() as f64 / counts.offered().max(1) as f64,
                broken: verdict.broken().collect(),
                invalid: verdict.invalid.clone(),
            });
            if verdict.grade() != Grade::Pass {
                break;
            }
        }
        Ok(Ramp(steps))
    }

    fn carried(&self) -> Option<f64> {
        let passed = self.0.iter().rev().find(|step| step.grade == Grade::Pass);
        passed.map(|step| step.rate)
    }

    /// What was found, in a sentence.
    fn found(&self) -> String {
        let carried = match self.carried() {
            Some(rate) => format!("{rate} arrivals a second are carried"),
            None => "no rate that was tried is carried".to_owned(),
        };
        let end = match self.0.last() {
            Some(Step { rate, grade: Grade::Fail, .. }) => format!(", {rate} are not"),
            Some(Step { rate, grade: Grade::Invalid, invalid, .. }) => {
                format!("; {rate} says nothing: {}", invalid.join(", "))
            }
            _ => "; no higher rate was tried".to_owned(),
        };
        format!("capacity: {carried}{end}")
    }

    pub fn text(&self) -> String {
        let mut table = Table::new(&["ramp, arrivals a second", "p95", "errors", "verdict", "broken"]);
        for step in &self.0 {
            table.row(vec![
                step.rate.to_string(),
                step.p95.map_or_else(|| "-".to_owned(), time),
                percent(step.errors, 2),
                step.grade.as_str().to_owned(),
                step.broken.join(", "),
            ]);
        }
        format!("{table}\n\n{}", self.found())
    }

    pub fn json(&self) -> Value {
        let step = |step: &Step| {
            json!({
                "rate_per_second": step.rate,
                "verdict": step.grade.as_str(),
                "p95_ms": step.p95.and_then(millis),
                "broken": step.broken,
                "invalid": step.invalid,
            })
        };
        json!({
            "carried_per_second": self.carried(),
            "steps": self.0.iter().map(step).collect::<Value>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loadtest::drive::Ran;
    use crate::loadtest::scenario::tests::plan;
    use crate::loadtest::spread::Outcome;
    use crate::loadtest::verdict::tests::ran;

    /// A ramp of a pool that carries up to `most`, and the times of its loads.
    fn climbed(line: &str, most: f64, change: impl Fn(&mut Ran)) -> (Ramp, Vec<Duration>) {
        let mut times = Vec::new();
        let ramp = Ramp::climb(&plan(line), |step, _| {
            let Model::Open { rate, shape: Shape::Even, .. } = step.model else { panic!("{step:?}") };
            times.push(step.time);
            let errors = if rate > most { 100 } else { 0 };
            let of = |ran: &mut Ran| {
                ran.record.add_many(Outcome::Failed, errors, Duration::from_millis(40));
                change(ran);
            };
            Ok(Judged::of(step, ran(100, 5_000, of)))
        });
        (ramp.unwrap(), times)
    }

    fn ramp(line: &str, most: f64) -> Ramp {
        climbed(line, most, |_| {}).0
    }

    #[test]
    fn each_rate_has_a_warm_up_and_time_for_enough_requests() {
        let seconds = |line| {
            let times = climbed(line, 0.0, |_| {}).1;
            times.iter().map(Duration::as_secs).collect::<Vec<_>>()
        };
        assert_eq!(seconds("peak"), [1, 3]);
        assert_eq!(seconds("peak --rate 40"), [3, 10]);
        assert_eq!(seconds("peak --rate 0.1"), [20, 60], "no rate below the lowest is tried");
    }

    #[test]
    fn a_rate_that_says_nothing_ends_it_with_the_reason() {
        let lags = |ran: &mut Ran| ran.record.queued = Duration::from_secs(9);
        let (ramp, _) = climbed("peak", 1e9, lags);
        assert!(ramp.text().contains("; 225 says nothing: cores are short: "), "{}", ramp.text());
        assert_eq!(ramp.json()["steps"][0]["invalid"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn it_ends_at_the_first_rate_that_is_not_carried() {
        let climbed = ramp("peak", 900.0);
        assert_eq!(
            climbed.0.iter().map(|step| step.rate).collect::<Vec<_>>(),
            [225.0, 450.0, 675.0, 900.0, 1125.0]
        );
        assert!(climbed.text().ends_with("capacity: 900 arrivals a second are carried, 1125 are not"));
        assert_eq!(climbed.json()["carried_per_second"], 900.0);
        assert_eq!(climbed.json()["steps"][4]["broken"], json!(["errors", "p95"]));
        let none = ramp("spike", 1.0);
        assert!(none.text().ends_with("capacity: no rate that was tried is carried, 135 are not"));
    }

    #[test]
    fn it_ends_where_no_higher_rate_can_be_asked_for() {
        let climbed = ramp("peak --rate 20000", 1e9);
        assert_eq!(climbed.carried(), Some(*RATES.end()));
        assert!(climbed.text().ends_with("20000 arrivals a second are carried; no higher rate was tried"));
    }
}
