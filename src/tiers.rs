//! Two pools under one budget: the automation tier, and an ad-hoc tier whose connections nobody else can take.

mod settings;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use r2d2::ManageConnection;

use crate::clock::{Clock, Deadline};
use crate::config::{Faults, Settings};
use crate::error::Error;
use crate::pool::{Budget, Builder, CloseReport, Keeper, Part, Pool, PooledConnection};

pub use settings::TieredSettings;

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

/// Two pools within one budget of server-side connections.
///
/// The tiers share nothing but the budget and the keeper thread: whatever automation does, ad-hoc checkouts are
/// served from their own connections, opened by a thread of their own.
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
    /// Asks the server whether it answers, where the database layer can; what is found shows in the statistics.
    question: Option<fn(&TieredPool<M>)>,
}

impl<M: ManageConnection> Clone for TieredPool<M> {
    fn clone(&self) -> Self {
        TieredPool {
            automation: self.automation.clone(),
            adhoc: self.adhoc.clone(),
            budget: Arc::clone(&self.budget),
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
    #[track_caller]
    pub fn get(&self, tier: Tier) -> Result<PooledConnection<M>, Error> {
        if tier == Tier::Adhoc
            && self.adhoc_may_borrow
            && let Some(borrowed) = self.borrow()
        {
            return Ok(borrowed);
        }
        self.tier(tier).get()
    }

    /// An idle automation connection for an ad-hoc caller, where all ad-hoc ones are out.
    #[track_caller]
    fn borrow(&self) -> Option<PooledConnection<M>> {
        let all_out = self.adhoc.gauges().in_use >= self.adhoc.max_size();
        if all_out && self.automation.gauges().idle > 0 { self.automation.try_get() } else { None }
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
    /// closed. Until then [`Pool::max_size`] of the growing tier tells what it will have. Of a budget that was lowered
    /// the excess closes likewise.
    ///
    /// The ad-hoc tier's base size follows `reserved`. Names stay. Otherwise as [`Pool::reconfigure`]; `change` too is
    /// called again where another thread changes settings at the same time.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` with every fault of both tiers and of the budget, and nothing is changed.
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
            if !faults.is_empty() {
                return Err(Error::invalid(faults));
            }
            let total = wanted.total_connections;
            let settings = [wanted.automation, wanted.adhoc];
            if self.automation.reconfigure_with(&self.adhoc, &self.budget, &before, total, settings) {
                return Ok(());
            }
        }
    }

    /// What the status box calls the budget.
    pub(crate) fn limit_name(&self) -> &'static str {
        self.limit_name
    }

    /// Has the server asked, before a status is printed, by `question`.
    #[cfg(feature = "postgres")]
    pub(crate) fn with_question(mut self, question: fn(&TieredPool<M>)) -> Self {
        self.question = Some(question);
        self
    }

    /// Asks the server whether it answers, where the database layer can.
    pub(crate) fn ask_server(&self) {
        if let Some(question) = self.question {
            question(self);
        }
    }

    /// Returns how many connections are reserved for the ad-hoc tier.
    pub fn reserved(&self) -> u32 {
        self.adhoc.max_size()
    }

    /// Closes both tiers within one deadline: automation first, so that a person can watch it. Returns what each
    /// left over.
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

/// Builds a [`TieredPool`].
pub struct TieredBuilder<M: ManageConnection> {
    total_connections: u32,
    limit_name: &'static str,
    reserved: u32,
    open_concurrency: u32,
    adhoc_may_borrow: bool,
    automation: Builder<M>,
    adhoc: Builder<M>,
    clock: Clock,
}

impl<M: ManageConnection> Default for TieredBuilder<M> {
    fn default() -> Self {
        let tier = |tier: Tier| Builder::new().settings(Settings::of_tier(tier.as_str()));
        TieredBuilder {
            total_connections: 60,
            limit_name: "Total Connection Limit",
            reserved: 5,
            open_concurrency: 4,
            adhoc_may_borrow: false,
            automation: tier(Tier::Automation).base_size(50).max_overflow(5),
            // One is kept warm, so that a person does not wait for a connection to be opened.
            adhoc: tier(Tier::Adhoc).min_idle(Some(1)),
            clock: Clock::default(),
        }
    }
}

impl<M: ManageConnection> TieredBuilder<M> {
    /// Sets the budget: the connections that both tiers may have on the server together. Default 60.
    pub fn total_connections(mut self, total: u32) -> Self {
        self.total_connections = total;
        self
    }

    /// Sets how many connections are the ad-hoc tier's own: its ceiling. Default 5.
    pub fn reserved(mut self, reserved: u32) -> Self {
        self.reserved = reserved;
        self
    }

    /// Sets how many connections both tiers open at a time: one for ad-hoc, the rest for automation; at least 2.
    /// Default 4.
    pub fn open_concurrency(mut self, openers: u32) -> Self {
        self.open_concurrency = openers;
        self
    }

    /// Sets whether an ad-hoc caller may take an idle automation connection when all ad-hoc ones are out. Automation
    /// never takes ad-hoc's. Default: no.
    pub fn adhoc_may_borrow(mut self, may: bool) -> Self {
        self.adhoc_may_borrow = may;
        self
    }

    /// Changes the automation tier's settings. Default: base size 50, overflow 5, opened when needed, 60 s to wait.
    pub fn automation(mut self, change: impl FnOnce(Builder<M>) -> Builder<M>) -> Self {
        self.automation = change(self.automation);
        self
    }

    /// Changes the ad-hoc tier's settings but for its size, which [`TieredBuilder::reserved`] sets. Default: one
    /// connection kept warm, 60 s to wait.
    pub fn adhoc(mut self, change: impl FnOnce(Builder<M>) -> Builder<M>) -> Self {
        self.adhoc = change(self.adhoc);
        self
    }

    /// Sets the clock of both tiers; a test gives one that it moves by hand.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// What has been set of a tier so far.
    #[cfg(feature = "postgres")]
    pub(crate) fn of_tier(&self, tier: Tier) -> &Builder<M> {
        match tier {
            Tier::Automation => &self.automation,
            Tier::Adhoc => &self.adhoc,
        }
    }

    /// Sets what the status box calls the budget: by whose limit it is set.
    #[cfg(feature = "postgres")]
    pub(crate) fn limit_name(mut self, name: &'static str) -> Self {
        self.limit_name = name;
        self
    }

    fn check(&self) -> Faults {
        let mut faults = Faults::new();
        let (automation, automation_faults) = self.automation.resolved();
        let (adhoc, adhoc_faults) = self.adhoc.resolved();
        settings::push(&mut faults, &[(Tier::Automation, automation_faults), (Tier::Adhoc, adhoc_faults)]);
        faults.require(
            self.open_concurrency >= 2,
            "open_concurrency",
            self.open_concurrency,
            "must be at least 2 for two tiers, so that neither can keep the other from opening connections",
        );
        settings::check_budget(self.total_connections, self.reserved, &automation, &adhoc, &mut faults);
        faults
    }

    /// Builds both tiers and waits until each has opened what it keeps. `manager` is asked for one manager a tier, so
    /// that they may use different roles.
    ///
    /// # Blocking
    ///
    /// As [`Builder::build`], for both tiers at the same time.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` with every fault of both tiers and of the budget; otherwise as [`Builder::build`].
    pub fn build(self, manager: impl FnMut(Tier) -> M) -> Result<TieredPool<M>, Error> {
        self.build_and_wait(manager, |pool| pool.connection_timeout())
    }

    /// As [`TieredBuilder::build`], but waits at most `limit`, whatever the checkouts of the tiers may take.
    ///
    /// # Errors
    ///
    /// As [`TieredBuilder::build`].
    pub fn build_within(
        self,
        manager: impl FnMut(Tier) -> M,
        limit: Duration,
    ) -> Result<TieredPool<M>, Error> {
        self.build_and_wait(manager, |_| limit)
    }

    fn build_and_wait(
        self,
        manager: impl FnMut(Tier) -> M,
        limit: impl Fn(&Pool<M>) -> Duration,
    ) -> Result<TieredPool<M>, Error> {
        let pool = self.build_unchecked(manager)?;
        // Both open at the same time, so the time of the first counts for the second as well.
        let tiers = [Tier::Automation, Tier::Adhoc].map(|tier| pool.tier(tier));
        for (tier, end) in tiers.map(|tier| (tier, Deadline::of(limit(tier)))) {
            tier.wait_built(end.left())?;
        }
        Ok(pool)
    }

    /// Builds both tiers without waiting for a connection.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` with every fault of both tiers and of the budget.
    pub fn build_unchecked(mut self, mut manager: impl FnMut(Tier) -> M) -> Result<TieredPool<M>, Error> {
        self.adhoc = self.adhoc.base_size(self.reserved).max_overflow(0).open_concurrency(1);
        self.automation = self.automation.open_concurrency(self.open_concurrency.saturating_sub(1).max(1));
        let faults = self.check();
        if !faults.is_empty() {
            return Err(Error::invalid(faults));
        }
        // At run time automation may grow into what the budget has left, and the reserved part stays as it is, unless
        // the budget itself is changed.
        let ceilings = [&self.automation, &self.adhoc].map(|builder| builder.resolved().0.ceiling());
        let budget = Budget::new(self.total_connections, ceilings);
        self.automation = self.automation.part(Part::of(&budget, 0));
        self.adhoc = self.adhoc.part(Part::of(&budget, 1));
        let keeper = Keeper::new("tierpool", self.clock.clone());
        let tend = |builder: Builder<M>| builder.clock(self.clock.clone()).keeper(keeper.clone());
        Ok(TieredPool {
            automation: tend(self.automation).try_build_unchecked(manager(Tier::Automation))?,
            adhoc: tend(self.adhoc).try_build_unchecked(manager(Tier::Adhoc))?,
            budget,
            limit_name: self.limit_name,
            adhoc_may_borrow: self.adhoc_may_borrow,
            question: None,
        })
    }
}
