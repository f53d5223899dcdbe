//! The watcher of the fetch threads: starts them, and gives up fetches beyond their limit. One thread in all.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use log::Level;

use super::fetch::{Fetchers, Place};
use super::floor::{Floor, STOP_GRAIN};
use super::report::BoxError;
use crate::lines::say;
use crate::text::Time;

pub(super) struct Watcher<'a, I, P, FE, F> {
    pub(super) floor: &'a Floor<'a>,
    pub(super) fetchers: Arc<Fetchers<I, P, FE, F>>,
}

/// Ends the batch where it panics: without it no fetcher is replaced, and none that waits for room is told to go.
impl<I, P, FE, F> Drop for Watcher<'_, I, P, FE, F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.floor.signals.halt();
            self.fetchers.pages.close();
        }
    }
}

impl<I, P, FE, F> Watcher<'_, I, P, FE, F>
where
    I: Send + Sync + 'static,
    P: Send + 'static,
    FE: Into<BoxError> + Send + 'static,
    F: Fn(&I) -> Result<P, FE> + Send + Sync + 'static,
{
    /// Watches until no thread fetches any more but those that were given up.
    pub(super) fn run(self) {
        let mut threads = self.start_all();
        let pages = &self.fetchers.pages;
        // Somebody asks for the end of a batch, or a fetch passes its limit, without a word to this thread.
        while !pages.fetchers_ended(STOP_GRAIN) {
            if self.floor.signals.is_halted() {
                pages.close();
            }
            for place in self.fetchers.give_up_overdue() {
                // Without its handle a thread is left to itself.
                threads[place.number] = None;
                self.replace(place, &mut threads);
            }
        }
        for thread in threads.into_iter().flatten() {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }

    fn start_all(&self) -> Vec<Option<JoinHandle<()>>> {
        let places: Vec<Place> =
            (0..self.fetchers.threads()).map(|number| Place { number, since: Instant::now() }).collect();
        let mut threads: Vec<_> = places.iter().map(|_| None).collect();
        for place in &places {
            match self.fetchers.start(*place) {
                Ok(thread) => threads[place.number] = Some(thread),
                Err(error) => {
                    self.fetchers.retire(&places[place.number..]);
                    match place.number {
                        0 => self.floor.give_up(Box::new(error)),
                        some => say!(
                            Level::Warn,
                            "tierpool::batch",
                            [threads = some, error = error.to_string()],
                            "only {some} fetch threads: {error}"
                        ),
                    }
                    break;
                }
            }
        }
        threads
    }

    /// Puts another thread into a place, unless there is nothing more for it to do, or too many have been left.
    fn replace(&self, place: Place, threads: &mut [Option<JoinHandle<()>>]) {
        let (left, most) = (self.fetchers.left(), self.fetchers.threads());
        if left > most as u64 && !self.floor.signals.is_over() {
            let limit = Time(self.fetchers.limit());
            let text = format!(
                "{left} fetches go on beyond their limit of {limit}, and no more threads than {most} may be left \
                 to such"
            );
            self.floor.give_up(text.into());
        }
        if self.floor.signals.is_over() {
            return self.fetchers.retire(&[place]);
        }
        match self.fetchers.start(place) {
            Ok(thread) => threads[place.number] = Some(thread),
            Err(error) => {
                self.fetchers.retire(&[place]);
                say!(
                    Level::Warn,
                    "tierpool::batch",
                    [error = error.to_string()],
                    "one fetch thread less: {error}"
                );
                // The items that are left would wait for ever.
                if self.fetchers.pages.fetchers_ended(std::time::Duration::ZERO) {
                    self.floor.give_up(Box::new(error));
                }
            }
        }
    }
}
