//! From raw arguments to a checked plan.

use std::ffi::OsString;
use std::fmt;

use lexopt::prelude::*;

use super::number::number;

/// What `--help` prints.
pub const HELP: &str = "\
Scrapes a small web into PostgreSQL, through a tierpool: pages are fetched without a
connection, at each host's pace and by its robots.txt, and stored in groups. The web is
this program's own, a server on loopback with several hosts, thousands of linked pages,
latencies and faults; at the end the report is checked against what the server has seen.

Usage: web_scraper [--pages N] [--runs N] [--rate N] [--seed N] [--edition N] [--stop-after N]

  --pages N       pages of the web, 1 to 100000; default: 2000
  --runs N        how often to scrape it, one run after the other; from the second on
                  only what has changed is fetched again; default: 1
  --rate N        requests a second that one host is sent at the most, 1 to 10000, less
                  where its robots.txt asks for less; default: 200
  --seed N        which web; default: 1
  --edition N     which edition of it: in each, some of the pages differ; default: 1
  --stop-after N  stop as Ctrl-C does after N pages; the next run goes on from there
  -h, --help      print this help

Environment:
  DATABASE_URL   the server to write to (tables in the schema tierpool_web);
                 unset: a throw-away local PostgreSQL, removed at the end

The first Ctrl-C ends the run after the pages under way, where DATABASE_URL is set; the
next run over the same web goes on from there. One run at a time on a database.

Exit codes:
  0  the run is finished, and the report agrees with what the server has seen
  1  the run could not be carried out (no database, no tables, another one at work)
  2  the command line was wrong
  3  the run was stopped or broke off, or a check failed; the report says which
";

/// More pages than this take hours at the default rate.
const MAX_PAGES: usize = 100_000;
/// Above this a limit is none.
const MAX_RATE: usize = 10_000;

/// What the command line asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Print [`HELP`] and stop.
    Help,
    /// Scrape as planned.
    Run(Plan),
}

/// A checked run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub pages: usize,
    pub runs: usize,
    /// Requests a second to one host.
    pub rate: usize,
    pub seed: usize,
    pub edition: usize,
    /// Pages after which the run stops; `None` goes on to the end.
    pub stop_after: Option<usize>,
}

/// Everything wrong with a command line, one line each.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError(Vec<String>);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for UsageError {}

/// Reads the arguments that follow the program's name.
///
/// # Errors
/// Every unknown argument, missing value and number out of range, all at once.
pub fn parse(raw: impl IntoIterator<Item = OsString>) -> Result<Request, UsageError> {
    let mut faults = Vec::new();
    let mut plan = Plan { pages: 2_000, runs: 1, rate: 200, seed: 1, edition: 1, stop_after: None };
    let mut parser = lexopt::Parser::from_args(raw);
    loop {
        let (flag, max) = match parser.next() {
            Ok(None) => break,
            Ok(Some(Short('h') | Long("help"))) => return Ok(Request::Help),
            Ok(Some(Long("pages"))) => ("--pages", MAX_PAGES),
            Ok(Some(Long("runs"))) => ("--runs", usize::MAX),
            Ok(Some(Long("rate"))) => ("--rate", MAX_RATE),
            Ok(Some(Long("seed"))) => ("--seed", usize::MAX),
            Ok(Some(Long("edition"))) => ("--edition", usize::MAX),
            Ok(Some(Long("stop-after"))) => ("--stop-after", usize::MAX),
            Ok(Some(other)) => {
                faults.push(format!("{}; --help names the options", other.unexpected()));
                continue;
            }
            // lexopt goes on after such an error, so that later faults are found too.
            Err(error) => {
                faults.push(error.to_string());
                continue;
            }
        };
        let Some(value) = number(&mut parser, flag, max, &mut faults) else { continue };
        match flag {
            "--pages" => plan.pages = value,
            "--runs" => plan.runs = value,
            "--rate" => plan.rate = value,
            "--seed" => plan.seed = value,
            "--edition" => plan.edition = value,
            _ => plan.stop_after = Some(value),
        }
    }
    if faults.is_empty() { Ok(Request::Run(plan)) } else { Err(UsageError(faults)) }
}

#[cfg(test)]
mod tests {
    use super::{Plan, Request, parse};

    fn run(args: &[&str]) -> Result<Request, String> {
        parse(args.iter().map(Into::into)).map_err(|error| error.to_string())
    }

    #[test]
    fn takes_every_flag() {
        let plan = Plan { pages: 60, runs: 2, rate: 50, seed: 7, edition: 3, stop_after: Some(9) };
        let args =
            ["--pages", "60", "--runs=2", "--rate", "50", "--seed=7", "--edition", "3", "--stop-after=9"];
        assert_eq!(run(&args), Ok(Request::Run(plan)));
        assert_eq!(run(&["--help", "--nonsense"]), Ok(Request::Help));
    }

    #[test]
    fn names_every_fault_at_once() {
        let error = run(&["--pages", "0", "--rate", "-3", "--fast", "x", "--runs"]).unwrap_err();
        for expected in
            ["--pages is \"0\"", "1 to 100000", "--rate is \"-3\"", "--fast", "\"x\"", "--runs needs"]
        {
            assert!(error.contains(expected), "{expected:?} is missing in: {error}");
        }
    }
}
