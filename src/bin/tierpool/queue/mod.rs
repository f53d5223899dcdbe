//! The command `queue`: fills a queue, counts what is in it, has dead items tried again.
//!
//! | module | job |
//! | --- | --- |
//! | `lines` | items out of a text, a line each |

mod lines;

use std::io::stdin;
use std::time::Duration;

use serde_json::{Value, json};
use tierpool::batch::queue::{DeadLetter, Queue, QueueStats};
use tierpool::config::{Overrides, PgSettings};
use tierpool::postgres::{Session, SessionOptions};
use tierpool::{PgPool, Tier};

use crate::arguments::{PushOptions, QueueAct};
use crate::config::unusable;
use crate::environment::Environment;
use crate::outcome::{Code, Failure, end_at_interrupt};
use crate::output;
use crate::seen::server::{self, OWN_NAME};
use crate::table::Table;
use lines::Lines;

/// How many dead items are shown.
const DEAD_SHOWN: u32 = 20;

/// Does it.
pub fn run(act: &QueueAct) -> Result<Code, Failure> {
    Environment::read()?;
    PgSettings::from_env(&Overrides::default()).map_err(|faults| unusable(&faults))?;
    end_at_interrupt()?;
    let pool = server::pool(OWN_NAME)?;
    match act {
        QueueAct::Push(options) => push(&pool, options),
        QueueAct::Stats(options) => {
            let queue = open(&pool, &options.queue)?;
            let stats = queue.stats()?;
            let dead = queue.dead_letters(DEAD_SHOWN)?;
            if options.json {
                output::print_json(&in_json(&queue, &stats, &dead))?;
            } else {
                output::print(in_text(&queue, &stats, &dead))?;
            }
            Ok(if stats.dead == 0 { Code::Good } else { Code::Bad })
        }
        QueueAct::Retry(options) => {
            let queue = open(&pool, &options.queue)?;
            let retried = queue.retry_dead()?;
            done(options.json, &queue, "retried", retried, "to be tried again")
        }
    }
}

fn open(pool: &PgPool, name: &str) -> Result<Queue, Failure> {
    Queue::open_on(pool, Tier::Adhoc, name).map_err(Failure::from)
}

fn push(pool: &PgPool, options: &PushOptions) -> Result<Code, Failure> {
    let queue = match options.create {
        true => Queue::create(pool, &options.queue)?.on(Tier::Adhoc),
        false => open(pool, &options.queue)?,
    };
    let delay = Duration::from_secs(options.after.into());
    // The input may pause for as long as it likes, and the server would count that as time of the statement.
    let session = SessionOptions::new().statement_timeout(Duration::ZERO);
    let pushed = pool.session_with(Tier::Adhoc, &session, |tx| match &*options.items {
        [] => push_lines(&queue, tx, delay),
        items => queue.push_many_in(tx, items, delay).map_err(nothing_pushed),
    })?;
    done(options.json, &queue, "pushed", pushed, "pushed")
}

/// Whatever ends it before its COMMIT, the transaction takes it back.
fn nothing_pushed(error: impl std::fmt::Display) -> Failure {
    Failure::new(format_args!("{error}; nothing is pushed"))
}

fn push_lines(queue: &Queue, tx: &mut Session<'_>, delay: Duration) -> Result<u64, Failure> {
    let mut lines = Lines::of(stdin().lock());
    let pushed = queue.push_many_in(tx, &mut lines, delay).map_err(nothing_pushed)?;
    match lines.into_failure() {
        None => Ok(pushed),
        Some(error) => Err(nothing_pushed(format_args!("standard input cannot be read: {error}"))),
    }
}

fn done(as_json: bool, queue: &Queue, name: &str, count: u64, what: &str) -> Result<Code, Failure> {
    let items = output::counted(count, "item");
    let told = if as_json {
        output::print_json(&json!({ "queue": queue.name(), name: count }))
    } else {
        output::print(format_args!("{}: {items} {what}", queue.name()))
    };
    // Whoever does it again would have it twice.
    told.map_err(|failure| Failure::new(format_args!("{failure}; {items} {what} all the same")))?;
    Ok(Code::Good)
}

fn in_json(queue: &Queue, stats: &QueueStats, dead: &[DeadLetter]) -> Value {
    json!({ "queue": queue.name(), "stats": stats, "dead_letters": dead })
}

fn in_text(queue: &Queue, stats: &QueueStats, dead: &[DeadLetter]) -> String {
    let mut text = format!("{}: {stats}", queue.name());
    if !dead.is_empty() {
        let mut table = Table::new(&["dead item", "attempts", "for", "error"]);
        for DeadLetter { id, attempts, since, error, .. } in dead {
            let seconds = since.elapsed().unwrap_or_default().as_secs();
            table.row(vec![id.to_string(), attempts.to_string(), format!("{seconds} s"), error.clone()]);
        }
        text += &format!("\n\n{table}");
        if stats.dead > dead.len() as u64 {
            text += &format!("\n… and {} more", stats.dead - dead.len() as u64);
        }
    }
    text
}
