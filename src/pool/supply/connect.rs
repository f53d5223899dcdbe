//! Opening one connection: the calls into the database layer, none of which can do worse than fail.

use std::sync::Arc;
use std::time::Duration;

use r2d2::ManageConnection;

use crate::error::{FailureClass, OpenFailure};
use crate::pool::driver::control::SessionControl;
use crate::pool::shared::{Errand, Shared};
use crate::pool::tell::notify::guarded;

/// The limit of an opening where neither the settings nor the driver have one. It is not the caller's: a server that is
/// slow to answer would never serve anybody who is in a hurry.
const LIMIT: Duration = Duration::from_secs(30);

/// What a hung attempt is given beyond its limit, which the database layer was told.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// A connection just opened, with what other threads may do to it.
pub(crate) struct Opened<C> {
    pub(crate) conn: C,
    pub(crate) control: Option<Arc<dyn SessionControl>>,
}

/// The longest that an opening may take, whoever waits for it.
pub(crate) fn connect_limit<M: ManageConnection>(shared: &Shared<M>) -> Duration {
    let own = guarded(shared, "connect_limit", || shared.hooks.connect_limit()).unwrap_or(None);
    [shared.settings().connect_timeout, own].into_iter().flatten().min().unwrap_or(LIMIT)
}

/// Opens and customizes.
pub(crate) fn connect<M: ManageConnection>(
    shared: &Shared<M>,
    limit: Duration,
    errand: &Errand<M>,
) -> Result<Opened<M::Connection>, Arc<OpenFailure>> {
    let hooks = &shared.hooks;
    let before = shared.supply.breaker().attempts();
    let failed = |failure: Result<M::Error, Box<str>>| match failure {
        Ok(error) => open_failure(shared, error, before),
        Err(panic) => Arc::new(OpenFailure::from_text(panic.into(), FailureClass::Transient, before + 1)),
    };
    let mut conn = match guarded(shared, "connect", || hooks.connect(limit)) {
        Ok(Ok(conn)) => conn,
        Ok(Err(error)) => return Err(failed(Ok(error))),
        Err(panic) => return Err(failed(Err(panic))),
    };
    errand.allow(limit.saturating_add(GRACE));
    let failure = match guarded(shared, "on_acquire", || hooks.on_acquire(&mut conn)) {
        Ok(Ok(())) => {
            let control = guarded(shared, "control", || hooks.control(&mut conn));
            return Ok(Opened { conn, control: control.unwrap_or(None) });
        }
        Ok(Err(error)) => failed(Ok(error)),
        Err(panic) => failed(Err(panic)),
    };
    // It never was in the pool, so `on_release` is not its end, as with r2d2.
    let _ = guarded(shared, "prepare_close", || hooks.prepare_close(&mut conn, true));
    let _ = guarded(shared, "closing a connection", || drop(conn));
    Err(failure)
}

/// The failure after so many in a row.
fn open_failure<M: ManageConnection>(shared: &Shared<M>, error: M::Error, before: u64) -> Arc<OpenFailure> {
    let was_tried = guarded(shared, "was_tried", || shared.hooks.was_tried(&error)).unwrap_or(true);
    let attempts = before + u64::from(was_tried);
    let class = guarded(shared, "classify", || shared.hooks.classify(&error));
    let code = guarded(shared, "code", || shared.hooks.code(&error));
    let class = class.unwrap_or(FailureClass::Transient);
    let code = code.unwrap_or(None);
    let told = guarded(shared, "an error's text", || OpenFailure::new(&error, class, code, attempts));
    let mut failure = told.unwrap_or_else(|panic| OpenFailure::from_text(panic.into(), class, attempts));
    failure.set_tried(was_tried);
    // Of what ends with its pool there is nothing to handle.
    if !shared.lending.is_closed() {
        let _ = guarded(shared, "the error handler", || shared.hooks.handle_error(error));
    }
    Arc::new(failure)
}
