//! The builder of two tiers within one budget.

use std::time::Duration;

use r2d2::ManageConnection;

use super::{Tier, TieredPool, settings};
use crate::clock::Clock;
use crate::config::{Faults, Settings};
use crate::error::{Error, LimitSetBy};
use crate::pool::{Budget, Builder, Hope, Keeper, Least, Part, wait_filled};

/// Builds a [`TieredPool`].
pub struct TieredBuilder<M: ManageConnection> {
    total_connections: u32,
    limit_name: &'static str,
    reserved: u32,
    open_concurrency: u32,
    adhoc_may_borrow: bool,
    adhoc_is_apart: bool,
    automation: Builder<M>,
    adhoc: Builder<M>,
    clock: Clock,
}

impl<M: ManageConnection> Default for TieredBuilder<M> {
    fn default() -> Self {
        let tier = |settings| Builder::new().settings(settings);
        TieredBuilder {
            total_connections: 60,
            limit_name: "Total Connection Limit",
            reserved: 5,
            open_concurrency: Settings::of_automation().open_concurrency,
            adhoc_may_borrow: false,
            adhoc_is_apart: false,
            automation: tier(Settings::of_automation()).base_size(50).max_overflow(5),
            adhoc: tier(Settings::of_adhoc()),
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
    /// Default 5.
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

    /// Sets whether the ad-hoc tier's manager leads to another server than automation's, or as another role: what one
    /// tier meets says nothing of the other then. A connection found dead in one makes none of the other's suspect, and
    /// the [`Verdict`](crate::report::Verdict) rests on both. Default: no, so that a sign of life to either tells of
    /// one server. A `PgBuilder` finds out by itself.
    pub fn adhoc_is_apart(mut self, is_apart: bool) -> Self {
        self.adhoc_is_apart = is_apart;
        self
    }

    /// Changes the automation tier's settings. Default: base size 50, overflow 5, opened when needed, 60 s to wait.
    pub fn automation(mut self, change: impl FnOnce(Builder<M>) -> Builder<M>) -> Self {
        self.automation = change(self.automation);
        self
    }

    /// Changes the ad-hoc tier's settings but for its size, which [`TieredBuilder::reserved`] sets. Default: opened
    /// when needed, closed after 10 s without use ([`base_lingers`](Settings::base_lingers)), 60 s to wait.
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

    /// Has the budget be what the sizes of the tiers come to.
    #[cfg(feature = "postgres")]
    pub(crate) fn budget_follows(mut self) -> Self {
        self.total_connections = self.automation.resolved().0.ceiling().saturating_add(self.reserved);
        self
    }

    /// The budget set so far.
    #[cfg(feature = "postgres")]
    pub(crate) fn budget(&self) -> u32 {
        self.total_connections
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

    /// Builds both tiers and waits until each has opened what it keeps, which is nothing unless `min_size` or
    /// `min_idle` says so. `manager` is asked for one manager a tier, so that they may use different roles.
    ///
    /// # Blocking
    ///
    /// As [`Builder::build`], for both tiers at the same time.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` with every fault of both tiers and of the budget; otherwise as [`Builder::build`], for the first
    /// tier that cannot be built.
    pub fn build(self, manager: impl FnMut(Tier) -> M) -> Result<TieredPool<M>, Error> {
        self.build_with(manager, None, |_| Least::Kept, |_| ())
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
        self.build_with(manager, Some(limit), |_| Least::Kept, |_| ())
    }

    /// Builds both tiers, tells `begun` of them, and waits until each has `least` open, for `limit` or as long as its
    /// checkouts may take.
    pub(crate) fn build_with(
        self,
        manager: impl FnMut(Tier) -> M,
        limit: Option<Duration>,
        least: impl Fn(Tier) -> Least,
        begun: impl FnOnce(&TieredPool<M>),
    ) -> Result<TieredPool<M>, Error> {
        let pool = self.build_unchecked(manager)?;
        begun(&pool);
        let filling = [Tier::Automation, Tier::Adhoc].map(|tier| {
            let (pool, least) = (pool.tier(tier), least(tier));
            let own = || LimitSetBy::Settings(pool.connection_timeout());
            pool.filling(limit.map_or_else(own, LimitSetBy::Caller), least)
        });
        wait_filled(Vec::from(filling), Hope::UntilPermanent)?;
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
        let budget = Budget::new(self.total_connections, ceilings, !self.adhoc_is_apart);
        self.automation = self.automation.part(Part::of(&budget, 0, Tier::Automation.as_str()));
        self.adhoc = self.adhoc.part(Part::of(&budget, 1, Tier::Adhoc.as_str()));
        let keeper = Keeper::new("tierpool", self.clock.clone());
        let tend = |builder: Builder<M>| builder.clock(self.clock.clone()).keeper(keeper.clone());
        Ok(TieredPool {
            automation: tend(self.automation).try_build_unchecked(manager(Tier::Automation))?,
            adhoc: tend(self.adhoc).try_build_unchecked(manager(Tier::Adhoc))?,
            budget,
            limit_name: self.limit_name,
            adhoc_may_borrow: self.adhoc_may_borrow,
            adhoc_is_apart: self.adhoc_is_apart,
            question: None,
            fleet: None,
            #[cfg(feature = "http")]
            ends: Default::default(),
        })
    }
}
