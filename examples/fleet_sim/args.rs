//! From raw arguments to a checked scenario.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use lexopt::prelude::*;
use tierpool::fleet::core::Budget;

use super::plan::{Fault, Scenario};

/// What `--help` prints.
pub const HELP: &str = "\
Runs many processes of a fleet against a model of a server, and says how they fare.

Usage: fleet_sim [--processes N] [--budget N] [--reserve N] [--wants N]
                 [--heaviest N] [--other-budget N] [--seconds S] [--seed N]
                 [--faults LIST] [--no-role-limit] [--html FILE]

  --processes N    1 to 5000; default 40
  --budget N       connections of the fleet, 1 to 100000; default 60
  --reserve N      those of them that are for people; default 5
  --wants N        connections that each process wants, 1 to 1000; default 10
  --heaviest N     processes have weights of 1 to N, in turns; 1 to 100; default 1
  --other-budget N every second process reckons with this budget instead
  --seconds S      time simulated, 1 to 3600; default 90
  --seed N         repeats a run; default: another one each time
  --faults LIST    of crash, stop, partition, slow, restart, failover, terminate
                   and demand, with commas; or `none`; default: all
  --no-role-limit  the server knows no limit of automation's role
  --html FILE      write a page with the curves, without outside assets
  -h, --help       print this help

Exit codes:
  0  all that is promised held
  1  something did not, or the page could not be written
  2  the command line was wrong
";

/// What the command line asked for.
#[derive(Debug, PartialEq)]
pub enum Request {
    Help,
    Run(Scenario, Option<PathBuf>),
}

/// # Errors
/// What is wrong, in one line.
pub fn parse(raw: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let (mut processes, mut total, mut reserve, mut wants, mut seconds) = (40, 60, 5, 10, 90);
    let (mut heaviest, mut other, mut seed) = (1, None, None);
    let mut faults = Fault::ALL.to_vec();
    let (mut has_role_limit, mut html) = (true, None);
    let mut parser = lexopt::Parser::from_args(raw);
    while let Some(argument) = parser.next().map_err(said)? {
        match argument {
            Short('h') | Long("help") => return Ok(Request::Help),
            Long("processes") => processes = number(&mut parser, 1..=5_000)?,
            Long("budget") => total = number(&mut parser, 1..=100_000)?,
            Long("reserve") => reserve = number(&mut parser, 0..=100_000)?,
            Long("wants") => wants = number(&mut parser, 1..=1_000)?,
            Long("heaviest") => heaviest = number(&mut parser, 1..=100)?,
            Long("other-budget") => other = Some(number(&mut parser, 1..=100_000)?),
            Long("seconds") => seconds = number(&mut parser, 1..=3_600)?,
            Long("seed") => seed = Some(number(&mut parser, 0..=u64::MAX)?),
            Long("faults") => faults = listed(&parser.value().and_then(|v| v.string()).map_err(said)?)?,
            Long("no-role-limit") => has_role_limit = false,
            Long("html") => html = Some(PathBuf::from(parser.value().map_err(said)?)),
            other => return Err(said(other.unexpected())),
        }
    }
    let of = |total| Budget::new(total, reserve).map_err(|error| error.to_string());
    let (budget, other) = (of(total)?, other.map(of).transpose()?);
    let seed = seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let scenario =
        Scenario { processes, budget, other, wants, heaviest, seconds, has_role_limit, faults, seed };
    Ok(Request::Run(scenario, html))
}

fn said(error: lexopt::Error) -> String {
    error.to_string()
}

fn number<T>(parser: &mut lexopt::Parser, range: RangeInclusive<T>) -> Result<T, String>
where
    T: FromStr + PartialOrd + std::fmt::Display,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let value = parser.value().and_then(|value| value.parse::<T>()).map_err(said)?;
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(format!("{value} is not between {} and {}", range.start(), range.end()))
    }
}

fn listed(list: &str) -> Result<Vec<Fault>, String> {
    if list == "none" {
        return Ok(Vec::new());
    }
    let of = |name| Fault::ALL.into_iter().find(|fault| fault.name() == name);
    list.split(',').map(|name| of(name).ok_or(format!("no such fault: {name:?}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::{Fault, Request, parse};

    #[test]
    fn a_command_line_is_a_scenario_or_a_reason() {
        let parsed = |line: &str| parse(line.split_whitespace().map(Into::into));
        let Ok(Request::Run(scenario, None)) = parsed("--processes 10 --faults crash,stop --seed 7") else {
            panic!("a plain line")
        };
        assert_eq!((scenario.processes, scenario.seed), (10, 7));
        assert_eq!(scenario.faults, [Fault::Crash, Fault::Stop]);
        for (line, reason) in [
            ("--processes 0", "0 is not between 1 and 5000"),
            ("--faults crash,flood", "no such fault: \"flood\""),
            ("--budget 8", "a fleet needs 2"),
            ("--other-budget 7", "a fleet needs 2"),
            ("--heaviest 0", "0 is not between 1 and 100"),
            ("--what", "--what"),
        ] {
            let told = parsed(line).unwrap_err();
            assert!(told.contains(reason), "{line}: {told}");
        }
        assert_eq!(parsed("--help"), Ok(Request::Help));
    }
}
