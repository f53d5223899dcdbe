//! The channel between the stages: fetched pages, bounded by number and by bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::floor::Signals;
use super::report::Failed;
use super::source::{Next, Source};
use super::stage_report::share;

/// An item with what was fetched for it. The page lives until the item has ended, so that it is fetched once.
pub(super) struct Fetched<I, P> {
    pub(super) item: Arc<I>,
    pub(super) page: P,
    /// What it takes of the bound.
    pub(super) bytes: usize,
}

/// The pages that wait for a store, and the account of those in store.
///
/// User code is not called under its locks: no page or item is dropped there.
pub(super) struct Pages<I, P> {
    /// Held by the one fetcher that waits for room, the others queue for it: so one is woken for each place, and a
    /// large page is not overtaken by small ones for ever. Taken before `state`.
    turn: Mutex<()>,
    state: Mutex<State<I, P>>,
    room: Condvar,
    filled: Condvar,
    ended: Condvar,
    most: usize,
    most_bytes: usize,
}

struct State<I, P> {
    waiting: VecDeque<Fetched<I, P>>,
    /// Not bounded, as the failures of the report are not.
    failed: VecDeque<Failed<Arc<I>>>,
    /// Of those that wait and those in store.
    bytes: usize,
    /// Whether the fetcher whose turn it is has no room, by bytes.
    too_full: bool,
    /// Fetchers that may still bring something.
    fetchers: usize,
    /// Nobody takes anything out any more, so that nothing waits.
    closed: bool,
    figures: Figures,
}

/// What is reported of the channel.
#[derive(Clone, Copy, Default)]
pub(super) struct Figures {
    pub(super) waited: Duration,
    /// Without the waits for a turn: of the one whose turn it was, and of these where it was for bytes alone.
    at_turn: Duration,
    for_bytes: Duration,
    pub(super) peak_pages: usize,
    pub(super) peak_bytes: usize,
}

impl Figures {
    /// The share of the wait for room in which there was room by number, and none by bytes.
    pub(super) fn short_of_bytes(&self) -> f64 {
        share(self.for_bytes, self.at_turn)
    }
}

impl<I, P> Pages<I, P> {
    pub(super) fn new(most: usize, most_bytes: usize, fetchers: usize) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            failed: VecDeque::new(),
            bytes: 0,
            too_full: false,
            fetchers,
            closed: false,
            figures: Figures::default(),
        };
        Pages {
            turn: Mutex::new(()),
            state: Mutex::new(state),
            room: Condvar::new(),
            filled: Condvar::new(),
            ended: Condvar::new(),
            most,
            most_bytes,
        }
    }

    pub(super) fn most_bytes(&self) -> usize {
        self.most_bytes
    }

    /// Puts a page in, once there is room; after a close at once, for the count of what is left.
    pub(super) fn push(&self, mut page: Fetched<I, P>) {
        let asked = Instant::now();
        let turn = self.turn.lock();
        let mut state = self.state.lock();
        loop {
            let fits = page.bytes <= self.most_bytes.saturating_sub(state.bytes);
            state.too_full = !fits && !state.closed;
            let has_place = state.waiting.len() < self.most;
            if state.closed || fits && has_place {
                break;
            }
            let since = Instant::now();
            self.room.wait(&mut state);
            let time = since.elapsed();
            state.figures.at_turn += time;
            state.figures.for_bytes += if has_place { time } else { Duration::ZERO };
        }
        let State { waiting, bytes, figures, closed, .. } = &mut *state;
        figures.waited += asked.elapsed();
        if *closed {
            // Past the bounds, so past the account.
            page.bytes = 0;
            waiting.push_back(page);
        } else {
            *bytes += page.bytes;
            waiting.push_back(page);
            figures.peak_pages = figures.peak_pages.max(waiting.len());
            figures.peak_bytes = figures.peak_bytes.max(*bytes);
        }
        drop(state);
        drop(turn);
        self.filled.notify_one();
    }

    /// Puts in an item of which there is no page.
    pub(super) fn fail(&self, failed: Failed<Arc<I>>) {
        self.state.lock().failed.push_back(failed);
        self.filled.notify_one();
    }

    /// Counts fetchers that bring nothing any more.
    pub(super) fn retire(&self, fetchers: usize) {
        let mut state = self.state.lock();
        state.fetchers -= fetchers;
        if state.fetchers == 0 {
            drop(state);
            self.filled.notify_all();
            self.ended.notify_all();
        }
    }

    /// Waits at most so long until no fetcher is left, and says whether that is so.
    pub(super) fn fetchers_ended(&self, limit: Duration) -> bool {
        let mut state = self.state.lock();
        if state.fetchers > 0 {
            self.ended.wait_for(&mut state, limit);
        }
        state.fetchers == 0
    }

    /// Has nobody wait for room any more.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        drop(state);
        self.room.notify_one();
    }

    pub(super) fn figures(&self) -> Figures {
        self.state.lock().figures
    }

    /// Takes out one of what nobody will store, once the stages have ended.
    pub(super) fn left(&self) -> Option<Next<Fetched<I, P>, Arc<I>>> {
        let mut state = self.state.lock();
        let failed = state.failed.pop_front().map(Next::Failed);
        failed.or_else(|| state.waiting.pop_front().map(Next::Job))
    }

    fn release(&self, bytes: usize) {
        if bytes > 0 {
            self.state.lock().bytes -= bytes;
            self.room.notify_one();
        }
    }
}

/// The item itself, or a copy of it where an abandoned fetch still has that.
pub(super) fn owned<I: Clone>(item: Arc<I>) -> I {
    Arc::unwrap_or_clone(item)
}

/// A failure with its item as it was given.
pub(super) fn owned_failure<I: Clone>(failed: Failed<Arc<I>>) -> Failed<I> {
    let Failed { item, error, class, attempts, in_doubt } = failed;
    Failed { item: owned(item), error, class, attempts, in_doubt }
}

impl<I: Clone + Send + Sync, P: Send> Source for Pages<I, P> {
    type Item = I;
    type Job = Fetched<I, P>;

    fn next(&self, limit: Duration) -> Next<Self::Job, I> {
        let mut state = self.state.lock();
        let is_idle = |state: &State<I, P>| state.waiting.is_empty() && state.failed.is_empty();
        if is_idle(&state) && state.fetchers > 0 {
            // Woken for nothing, a worker comes back.
            self.filled.wait_for(&mut state, limit);
        }
        if let Some(failed) = state.failed.pop_front() {
            drop(state);
            return Next::Failed(owned_failure(failed));
        }
        match state.waiting.pop_front() {
            Some(page) => {
                drop(state);
                self.room.notify_one();
                Next::Job(page)
            }
            None if state.fetchers == 0 => Next::End,
            None => Next::Nothing,
        }
    }

    fn end(&self, job: Self::Job) -> I {
        let Fetched { item, page, bytes } = job;
        drop(page);
        self.release(bytes);
        owned(item)
    }

    /// What is fetched when somebody asks for an end is stored: the fetches under way end soon, by their limit.
    fn keep(&self, failed: Failed<I>) -> Option<Failed<I>> {
        Some(failed)
    }

    fn goes_on(&self, signals: &Signals) -> bool {
        !signals.is_halted()
    }

    fn holds_back(&self) -> bool {
        self.state.lock().too_full
    }
}
