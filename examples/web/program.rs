//! The whole program, from its arguments to its exit code.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tierpool::{PgPool, Tier, print_connection_status};

use super::args::{self, HELP, Plan, Request};
use super::check::{Check, check};
use super::report::{Outcome, hosts, rows};
use super::server::{Server, with_causes};
use super::site::plan::Site;
use super::site::serve::Web;
use super::terminal::{complain, print, stop_on_interrupt};
use super::turn::Turn;
use super::{crawl, schema};

const COMPLETE: u8 = 0;
/// Also what a program ends by that does not come to its arguments.
pub const NOT_CARRIED_OUT: u8 = 1;
const USAGE: u8 = 2;
const INCOMPLETE: u8 = 3;

/// Does what the arguments, which follow the program's name, say; returns the exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    match args::parse(args) {
        Ok(Request::Help) => {
            print(HELP);
            COMPLETE
        }
        Ok(Request::Run(plan)) => carry_out(&plan).unwrap_or_else(|error| {
            complain(&error);
            NOT_CARRIED_OUT
        }),
        Err(error) => {
            complain(&format!("{error}\nTry --help."));
            USAGE
        }
    }
}

fn carry_out(plan: &Plan) -> Result<u8, String> {
    let server = Server::choose("web_scraper")?;
    let unreachable = |error: tierpool::Error| format!("cannot reach the database: {}", with_causes(&error));
    let pool = server.pool().map_err(unreachable)?;
    let mut turn = Turn::take(&pool)?;
    // Not of the tier of the turn, which may have one connection only.
    let mut conn = pool.get(Tier::Automation).map_err(unreachable)?;
    schema::create(&mut conn).map_err(|error| format!("cannot make the tables: {}", with_causes(&error)))?;
    drop(conn);
    let stop = stop_on_interrupt(&server).map_err(|error| format!("cannot listen for Ctrl-C: {error}"))?;
    complain(&format!("into {server}"));
    for run in 1..=plan.runs {
        if !scrape(plan, &pool, &mut turn, &stop)? {
            return Ok(INCOMPLETE);
        }
        if run < plan.runs {
            print("\n\n");
        }
    }
    print("\n");
    print_connection_status(&pool);
    Ok(COMPLETE)
}

/// One run, with a server that has seen nothing yet; whether it is finished and everything agrees.
fn scrape(plan: &Plan, pool: &PgPool, turn: &mut Turn<'_>, stop: &Arc<AtomicBool>) -> Result<bool, String> {
    let site = Site { pages: plan.pages, seed: plan.seed as u64, edition: plan.edition as u64 };
    // Whatever was before this run, such as a restart of the server.
    turn.conn()?;
    let described = format!("a web of {site}");
    let web = Web::start(site, plan.rate as f64).map_err(|error| format!("cannot serve the web: {error}"))?;
    complain(&described);
    let outcome = crawl::run(pool, &web, plan.rate, plan.stop_after, stop, complain)?;
    print(&format!("{outcome}\n{}", hosts(&web.seen())));
    let agrees = report_checks(turn, &web, &outcome);
    // The flag alone: whoever set it has ended the run, and the next one is not to begin.
    Ok(agrees && outcome.is_finished && !stop.load(Ordering::Relaxed))
}

/// Prints what the database holds and whether it agrees with what the server has seen.
fn report_checks(turn: &mut Turn<'_>, web: &Web, outcome: &Outcome) -> bool {
    match compare(turn, web, outcome) {
        Ok((rows, checks)) => {
            let lines: String = checks.iter().map(|check| format!("{check}\n")).collect();
            print(&format!("{rows}\nchecked against the server\n{lines}"));
            checks.iter().all(Check::holds)
        }
        Err(reason) => {
            print(&format!("\nchecked against the server: the database cannot be read: {reason}\n"));
            false
        }
    }
}

fn compare(turn: &mut Turn<'_>, web: &Web, outcome: &Outcome) -> Result<(String, Vec<Check>), String> {
    let conn = turn.conn()?;
    let told = |error: postgres::Error| with_causes(&error);
    let counts = schema::counts(&mut **conn).map_err(told)?;
    let checks = check(conn, web, outcome).map_err(told)?;
    Ok((rows(&counts), checks))
}
