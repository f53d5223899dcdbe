//! A run: wave after wave of what is pending, fetched without a connection and stored in groups.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tierpool::PgPool;
use tierpool::batch::{self, Ended, Failed, Fetching, Options};
use tierpool::postgres::{PgError, Retry, SessionOptions};

use super::answer::{Answer, FetchError, Target};
use super::client::Client;
use super::fetch::Fetcher;
use super::frontier::{self, Run};
use super::hosts::Hosts;
use super::report::Outcome;
use super::server::with_causes;
use super::site::plan::HOSTS;
use super::site::serve::Web;
use super::store::{Tally, store};

/// Most of them wait for a host or its turn.
pub const FETCHERS: usize = 32;
/// Fetched pages that may wait for their store, and their bytes.
const MAX_WAITING: usize = 100;
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Few: a store takes a hundredth of a fetch's time, and the fewer they are, the fuller are their groups.
const STORES: usize = 2;
/// Pages in one transaction, and how long the first of them waits for others.
const GROUP: (usize, Duration) = (50, Duration::from_millis(20));
/// A page that is refused for a moment is worth some seconds.
const AGAIN: Retry = Retry {
    attempts: 5,
    first: Duration::from_millis(100),
    longest: Duration::from_secs(2),
    within: Duration::from_secs(60),
};

/// Scrapes `web` until nothing is pending, at most `rate` requests a second to one host; `say` is told of each wave.
///
/// # Blocking
/// Until nothing is pending; once `stop` is set, or `stop_after` addresses are stored, until those under way are.
///
/// # Errors
/// The frontier cannot be read or written: what was committed stays, and the next run goes on from there.
pub fn run(
    pool: &PgPool,
    web: &Web,
    rate: usize,
    stop_after: Option<usize>,
    stop: &Arc<AtomicBool>,
    say: impl Fn(&str),
) -> Result<Outcome, String> {
    let lost = |error: PgError| format!("the frontier cannot be used: {}", with_causes(&error));
    let first = format!("http://{}/", HOSTS[0]);
    let run = frontier::begin(pool, &web.site().to_string(), &first).map_err(lost)?;
    let fetcher = Arc::new(Fetcher { hosts: Hosts::new(HOSTS, rate), client: Client::new(web.address()) });
    let mut outcome = Outcome::new(run);
    loop {
        let targets = frontier::wave(pool, &fetcher.hosts).map_err(lost)?;
        if targets.is_empty() {
            frontier::end(pool, run).map_err(lost)?;
            outcome.is_finished = true;
            break;
        }
        let left = stop_after.map(|limit| (limit as u64).saturating_sub(outcome.tally.all()));
        wave(pool, run, targets, &fetcher, left, stop, &mut outcome);
        say(&outcome.last_wave());
        // Relaxed: it stands for nothing but itself. A batch whose last address was begun ends as completed even so.
        let stopped = stop.load(Ordering::Relaxed);
        let last = outcome.last();
        if matches!(last.ended, Ended::Unusable(_)) {
            // Nothing can be noted: what failed is pending still.
            break;
        }
        let failed = last.failed.iter().filter(|failed| !stopped || is_final(failed));
        frontier::note_failures(pool, &failed.collect::<Vec<_>>()).map_err(lost)?;
        if stopped {
            outcome.is_stopped = true;
            break;
        }
    }
    outcome.requests = fetcher.hosts.requests().map(|(name, requests)| (name.to_owned(), requests)).collect();
    Ok(outcome)
}

/// Whether an address has failed although the run was stopped. One whose attempts were cut short by that has not.
fn is_final(failed: &Failed<Target>) -> bool {
    let error = failed.error.downcast_ref::<FetchError>();
    error.is_some_and(|error| !error.passes() || failed.attempts >= AGAIN.attempts)
}

/// Fetches and stores the targets; `left` of them at the most, but for those under way then.
fn wave(
    pool: &PgPool,
    run: Run,
    targets: Vec<Target>,
    fetcher: &Arc<Fetcher>,
    left: Option<u64>,
    stop: &Arc<AtomicBool>,
    outcome: &mut Outcome,
) {
    let (tally, stored) = (Mutex::new(Tally::default()), AtomicU64::new(0));
    let fetcher = fetcher.clone();
    // An address is written by its key: done twice it comes to the same.
    let session = SessionOptions::new().idempotent(true);
    let options = Options::new().workers(STORES).session(session).group(GROUP.0, GROUP.1).stop(stop.clone());
    let report = batch::stages_ending(
        pool,
        targets,
        Fetching::new()
            .threads(FETCHERS)
            .retry(AGAIN, FetchError::passes)
            .pages(MAX_WAITING)
            .bytes(MAX_BYTES, Answer::bytes),
        options,
        move |target: &Target| fetcher.fetch(target),
        |_, target, answer| Ok::<_, PgError>(store(run.id, target, answer).into()),
        // After COMMIT: what is rolled back has stored nothing.
        |_, what| {
            tally.lock().add(what);
            // Relaxed, both: each is alone, and the batch looks at the flag by itself.
            let stored = stored.fetch_add(1, Ordering::Relaxed) + 1;
            if left.is_some_and(|left| stored >= left) {
                stop.store(true, Ordering::Relaxed);
            }
        },
    );
    outcome.add(report, tally.into_inner());
}
