//! From raw arguments to a checked plan.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::OpenOptions;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use lexopt::prelude::*;
use tierpool::Tier;

/// What `--help` prints.
pub const HELP: &str = "\
Measures how long callers wait for a connection, in a tierpool and in r2d2 in turn.

Usage: latency [--threads N] [--size N] [--hold MS] [--tier TIER] [--seconds S]
               [--database URL|throwaway] [--html FILE]

  --threads N      threads that come for connections, 1 to 1024; default 8
  --size N         connections, 1 to 1024; default 8
  --hold MS        how long each connection is held, 0 to 60000, parts of a
                   millisecond too; default 1
  --tier TIER      automation or adhoc; default automation
  --seconds S      time for each of the two pools, 0.1 to 3600; default 3
  --database WHAT  the connections are those of a PostgreSQL: the URL of a server,
                   or `throwaway` for one that is removed at the end; default:
                   connections that do nothing
  --html FILE      write a page with the curves, without outside assets
  -h, --help       print this help

Exit codes:
  0  measured
  1  the measurement could not be carried out (no server, no file)
  2  the command line was wrong
";

/// More threads or connections than this is a typing mistake rather than a wish.
const MAX: u32 = 1024;

/// What the command line asked for.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// Print [`HELP`] and stop.
    Help,
    /// Measure as planned.
    Run(Plan),
}

/// A checked measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub threads: u32,
    pub size: u32,
    pub hold: Duration,
    pub tier: Tier,
    /// For each of the two pools.
    pub time: Duration,
    pub database: Database,
    /// A file that could be written to when it was checked.
    pub html: Option<PathBuf>,
}

/// What is behind the connections.
#[derive(Clone, PartialEq)]
pub enum Database {
    /// Nothing.
    Memory,
    /// A PostgreSQL of one's own.
    Throwaway,
    /// The server of a URL.
    At(String),
}

/// Without the URL, which may hold a password.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Database::Memory => "Memory",
            Database::Throwaway => "Throwaway",
            Database::At(_) => "At(..)",
        })
    }
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
/// Every unknown argument, missing value, number out of range and a page that cannot be written, all at once.
pub fn parse(raw: impl IntoIterator<Item = OsString>) -> Result<Request, UsageError> {
    let mut faults = Faults(Vec::new());
    let mut plan = Plan {
        threads: 8,
        size: 8,
        hold: Duration::from_millis(1),
        tier: Tier::Automation,
        time: Duration::from_secs(3),
        database: Database::Memory,
        html: None,
    };
    let mut parser = lexopt::Parser::from_args(raw);
    loop {
        let flag = match parser.next() {
            Ok(None) => break,
            Ok(Some(Short('h') | Long("help"))) => return Ok(Request::Help),
            Ok(Some(Long(flag))) => flag.to_owned(),
            Ok(Some(other)) => {
                faults.unknown(&other.unexpected());
                continue;
            }
            // lexopt goes on after such an error, so that later faults are found too.
            Err(error) => {
                faults.0.push(error.to_string());
                continue;
            }
        };
        if !["threads", "size", "hold", "tier", "seconds", "database", "html"].contains(&flag.as_str()) {
            faults.unknown(&format!("invalid option '--{flag}'"));
            // Its value, where it came with an equals sign, is no argument of its own.
            let _ = parser.optional_value();
            continue;
        }
        let Ok(value) = parser.value() else {
            faults.0.push(format!("--{flag} needs a value"));
            continue;
        };
        let (flag, given) = (flag.as_str(), value.as_os_str());
        match flag {
            "threads" => faults.set(&mut plan.threads, flag, given, 1..=MAX),
            "size" => faults.set(&mut plan.size, flag, given, 1..=MAX),
            "hold" => faults.set_time(&mut plan.hold, flag, given, 0.0..=60_000.0, 1e-3),
            "seconds" => faults.set_time(&mut plan.time, flag, given, 0.1..=3600.0, 1.0),
            "tier" => match given.to_str() {
                Some("automation") => plan.tier = Tier::Automation,
                Some("adhoc") => plan.tier = Tier::Adhoc,
                _ => faults.0.push(format!("--tier is {given:?}; allowed are automation and adhoc")),
            },
            "database" => match given.to_str() {
                Some("throwaway") => plan.database = Database::Throwaway,
                Some(url) if !url.is_empty() => plan.database = Database::At(url.to_owned()),
                _ => faults.0.push("--database is empty or no text; allowed are a URL and throwaway".into()),
            },
            _ => plan.html = Some(PathBuf::from(given)),
        }
    }
    // Known before the measurement rather than after it. A file that is there keeps its content until then.
    if let Some(file) = plan.html.as_ref().filter(|_| faults.0.is_empty())
        && let Err(error) = OpenOptions::new().create(true).append(true).open(file)
    {
        faults.0.push(format!("--html is {file:?}, which cannot be written: {error}"));
    }
    if faults.0.is_empty() { Ok(Request::Run(plan)) } else { Err(UsageError(faults.0)) }
}

/// What is wrong so far.
struct Faults(Vec<String>);

impl Faults {
    fn unknown(&mut self, what: &dyn fmt::Display) {
        self.0.push(format!(
            "{what}; known are --threads, --size, --hold, --tier, --seconds, --database, --html and --help"
        ));
    }

    fn set<T>(&mut self, to: &mut T, flag: &str, given: &OsStr, allowed: RangeInclusive<T>)
    where
        T: FromStr + PartialOrd + fmt::Display,
    {
        match given.to_str().and_then(|text| text.parse().ok()).filter(|value| allowed.contains(value)) {
            Some(value) => *to = value,
            None => {
                let (least, most) = (allowed.start(), allowed.end());
                self.0.push(format!("--{flag} is {given:?}; allowed is a number from {least} to {most}"));
            }
        }
    }

    fn set_time(
        &mut self,
        to: &mut Duration,
        flag: &str,
        given: &OsStr,
        allowed: RangeInclusive<f64>,
        unit: f64,
    ) {
        let mut value = to.as_secs_f64() / unit;
        self.set(&mut value, flag, given, allowed);
        *to = Duration::from_secs_f64(value * unit);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tierpool::Tier;

    use super::{Database, Plan, Request, parse};

    fn run(args: &[&str]) -> Result<Request, String> {
        parse(args.iter().map(Into::into)).map_err(|error| error.to_string())
    }

    #[test]
    fn takes_every_flag() {
        let folder = tempfile::tempdir().unwrap();
        let html = folder.path().join("page.html");
        let page = html.to_str().unwrap();
        let plan = Plan {
            threads: 64,
            size: 4,
            hold: Duration::from_micros(500),
            tier: Tier::Adhoc,
            time: Duration::from_secs(2),
            database: Database::Throwaway,
            html: Some(html.clone()),
        };
        let args = ["--threads=64", "--size", "4", "--hold", "0.5", "--tier", "adhoc", "--seconds", "2"];
        let args = [&args[..], &["--database", "throwaway", "--html", page]].concat();
        assert_eq!(run(&args), Ok(Request::Run(plan)));
        assert!(html.is_file(), "the page can be written");
        assert_eq!(run(&["-h", "--nonsense"]), Ok(Request::Help));
    }

    #[test]
    fn names_every_fault_at_once() {
        let args = ["--threads", "0", "--hold=-1", "--tier", "vip", "--seconds", "NaN", "--fast=1", "x"];
        let error = run(&args).unwrap_err();
        for expected in [
            "--threads is \"0\"",
            "1 to 1024",
            "--hold is \"-1\"",
            "automation and adhoc",
            "NaN",
            "--fast",
            "\"x\"",
        ] {
            assert!(error.contains(expected), "{expected:?} is missing in: {error}");
        }
        assert_eq!(error.lines().count(), 6, "{error}");
        assert!(run(&["--size"]).unwrap_err().contains("--size needs a value"));
    }

    #[test]
    fn refuses_a_page_that_cannot_be_written_and_leaves_one_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let error = run(&["--html", folder.path().join("no/page.html").to_str().unwrap()]).unwrap_err();
        assert!(error.contains("cannot be written"), "{error}");
        let page = folder.path().join("page.html");
        std::fs::write(&page, "old").unwrap();
        run(&["--html", page.to_str().unwrap()]).unwrap();
        assert_eq!(std::fs::read_to_string(&page).unwrap(), "old");
    }

    #[test]
    fn never_shows_a_url() {
        let Ok(Request::Run(plan)) = run(&["--database", "postgresql://app:hush@db/app"]) else {
            panic!("a URL is taken")
        };
        assert!(!format!("{plan:?}").contains("hush"));
    }
}
