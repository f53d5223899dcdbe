//! The program: from its arguments to its exit code.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use postgres::Client;
use tierpool::batch::queue::Claims;
#[cfg(feature = "http")]
use tierpool::http;
use tierpool::{PgPool, Tier, print_connection_status};

use super::args::{self, HELP, Plan, Request};
use super::discover::discover;
use super::run::{place, run};
use super::server::{Server, with_causes};
use super::terminal::{complain, print, stop_on_interrupt};
use super::{progress, schema, shared};

/// No input, no server, no tables.
pub const NOT_CARRIED_OUT: u8 = 1;
const USAGE: u8 = 2;
const INCOMPLETE: u8 = 3;

/// How long the counting at the end waits for a connection.
const COUNT_LIMIT: Duration = Duration::from_secs(5);

/// Runs the program with these arguments, which follow its name.
///
/// # Blocking
/// Until the run has ended.
pub fn start(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // The runner says there when more workers are asked for than can be served.
    let quiet = env_logger::Env::default().default_filter_or("error,tierpool::batch=warn");
    env_logger::init_from_env(quiet);
    match args::parse(arguments) {
        Ok(Request::Help) => {
            print(HELP);
            ExitCode::SUCCESS
        }
        Ok(Request::Run(plan)) => carry_out(&plan).unwrap_or_else(|error| {
            complain(&error);
            ExitCode::from(NOT_CARRIED_OUT)
        }),
        Err(error) => {
            complain(&format!("{error}\nTry --help."));
            ExitCode::from(USAGE)
        }
    }
}

fn carry_out(plan: &Plan) -> Result<ExitCode, String> {
    let items = discover(&plan.input, plan.limit);
    if items.is_empty() {
        return Err(format!("{} holds no manifests and no documents", plan.input.display()));
    }
    let server = Server::choose("batch_scraper")?;
    complain(&format!("{} items below {}, into {server}", items.len(), plan.input.display()));
    let unreachable = |error: tierpool::Error| format!("cannot reach the database: {}", with_causes(&error));
    let pool = server.pool().map_err(unreachable)?;
    #[cfg(feature = "http")]
    let _seen = match &plan.http {
        None => None,
        Some(addr) => Some(see(&pool, addr)?),
    };
    let mut adhoc = pool.get(Tier::Adhoc).map_err(unreachable)?;
    schema::create(&mut adhoc).map_err(|error| format!("cannot make the tables: {}", with_causes(&error)))?;
    drop(adhoc);
    place(&pool, &items).map_err(|error| format!("cannot place the packages: {error}"))?;

    let bar = progress::bar(items.len());
    let stop = stop_on_interrupt(&server).map_err(|error| format!("cannot listen for Ctrl-C: {error}"))?;
    let (outcome, is_complete) = match &plan.queue {
        None => {
            let outcome = run(&pool, items, plan.workers, &bar, &stop);
            (outcome.to_string(), outcome.report.is_complete())
        }
        Some(name) => {
            let unusable = |error: &(dyn std::error::Error + 'static)| {
                format!("cannot use the queue: {}", with_causes(error))
            };
            let (queue, is_new) = shared::queue(&pool, name, &items).map_err(|error| unusable(&error))?;
            complain(if is_new { "the queue is new: filled" } else { "the queue is there: nothing added" });
            let outcome = shared::run(&queue, &pool, Claims::new(), plan.workers, &bar, &stop)
                .map_err(|error| unusable(&error))?;
            (outcome.to_string(), outcome.is_complete())
        }
    };
    bar.finish_and_clear();
    // First of all what became of the items: the server may be gone, and the rows cannot be counted then.
    print(&format!("{outcome}\n\n"));
    print_connection_status(&pool);
    print(&rows(count(&pool)));
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
}

/// Serves what there is to see of the pool until it is dropped.
#[cfg(feature = "http")]
fn see(pool: &PgPool, addr: &str) -> Result<http::Server, String> {
    let seen = http::serve(pool, addr).map_err(|error| format!("cannot serve on {addr}: {error}"))?;
    complain(&format!("to be seen at http://{}/", seen.addr()));
    Ok(seen)
}

fn count(pool: &PgPool) -> Result<[i64; 5], String> {
    let mut adhoc = pool.adhoc().get_timeout(COUNT_LIMIT).map_err(|error| with_causes(&error))?;
    let client: &mut Client = &mut adhoc;
    schema::counts(client).map_err(|error| with_causes(&error))
}

fn rows(counts: Result<[i64; 5], String>) -> String {
    let counts = match counts {
        Ok(counts) => counts,
        Err(reason) => return format!("\nrows in the database: cannot be counted: {reason}\n"),
    };
    let lines = schema::NAMES.iter().zip(counts).map(|(name, count)| format!("  {name}: {count}\n"));
    format!("\nrows in the database\n{}", lines.collect::<String>())
}
