//! What a batch has claimed and not ended, as the workers' source.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use log::Level;
use parking_lot::{Condvar, Mutex};

use super::feed::{Claimed, Fate, Feed, FeedError, Pace, Room};
use crate::batch::floor::{Floor, OUTAGE_PAUSE, STOP_GRAIN, Signals};
use crate::batch::report::Failed;
use crate::batch::source::{Next, Source, received};
use crate::clock::Deadline;
use crate::lines::say;
use crate::text::line;

/// A claimed item on its way through a worker.
pub(in crate::batch) struct Job<'a, F: Feed> {
    /// Under which it is among those held.
    pub(in crate::batch) number: u64,
    pub(in crate::batch) item: Arc<F::Item>,
    /// Here, so that a removal can borrow from it for as long as the job is there.
    pub(in crate::batch) feed: &'a F,
}

/// How claims ended.
#[derive(Clone, Copy, Default)]
pub(in crate::batch) struct Ends {
    pub(in crate::batch) claimed: u64,
    pub(in crate::batch) committed: u64,
    pub(in crate::batch) put_off: u64,
    pub(in crate::batch) dead: u64,
    pub(in crate::batch) taken_over: u64,
    pub(in crate::batch) settled: u64,
    pub(in crate::batch) given_back: u64,
    pub(in crate::batch) left: u64,
}

struct Held<I> {
    /// Each with its size. What is here is renewed, and given back at the end.
    items: BTreeMap<u64, (Arc<I>, usize)>,
    bytes: usize,
    next: u64,
    ends: Ends,
}

/// How a claim ends for the batch.
#[derive(Clone, Copy)]
enum End {
    Committed,
    As(Fate),
    /// The feed could not be told.
    Left,
}

pub(in crate::batch) struct Hand<'a, F: Feed> {
    pub(in crate::batch) floor: &'a Floor<'a>,
    pub(in crate::batch) feed: &'a F,
    pub(in crate::batch) pace: Pace,
    /// The most items held.
    most: usize,
    receiver: Receiver<Job<'a, F>>,
    /// Guards the ledger alone: neither the feed nor an item's destructor runs under it.
    held: Mutex<Held<F::Item>>,
    /// An item has ended: its partner is [`Hand::room`].
    freed: Condvar,
    /// Whether claims need no longer be renewed.
    is_over: Mutex<bool>,
    over: Condvar,
}

impl<'a, F: Feed> Hand<'a, F> {
    pub(in crate::batch) fn new(
        floor: &'a Floor<'a>,
        feed: &'a F,
        most: usize,
        receiver: Receiver<Job<'a, F>>,
    ) -> Self {
        let held = Held { items: BTreeMap::new(), bytes: 0, next: 0, ends: Ends::default() };
        Hand {
            floor,
            feed,
            pace: feed.pace(),
            most,
            receiver,
            held: Mutex::new(held),
            freed: Condvar::new(),
            is_over: Mutex::new(false),
            over: Condvar::new(),
        }
    }

    /// Waits for room for a quarter of what may be held, so that each claim brings several items; none after a while.
    pub(in crate::batch) fn room(&self) -> Option<Room> {
        let worth_it = (self.most / 4).max(1);
        let mut held = self.held.lock();
        let until = Instant::now() + STOP_GRAIN;
        loop {
            let room = Room {
                // A feed may have brought more than it was asked for.
                items: self.most.saturating_sub(held.items.len()),
                bytes: self.pace.bytes.saturating_sub(held.bytes),
            };
            if room.items >= worth_it && room.bytes > 0 {
                return Some(room);
            }
            if self.freed.wait_until(&mut held, until).timed_out() {
                return None;
            }
        }
    }

    /// Takes what was claimed into the ledger, as jobs for the workers.
    pub(in crate::batch) fn add(&self, claimed: Claimed<F::Item>) -> Vec<Job<'a, F>> {
        let items: Vec<_> =
            claimed.items.into_iter().map(|item| (self.feed.size(&item), Arc::new(item))).collect();
        let mut held = self.held.lock();
        held.ends.claimed += items.len() as u64 + claimed.dead;
        held.ends.dead += claimed.dead;
        let mut jobs = Vec::with_capacity(items.len());
        for (size, item) in items {
            let number = held.next;
            held.next += 1;
            held.bytes += size;
            held.items.insert(number, (Arc::clone(&item), size));
            jobs.push(Job { number, item, feed: self.feed });
        }
        jobs
    }

    fn note(&self, number: u64, end: End) {
        let mut held = self.held.lock();
        let Some((item, size)) = held.items.remove(&number) else {
            unreachable!("BUG: job {number} ended twice");
        };
        held.bytes -= size;
        let ends = &mut held.ends;
        match end {
            End::Committed => ends.committed += 1,
            End::As(Fate::PutOff) => ends.put_off += 1,
            End::As(Fate::Dead) => ends.dead += 1,
            End::As(Fate::TakenOver) => ends.taken_over += 1,
            End::As(Fate::Settled) => ends.settled += 1,
            End::Left => ends.left += 1,
        }
        drop(held);
        self.freed.notify_one();
        drop(item);
    }

    pub(in crate::batch) fn committed(&self, number: u64) {
        self.note(number, End::Committed);
    }

    pub(in crate::batch) fn items(&self) -> Vec<Arc<F::Item>> {
        self.held.lock().items.values().map(|(item, _)| Arc::clone(item)).collect()
    }

    pub(in crate::batch) fn is_empty(&self) -> bool {
        self.held.lock().items.is_empty()
    }

    /// Waits until it is time to renew; false once there is nothing to renew any more.
    pub(in crate::batch) fn pause_renewals(&self, pause: Duration) -> bool {
        let until = Deadline::of(pause).instant();
        let mut is_over = self.is_over.lock();
        while !*is_over {
            if self.over.wait_until(&mut is_over, until).timed_out() {
                return true;
            }
        }
        false
    }

    /// Nothing is to be renewed any more.
    pub(in crate::batch) fn end_renewals(&self) {
        *self.is_over.lock() = true;
        self.over.notify_all();
    }

    /// Gives back what is held, once no worker has any of it, and says how all claims ended.
    pub(in crate::batch) fn give_back(&self) -> Ends {
        let items = self.items();
        let count = items.len() as u64;
        let given = if items.is_empty() { Ok(()) } else { self.feed.give_back(&items) };
        let mut ends = self.held.lock().ends;
        match given {
            Ok(()) => ends.given_back += count,
            Err(error) => {
                ends.left += count;
                say!(
                    Level::Warn,
                    "tierpool::batch",
                    [items = count, error = line(&error)],
                    "{count} items could not be given back and come back after their lease: {}",
                    line(&error)
                );
            }
        }
        ends
    }

    /// Tells the feed of an item that failed, through an outage too, but not beyond a stop.
    fn tell_failed(&self, item: &F::Item, error: &str) -> Result<Fate, FeedError> {
        let until = Deadline::of(self.floor.options.outage);
        loop {
            match self.feed.failed(item, error) {
                Err(error)
                    if error.passes()
                        && !until.left().is_zero()
                        && self.floor.signals.pause(OUTAGE_PAUSE) => {}
                outcome => return outcome,
            }
        }
    }
}

impl<'a, F: Feed> Source for Hand<'a, F> {
    type Item = Job<'a, F>;
    type Job = Job<'a, F>;

    fn next(&self, limit: Duration) -> Next<Self::Job, Self::Item> {
        received(&self.receiver, limit)
    }

    fn end(&self, job: Self::Job) -> Self::Item {
        job
    }

    fn keep(&self, failed: Failed<Self::Item>) -> Option<Failed<Self::Item>> {
        let Failed { item: job, error, class, in_doubt, .. } = failed;
        let text = line(&*error);
        let told = self.tell_failed(&job.item, &text).map(|fate| match fate {
            // Of the batch's own attempts none can have taken effect: whoever had the item next counts it.
            Fate::Settled if !in_doubt => Fate::TakenOver,
            fate => fate,
        });
        let end = match told {
            Ok(Fate::Dead) => {
                say!(
                    Level::Warn,
                    "tierpool::batch",
                    [class = class.as_str(), error = text],
                    "an item is a dead letter ({}): {text}",
                    class.as_str()
                );
                End::As(Fate::Dead)
            }
            Ok(fate) => {
                say!(
                    Level::Debug,
                    "tierpool::batch",
                    [class = class.as_str(), error = text],
                    "an item failed ({}, {fate:?}): {text}",
                    class.as_str()
                );
                End::As(fate)
            }
            Err(untold) => {
                say!(
                    Level::Warn,
                    "tierpool::batch",
                    [class = class.as_str(), error = text, untold = line(&untold)],
                    "an item failed ({}: {text}) and comes back after its lease, as the feed could not be told: {}",
                    class.as_str(),
                    line(&untold)
                );
                End::Left
            }
        };
        self.note(job.number, end);
        None
    }

    fn goes_on(&self, signals: &Signals) -> bool {
        !signals.is_over()
    }

    fn holds_back(&self) -> bool {
        self.receiver.is_empty() && self.held.lock().items.len() >= self.most
    }
}
