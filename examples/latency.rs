//! Prints how long checkouts take, beside r2d2; `--help` tells the options and exit codes.

mod dotenv;
#[path = "latency/mod.rs"]
mod latency;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{self, Write};
use std::process::ExitCode;

use latency::args::{self, Database, HELP, Plan, Request};
use latency::growth::curves;
use latency::measure::{Crowd, clock_cost};
use latency::page::page;
use latency::pools::Backend;
use latency::table::Table;

const NOT_CARRIED_OUT: u8 = 1;
const USAGE: u8 = 2;

fn main() -> ExitCode {
    if let Err(error) = dotenv::read() {
        complain(&error);
        return ExitCode::from(NOT_CARRIED_OUT);
    }
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("error"));
    match args::parse(std::env::args_os().skip(1)) {
        Ok(Request::Help) => {
            print(HELP);
            ExitCode::SUCCESS
        }
        Ok(Request::Run(plan)) => match carry_out(&plan) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&error);
                ExitCode::from(NOT_CARRIED_OUT)
            }
        },
        Err(error) => {
            complain(&format!("{error}\nTry --help."));
            ExitCode::from(USAGE)
        }
    }
}

fn carry_out(plan: &Plan) -> Result<(), String> {
    let Plan { threads, size, hold, tier, time, .. } = plan;
    let behind = match plan.database {
        Database::Memory => "connections that do nothing",
        Database::Throwaway => "a throw-away PostgreSQL",
        Database::At(_) => "PostgreSQL",
    };
    let said = format!(
        "{threads} threads, {size} connections of the {tier} tier, held for {hold:?}, {time:?} for each pool, \
         {behind}; each time includes {:?} of reading the clock",
        clock_cost()
    );
    let backend = Backend::ready(&plan.database)?;
    let crowd = Crowd { threads: *threads, hold: *hold };
    let measured = backend.pools(*tier, *size)?.compare(crowd, *time);
    print(&format!("{said}\n\n{}", Table(&measured)));
    if let Some(file) = &plan.html {
        let page = page(&said, &measured, &curves(plan, &backend)?)?;
        std::fs::write(file, page).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        complain(&format!("written: {}", file.display()));
    }
    Ok(())
}

/// Writes to standard output; a reader that has gone away, as `head` does, is no fault of the run.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes one line to standard error, which may be closed too.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
