//! The command `status`: who holds connections, who waits, whether the reserve is there.
//!
//! | module | job |
//! | --- | --- |
//! | `judge` | the box, and why something is not well |
//! | `picture` | what processes tell and what the server shows, put together |
//! | `show` | the picture as text and as JSON |

mod judge;
mod picture;
mod show;

use std::thread;
use std::time::Duration;

use tierpool::PgPool;
use tierpool::config::{Overrides, PgSettings};

use crate::arguments::StatusOptions;
use crate::config::unusable;
use crate::environment::Environment;
use crate::outcome::{Code, Failure, end_at_interrupt};
use crate::output::{Looks, Reader};
use crate::seen::server::{Meant, Server};
use crate::seen::{live, server};
use picture::Picture;

/// Prints the status once, or until somebody has seen enough.
pub fn run(options: &StatusOptions) -> Result<Code, Failure> {
    Environment::read()?;
    let settings = PgSettings::from_env(&Overrides::default()).map_err(|faults| unusable(&faults))?;
    let meant = Meant::of(options.app.as_ref(), &settings);
    end_at_interrupt()?;
    let pool = server::pool(server::OWN_NAME)?;
    let looks = Looks { in_json: options.json, again: options.watch.is_some() };
    loop {
        let picture = look(&pool, &meant);
        let reader = looks.print(|| show::text(&picture), || show::json(&picture))?;
        let (Some(seconds), Reader::There) = (options.watch, reader) else { return Ok(picture.code) };
        thread::sleep(Duration::from_secs(seconds));
    }
}

fn look(pool: &PgPool, meant: &Meant) -> Picture {
    // The processes first: whatever they tell of is there when the server is asked.
    let live = live::look();
    let server = server::ask(pool);
    let room = server.healthy.then(|| server::room(pool)).flatten();
    Picture::of(meant, live, Server { room, ..server }, pool.get_database_stats())
}
