//! The foreign code of one pool. All of it is called with no lock held, and with its panics caught, through
//! [`guarded`](crate::pool::tell::notify::guarded).

use std::sync::Arc;
use std::time::Duration;

use r2d2::{CustomizeConnection, HandleError, ManageConnection};

use super::control::SessionControl;
use super::layer::{Condition, Driver, PlainDriver};
use crate::error::FailureClass;

/// Manager, driver, customizer and error handler.
pub(crate) struct Hooks<M: ManageConnection> {
    manager: M,
    driver: Box<dyn Driver<M>>,
    /// The driver is [`PlainDriver`].
    is_plain: bool,
    customizer: Box<dyn CustomizeConnection<M::Connection, M::Error>>,
    error_handler: Box<dyn HandleError<M::Error>>,
}

impl<M: ManageConnection> Hooks<M> {
    pub(crate) fn new(
        manager: M,
        driver: Option<Box<dyn Driver<M>>>,
        customizer: Box<dyn CustomizeConnection<M::Connection, M::Error>>,
        error_handler: Box<dyn HandleError<M::Error>>,
    ) -> Self {
        let is_plain = driver.is_none();
        let driver = driver.unwrap_or_else(|| Box::new(PlainDriver));
        Hooks { manager, driver, is_plain, customizer, error_handler }
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn manager(&self) -> &M {
        &self.manager
    }

    pub(crate) fn connect(&self, limit: Duration) -> Result<M::Connection, M::Error> {
        self.driver.connect(&self.manager, limit)
    }

    pub(crate) fn connect_limit(&self) -> Option<Duration> {
        self.driver.connect_limit(&self.manager)
    }

    pub(crate) fn end_openings(&self) {
        self.driver.end_openings(&self.manager);
    }

    pub(crate) fn opening_waits_for(&self) -> Option<String> {
        self.driver.opening_waits_for(&self.manager)
    }

    pub(crate) fn on_acquire(&self, conn: &mut M::Connection) -> Result<(), M::Error> {
        self.customizer.on_acquire(conn)
    }

    pub(crate) fn control(&self, conn: &mut M::Connection) -> Option<Arc<dyn SessionControl>> {
        self.driver.control(&self.manager, conn)
    }

    /// Whether a validation returns by its limit whatever the server does.
    pub(crate) fn is_bounded(&self) -> bool {
        self.driver.is_bounded()
    }

    pub(crate) fn probe(&self, conn: &mut M::Connection, limit: Duration) -> Option<Result<(), M::Error>> {
        self.driver.probe(&self.manager, conn, limit)
    }

    pub(crate) fn is_lost(&self, conn: &M::Connection) -> bool {
        self.driver.is_lost(conn)
    }

    pub(crate) fn validate(&self, conn: &mut M::Connection, limit: Duration) -> Result<(), M::Error> {
        self.driver.validate(&self.manager, conn, limit)
    }

    pub(crate) fn validate_suspect(&self, conn: &mut M::Connection, limit: Duration) -> Result<(), M::Error> {
        self.driver.validate_suspect(&self.manager, conn, limit)
    }

    pub(crate) fn reset(
        &self,
        conn: &mut M::Connection,
        suspect: bool,
        limit: Duration,
    ) -> Result<(), M::Error> {
        self.driver.reset(&self.manager, conn, suspect, limit)
    }

    #[inline]
    pub(crate) fn condition(&self, conn: &mut M::Connection) -> Condition {
        // Each checkin asks: by the type, so that a manager's `has_broken` becomes part of it, and the catching of its
        // panics where it has none goes.
        if self.is_plain {
            PlainDriver.condition(&self.manager, conn)
        } else {
            self.driver.condition(&self.manager, conn)
        }
    }

    pub(crate) fn close_grace(&self) -> Duration {
        self.driver.close_grace()
    }

    pub(crate) fn prepare_close(&self, conn: &mut M::Connection, polite: bool) {
        self.driver.prepare_close(conn, polite);
    }

    pub(crate) fn on_release(&self, conn: M::Connection) {
        self.customizer.on_release(conn);
    }

    pub(crate) fn classify(&self, error: &M::Error) -> FailureClass {
        self.driver.classify(error)
    }

    pub(crate) fn was_tried(&self, error: &M::Error) -> bool {
        self.driver.was_tried(error)
    }

    pub(crate) fn code(&self, error: &M::Error) -> Option<String> {
        self.driver.code(error)
    }

    pub(crate) fn handle_error(&self, error: M::Error) {
        self.error_handler.handle_error(error);
    }
}
