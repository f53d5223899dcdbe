//! What the rest of the crate may ask of a pool.

use std::sync::Arc;
#[cfg(feature = "postgres")]
use std::time::Duration;

use r2d2::ManageConnection;

use super::Pool;
#[cfg(feature = "postgres")]
use crate::clock::{Clock, Millis};
use crate::config::Settings;
use crate::error::{Error, LimitSetBy};
#[cfg(feature = "postgres")]
use crate::event::{Event, FleetEvent, FleetNews};
use crate::lines::Origin;
use crate::pool::change;
#[cfg(feature = "postgres")]
use crate::pool::fitness::retire;
#[cfg(all(feature = "http", unix))]
use crate::pool::keep::stuck;
#[cfg(feature = "postgres")]
use crate::pool::keep::visit;
use crate::pool::parts::budget::Budget;
#[cfg(feature = "postgres")]
use crate::pool::tell::notify;
#[cfg(any(feature = "http", feature = "postgres"))]
use crate::pool::tell::observe;
use crate::pool::wait::{Filling, Least};
#[cfg(feature = "http")]
use crate::stats::Waiting;

impl<M: ManageConnection> Pool<M> {
    #[cfg(feature = "postgres")]
    pub(crate) fn manager(&self) -> &M {
        self.shared().hooks.manager()
    }

    /// The clock by which it measures ages.
    #[cfg(feature = "postgres")]
    pub(crate) fn clock(&self) -> &Clock {
        self.shared().clock()
    }

    /// Counts an item of a batch, by whether it took effect.
    #[cfg(feature = "postgres")]
    pub(crate) fn count_item(&self, is_committed: bool) {
        let counters = &self.shared().counters;
        if is_committed { counters.items_committed.bump() } else { counters.items_failed.bump() }
    }

    /// Who waits for a connection, the first so many in the order of the queue.
    #[cfg(feature = "http")]
    pub(crate) fn first_waiters(&self, most: usize) -> Vec<Waiting> {
        observe::waiters(self.shared(), most)
    }

    /// Has the server asked to cancel what a checkout runs, by its connection's number. Whether it is out and there is
    /// a way to do so.
    #[cfg(all(feature = "http", unix))]
    pub(crate) fn cancel_checkout(&self, connection_id: u64) -> bool {
        !self.is_inherited() && stuck::cancel(self.shared(), connection_id)
    }

    /// Adopts settings of this pool and of the other one of their budget; see [`change::reconfigure_both`].
    pub(crate) fn reconfigure_with(
        &self,
        other: &Pool<M>,
        budget: &Budget,
        before: &[Arc<Settings>; 2],
        total: u32,
        settings: [Settings; 2],
    ) -> bool {
        change::reconfigure_both(budget, [self.shared(), other.shared()], before, total, settings)
    }

    /// That this thread is changing the settings of this pool and of the other one.
    pub(crate) fn begin_change_with(&self, other: &Pool<M>) -> Result<change::Changing, Error> {
        change::Changing::begin(&[self.shared(), other.shared()])
    }

    /// Whether these are its settings and those of the other one; see [`change::are_in_force`].
    pub(crate) fn are_in_force_with(&self, other: &Pool<M>, settings: &[Arc<Settings>; 2]) -> bool {
        change::are_in_force([self.shared(), other.shared()], settings)
    }

    /// Whether this process has it by `fork`. A system call.
    pub(crate) fn is_inherited(&self) -> bool {
        self.shared().is_inherited()
    }

    /// The pool as whose its log lines are.
    pub(crate) fn origin(&self) -> Origin {
        self.shared().origin()
    }

    /// The settings in force, to be told from later ones.
    pub(crate) fn settings_in_force(&self) -> Arc<Settings> {
        self.shared().settings()
    }

    /// Whether borrowers have all that it may lend now: its ceiling is less than what is asked for while growth waits.
    #[cfg(feature = "postgres")]
    pub(crate) fn is_lent_out(&self) -> bool {
        let shared = self.shared();
        let ceiling = observe::ceiling(&shared.settings(), &shared.lending.counts());
        self.holders().len() >= ceiling as usize
    }

    /// Has it keep to so many connections at the most for now; see [`change::limit`].
    #[cfg(feature = "postgres")]
    pub(crate) fn limit(&self, limit: u32) {
        change::limit(self.shared(), limit as usize);
    }

    /// Has it open connections again for which there was no room; see [`change::forget_fullness`].
    #[cfg(feature = "postgres")]
    pub(crate) fn forget_fullness(&self) {
        change::forget_fullness(self.shared());
    }

    /// Has idle connections validated now; see [`visit::visit`].
    #[cfg(feature = "postgres")]
    pub(crate) fn visit(&self, is_meant: impl FnMut(&M::Connection) -> bool) {
        visit::visit(self.shared(), is_meant);
    }

    /// Closes one connection that has been idle for so long; see [`retire::give_up_one`].
    #[cfg(feature = "postgres")]
    pub(crate) fn give_up_one(&self, idle_for: Duration) -> bool {
        retire::give_up_one(self.shared(), Millis::of(idle_for))
    }

    /// Tells of the fleet that it is part of, on the thread of such news.
    #[cfg(feature = "postgres")]
    pub(crate) fn tell_of_fleet(&self, fleet: &str, news: FleetNews) {
        let event = || Event::Fleet(FleetEvent { fleet: fleet.to_owned(), news });
        notify::emit_aside(self.shared(), event);
    }

    /// The server has answered a question.
    #[cfg(feature = "postgres")]
    pub(crate) fn note_answer(&self) {
        self.shared().supply.contact().seen(self.shared().exact_now());
    }

    /// The server has not answered a question that was begun this long ago.
    #[cfg(feature = "postgres")]
    pub(crate) fn note_unanswered(&self, ago: Duration, cause: String) {
        let now = self.shared().exact_now();
        self.shared().supply.contact().failed(now.less(Millis::of(ago)), now, || cause);
    }

    /// It, to be waited for while it is filled.
    pub(crate) fn filling(&self, limit: LimitSetBy, least: Least) -> Filling<'_, M> {
        Filling::new(self.shared(), limit, least)
    }
}
