//! Two pools under one budget: the automation tier, and an ad-hoc tier whose connections nobody else can take.

mod builder;
#[cfg(feature = "http")]
mod ends;
mod settings;
#[cfg(any(feature = "metrics", feature = "prometheus"))]
mod weak;

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use r2d2::ManageConnection;

use crate::error::{Error, LimitSetBy};
use crate::pool::{Budget, CloseReport, Hope, Least, Pool, PooledConnection, wait_filled};
use crate::stats::FleetStatus;

pub use builder::TieredBuilder;
#[cfg(feature = "http")]
pub(crate) use ends::{AtEnd, Ends};
pub use settings::TieredSettings;
#[cfg(feature = "http")]
pub(crate) use weak::WeakTieredPool;

/// The tier that a checkout is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Batch work: many threads, all the connections of the budget but the reserved ones.
    Automation,
    /// A person: manual queries, debuggers, status scripts, on connections that automation can never take.
    Adhoc,
}

impl Tier {
    /// The name used in `application_name`, log targets and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Tier::Automation => "automation",
            Tier::Adhoc => "adhoc",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who has the server asked.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "http"), allow(dead_code))]
pub(crate) enum Asker {
    /// A person who looks at the pool: through the ad-hoc tier, and content with an answer that is kept.
    Person,
    /// A probe, which is to restart nothing for want of an ad-hoc connection: anew, through the tier that has one.
    Probe,
}

/// What came of having the server asked.
#[cfg_attr(not(all(feature = "http", feature = "postgres")), allow(dead_code))]
pub(crate) enum Asked {
    Found(Answer),
    /// Nothing: borrowers have all connections, or nothing is lent.
    NoConnection,
}

/// What a question to the server has found: whether it answers, and that in one line; and the same in words of the
/// pool's own, without a name, an address or what the server says, for those who may not read everything.
#[cfg_attr(not(feature = "http"), allow(dead_code))]
pub(crate) struct Answer {
    pub(crate) healthy: bool,
    pub(crate) message: String,
    pub(crate) brief: &'static str,
}

/// Two pools within one budget of server-side connections.
///
/// The tiers share nothing but the budget and the keeper thread: whatever automation does, ad-hoc checkouts are
/// served from their own connections, opened by a thread of their own. What one learns of the server helps the other,
/// unless the ad-hoc tier is apart ([`TieredBuilder::adhoc_is_apart`]): a connection found dead in one has both
/// validate what they had before.
///
/// ```
/// use tierpool::{MemoryManager, Tier, TieredPool};
///
/// let pool = TieredPool::builder()
///     .total_connections(12)
///     .reserved(2)
///     .automation(|tier| tier.base_size(8).max_overflow(2))
///     .build(|_| MemoryManager)?;
/// let batch: Vec<_> = (0..10).map(|_| pool.get(Tier::Automation).unwrap()).collect();
/// assert!(pool.automation().try_get().is_none());
/// assert!(pool.get(Tier::Adhoc).is_ok());
/// # drop(batch);
/// # Ok::<(), tierpool::Error>(())
/// ```
pub struct TieredPool<M: ManageConnection> {
    automation: Pool<M>,
    adhoc: Pool<M>,
    budget: Arc<Budget>,
    limit_name: &'static str,
    adhoc_may_borrow: bool,
    adhoc_is_apart: bool,
    question: Option<Question<M>>,
    fleet: Option<FleetOf<M>>,
    /// Goes with the last handle.
    #[cfg(feature = "http")]
    ends: Arc<Ends>,
}

/// Asks the server whether it answers, where the database layer can; what is found shows in the statistics too. With
/// `true` an answer that is kept does not do.
type Question<M> = fn(&TieredPool<M>, Asker) -> Asked;

/// Tells what is known of the fleet that the automation tier is part of, where the database layer has one.
type FleetOf<M> = fn(&TieredPool<M>) -> Option<FleetStatus>;

impl<M: ManageConnection> Clone for TieredPool<M> {
    fn clone(&self) -> Self {
        TieredPool {
            automation: self.automation.clone(),
            adhoc: self.adhoc.clone(),
            budget: Arc::clone(&self.budget),
            #[cfg(feature = "http")]
            ends: Arc::clone(&self.ends),
            ..*self
        }
    }
}

impl<M: ManageConnection> TieredPool<M> {
    /// Returns a builder with the defaults: a budget of 60, 5 of it reserved, automation 50 and an overflow of 5.
    pub fn builder() -> TieredBuilder<M> {
        TieredBuilder::default()
    }

    /// Returns the automation tier, an ordinary pool.
    pub fn automation(&self) -> &Pool<M> {
        &self.automation
    }

    /// Returns the ad-hoc tier, an ordinary pool.
    pub fn adhoc(&self) -> &Pool<M> {
        &self.adhoc
    }

    /// Returns a tier's pool.
    pub fn tier(&self, tier: Tier) -> &Pool<M> {
        match tier {
            Tier::Automation => &self.automation,
            Tier::Adhoc => &self.adhoc,
        }
    }

    /// Takes a connection of a tier, as [`Pool::get`] does.
    ///
    /// With `adhoc_may_borrow`, an ad-hoc caller that finds all ad-hoc connections out takes an idle automation one.
    ///
    /// # Errors
    ///
    /// As [`Pool::get`].
    #[doc(alias("acquire", "release", "getConnection", "getconn", "putconn"))]
    #[track_caller]
    pub fn get(&self, tier: Tier) -> Result<PooledConnection<M>, Error> {
        self.get_for(tier, Location::caller())
    }

    /// As [`TieredPool::get`], for a caller who asked elsewhere.
    pub(crate) fn get_for(
        &self,
        tier: Tier,
        caller: &'static Location<'static>,
    ) -> Result<PooledConnection<M>, Error> {
        if tier == Tier::Adhoc
            && self.adhoc_may_borrow
            && let Some(borrowed) = self.borrow(caller)
        {
            return Ok(borrowed);
        }
        self.tier(tier).get_for(caller)
    }

    /// An idle automation connection for an ad-hoc caller, where all ad-hoc ones are out.
    fn borrow(&self, caller: &'static Location<'static>) -> Option<PooledConnection<M>> {
        // Before any lock; the checkout that follows tells of it.
        if self.adhoc.is_inherited() {
            return None;
        }
        let all_out = self.adhoc.gauges().in_use >= self.adhoc.max_size();
        if all_out && self.automation.gauges().idle > 0 { self.automation.try_get_for(caller) } else { None }
    }

    /// Returns the budget: the server-side connections that the tiers share.
    pub fn total_connections(&self) -> u32 {
        self.budget.total()
    }

    /// Changes the budget, the reserve and the settings of both tiers in one step: all of it, or with a fault nothing.
    /// It is for what one tier cannot do by itself ([`Pool::reconfigure`] keeps it within its part): moving connections
    /// from one to the other, and another budget.
    ///
    /// A tier that shrinks closes its idle connections now and those in use at their checkin, and the other one grows
    /// as these are closed, so that both together never have more than the budget, counting what is being opened or
    /// closed. But for a close that hangs: after [`close_grace`](crate::Driver::close_grace), 100 ms for plain
    /// managers, its connection counts no more, and the server may have one beyond the budget until it is gone. Until
    /// the other tier has closed them [`Pool::max_size`] of the growing tier tells what it will have. Of a budget that
    /// was lowered the excess closes likewise.
    ///
    /// The ad-hoc tier's base size follows `reserved` where that is changed; else its sizes stay as they are. Names
    /// stay. Otherwise as [`Pool::reconfigure`]; `change` too is called again where another thread changes settings at
    /// the same time.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` with every fault of both tiers and of the budget, and nothing is changed; also when called
    /// within `change` itself, as a tier's own `reconfigure` there.
    ///
    /// # Examples
    ///
    /// ```
    /// use tierpool::{MemoryManager, Tier, TieredPool};
    ///
    /// let pool = TieredPool::builder()
    ///     .total_connections(12)
    ///     .reserved(2)
    ///     .automation(|tier| tier.base_size(10).max_overflow(0))
    ///     .build(|_| MemoryManager)?;
    /// // More people than usual.
    /// pool.reconfigure(|settings| {
    ///     settings.reserved = 6;
    ///     settings.automation.base_size = 6;
    /// })?;
    /// assert_eq!((pool.automation().max_size(), pool.reserved()), (6, 6));
    /// let refused = pool.reconfigure(|settings| settings.automation.base_size = 7).unwrap_err();
    /// assert!(refused.to_string().contains("total_connections is 12: must be at least 13"));
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn reconfigure(&self, change: impl Fn(&mut TieredSettings)) -> Result<(), Error> {
        let _changing = self.automation.begin_change_with(&self.adhoc)?;
        loop {
            let before = [self.automation.settings_in_force(), self.adhoc.settings_in_force()];
            let present = TieredSettings {
                total_connections: self.total_connections(),
                reserved: before[1].ceiling(),
                automation: before[0].as_ref().clone(),
                adhoc: before[1].as_ref().clone(),
            };
            let mut wanted = present.clone();
            change(&mut wanted);
            let wanted = wanted.completed(&present);
            let faults = wanted.check();
            // Of a moment in the middle of another change the parts do not belong together.
            let is_whole = || self.automation.are_in_force_with(&self.adhoc, &before);
            if !faults.is_empty() && is_whole() && present.total_connections == self.total_connections() {
                return Err(Error::invalid(faults));
            }
            if !faults.is_empty() {
                continue;
            }
            let total = wanted.total_connections;
            let settings = [wanted.automation, wanted.adhoc];
            if self.automation.reconfigure_with(&self.adhoc, &self.budget, &before, total, settings) {
                return Ok(());
            }
        }
    }

    /// Waits until each tier has opened what it keeps, and one connection in any case, at most `limit` for both: as
    /// [`Pool::wait_ready`].
    ///
    /// # Errors
    ///
    /// As [`Pool::wait_ready`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use tierpool::{MemoryManager, TieredPool};
    ///
    /// let pool = TieredPool::builder().build_unchecked(|_| MemoryManager)?;
    /// pool.wait_ready(Duration::from_secs(60))?;
    /// assert_eq!((pool.automation().gauges().idle, pool.adhoc().gauges().idle), (1, 1));
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn wait_ready(&self, limit: Duration) -> Result<(), Error> {
        let limit = LimitSetBy::Caller(limit);
        wait_filled(
            vec![self.automation.filling(limit, Least::Ready), self.adhoc.filling(limit, Least::Ready)],
            Hope::ToTheEnd,
        )
    }

    /// What the status box calls the budget.
    pub(crate) fn limit_name(&self) -> &'static str {
        self.limit_name
    }

    /// Whether each tier leads to a server, or a role, of its own.
    pub(crate) fn adhoc_is_apart(&self) -> bool {
        self.adhoc_is_apart
    }

    /// Has the server asked, before a status is printed, by `question`.
    #[cfg(feature = "postgres")]
    pub(crate) fn with_question(mut self, question: Question<M>) -> Self {
        self.question = Some(question);
        self
    }

    /// Has the fleet told of, by `fleet`.
    #[cfg(feature = "postgres")]
    pub(crate) fn with_fleet(mut self, fleet: FleetOf<M>) -> Self {
        self.fleet = Some(fleet);
        self
    }

    /// What is known of the fleet that the automation tier is part of.
    pub(crate) fn fleet(&self) -> Option<FleetStatus> {
        self.fleet.and_then(|fleet| fleet(self))
    }

    /// Asks the server whether it answers, where the database layer can.
    pub(crate) fn ask_server(&self, asker: Asker) -> Option<Asked> {
        self.question.map(|question| question(self, asker))
    }

    /// Returns how many connections are reserved for the ad-hoc tier.
    pub fn reserved(&self) -> u32 {
        self.adhoc.max_size()
    }

    /// Replaces all connections of both tiers: closes idle ones now and those in use at their checkin. The pool stays
    /// usable; SQLAlchemy's `dispose`.
    ///
    /// ```
    /// use tierpool::{MemoryManager, Tier, TieredPool};
    ///
    /// let pool = TieredPool::builder().build(|_| MemoryManager)?;
    /// *pool.get(Tier::Adhoc)? = 7; // MemoryManager's connections are numbers
    /// assert_eq!(*pool.get(Tier::Adhoc)?, 7);
    /// pool.drain();
    /// assert_eq!(*pool.get(Tier::Adhoc)?, 0, "a new one");
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn drain(&self) {
        self.automation.drain();
        self.adhoc.drain();
    }

    /// Closes both tiers within one deadline: automation first, so that a person can watch it. Returns what each
    /// left over.
    #[doc(alias("$disconnect"))]
    pub fn close(&self, limit: Duration) -> (CloseReport, CloseReport) {
        let automation = self.automation.close(limit);
        let adhoc = self.adhoc.close(limit.saturating_sub(automation.took));
        (automation, adhoc)
    }
}

impl<M: ManageConnection> fmt::Debug for TieredPool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredPool")
            .field("total_connections", &self.total_connections())
            .field("automation", &self.automation)
            .field("adhoc", &self.adhoc)
            .finish()
    }
}
