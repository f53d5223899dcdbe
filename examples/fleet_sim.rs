//! Simulates a fleet under faults, and draws it; `--help` tells the options and exit codes.

#[path = "fleet_sim/mod.rs"]
mod fleet_sim;

use std::io::{self, Write};
use std::process::ExitCode;

use fleet_sim::args::{HELP, Request, parse};
use fleet_sim::page::{page, said};
use fleet_sim::world::run;

const DID_NOT_HOLD: u8 = 1;
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let (scenario, html) = match parse(std::env::args_os().skip(1)) {
        Ok(Request::Help) => {
            print(HELP);
            return ExitCode::SUCCESS;
        }
        Ok(Request::Run(scenario, html)) => (scenario, html),
        Err(error) => {
            complain(&format!("{error}\nTry --help."));
            return ExitCode::from(USAGE);
        }
    };
    let report = match run(&scenario) {
        Ok(report) => report,
        Err(broken) => {
            complain(&format!("seed {}: {broken}", scenario.seed));
            return ExitCode::from(DID_NOT_HOLD);
        }
    };
    print(&format!("{}\n", said(&scenario, &report)));
    if let Some(file) = html {
        let written = page(&scenario, &report)
            .and_then(|page| std::fs::write(&file, page).map_err(|error| error.to_string()));
        if let Err(error) = written {
            complain(&format!("cannot write {}: {error}", file.display()));
            return ExitCode::from(DID_NOT_HOLD);
        }
    }
    ExitCode::SUCCESS
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
