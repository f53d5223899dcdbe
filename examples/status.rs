//! Prints the status of a fleet: the box of this process, and what the server says of all processes.
//!
//! ```sh
//! PGAPPNAME=scraper DATABASE_URL=postgresql://app:hush@localhost/news cargo run --example status
//! ```
//!
//! `PGAPPNAME` is the name of the application to look at, the first part of its `application_name`: that of its
//! program's file unless it has set another. The server and the budget come from the same variables as the
//! application's own; see `.env.example`. They may stand in a file `.env`, in this folder or one above.
//!
//! | exit code | meaning |
//! | --- | --- |
//! | 0 | healthy, as the last line of the box says, and automation has connections or room for one |
//! | 1 | the server answers, and one of these does not hold |
//! | 2 | the server could not be asked, or the settings cannot be used |

mod dotenv;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use tierpool::PgPool;

/// Queries that run longer than this are listed.
const LONG: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    if let Err(error) = dotenv::read() {
        eprintln!("{error}");
        return ExitCode::from(2);
    }
    ExitCode::from(run())
}

/// Prints the status; returns the exit code.
pub fn run() -> u8 {
    // None is opened before it is needed: one connection is enough to ask.
    let pool = match PgPool::builder().build_unchecked() {
        Ok(pool) => pool,
        Err(error) => {
            eprintln!("{error:#}");
            return 2;
        }
    };
    let status = pool.print_verbose_connection_status();
    let Ok(activity) = &status.server else { return 2 };
    for query in pool.long_running_queries(LONG).into_iter().flatten() {
        // A reader that has gone away has seen what it wanted.
        let _ = writeln!(io::stdout(), "{query}");
    }
    let automation = &activity.automation;
    u8::from(!status.stats.is_healthy || automation.total.open == 0 && automation.room == 0)
}
