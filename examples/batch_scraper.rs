//! Scrapes a folder of real documents into PostgreSQL; `--help` tells the options and exit codes.

mod dotenv;
#[path = "scraper/mod.rs"]
mod scraper;
#[path = "../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;

use scraper::program::{NOT_CARRIED_OUT, start};
use scraper::terminal::complain;

fn main() -> ExitCode {
    if let Err(error) = dotenv::read() {
        complain(&error);
        return ExitCode::from(NOT_CARRIED_OUT);
    }
    start(std::env::args_os().skip(1))
}
