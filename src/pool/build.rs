//! From a builder to a pool: its settings are checked, the pool starts, and whoever builds it waits for what it keeps.

use std::sync::Arc;
use std::time::Duration;

use log::Level;
use r2d2::ManageConnection;

use super::builder::Builder;
use super::driver::hooks::Hooks;
use super::handle::Pool;
use super::parts::keeper::Keeper;
use super::parts::sinks::Sinks;
use super::shared::Shared;
use super::wait::{Hope, Least, wait_filled};
use crate::error::{Error, LimitSetBy};
use crate::lines::{Origin, say};
use crate::process::was_forked_amid_pools;

impl<M: ManageConnection> Builder<M> {
    /// Builds the pool and waits until it has opened what it keeps.
    ///
    /// A server that is still starting is waited for, and the log says so every few seconds. [`Builder::build_within`]
    /// has a limit of its own for that; [`Builder::build_unchecked`] waits for nothing, and [`Pool::wait_ready`] then
    /// waits where the program wants to.
    ///
    /// # Blocking
    ///
    /// At most `connection_timeout`; less where the cause of a failure is one that waiting will not cure.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` with every fault of the settings; `ConnectFailed` for a cause that waiting will not cure;
    /// `Timeout`, with the cause of the last failure, where the connections could not be opened in time; `Forked` in a
    /// process that was forked from one in which pools were at work.
    pub fn build(self, manager: M) -> Result<Pool<M>, Error> {
        let pool = self.start(manager)?;
        wait_filled(
            vec![pool.filling(LimitSetBy::Settings(pool.connection_timeout()), Least::Kept)],
            Hope::UntilPermanent,
        )?;
        Ok(pool)
    }

    /// As [`Builder::build`], but waits at most `limit`, whatever a checkout may take.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tierpool::{MemoryManager, Pool};
    ///
    /// let builder = Pool::builder().connection_timeout(Duration::from_secs(2));
    /// let pool = builder.build_within(MemoryManager, Duration::from_secs(60))?;
    /// assert_eq!(pool.state().idle_connections, 10);
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub fn build_within(self, manager: M, limit: Duration) -> Result<Pool<M>, Error> {
        let pool = self.start(manager)?;
        wait_filled(vec![pool.filling(LimitSetBy::Caller(limit), Least::Kept)], Hope::UntilPermanent)?;
        Ok(pool)
    }

    /// Builds the pool without waiting for a connection.
    ///
    /// # Panics
    ///
    /// If the settings are invalid; [`Builder::try_build_unchecked`] returns an error instead.
    pub fn build_unchecked(self, manager: M) -> Pool<M> {
        match self.try_build_unchecked(manager) {
            Ok(pool) => pool,
            Err(error) => panic!("{error}"),
        }
    }

    /// Builds the pool without waiting for a connection.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` with every fault of the settings.
    pub fn try_build_unchecked(self, manager: M) -> Result<Pool<M>, Error> {
        self.start(manager)
    }

    fn start(self, manager: M) -> Result<Pool<M>, Error> {
        if was_forked_amid_pools() {
            return Err(Error::forked_amid_pools());
        }
        let (settings, faults) = self.resolved();
        if !faults.is_empty() {
            return Err(Error::invalid(faults));
        }
        say!(Level::Info, Origin::pool(&settings.name, self.part.tier()), [], "starting with {settings:?}");
        let keeper = self.keeper.unwrap_or_else(|| Keeper::new(&settings.name, self.clock.clone()));
        let shared = Arc::new(Shared::new(
            settings,
            Hooks::new(manager, self.driver, self.customizer, self.error_handler),
            Sinks::new(self.event_handler),
            self.clock,
            keeper,
            self.part,
        ));
        Ok(Pool::start(shared))
    }
}

// Here and not beside the other methods of a pool, so that the handle need not know its builder.
impl<M: ManageConnection> Pool<M> {
    /// Creates a pool with the default settings; see [`Builder::build`].
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub fn new(manager: M) -> Result<Pool<M>, Error> {
        Pool::builder().build(manager)
    }

    /// Returns a builder with the default settings.
    pub fn builder() -> Builder<M> {
        Builder::new()
    }
}
