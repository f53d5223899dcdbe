//! From raw arguments to a checked plan.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use lexopt::prelude::*;

use super::number::number;

/// What `--help` prints.
pub const HELP: &str = "\
Scrapes a folder of real documents into PostgreSQL, through a tierpool: the manifests of
packages, and the title, headings, links and words of Markdown, HTML, plain text
(readmes, licences, changelogs) and of the documentation in Rust sources.

Usage: batch_scraper [--input DIR] [--workers N] [--limit N] [--http ADDR]
                     [--queue NAME]

  --input DIR    folder to scrape; default: the package sources in cargo's registry
                 ($CARGO_HOME/registry/src, or ~/.cargo/registry/src)
  --workers N    threads that write, each on a connection, 1 to 1024; files are read and
                 parsed by others; default: the automation tier's base size
  --limit N      scrape only the first N items, at least 1; default: all
  --http ADDR    serve the page, /metrics and /health/pool there while it runs, such as
                 127.0.0.1:9464; takes a build with the feature http
  --queue NAME   share the work with other processes by the queue of this name, in the
                 database: the first of them fills it, each ends when it is empty, and what
                 one that dies had under way is done by the others a minute later
  -h, --help     print this help

Environment:
  DATABASE_URL   the server to write to (tables in the schema tierpool_scraper);
                 unset: a throw-away local PostgreSQL, removed at the end
  DB_POOL_ADMIN  true: an admin socket, by which the run can be suspended and resumed;
                 takes a build with the feature http

The first Ctrl-C ends the run after the items under way, where DATABASE_URL is set; a
second one ends it at once.

Exit codes:
  0  every item is in the database
  1  the run could not be carried out (no input, no server, no tables)
  2  the command line was wrong
  3  some items failed or were not started; the report names them
";

/// More threads than this is a typing mistake rather than a wish.
const MAX_WORKERS: usize = 1024;

/// What the command line asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Print [`HELP`] and stop.
    Help,
    /// Scrape as planned.
    Run(Plan),
}

/// A checked run.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// The folder to scrape, which existed when it was checked.
    pub input: PathBuf,
    /// Threads that write; `None` leaves it to the batch runner.
    pub workers: Option<usize>,
    /// The most items to take; `None` takes all.
    pub limit: Option<usize>,
    /// Where the run is to be seen.
    pub http: Option<String>,
    /// The queue by which the work is shared.
    pub queue: Option<String>,
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
/// Every unknown argument, missing value, number out of range and an input that is no folder, all at once.
pub fn parse(raw: impl IntoIterator<Item = OsString>) -> Result<Request, UsageError> {
    let mut faults = Vec::new();
    let (mut input, mut workers, mut limit, mut http, mut queue) = (None, None, None, None, None);
    let mut parser = lexopt::Parser::from_args(raw);
    loop {
        match parser.next() {
            Ok(None) => break,
            Ok(Some(Short('h') | Long("help"))) => return Ok(Request::Help),
            Ok(Some(Long("input"))) => match parser.value() {
                Ok(folder) => input = Some(PathBuf::from(folder)),
                Err(_) => faults.push("--input needs a folder".into()),
            },
            Ok(Some(Long("workers"))) => {
                workers = number(&mut parser, "--workers", MAX_WORKERS, &mut faults);
            }
            Ok(Some(Long("limit"))) => limit = number(&mut parser, "--limit", usize::MAX, &mut faults),
            Ok(Some(Long("http"))) => http = address(&mut parser, &mut faults),
            Ok(Some(Long("queue"))) => match parser.value().map(|name| name.into_string()) {
                Ok(Ok(name)) => queue = Some(name),
                _ => faults.push("--queue needs a name".into()),
            },
            Ok(Some(other)) => faults.push(format!(
                "{}; known are --input DIR, --workers N, --limit N, --http ADDR, --queue NAME and --help",
                other.unexpected()
            )),
            // lexopt goes on after such an error, so that later faults are found too.
            Err(error) => faults.push(error.to_string()),
        }
    }
    let input = match input {
        Some(folder) => folder_named(&folder, "--input", &mut faults),
        None if faults.is_empty() => default_input(&mut faults),
        None => None,
    };
    match input {
        Some(input) if faults.is_empty() => Ok(Request::Run(Plan { input, workers, limit, http, queue })),
        _ => Err(UsageError(faults)),
    }
}

/// The address of `--http`, which whoever serves there checks.
fn address(parser: &mut lexopt::Parser, faults: &mut Vec<String>) -> Option<String> {
    let given = parser.value().ok().and_then(|addr| addr.into_string().ok());
    if given.is_none() {
        faults.push("--http needs an address, such as 127.0.0.1:9464".into());
    } else if cfg!(not(feature = "http")) {
        faults.push("--http takes a build with the feature: cargo run --features http ...".into());
    }
    given
}

/// The canonical form of `folder`, because a document's key in the database is its absolute path: the same folder
/// named in another way has to give the same rows.
fn folder_named(folder: &Path, what: &str, faults: &mut Vec<String>) -> Option<PathBuf> {
    match folder.canonicalize() {
        Ok(path) if path.is_dir() => Some(path),
        Ok(_) => {
            faults.push(format!("{what} is {folder:?}, which is not a folder"));
            None
        }
        Err(error) => {
            faults.push(format!("{what} is {folder:?}, which cannot be read: {error}"));
            None
        }
    }
}

fn default_input(faults: &mut Vec<String>) -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .filter(|home| !home.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let Some(home) = home else {
        faults.push("neither CARGO_HOME nor a home folder is known; name a folder with --input DIR".into());
        return None;
    };
    let what = "cargo's registry (choose another folder with --input DIR)";
    folder_named(&home.join("registry/src"), what, faults)
}

#[cfg(test)]
mod tests {
    use super::{Plan, Request, parse};

    fn run(args: &[&str]) -> Result<Request, String> {
        parse(args.iter().map(Into::into)).map_err(|error| error.to_string())
    }

    #[test]
    fn takes_every_flag() {
        let folder = std::env::temp_dir().canonicalize().unwrap();
        let plan = Plan {
            input: folder.clone(),
            workers: Some(8),
            limit: Some(20),
            http: None,
            queue: Some("jobs".into()),
        };
        let args = ["--input", folder.to_str().unwrap(), "--workers=8", "--limit", "20", "--queue", "jobs"];
        assert_eq!(run(&args), Ok(Request::Run(plan)));
        assert_eq!(run(&["--help", "--nonsense"]), Ok(Request::Help));
    }

    #[test]
    fn names_every_fault_at_once() {
        let error =
            run(&["--workers", "0", "--limit", "-3", "--fast", "--input", "/no/such", "x"]).unwrap_err();
        for expected in
            ["--workers is \"0\"", "1 to 1024", "--limit is \"-3\"", "--fast", "/no/such", "\"x\""]
        {
            assert!(error.contains(expected), "{expected:?} is missing in: {error}");
        }
        assert!(run(&["--http"]).unwrap_err().contains("--http needs an address"));
        assert!(run(&["--workers"]).unwrap_err().contains("--workers needs a number"));
        assert!(run(&["--queue"]).unwrap_err().contains("--queue needs a name"));
        assert!(run(&["--workers", "1025"]).unwrap_err().contains("1025"));
    }

    #[test]
    fn refuses_a_file_as_input() {
        let file = std::env::current_exe().unwrap();
        assert!(run(&["--input", file.to_str().unwrap()]).unwrap_err().contains("not a folder"));
    }
}
