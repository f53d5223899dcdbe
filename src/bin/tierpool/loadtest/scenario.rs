//! The scenarios, and what one comes to with the options given.

use std::time::Duration;

use super::options::{LoadtestOptions, MOST_THREADS, Name};

/// How often a user of the open model asks, each second: 500 of them come to 900 arrivals.
const ASKED_EACH_SECOND: f64 = 1.8;

/// What a user of the closed model rests between an answer and the next request.
pub const THINK: Duration = Duration::from_millis(550);

/// The fewest threads of the open model: a thread is busy while its arrival waits.
const FEWEST_THREADS: f64 = 64.0;

/// A query of 40 ms that asks nothing of the server's processors.
const QUERY: &[&str] = &["SELECT pg_sleep(0.04)"];

/// What stands for looking up, checking, working and storing, in one transaction.
const FLOW: &[&str] = &[
    "SELECT count(*) FROM pg_catalog.pg_type",
    "SELECT pg_sleep(0.005)",
    "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'server_version'",
    "SELECT pg_sleep(0.005)",
];

/// How the rate changes over a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Not at all.
    Even,
    /// From nothing to the rate asked, at half-time, and back.
    Spike,
}

struct Scenario {
    users: u32,
    shape: Shape,
    seconds: u64,
    statements: &'static [&'static str],
    in_transaction: bool,
}

impl Name {
    fn scenario(self) -> Scenario {
        let even = |users, seconds| Scenario {
            users,
            shape: Shape::Even,
            seconds,
            statements: QUERY,
            in_transaction: false,
        };
        match self {
            Name::Baseline => even(100, 30),
            Name::Peak => even(500, 30),
            Name::Spike => Scenario { shape: Shape::Spike, ..even(300, 60) },
            Name::Endurance => even(100, 600),
            Name::Flow => Scenario { statements: FLOW, in_transaction: true, ..even(100, 30) },
        }
    }

    /// Connections where nobody has set how many.
    pub fn ceiling(self) -> u32 {
        50
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Name::Baseline => "baseline",
            Name::Peak => "peak",
            Name::Spike => "spike",
            Name::Endurance => "endurance",
            Name::Flow => "flow",
        }
    }
}

/// Who decides when the next request comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Model {
    /// A schedule, whatever becomes of the requests before.
    Open { rate: f64, shape: Shape, seed: u64 },
    /// Each user, so long after the last answer.
    Closed { users: u32, think: Duration, seed: u64 },
}

/// What each request does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    pub statements: Vec<String>,
    pub in_transaction: bool,
}

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub name: Name,
    pub model: Model,
    pub time: Duration,
    pub threads: u32,
    pub work: Work,
}

impl Plan {
    /// What a scenario comes to with the options given.
    pub fn of(options: &LoadtestOptions) -> Plan {
        let scenario = options.scenario.scenario();
        let seed = options.seed;
        let model = match options.users {
            Some(users) => Model::Closed { users, think: options.think.unwrap_or(THINK), seed },
            None => {
                let rate = options.rate.unwrap_or(f64::from(scenario.users) * ASKED_EACH_SECOND);
                Model::Open { rate, shape: scenario.shape, seed }
            }
        };
        let statements = match &options.query[..] {
            [] => scenario.statements.iter().map(|&statement| statement.to_owned()).collect(),
            said => said.to_vec(),
        };
        Plan {
            name: options.scenario,
            model,
            time: Duration::from_secs(options.duration.unwrap_or(scenario.seconds)),
            threads: threads(model),
            work: Work { statements, in_transaction: scenario.in_transaction },
        }
    }

    /// The same work at another rate, for another time.
    pub fn with(&self, model: Model, time: Duration) -> Plan {
        Plan { model, time, threads: threads(model), ..self.clone() }
    }
}

fn threads(model: Model) -> u32 {
    match model {
        Model::Open { rate, .. } => {
            (rate / ASKED_EACH_SECOND).ceil().clamp(FEWEST_THREADS, f64::from(MOST_THREADS)) as u32
        }
        Model::Closed { users, .. } => users,
    }
}

#[cfg(test)]
pub mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    /// The plan of a command line behind `tierpool loadtest`.
    pub fn plan(line: &str) -> Plan {
        let words = ["tierpool", "loadtest"].into_iter().chain(line.split_whitespace());
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Loadtest(options) => Plan::of(&options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn peak_is_nine_hundred_arrivals_a_second_of_five_hundred_users() {
        let peak = plan("peak");
        let Model::Open { rate, shape: Shape::Even, .. } = peak.model else { panic!("{peak:?}") };
        assert_eq!((rate, peak.threads, peak.name.ceiling()), (900.0, 500, 50));
        assert_eq!((peak.time, peak.work.statements.join("; ")), (Duration::from_secs(30), QUERY.join("; ")));
    }

    #[test]
    fn what_is_said_wins_over_the_scenario() {
        let said = plan("flow --rate 12.5 --duration 7 --seed 3 --query X --query Y");
        assert_eq!(said.model, Model::Open { rate: 12.5, shape: Shape::Even, seed: 3 });
        assert_eq!((said.time, said.threads), (Duration::from_secs(7), 64));
        assert_eq!(said.work, Work { statements: vec!["X".into(), "Y".into()], in_transaction: true });
        let closed = plan("peak --users 7 --think 0.25");
        assert_eq!(closed.model, Model::Closed { users: 7, think: Duration::from_millis(250), seed: 1 });
        assert_eq!(closed.threads, 7);
    }

    #[test]
    fn no_rate_asks_for_more_threads_than_the_most() {
        assert_eq!(plan("peak --rate 20000").threads, MOST_THREADS);
    }
}
