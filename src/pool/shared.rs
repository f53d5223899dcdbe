//! What all handles, guards and threads of one pool share.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use crossbeam_utils::CachePadded;
use parking_lot::{Condvar, Mutex, RwLock};
use r2d2::{CustomizeConnection, HandleError, ManageConnection};

use super::body::{Body, ms};
use super::breaker::Breaker;
use super::card::{Card, NEVER};
use super::driver::Driver;
use super::keeper::Keeper;
use super::sinks::Sinks;
use super::watch;
use super::workers::Workers;
use crate::clock::Clock;
use crate::config::Settings;
use crate::core::{self, Ticket};
use crate::error::OpenFailure;
use crate::stats::{CloseCause, Recorder};

pub(crate) type Lending<M> = core::Lending<Entry<M>, Card, Refusal>;
pub(crate) type Seat<M> = core::Seat<Entry<M>, Card, Refusal>;
pub(crate) type Errand<M> = watch::Errand<Seat<M>, Entry<M>>;

/// A connection with its seat: what stands in a slot, and what a guard holds.
pub(crate) struct Entry<M: ManageConnection> {
    pub(crate) body: Body<M::Connection>,
    pub(crate) seat: Seat<M>,
    /// Keeps the pool's memory alive while the connection is out. A slot's idle entry holds one too; closing the
    /// pool empties the slots, which ends the cycle.
    pub(crate) shared: Arc<Shared<M>>,
}

/// Why a waiter is sent away.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    Closed,
    CircuitOpen(Arc<OpenFailure>),
    ConnectFailed(Arc<OpenFailure>),
}

/// What every checkout reads: on a line of its own that is written only when something changes.
///
/// All Relaxed: a checkout that reads an old value came before the change.
pub(crate) struct Fast {
    /// Raised by every change that makes idle connections worth a closer look.
    pub(crate) epoch: AtomicU64,
    /// Idle milliseconds from which on a connection is validated.
    pub(crate) ping_after_ms: AtomicU64,
    /// Somebody listens to events: checkouts and checkins have to be told.
    pub(crate) noisy: AtomicBool,
    /// Checkouts after which a connection is replaced.
    pub(crate) max_uses: AtomicU64,
    /// The size from which on a checkin may have to close its connection; `u32::MAX` where it never has to.
    pub(crate) trim_above: AtomicU32,
}

/// Who stands in line, for reports and the deadlock check.
pub(crate) struct InLine {
    pub(crate) thread: u64,
    pub(crate) location: &'static Location<'static>,
    pub(crate) since: Instant,
}

/// Counters of everything but the direct path, which counts in the slots' cards. All Relaxed: they are
/// independent sums.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) unqueued: AtomicU64,
    pub(crate) waited: AtomicU64,
    pub(crate) timed_out: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) opened: AtomicU64,
    pub(crate) closed: [AtomicU64; CloseCause::ALL.len()],
    pub(crate) open_failures: [AtomicU64; 3],
    pub(crate) returned_dirty: AtomicU64,
    pub(crate) slow_checkouts: AtomicU64,
    pub(crate) long_holds: AtomicU64,
    pub(crate) stuck_cancelled: AtomicU64,
    pub(crate) stuck_terminated: AtomicU64,
    pub(crate) slow_queries: AtomicU64,
    pub(crate) suspicions: AtomicU64,
    pub(crate) user_panics: AtomicU64,
    pub(crate) events_lost: AtomicU64,
    /// Connections given up on in the hands of a helper.
    pub(crate) zombies: AtomicU32,
    pub(crate) peak_in_use: AtomicU32,
    pub(crate) wait: Recorder,
    pub(crate) open: Recorder,
}

impl Counters {
    pub(crate) fn bump(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) struct Shared<M: ManageConnection> {
    pub(crate) lending: Arc<Lending<M>>,
    pub(crate) fast: CachePadded<Fast>,
    pub(crate) manager: M,
    pub(crate) driver: Box<dyn Driver<M>>,
    pub(crate) customizer: Box<dyn CustomizeConnection<M::Connection, M::Error>>,
    pub(crate) error_handler: Box<dyn HandleError<M::Error>>,
    /// Replaced as a whole by `reconfigure`; readers clone the `Arc` and let go.
    settings: RwLock<Arc<Settings>>,
    pub(crate) clock: Clock,
    /// Held while new settings are applied, so that two threads do not apply half of each other's. No foreign code
    /// runs under it.
    pub(crate) applying: Mutex<()>,
    /// Guards the policy of opening. The desk's lock may be taken under it, never the other way round.
    pub(crate) breaker: Mutex<Breaker>,
    pub(crate) openers: Workers,
    pub(crate) closers: Workers,
    pub(crate) keeper: Arc<Keeper>,
    /// The most that the ceiling may become.
    pub(crate) share: u32,
    pub(crate) counters: Counters,
    pub(crate) sinks: Sinks,
    /// Guards the list of waiters alone.
    pub(crate) line: Mutex<HashMap<Ticket, InLine>>,
    /// Connections that a helper thread has in hand; the keeper gives up on those that take too long. Bounded by
    /// the seats and the zombies.
    pub(crate) errands: Mutex<Vec<Arc<Errand<M>>>>,
    /// Connections older than this epoch are validated before their next checkout.
    pub(crate) suspect_before: AtomicU64,
    /// Connections born before this epoch are closed.
    pub(crate) evicted_before: AtomicU64,
    /// The earliest time of the next eviction for being misrouted.
    pub(crate) misrouted_until: AtomicU64,
    /// Somebody who does not wait wants the pool to grow by one.
    pub(crate) hint: AtomicBool,
    /// Opened replacements whose predecessors may now be closed.
    pub(crate) credits: AtomicU32,
    /// The epoch of the keeper's last look at every idle connection.
    pub(crate) swept: AtomicU64,
    /// Replacements being opened.
    pub(crate) renewing: AtomicU32,
    /// Connections opened that are not yet in their slots or with a waiter.
    pub(crate) introducing: AtomicU32,
    /// Something that `close` or `wait_ready` waits for may have happened. Guards nothing: it only makes looking and
    /// waiting one step.
    pub(crate) progress: (Mutex<()>, Condvar),
    /// When nearly all connections were last seen in use, while the warning of it holds.
    pub(crate) crowded_at: AtomicU64,
}

impl<M: ManageConnection> Shared<M> {
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read())
    }

    /// True where that switched an open circuit breaker off.
    pub(crate) fn store_settings(&self, settings: Settings) -> bool {
        let lifted = {
            let mut breaker = self.breaker.lock();
            let lifted = breaker.reconfigure(&settings);
            if lifted {
                self.lending.stop_refusing();
            }
            lifted
        };
        self.fast.adopt(&settings);
        *self.settings.write() = Arc::new(settings);
        lifted
    }

    #[allow(clippy::too_many_arguments)] // The one constructor, called from the builder alone.
    pub(crate) fn new(
        settings: Settings,
        manager: M,
        driver: Box<dyn Driver<M>>,
        customizer: Box<dyn CustomizeConnection<M::Connection, M::Error>>,
        error_handler: Box<dyn HandleError<M::Error>>,
        sinks: Sinks,
        clock: Clock,
        keeper: Arc<Keeper>,
        share: u32,
    ) -> Self {
        let fast = Fast {
            epoch: AtomicU64::new(1),
            ping_after_ms: AtomicU64::new(NEVER),
            noisy: AtomicBool::new(sinks.is_noisy()),
            max_uses: AtomicU64::new(NEVER),
            trim_above: AtomicU32::new(u32::MAX),
        };
        fast.adopt(&settings);
        // Nothing has happened yet that the keeper would have to look at every connection for.
        let epoch = fast.epoch.load(Ordering::Relaxed);
        let crew = settings.open_concurrency as usize;
        Shared {
            lending: Arc::new(core::Lending::new(settings.ceiling() as usize)),
            fast: CachePadded::new(fast),
            manager,
            driver,
            customizer,
            error_handler,
            clock,
            applying: Mutex::new(()),
            breaker: Mutex::new(Breaker::new(&settings)),
            openers: Workers::new(format!("{}-open", settings.name), crew),
            closers: Workers::new(format!("{}-close", settings.name), crew),
            keeper,
            share,
            counters: Counters::default(),
            sinks,
            line: Mutex::new(HashMap::new()),
            errands: Mutex::new(Vec::new()),
            suspect_before: AtomicU64::new(0),
            evicted_before: AtomicU64::new(0),
            misrouted_until: AtomicU64::new(0),
            hint: AtomicBool::new(false),
            credits: AtomicU32::new(0),
            renewing: AtomicU32::new(0),
            swept: AtomicU64::new(epoch),
            introducing: AtomicU32::new(0),
            progress: (Mutex::new(()), Condvar::new()),
            crowded_at: AtomicU64::new(NEVER),
            settings: RwLock::new(Arc::new(settings)),
        }
    }

    /// Tells `close` and `wait_ready` to look again.
    pub(crate) fn progressed(&self) {
        drop(self.progress.0.lock());
        self.progress.1.notify_all();
    }

    /// Raises the epoch, so that every idle connection is looked at before its next checkout. Returns the new one.
    pub(crate) fn next_epoch(&self) -> u64 {
        // Relaxed: see `Fast`.
        self.fast.epoch.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Fast {
    fn adopt(&self, settings: &Settings) {
        // Relaxed: see `Fast`.
        self.ping_after_ms.store(settings.pre_ping.threshold().map_or(NEVER, ms), Ordering::Relaxed);
        self.max_uses.store(settings.max_uses.unwrap_or(NEVER), Ordering::Relaxed);
        let trims = settings.max_overflow > 0 && settings.overflow_linger.is_zero();
        self.trim_above.store(if trims { settings.base_size } else { u32::MAX }, Ordering::Relaxed);
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::mem::{size_of, size_of_val};

    use super::{Entry, InLine, Lending, Refusal};
    use crate::MemoryManager;
    use crate::core::{Ticket, Waiter};

    /// The most that a slot or a waiter may take beside the connection itself.
    const LIMIT: usize = 1024;

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
        // Its place in the queue and its card in the list; both collections may be half empty.
        let listed = 2 * (size_of::<(Ticket, usize)>() + size_of::<(Ticket, InLine)>() + 1);
        assert!(waiter + listed <= LIMIT, "{waiter} and {listed} bytes");
    }
}
