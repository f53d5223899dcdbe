//! The builder: settings and collaborators of a pool. `build` makes the pool of it.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use r2d2::{CustomizeConnection, HandleError, ManageConnection, NopConnectionCustomizer, NopErrorHandler};

use super::driver::layer::Driver;
use super::driver::logging::LogsAsR2d2;
use super::parts::budget::Part;
use super::parts::keeper::Keeper;
use super::sizes::Sizes;
use crate::clock::Clock;
use crate::config::{Faults, PrePing, Settings, WaitMode};
use crate::event::HandleEvent;
use crate::text::harmless;

/// Builds a [`Pool`](crate::Pool); r2d2's builder with the settings that tierpool adds.
///
/// Each method's setting is described at the field of the same name of [`Settings`], with its default.
///
/// ```
/// use std::time::Duration;
/// use tierpool::{MemoryManager, Pool};
///
/// let pool = Pool::builder()
///     .base_size(4)
///     .max_overflow(2)
///     .min_idle(Some(1))
///     .connection_timeout(Duration::from_secs(5))
///     .build(MemoryManager)?;
/// assert_eq!(pool.max_size(), 6);
/// # Ok::<(), tierpool::Error>(())
/// ```
pub struct Builder<M: ManageConnection> {
    pub(super) settings: Settings,
    sizes: Sizes,
    /// The settings that were set, also where to just their defaults.
    set: Vec<&'static str>,
    /// `None` stands for `PlainDriver`: boxed, it could not be told from others.
    pub(super) driver: Option<Box<dyn Driver<M>>>,
    pub(super) customizer: Box<dyn CustomizeConnection<M::Connection, M::Error>>,
    pub(super) error_handler: Box<dyn HandleError<M::Error>>,
    pub(super) event_handler: Option<Box<dyn HandleEvent>>,
    pub(super) clock: Clock,
    pub(super) keeper: Option<Arc<Keeper>>,
    pub(super) part: Part,
    manager: PhantomData<M>,
}

/// Stands for every setting among those that were set.
const ALL: &str = "settings";

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        $($(#[$doc])*
        pub fn $name(mut self, $name: $type) -> Self {
            self.set.push(stringify!($name));
            self.settings.$name = $name;
            self
        })*
    };
}

impl<M: ManageConnection> Default for Builder<M> {
    fn default() -> Self {
        Builder {
            settings: Settings::default(),
            sizes: Sizes::default(),
            set: vec![],
            driver: None,
            customizer: Box::new(NopConnectionCustomizer),
            error_handler: Box::new(NopErrorHandler),
            event_handler: None,
            clock: Clock::default(),
            keeper: None,
            part: Part::default(),
            manager: PhantomData,
        }
    }
}

impl<M: ManageConnection> Builder<M> {
    /// Starts with every setting at its default.
    pub fn new() -> Self {
        Builder::default()
    }

    /// Takes over r2d2's choices where this pool's differ, for a program that is to behave as it did there. Later calls
    /// change single ones; sizes and name stay as they are.
    ///
    /// | setting | r2d2's choice |
    /// | --- | --- |
    /// | `wait_mode`, `connection_timeout` | at most 30 s |
    /// | `pre_ping` | [`PrePing::Always`]: each connection is validated before its checkout |
    /// | `validation_timeout` | 30 s; r2d2 has none |
    /// | `keepalive` | none |
    /// | `max_lifetime`, `lifetime_jitter` | 30 min, without jitter |
    /// | `max_uses` | no limit |
    /// | `idle_timeout`, `reaper_rate` | 10 min, looked at every 30 s |
    /// | `open_concurrency` | 3, r2d2's threads |
    /// | `failure_threshold` | 0: no circuit breaker |
    /// | `deadlock_detection`, `slow_checkout` | off |
    /// | error handler | as [`LoggingErrorHandler`](crate::LoggingErrorHandler), what it logs made harmless |
    ///
    /// ```
    /// use tierpool::{MemoryManager, Pool};
    ///
    /// let pool = Pool::builder().like_r2d2().max_size(15).build(MemoryManager)?;
    /// assert!(pool.test_on_check_out());
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn like_r2d2(mut self) -> Self {
        self.settings.choose_like_r2d2();
        self.set.extend(Settings::CHOSEN_LIKE_R2D2);
        self.error_handler(Box::new(LogsAsR2d2))
    }

    /// Takes over all settings at once, such as those loaded from the environment; later calls change single ones.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self.sizes = Sizes::default();
        self.set = vec![ALL];
        self
    }

    /// Takes over all settings as what holds where nothing is set.
    #[cfg(feature = "postgres")]
    pub(crate) fn defaults(mut self, settings: Settings) -> Self {
        self = self.settings(settings);
        self.set.clear();
        self
    }

    /// Sets the hard ceiling, r2d2's way. With `base_size` or `max_overflow` the other follows; all three must add up.
    #[doc(alias("max", "MaxConns", "maximumPoolSize", "connection_limit"))]
    pub fn max_size(mut self, max_size: u32) -> Self {
        self.sizes.max = Some(max_size);
        self
    }

    /// Sets the number of connections that are kept once opened.
    pub fn base_size(mut self, base_size: u32) -> Self {
        self.sizes.base = Some(base_size);
        self
    }

    /// Sets how many connections above the base size are opened under load.
    pub fn max_overflow(mut self, max_overflow: u32) -> Self {
        self.sizes.overflow = Some(max_overflow);
        self
    }

    /// Sets whether every connection is validated before its checkout ([`PrePing::Always`]) or none
    /// ([`PrePing::Never`]); r2d2's name. [`Builder::pre_ping`] is the finer way.
    pub fn test_on_check_out(self, test: bool) -> Self {
        self.pre_ping(if test { PrePing::Always } else { PrePing::Never })
    }

    /// Sets the name used in log targets, thread names, metrics and errors: of a long one 1 KiB, with what a terminal
    /// obeys escaped.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self
    }

    setters! {
        /// Sets how many connections are kept open in total.
        min_size: u32,
        /// Sets how many idle connections are kept ready.
        min_idle: Option<u32>,
        /// Sets how many callers may queue.
        max_waiting: Option<u32>,
        /// Sets how `get` waits.
        wait_mode: WaitMode,
        /// Sets the deadline of a checkout.
        connection_timeout: Duration,
        /// Sets the longest that opening one connection may take.
        connect_timeout: Option<Duration>,
        /// Sets when an idle connection is validated before it is lent.
        pre_ping: PrePing,
        /// Sets the longest time of a validation or reset.
        validation_timeout: Duration,
        /// Sets the period of background validation.
        keepalive: Option<Duration>,
        /// Sets the age at which a connection is replaced.
        max_lifetime: Option<Duration>,
        /// Sets by which part of it a connection's own lifetime may be shorter.
        lifetime_jitter: f64,
        /// Sets the number of checkouts after which a connection is replaced.
        max_uses: Option<u64>,
        /// Sets the idle time after which a connection above the minimum is closed.
        idle_timeout: Option<Duration>,
        /// Sets the idle time after which a connection above the base size is closed.
        overflow_linger: Duration,
        /// Sets whether a connection within the base size, too, is closed after that time.
        base_lingers: bool,
        /// Sets how often the keeper looks.
        reaper_rate: Duration,
        /// Sets how many connections are opened at a time.
        open_concurrency: u32,
        /// Sets how many consecutive failures open the circuit breaker; 0, the default, switches it off.
        failure_threshold: u32,
        /// Sets the longest time between two probes of an open breaker.
        open_for: Duration,
        /// Sets the checkout time from which on a warning is logged.
        slow_checkout: Option<Duration>,
        /// Sets the hold time from which on a warning is logged.
        leak_threshold: Option<Duration>,
        /// Sets the hold time from which on the borrower's statement is cancelled.
        cancel_stuck_after: Option<Duration>,
        /// Sets the hold time from which on the borrower's session is ended.
        terminate_stuck_after: Option<Duration>,
        /// Sets whether self-deadlocks are looked for.
        deadlock_detection: bool,
        /// Sets whether a self-deadlock among holders of guards is refused, and not only warned of.
        deadlock_refusal: bool,
        /// Sets the bound on connections whose close has not finished.
        max_zombies: Option<u32>,
    }

    /// Sets what is told of every error in opening and validating. Default: nobody, unlike r2d2's, which logs each:
    /// the pool logs them itself, but not the same kind again and again.
    pub fn error_handler(mut self, handler: Box<dyn HandleError<M::Error>>) -> Self {
        self.error_handler = handler;
        self
    }

    /// Sets what is told of events. [`Pool::subscribe`](crate::Pool::subscribe) is another way, through a channel.
    /// For what the pool's own threads have to tell it has another thread, while there is something to tell.
    pub fn event_handler(mut self, handler: Box<dyn HandleEvent>) -> Self {
        self.event_handler = Some(handler);
        self
    }

    /// Sets what prepares new connections and is given closed ones.
    #[doc(alias("session_callback", "connectionInitSql", "configure", "AfterConnect"))]
    pub fn connection_customizer(
        mut self,
        customizer: Box<dyn CustomizeConnection<M::Connection, M::Error>>,
    ) -> Self {
        self.customizer = customizer;
        self
    }

    /// Sets what the pool may know of its connections beyond r2d2's trait.
    pub fn driver(mut self, driver: Box<dyn Driver<M>>) -> Self {
        self.driver = Some(driver);
        self
    }

    /// Sets the clock by which ages are measured; a test gives one that it moves by hand.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Accepted so that programs written for r2d2 compile; without effect, since this pool starts its few threads
    /// when they are needed and ends them afterwards.
    pub fn thread_pool(self, _: Arc<scheduled_thread_pool::ScheduledThreadPool>) -> Self {
        self
    }

    /// Has the pool looked after by the keeper of another, which goes by the same clock.
    pub(crate) fn keeper(mut self, keeper: Arc<Keeper>) -> Self {
        self.keeper = Some(keeper);
        self
    }

    /// Has the pool share a budget with another.
    pub(crate) fn part(mut self, part: Part) -> Self {
        self.part = part;
        self
    }

    /// Whether a setting was set, by itself or with all others.
    #[cfg(feature = "postgres")]
    pub(crate) fn is_set(&self, setting: &str) -> bool {
        match setting {
            _ if self.set.contains(&ALL) => true,
            "max_size" => self.sizes.max.is_some(),
            "base_size" => self.sizes.base.is_some(),
            "max_overflow" => self.sizes.overflow.is_some(),
            other => self.set.contains(&other),
        }
    }

    /// The settings as they stand, with the sizes resolved, and what is wrong with them.
    pub(crate) fn resolved(&self) -> (Settings, Faults) {
        let mut settings = self.settings.clone();
        let mut faults = Faults::new();
        if self.set.contains(&"idle_timeout") && !self.set.contains(&"base_lingers") {
            settings.base_lingers = false;
        }
        (settings.base_size, settings.max_overflow) = self.sizes.resolve(&self.settings, &mut faults);
        faults.extend(settings.check());
        settings.name = harmless(settings.name);
        (settings, faults)
    }
}

impl<M: ManageConnection> fmt::Debug for Builder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("settings", &self.settings).field("sizes", &self.sizes).finish()
    }
}
