//! The log lines that r2d2 writes by default.

use std::error::Error;

use log::Level;
use r2d2::HandleError;

use crate::lines::say;
use crate::text::harmless;

/// Logs each error as r2d2's [`LoggingErrorHandler`](r2d2::LoggingErrorHandler) does, with the same target, and forges
/// no further line by what is in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogsAsR2d2;

impl<E: Error> HandleError<E> for LogsAsR2d2 {
    fn handle_error(&self, error: E) {
        say!(Level::Error, "r2d2", [], "{}", harmless(error));
    }
}
