//! Brings the items into the database: the one place that knows how workers come by their sessions.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use postgres::{Client, NoTls};

use super::discover::Item;
use super::failure::ScrapeError;
use super::pace::Pace;
use super::progress;
use super::store::{Change, store};
use super::tally::Tally;

/// The pause between two ad-hoc queries: often enough for a p99, too seldom to be load.
const ADHOC_PAUSE: Duration = Duration::from_millis(20);

/// What a run gives back.
pub struct Outcome {
    pub tally: Tally,
    /// The ad-hoc queries made meanwhile.
    pub adhoc: Pace,
}

/// Writes every item, `workers` at a time, while one more thread makes ad-hoc queries.
///
/// # Blocking
/// Until every item has ended, or, once `stop` is set, until those under way have.
///
/// # Errors
/// A server that cannot be reached at the start; later losses are failures of items.
pub fn run(
    url: &str,
    items: &[Item],
    workers: usize,
    bar: &ProgressBar,
    stop: &AtomicBool,
) -> Result<Outcome, postgres::Error> {
    let start = Instant::now();
    let clients = (0..workers).map(|_| Client::connect(url, NoTls)).collect::<Result<Vec<_>, _>>()?;
    let mut adhoc = Client::connect(url, NoTls)?;
    let (end_adhoc, ended) = mpsc::channel::<()>();
    let (next, in_use) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let adhoc = scope
            .spawn(move || Pace::measure(&ended, ADHOC_PAUSE, || adhoc.query_one("SELECT 1", &[]).map(drop)));
        let (send, outcomes) = mpsc::channel();
        for mut client in clients {
            let (send, next, in_use) = (send.clone(), &next, &in_use);
            scope.spawn(move || {
                // Relaxed throughout: the counters hand out indexes and numbers to show, they publish no other data.
                while !stop.load(Ordering::Relaxed) {
                    let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                    in_use.fetch_add(1, Ordering::Relaxed);
                    let outcome = commit(&mut client, item);
                    progress::step(bar, in_use.fetch_sub(1, Ordering::Relaxed), 0);
                    if send.send(outcome).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let mut tally = Tally { not_started: items.len(), ..Tally::default() };
        for outcome in outcomes {
            tally.not_started -= 1;
            tally.add(outcome);
        }
        tally.elapsed = start.elapsed();
        drop(end_adhoc);
        let adhoc = adhoc.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(Outcome { tally, adhoc })
    })
}

fn commit(client: &mut Client, item: &Item) -> Result<Change, ScrapeError> {
    let mut transaction = client.transaction()?;
    let change = store(&mut transaction, item)?;
    transaction.commit()?;
    Ok(change)
}
