//! A pool that whoever looks at it does not keep open.

use std::sync::{Arc, Weak};

use r2d2::ManageConnection;

use super::{Handle, Pool};

pub(crate) struct WeakPool<M: ManageConnection>(Weak<Handle<M>>);

impl<M: ManageConnection> WeakPool<M> {
    /// The pool, for as long as the program has it.
    pub(crate) fn upgrade(&self) -> Option<Pool<M>> {
        self.0.upgrade().map(Pool)
    }
}

impl<M: ManageConnection> Pool<M> {
    pub(crate) fn downgrade(&self) -> WeakPool<M> {
        WeakPool(Arc::downgrade(&self.0))
    }
}
