//! Errands: a connection in the hands of a helper thread for validation or reset, and the right to give it up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use r2d2::ManageConnection;

use super::entry::{Body, Entry, plan_keepalive};
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
    /// When the keeper gives up; `None` is too far away to be expressed.
    give_up_at: Option<Instant>,
    /// The keeper has told of the silence already, and could not free the seat.
    told: bool,
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

    fn give_up_at(&self) -> Option<Instant> {
        self.progress.lock().give_up_at
    }

    fn is_over(&self) -> bool {
        self.progress.lock().seat.is_none()
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
            progress: Mutex::new(Progress {
                seat: Some(seat),
                give_up_at: Instant::now().checked_add(limit.saturating_mul(2)),
                told: false,
            }),
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
        errand.progress.lock().give_up_at = Instant::now().checked_add(limit);
        let done = if errand.is_over() {
            Err("no helper was free in time".to_owned())
        } else {
            self.do_chore(&mut body, errand.chore, limit)
        };
        let seat = errand.finish();
        if let (Ok(()), Some(seat)) = (&done, &seat) {
            let at = plan_keepalive(self.clock.coarse_ms(), self.settings().keepalive);
            self.lending.slot(seat.index()).card.set_keepalive_at(at);
        }
        self.errands.lock().retain(|other| !Arc::ptr_eq(other, errand));
        if self.lending.is_closed() {
            // The keeper may have stayed for this errand alone.
            self.keeper.wake();
        }
        let Some(seat) = seat else {
            // The keeper has given it up and freed its seat; the zombie that it counted ends here.
            self.end(body, CloseCause::Invalid);
            // Relaxed: a gauge; pairs with the count in `count_zombie`.
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
        let is_late = |errand: &Arc<Errand<M>>| errand.give_up_at().is_some_and(|at| at <= now);
        let late: Vec<_> = self.errands.lock().iter().filter(|errand| is_late(errand)).cloned().collect();
        for errand in late {
            self.give_up(&errand);
        }
        let mut errands = self.errands.lock();
        errands.retain(|errand| !errand.is_over());
        errands.iter().filter_map(|errand| errand.give_up_at()).min()
    }

    /// The connection did not answer. It stays with its helper as a zombie, or keeps its seat there where there are
    /// too many zombies already.
    fn give_up(self: &Arc<Self>, errand: &Arc<Errand<M>>) {
        let limit = self.settings().validation_timeout;
        let (seat, told) = {
            // Over the decision, so that the helper ends before it or finds it made.
            let mut progress = errand.progress.lock();
            if progress.seat.is_none() {
                return;
            }
            let told = std::mem::replace(&mut progress.told, true);
            if self.count_zombie() {
                (progress.seat.take(), told)
            } else {
                progress.give_up_at = Instant::now().checked_add(limit);
                (None, told)
            }
        };
        if let Some(seat) = seat {
            self.count_closed(errand.chore.cause());
            self.lending.slot(seat.index()).card.clear();
            drop(seat);
        }
        if !told {
            self.found_dead(errand.id, errand.seen, &format!("no answer within {limit:.1?}"));
            self.ping_timed_out(limit);
        }
        if let Some(customer) = &errand.customer {
            customer.refuse(());
            customer.wake();
        }
        self.demand();
        self.progressed();
    }

    /// Counts one more zombie, if there may be one; its helper takes the count down when the call returns.
    fn count_zombie(&self) -> bool {
        let most = self.settings().effective_max_zombies();
        let more = |zombies: u32| (zombies < most).then_some(zombies + 1);
        // Relaxed: a gauge and a bound; nothing else is published by it.
        self.counters.zombies.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
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
