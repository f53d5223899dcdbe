//! What all handles, guards and threads of one pool share: its parts, the time, and the settings in force.
//!
//! A part owns its state and its locks, and no file reaches through it; [`Shared`] itself only tells the time and the
//! settings, and replaces these. What the pool does stands in the wings above, as functions that are given it.

use std::panic::Location;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_utils::CachePadded;
use parking_lot::{Mutex, MutexGuard, RwLock};
use r2d2::ManageConnection;

use super::connection::body::Body;
use super::connection::card::Card;
use super::driver::hooks::Hooks;
use super::parts::budget::Part;
use super::parts::changed::Changed;
use super::parts::counters::Counters;
use super::parts::errand;
use super::parts::fast::Fast;
use super::parts::generations::Generations;
use super::parts::helpers::Helpers;
use super::parts::keeper::{Keeper, Rounds};
use super::parts::sinks::Sinks;
use super::parts::supply::Supply;
use crate::clock::{Clock, Millis};
use crate::config::Settings;
use crate::core;
use crate::error::OpenFailure;
use crate::lines::Origin;
use crate::process::Process;

pub(crate) type Lending<M> = core::Lending<Entry<M>, Card, Refusal, InLine>;
pub(crate) type Seat<M> = core::Seat<Entry<M>, Card, Refusal, InLine>;
pub(crate) type Errand<M> = errand::Errand<Seat<M>, Entry<M>>;

/// A connection with its seat: what stands in a slot, and what a guard holds.
pub(crate) struct Entry<M: ManageConnection> {
    pub(crate) body: Body<M::Connection>,
    /// Lifted while an errand decides about the connection: then `card` may be another connection's by now.
    pub(crate) seat: Seat<M>,
    /// Keeps the pool's memory alive while the connection is out. A slot's idle entry holds one too; closing the
    /// pool empties the slots, which ends the cycle. So does that of an errand that waits for a helper, until one takes
    /// it up.
    pub(crate) shared: Arc<Shared<M>>,
}

impl<M: ManageConnection> Entry<M> {
    /// The card of its slot.
    #[inline]
    pub(crate) fn card(&self) -> &Card {
        self.shared.card(self.seat.index())
    }
}

/// A connection that has been checked for a caller.
pub(crate) enum Checked<M: ManageConnection> {
    Fit(Box<Entry<M>>),
    /// For the caller to close: not before it stands in line again, or the next connection in this seat would go to
    /// somebody behind it.
    Dead(Box<Entry<M>>),
}

/// What is known of a caller that stands in line, for reports and the deadlock check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InLine {
    pub(crate) thread: u64,
    pub(crate) location: &'static Location<'static>,
    pub(crate) since: Instant,
    pub(crate) deadline: Option<Instant>,
}

/// Why a waiter is sent away.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    Closed,
    CircuitOpen(Arc<OpenFailure>),
    ConnectFailed(Arc<OpenFailure>),
}

pub(crate) struct Shared<M: ManageConnection> {
    pub(crate) lending: Arc<Lending<M>>,
    pub(crate) fast: CachePadded<Fast>,
    pub(crate) hooks: Hooks<M>,
    pub(crate) supply: CachePadded<Supply>,
    pub(crate) helpers: Helpers<Seat<M>, Entry<M>>,
    pub(crate) generations: Generations,
    pub(crate) rounds: Rounds,
    pub(crate) counters: Counters,
    pub(crate) sinks: Sinks,
    pub(crate) changed: Arc<Changed>,
    clock: Clock,
    process: Process,
    /// Replaced as a whole by `reconfigure`; readers clone the `Arc` and let go.
    settings: RwLock<Arc<Settings>>,
    /// Held while new settings are applied, so that two threads do not apply half of each other's. No foreign code
    /// runs under it.
    applying: Mutex<()>,
}

impl<M: ManageConnection> Shared<M> {
    pub(crate) fn new(
        settings: Settings,
        hooks: Hooks<M>,
        sinks: Sinks,
        clock: Clock,
        keeper: Arc<Keeper>,
        part: Part,
    ) -> Self {
        let fast = Fast::new(&settings, sinks.is_noisy());
        Shared {
            lending: Arc::new(core::Lending::new(settings.ceiling() as usize)),
            hooks,
            changed: part.changed(),
            supply: CachePadded::new(Supply::new(&settings, part)),
            helpers: Helpers::new(&settings.name, settings.open_concurrency as usize, keeper),
            generations: Generations::new(),
            rounds: Rounds::new(fast.generation()),
            counters: Counters::default(),
            sinks,
            clock,
            process: Process::this(),
            fast: CachePadded::new(fast),
            settings: RwLock::new(Arc::new(settings)),
            applying: Mutex::new(()),
        }
    }

    /// Whether this process has the pool by `fork`: none of the pool's threads is here, a lock may be held by one that
    /// is not, and the sockets are the parent's. So it is asked before any lock is taken, and what is the parent's is
    /// forgotten and not dropped. A system call: to be asked where others are made.
    pub(crate) fn is_inherited(&self) -> bool {
        !self.process.is_this()
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read())
    }

    /// Begins a change of the settings, which ends with the guard.
    pub(crate) fn begin_change(&self) -> MutexGuard<'_, ()> {
        self.applying.lock()
    }

    /// Puts settings in force, within a change, and begins a generation for them.
    pub(crate) fn replace_settings(&self, settings: Settings, _change: &MutexGuard<'_, ()>) {
        self.fast.adopt(&settings);
        *self.settings.write() = Arc::new(settings);
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The time, up to a tick late.
    #[inline]
    pub(crate) fn now(&self) -> Millis {
        self.clock.coarse_ms()
    }

    /// Whether time has passed since `now` told it, as far as `now` can tell.
    pub(crate) fn has_moved(&self, since: Millis) -> bool {
        self.clock.has_moved(since)
    }

    /// The time, read from the system now.
    pub(crate) fn exact_now(&self) -> Millis {
        self.clock.precise_ms()
    }

    /// The time at which something begins whose length is told in events: never too early.
    pub(crate) fn begin_now(&self) -> Millis {
        self.clock.begin_ms()
    }

    /// What stands of a connection in its slot.
    #[inline]
    pub(crate) fn card(&self, index: usize) -> &Card {
        &self.lending.slot(index).card
    }

    /// The pool as whose its log lines are.
    pub(crate) fn origin(&self) -> Origin {
        Origin::pool(&self.settings().name, self.supply.part().tier())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::mem::{size_of, size_of_val};
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::{Entry, InLine, Lending, Refusal};
    use crate::core::{Ticket, Waiter};
    use crate::{Driver, MemoryManager, Pool};

    /// The most that a slot or a waiter may take beside the connection itself.
    const LIMIT: usize = 1024;

    /// A driver to which a look at a connection says enough.
    struct Looks;

    impl Driver<MemoryManager> for Looks {
        fn probe(&self, _: &MemoryManager, _: &mut u64, _: Duration) -> Option<Result<(), Infallible>> {
            Some(Ok(()))
        }
    }

    #[test]
    fn a_checkout_that_only_looks_at_its_connection_writes_to_nothing_that_threads_share() {
        let builder = Pool::builder().max_size(1).test_on_check_out(true).driver(Box::new(Looks));
        let pool = builder.build(MemoryManager).unwrap();
        let shared = Arc::clone(pool.shared());
        let (waits, pulse) = (shared.counters.wait.snapshot().count(), shared.lending.slot(0).card.direct());
        // Whoever reads the settings writes to their lock, and waits for this.
        let settings = shared.settings.write();
        let (done, outcome) = channel();
        let caller = thread::spawn({
            let pool = pool.clone();
            move || {
                for patience in [None, Some(Duration::from_secs(60))] {
                    drop(patience.map_or_else(|| pool.get(), |limit| pool.get_timeout(limit)).unwrap());
                    done.send(()).unwrap();
                }
                drop(pool.try_get().unwrap());
                done.send(()).unwrap();
            }
        });
        let served = (0..3).take_while(|_| outcome.recv_timeout(Duration::from_secs(5)).is_ok()).count();
        drop(settings);
        caller.join().unwrap();
        assert_eq!(served, 3, "it read the settings");
        assert_eq!(shared.counters.wait.snapshot().count(), waits, "it wrote to the pool's own histogram");
        // By these the pool's clock goes on ticking, too.
        assert_eq!(shared.lending.slot(0).card.direct(), pulse + 3);
        let stats = pool.stats();
        assert_eq!((stats.checkouts.direct, stats.wait.count()), (pulse + 3, waits + pulse + 3));
    }

    #[test]
    fn a_caller_that_queues_at_the_ceiling_reads_no_settings_and_asks_no_breaker() {
        let pool = Pool::builder().max_size(1).build(MemoryManager).unwrap();
        let shared = Arc::clone(pool.shared());
        let out = pool.get().unwrap();
        let (settings, breaker) = (shared.settings.write(), shared.supply.breaker());
        let (done, outcome) = channel();
        let caller = thread::spawn(move || {
            drop(pool.get().unwrap());
            done.send(()).unwrap();
        });
        let end = Instant::now() + Duration::from_secs(5);
        while shared.lending.counts().waiting == 0 && Instant::now() < end {
            thread::yield_now();
        }
        drop(out);
        let served = outcome.recv_timeout(Duration::from_secs(5)).is_ok();
        drop((settings, breaker));
        caller.join().unwrap();
        assert!(served, "it waited for a lock that all threads share");
    }

    #[test]
    fn a_slot_takes_less_than_a_kibibyte() {
        let lending = Lending::<MemoryManager>::new(1);
        let slot = size_of_val(lending.slot(0)).next_multiple_of(128);
        let entry = size_of::<Entry<MemoryManager>>();
        assert!(slot + entry <= LIMIT, "{slot} and {entry} bytes");
    }

    #[test]
    fn a_waiter_takes_less_than_a_kibibyte() {
        let waiter = size_of::<Waiter<Entry<MemoryManager>, Refusal>>() + 2 * size_of::<usize>();
        // Its place in the queue, which may be half empty.
        let place = 2 * size_of::<(Ticket, u64, InLine, usize)>();
        assert!(waiter + place <= LIMIT, "{waiter} and {place} bytes");
    }
}
