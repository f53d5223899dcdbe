//! A tiered pool that whoever looks at it does not keep open.

use std::sync::Arc;

use r2d2::ManageConnection;

use super::{FleetOf, Question, TieredPool};
use crate::pool::{Budget, WeakPool};

pub(crate) struct WeakTieredPool<M: ManageConnection> {
    automation: WeakPool<M>,
    adhoc: WeakPool<M>,
    budget: Arc<Budget>,
    limit_name: &'static str,
    adhoc_may_borrow: bool,
    adhoc_is_apart: bool,
    question: Option<Question<M>>,
    fleet: Option<FleetOf<M>>,
}

impl<M: ManageConnection> WeakTieredPool<M> {
    /// The pool, for as long as the program has both tiers.
    pub(crate) fn upgrade(&self) -> Option<TieredPool<M>> {
        Some(TieredPool {
            automation: self.automation.upgrade()?,
            adhoc: self.adhoc.upgrade()?,
            budget: Arc::clone(&self.budget),
            limit_name: self.limit_name,
            adhoc_may_borrow: self.adhoc_may_borrow,
            adhoc_is_apart: self.adhoc_is_apart,
            question: self.question,
            fleet: self.fleet,
            // Of its own: while this handle is there, the last one of the program's may go.
            #[cfg(feature = "http")]
            ends: Arc::default(),
        })
    }
}

impl<M: ManageConnection> TieredPool<M> {
    pub(crate) fn downgrade(&self) -> WeakTieredPool<M> {
        WeakTieredPool {
            automation: self.automation.downgrade(),
            adhoc: self.adhoc.downgrade(),
            budget: Arc::clone(&self.budget),
            limit_name: self.limit_name,
            adhoc_may_borrow: self.adhoc_may_borrow,
            adhoc_is_apart: self.adhoc_is_apart,
            question: self.question,
            fleet: self.fleet,
        }
    }
}
