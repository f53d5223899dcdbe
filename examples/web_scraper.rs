//! Scrapes a small web into PostgreSQL, politely and so that it can be stopped at any time; `--help` tells the options
//! and exit codes.

mod dotenv;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "web/mod.rs"]
mod web;

use std::process::ExitCode;

use web::program::{self, NOT_CARRIED_OUT};
use web::terminal::complain;

fn main() -> ExitCode {
    if let Err(error) = dotenv::read() {
        complain(&error);
        return ExitCode::from(NOT_CARRIED_OUT);
    }
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("error"));
    ExitCode::from(program::run(std::env::args_os().skip(1)))
}
