//! The threads of a pool's part in a fleet, which start with its first opening and end with the pool.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use crate::postgres::PgError;
use crate::process::PoolThread;
use crate::text::harmless;

/// Starts one, unless that was done. `Relaxed`: the swap alone decides who starts it.
pub(super) fn started(
    was_started: &AtomicBool,
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> Result<(), PgError> {
    if was_started.swap(true, Relaxed) {
        return Ok(());
    }
    let counted = PoolThread::counted();
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _counted = counted;
        run();
    });
    spawned.map(drop).map_err(|error| {
        was_started.store(false, Relaxed);
        PgError::no_room(format!("the thread of the fleet cannot be started: {}", harmless(error)))
    })
}
