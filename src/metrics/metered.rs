//! Whose metrics can be told.

use r2d2::ManageConnection;

use self::sealed::{Sealed, Source};
use super::reading::Reading;
use crate::pool::Pool;
#[cfg(feature = "postgres")]
use crate::postgres::PgPool;
use crate::tiers::TieredPool;

/// A pool whose metrics can be told: a [`Pool`], a [`TieredPool`] or a `PgPool`. Nothing else can be.
pub trait Metered: Sealed {}

impl<M: ManageConnection> Metered for Pool<M> {}
impl<M: ManageConnection> Metered for TieredPool<M> {}
#[cfg(feature = "postgres")]
impl Metered for PgPool {}

pub(super) mod sealed {
    use super::Reading;

    /// Reads a pool, for as long as it lives.
    pub type Source = Box<dyn Fn() -> Vec<Reading> + Send + Sync>;

    pub trait Sealed {
        /// It keeps the pool open no longer than the program does.
        fn source(&self) -> Source;
    }
}

impl<M: ManageConnection> Sealed for Pool<M> {
    fn source(&self) -> Source {
        let pool = self.downgrade();
        Box::new(move || pool.upgrade().iter().map(Reading::of_pool).collect())
    }
}

impl<M: ManageConnection> Sealed for TieredPool<M> {
    fn source(&self) -> Source {
        let pool = self.downgrade();
        Box::new(move || pool.upgrade().iter().flat_map(Reading::of_tiers).collect())
    }
}

#[cfg(feature = "postgres")]
impl Sealed for PgPool {
    fn source(&self) -> Source {
        (**self).source()
    }
}
