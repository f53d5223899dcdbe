//! The program `tierpool`: what an operator asks who has a connection string and nothing else.
//!
//! | module | job |
//! | --- | --- |
//! | `outcome` | exit codes, and failures that end a command |
//! | `output` | text to standard output, whose reader may go away |
//! | `table` | a table as text |
//! | `chart` | charts as SVG |
//! | `percentiles` | curves of percentiles |
//! | `environment` | `.env`, and which variables came from it |
//! | `arguments` | the commands and their options |
//! | `config` | the command `config` |
//! | `seen` | what is seen of pools: by their admin sockets, and by the server |
//! | `status` | the command `status` |
//! | `serve` | the command `serve` |
//! | `top` | the command `top` |
//! | `loadtest` | the command `loadtest` |
//! | `fleet` | the command `fleet` |
//! | `queue` | the command `queue` |
//! | `verify` | the command `verify` |
//! | `pages` | the commands `completions` and `man` |

mod arguments;
mod chart;
mod config;
mod environment;
mod fleet;
mod loadtest;
mod outcome;
mod output;
mod pages;
mod percentiles;
mod queue;
mod seen;
mod serve;
mod status;
mod table;
mod top;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command};
use crate::outcome::{Code, Failure};

fn main() -> ExitCode {
    let outcome = match Arguments::try_parse() {
        Ok(arguments) => run(arguments.command),
        // Help and version, too: they are for standard output, and good.
        Err(told) => output::of_parser(&told),
    };
    outcome.unwrap_or_else(|failure| output::complain(&failure)).into()
}

fn run(command: Command) -> Result<Code, Failure> {
    match command {
        Command::Config(options) => config::run(&options),
        Command::Status(options) => status::run(&options),
        Command::Top(options) => top::run(&options),
        Command::Serve(options) => serve::run(&options),
        Command::Loadtest(options) => loadtest::run(&options),
        Command::Fleet { act } => fleet::run(&act),
        Command::Queue { act } => queue::run(&act),
        Command::Verify(options) => verify::run(&options),
        Command::Completions { shell } => pages::completions(shell),
        Command::Man { command } => pages::man(command.as_deref()),
    }
}
