//! Errands: a connection in the hands of a helper thread for validation or reset, and the right to give it up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use r2d2::ManageConnection;

use super::entry::{Body, Entry};
use super::shared::{Counters, Seat, Shared};
use crate::core::Waiter;
use crate::stats::CloseCause;

/// The thread that waits for the outcome. It is served the connection, or refused when there is none.
pub(crate) type Customer<M> = Waiter<Entry<M>, ()>;

/// What a helper is to do with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chore {
    /// With `suspect` for one that another's death makes doubtful: nothing but a sign of life will do.
    Validate { suspect: bool },
    /// With `suspect` for a connection whose borrower panicked.
    Reset { suspect: bool },
}

struct Progress<M: ManageConnection> {
    /// Here while the errand is under way; whoever takes it decides what becomes of the connection.
    seat: Option<Seat<M>>,
    /// When the keeper gives up.
    give_up_at: Instant,
}

/// One connection in the hands of a helper.
pub(crate) struct Errand<M: ManageConnection> {
    /// Guards the seat and the time alone.
    progress: Mutex<Progress<M>>,
    customer: Option<Arc<Customer<M>>>,
    /// Born, seen and id of the connection, to judge what its silence means for others.
    seen: u64,
    id: u64,
    chore: Chore,
}

impl<M: ManageConnection> Errand<M> {
    fn finish(&self) -> Option<Seat<M>> {
        self.progress.lock().seat.take()
    }

    pub(crate) fn give_up_at(&self) -> Instant {
        self.progress.lock().give_up_at
    }
}

impl<M: ManageConnection> Shared<M> {
    /// Hands a connection to a helper thread. The helper passes it on when done: to the customer if it still waits,
    /// else back into the pool. It is given up `validation_timeout` after the helper has begun.
    pub(crate) fn send_aside(
        self: &Arc<Self>,
        entry: Box<Entry<M>>,
        chore: Chore,
        customer: Option<Arc<Customer<M>>>,
    ) {
        let limit = self.settings().validation_timeout;
        let Entry { body, seat, shared } = *entry;
        let errand = Arc::new(Errand {
            // Twice the time while it waits for a helper: they may all be stuck.
            progress: Mutex::new(Progress { seat: Some(seat), give_up_at: Instant::now() + limit * 2 }),
            customer,
            seen: body.seen,
            id: body.id,
            chore,
        });
        self.errands.lock().push(Arc::clone(&errand));
        self.closers.submit(Box::new(move || shared.run_errand(body, &errand, limit)));
        self.keeper.wake();
    }

    fn run_errand(self: Arc<Self>, mut body: Body<M::Connection>, errand: &Arc<Errand<M>>, limit: Duration) {
        errand.progress.lock().give_up_at = Instant::now() + limit;
        let done = self.do_chore(&mut body, errand.chore, limit);
        let seat = errand.finish();
        self.errands.lock().retain(|other| !Arc::ptr_eq(other, errand));
        let Some(seat) = seat else {
            // The keeper has given it up and freed its seat; the zombie that it counted ends here.
            self.end(body, CloseCause::Invalid);
            // Relaxed: a gauge; pairs with the count in `give_up`.
            self.counters.zombies.fetch_sub(1, Ordering::Relaxed);
            self.progressed();
            return;
        };
        let entry = Box::new(Entry { body, seat, shared: Arc::clone(&self) });
        match (done, &errand.customer) {
            (Ok(()), Some(customer)) => match customer.serve(entry) {
                Ok(()) => customer.wake(),
                Err(entry) => self.restore(entry),
            },
            (Ok(()), None) => self.restore(entry),
            (Err(why), customer) => {
                self.condemn(entry, errand.chore.cause(), &why);
                if let Some(customer) = customer {
                    customer.refuse(());
                    customer.wake();
                }
            }
        }
    }

    /// Validates or resets on the present thread; a connection that comes out well is as good as new.
    pub(crate) fn do_chore(
        &self,
        body: &mut Body<M::Connection>,
        chore: Chore,
        limit: Duration,
    ) -> Result<(), String> {
        // Relaxed: the epoch from before the call, so that a suspicion raised meanwhile still applies.
        let epoch = self.fast.epoch.load(Ordering::Relaxed);
        let conn = &mut body.conn;
        let outcome = match chore {
            Chore::Validate { suspect: false } => {
                self.guarded("is_valid", || self.driver.validate(&self.manager, conn, limit))
            }
            Chore::Validate { suspect: true } => {
                self.guarded("is_valid", || self.driver.validate_suspect(&self.manager, conn, limit))
            }
            Chore::Reset { suspect } => {
                self.guarded("reset", || self.driver.reset(&self.manager, conn, suspect, limit))
            }
        };
        match outcome {
            Ok(Ok(())) => {
                body.seen = epoch;
                let now = self.clock.coarse_ms();
                body.plan_keepalive(now, self.settings().keepalive);
                body.fresh();
                Ok(())
            }
            Ok(Err(error)) => {
                let why = error.to_string();
                let _ = self.guarded("the error handler", || self.error_handler.handle_error(error));
                Err(why)
            }
            Err(panic) => Err(panic),
        }
    }

    /// Gives up on errands that took too long. Returns when the next one falls due. Called by the keeper.
    pub(crate) fn give_up_errands(self: &Arc<Self>, now: Instant) -> Option<Instant> {
        let late: Vec<_> =
            self.errands.lock().iter().filter(|errand| errand.give_up_at() <= now).cloned().collect();
        for errand in late {
            if self.counters.zombies.load(Ordering::Relaxed) >= self.settings().effective_max_zombies() {
                // No more zombies: the seat stays with the helper, who frees it when the call returns.
                errand.progress.lock().give_up_at = Instant::now() + self.settings().validation_timeout;
                continue;
            }
            if let Some(seat) = errand.finish() {
                self.give_up(&errand, seat);
            }
            self.errands.lock().retain(|other| !Arc::ptr_eq(other, &errand));
        }
        self.errands.lock().iter().map(|errand| errand.give_up_at()).min()
    }

    /// The connection did not answer. It stays with its helper as a zombie.
    fn give_up(self: &Arc<Self>, errand: &Arc<Errand<M>>, seat: Seat<M>) {
        self.count_closed(errand.chore.cause());
        self.lending.slot(seat.index()).card.clear();
        // Relaxed: a gauge; the helper takes it down when its call returns.
        self.counters.zombies.fetch_add(1, Ordering::Relaxed);
        drop(seat);
        let limit = self.settings().validation_timeout;
        self.found_dead(errand.id, errand.seen, &format!("no answer within {limit:.1?}"));
        self.ping_timed_out(limit);
        if let Some(customer) = &errand.customer {
            customer.refuse(());
            customer.wake();
        }
        self.demand();
        self.progressed();
    }

    /// A connection proved dead or useless: closes it and makes the older ones suspect.
    pub(crate) fn condemn(self: &Arc<Self>, entry: Box<Entry<M>>, cause: CloseCause, why: &str) {
        self.found_dead(entry.body.id, entry.body.seen, why);
        self.dispose(entry, cause);
    }

    /// Makes all idle connections suspect that were last known good before now, unless that has been done since this
    /// one was known good.
    pub(crate) fn found_dead(&self, id: u64, seen: u64, why: &str) {
        self.warn(super::notify::Warning::Dead, || format!("connection {id} is dead: {why}"));
        // Relaxed: epochs only grow, and a checkout that misses the change came before it. The comparison is the
        // cooldown: what this connection tells of is news only if it was trusted after the last alarm.
        let alarmed = self.suspect_before.load(Ordering::Relaxed);
        if seen < alarmed {
            return;
        }
        let epoch = self.next_epoch();
        self.suspect_before.fetch_max(epoch, Ordering::Relaxed);
        Counters::bump(&self.counters.suspicions);
        self.emit(|| crate::event::Event::Suspect(crate::event::SuspectEvent { id }));
    }
}

impl Chore {
    fn cause(self) -> CloseCause {
        match self {
            Chore::Validate { .. } => CloseCause::Invalid,
            Chore::Reset { .. } => CloseCause::Broken,
        }
    }
}
