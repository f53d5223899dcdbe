//! The options of the command.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::statement;

/// The most threads of a run, which is the most users of the closed model.
pub const MOST_THREADS: u32 = 1_000;

/// The rates that may be asked for, in arrivals a second.
pub const RATES: RangeInclusive<f64> = 0.1..=20_000.0;

/// The longest run, in seconds.
pub const LONGEST_SECONDS: u64 = 86_400;

pub const LOADTEST_CODES: &str = "\
Exit codes:
  0    all thresholds hold: errors < 1 %, p95 < 400 ms, no timeouts, utilisation
       < 80 % at the rate asked, and the ad-hoc probe always served
  1    one of them is broken
  2    it could not be told: this machine was too slow to make the load
       (INVALID), the options or settings cannot be used, or the server does not
       answer
       With --compare the code is this pool's own, and 2 where either run is
       INVALID
  130  ended by Ctrl-C";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// 100 users: 180 arrivals a second of 40 ms, for 30 s
    Baseline,
    /// 500 users: 900 arrivals a second of 40 ms, for 30 s
    Peak,
    /// 0 to 300 users, 540 arrivals a second, and back to 0, within 60 s
    Spike,
    /// 100 users for 10 minutes
    Endurance,
    /// 100 users for 30 s, each request a transaction of four statements
    Flow,
}

/// A pool to be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    R2d2,
}

#[derive(Args, Debug)]
pub struct LoadtestOptions {
    /// The scenario
    #[arg(value_enum)]
    pub scenario: Name,
    /// Arrivals a second, from 0.1 to 20000, in place of the scenario's
    #[arg(long, value_parser = rate)]
    pub rate: Option<f64>,
    /// Users who each wait for their answer, at most 1000, in place of a
    /// schedule (closed model)
    #[arg(long, conflicts_with = "rate", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_THREADS)))]
    pub users: Option<u32>,
    /// How long each of them rests after an answer, in seconds [default: 0.55]
    #[arg(long, value_name = "SECONDS", requires = "users", conflicts_with = "rate", value_parser = think)]
    pub think: Option<Duration>,
    /// What each request asks, in place of the scenario's; may be given several
    /// times, for several statements; none that begins or ends a transaction
    #[arg(long, value_name = "SQL", value_parser = statement::one)]
    pub query: Vec<String>,
    /// How long the load lasts, in seconds, in place of the scenario's
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=LONGEST_SECONDS))]
    pub duration: Option<u64>,
    /// The same arrivals for the same number
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Looks for the highest rate that is carried first: at most ten steps of 3 s
    /// or more, from a quarter of the rate to six times as much
    #[arg(long, conflicts_with = "users")]
    pub ramp: bool,
    /// Makes the same load through another pool afterwards, with as many
    /// connections in all, and shows both
    #[arg(long, value_name = "POOL")]
    pub compare: Option<Peer>,
    /// Writes the report with its plots into one page, too
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    number(text, *RATES.start(), *RATES.end())
}

fn think(text: &str) -> Result<Duration, String> {
    number(text, 0.0, 86_400.0).map(Duration::from_secs_f64)
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number = text.parse::<f64>().map_err(|_| "not a number".to_owned())?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(format!("not from {least} to {most}")) }
}
