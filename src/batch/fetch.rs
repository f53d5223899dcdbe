//! The fetch threads: items in, pages out, no connection.
//!
//! They are plain threads and borrow nothing, since nobody can end a fetch that never returns: its thread is left to it
//! then, and holds no more than the fetch itself, what that has captured, and its item.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::fetching::Fetching;
use super::floor::{EndOnPanic, STOP_GRAIN, Signals};
use super::outcomes::{histogram, record};
use super::pages::{Fetched, Pages};
use super::percentiles::Percentiles;
use super::report::{BoxError, Class, Failed};
use super::stage_report::{FetchStage, share};
use crate::foreign::{caught, drop_quietly};
use crate::postgres::{Again, Attempts};
use crate::text::Time;

/// What the fetch threads share with each other and with both ends.
pub(super) struct Fetchers<I, P, FE, F> {
    fetch: F,
    fetching: Fetching<P, FE>,
    threads: usize,
    pub(super) items: Receiver<I>,
    pub(super) pages: Pages<I, P>,
    signals: Arc<Signals>,
    /// User code is not called under it.
    account: Mutex<Account<I>>,
}

/// What goes on, and what has been.
struct Account<I> {
    /// By a number of its own, so that whoever comes back knows whether it has been given up.
    under_way: HashMap<u64, UnderWay<I>>,
    begun: u64,
    time: Histogram<u64>,
    fetching: Duration,
    lived: Duration,
    retried: u64,
    /// Fetches that were given up, and how many of them have not ended since.
    abandoned: u64,
    left: u64,
}

/// One attempt at a fetch.
struct UnderWay<I> {
    item: Arc<I>,
    since: Instant,
    attempts: u32,
    place: Place,
}

/// What one of the threads that fetch at once stands in; a thread that is left to its fetch passes it on.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) number: usize,
    pub(super) since: Instant,
}

/// How an attempt failed.
struct Refused {
    error: BoxError,
    class: Class,
    again: Again,
}

impl<I, P, FE, F> Fetchers<I, P, FE, F> {
    pub(super) fn new(
        fetch: F,
        fetching: Fetching<P, FE>,
        threads: usize,
        items: Receiver<I>,
        most_pages: usize,
        signals: Arc<Signals>,
    ) -> Self {
        let most_bytes = fetching.bytes.as_ref().map_or(usize::MAX, |bytes| bytes.limit);
        let pages = Pages::new(most_pages, most_bytes, threads);
        let account = Account {
            under_way: HashMap::new(),
            begun: 0,
            time: histogram(),
            fetching: Duration::ZERO,
            lived: Duration::ZERO,
            retried: 0,
            abandoned: 0,
            left: 0,
        };
        Fetchers { fetch, fetching, threads, items, pages, signals, account: Mutex::new(account) }
    }

    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    pub(super) fn limit(&self) -> Duration {
        self.fetching.limit
    }

    /// Ends places, of which no thread is there any more.
    pub(super) fn retire(&self, places: &[Place]) {
        let lived: Duration = places.iter().map(|place| place.since.elapsed()).sum();
        self.account.lock().lived += lived;
        self.pages.retire(places.len());
    }

    /// Gives up the attempts beyond their limit: their items fail, and their places are returned.
    pub(super) fn give_up_overdue(&self) -> Vec<Place> {
        let limit = self.fetching.limit;
        let mut account = self.account.lock();
        let is_overdue = |_: &u64, fetch: &mut UnderWay<I>| fetch.since.elapsed() >= limit;
        let overdue: Vec<_> = account.under_way.extract_if(is_overdue).map(|(_, fetch)| fetch).collect();
        for fetch in &overdue {
            account.abandoned += 1;
            account.left += 1;
            account.note(fetch.since.elapsed());
        }
        drop(account);
        let failed = |UnderWay { item, attempts, place, .. }| {
            let error = format!("the fetch did not end within {}", Time(limit)).into();
            self.pages.fail(Failed { item, error, class: Class::FetchTimeout, attempts, in_doubt: false });
            place
        };
        overdue.into_iter().map(failed).collect()
    }

    /// How many threads are left to fetches that were given up.
    pub(super) fn left(&self) -> u64 {
        self.account.lock().left
    }

    /// What is reported of the stage; of the stores, how long they had nothing to do, of how long in all.
    pub(super) fn report(&self, stores_idle: Duration, stores_lived: Duration) -> FetchStage {
        let figures = self.pages.figures();
        let account = self.account.lock();
        FetchStage {
            fetched: self.signals.fetched.load(Ordering::Relaxed),
            retried: account.retried,
            abandoned: account.abandoned,
            threads: self.threads,
            time: Percentiles::of(&account.time),
            waited_for_stores: share(figures.waited, account.lived),
            busy: share(account.fetching, account.lived),
            stores_waited: share(stores_idle, stores_lived),
            peak_pages: figures.peak_pages,
            peak_bytes: figures.peak_bytes,
            short_of_bytes: figures.short_of_bytes(),
        }
    }

    fn begin(&self, item: &Arc<I>, failed: u32, place: Place) -> u64 {
        let item = Arc::clone(item);
        let mut account = self.account.lock();
        let number = account.begun;
        account.begun += 1;
        account.retried += u64::from(failed > 0);
        let fetch = UnderWay { item, since: Instant::now(), attempts: failed + 1, place };
        account.under_way.insert(number, fetch);
        number
    }

    /// Notes the end of an attempt; false where it was given up.
    fn end(&self, number: u64) -> bool {
        let mut account = self.account.lock();
        let fetch = account.under_way.remove(&number);
        match &fetch {
            Some(fetch) => account.note(fetch.since.elapsed()),
            None => account.left -= 1,
        }
        fetch.is_some()
    }
}

impl<I> Account<I> {
    fn note(&mut self, time: Duration) {
        record(&mut self.time, time);
        self.fetching += time;
    }
}

impl<I, P, FE, F> Fetchers<I, P, FE, F>
where
    I: Send + Sync + 'static,
    P: Send + 'static,
    FE: Into<BoxError> + Send + 'static,
    F: Fn(&I) -> Result<P, FE> + Send + Sync + 'static,
{
    /// Starts a thread in a place.
    pub(super) fn start(self: &Arc<Self>, place: Place) -> std::io::Result<JoinHandle<()>> {
        let thread = std::thread::Builder::new().name(format!("fetch-{}", place.number + 1));
        let fetchers = Arc::clone(self);
        // Made in the thread: where that cannot be started the place is still the caller's.
        thread.spawn(move || Fetcher { fetchers, place, has_place: true }.run())
    }

    fn call(&self, item: &I) -> Result<(P, usize), Refused> {
        let page = (self.fetch)(item).map_err(|error| {
            let passes = self.fetching.passes.as_ref().is_some_and(|passes| passes(&error));
            let again = if passes { Again::Yes } else { Again::No };
            Refused { error: error.into(), class: Class::Fetch, again }
        })?;
        let bytes = self.fetching.bytes.as_ref().map_or(0, |bytes| (bytes.size)(&page));
        let most = self.pages.most_bytes();
        if bytes > most {
            let error = format!("the page takes {bytes} bytes, more than the {most} that all pages may take");
            return Err(Refused { error: error.into(), class: Class::Fetch, again: Again::No });
        }
        Ok((page, bytes))
    }
}

/// A fetch thread. On drop its place ends, unless that was passed on.
struct Fetcher<I, P, FE, F> {
    fetchers: Arc<Fetchers<I, P, FE, F>>,
    place: Place,
    has_place: bool,
}

impl<I, P, FE, F> Drop for Fetcher<I, P, FE, F> {
    fn drop(&mut self) {
        if self.has_place {
            self.fetchers.retire(&[self.place]);
        }
    }
}

impl<I, P, FE, F> Fetcher<I, P, FE, F>
where
    I: Send + Sync + 'static,
    P: Send + 'static,
    FE: Into<BoxError> + Send + 'static,
    F: Fn(&I) -> Result<P, FE> + Send + Sync + 'static,
{
    fn run(&mut self) {
        // Its place ends with it, and when the last has ended nobody takes items any more.
        let signals = Arc::clone(&self.fetchers.signals);
        let _guard = EndOnPanic(&signals);
        while self.has_place && !self.fetchers.signals.is_over() {
            match self.fetchers.items.recv_timeout(STOP_GRAIN) {
                Ok(item) => self.fetch(Arc::new(item)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    }

    /// Fetches one item, and hands on what comes of it.
    fn fetch(&mut self, item: Arc<I>) {
        let Fetchers { fetching, pages, signals, .. } = &*self.fetchers;
        let mut attempts = Attempts::new(&fetching.retry, false);
        loop {
            let number = self.fetchers.begin(&item, attempts.failed(), self.place);
            let outcome = caught(|| self.fetchers.call(&item));
            if !self.fetchers.end(number) {
                self.has_place = false;
                drop_quietly(outcome);
                return drop_quietly(item);
            }
            let Refused { error, class, again } = match outcome {
                Ok(Ok((page, bytes))) => {
                    signals.fetched.fetch_add(1, Ordering::Relaxed);
                    return pages.push(Fetched { item, page, bytes });
                }
                Ok(Err(refused)) => refused,
                Err(text) => {
                    let error = format!("the fetch panicked: {text}");
                    Refused { error: error.into(), class: Class::Panic, again: Again::No }
                }
            };
            // A stop ends the waiting; the item has failed then, with the error at hand.
            if !attempts.after_failure(again).is_some_and(|delay| signals.pause(delay)) {
                return pages.fail(Failed {
                    item,
                    error,
                    class,
                    attempts: attempts.failed(),
                    in_doubt: false,
                });
            }
            drop_quietly(error);
        }
    }
}
