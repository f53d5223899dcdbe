//! The threads of a pool's part in a fleet, which start with its first opening and end with the pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use crate::postgres::PgError;
use crate::process::PoolThread;
use crate::text::harmless;

/// Starts the thread of a part, unless it is at work. After a panic, as in the program's logger, the next opening
/// starts another. `Relaxed`: the swap alone decides who starts it.
pub(super) fn see_to_it<T: Send + Sync + 'static>(
    part: &Arc<T>,
    name: &str,
    is_at_work: fn(&T) -> &AtomicBool,
    run: fn(&T),
) -> Result<(), PgError> {
    if is_at_work(part).swap(true, Relaxed) {
        return Ok(());
    }
    let tended = Tended(Arc::clone(part), is_at_work);
    let counted = PoolThread::counted();
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _counted = counted;
        run(&tended.0);
    });
    // One that was not started is gone by now, and has said so.
    spawned.map(drop).map_err(|error| {
        PgError::no_room(format!("the thread of the fleet cannot be started: {}", harmless(error)))
    })
}

/// Has the next opening start a thread when this one ends.
struct Tended<T>(Arc<T>, fn(&T) -> &AtomicBool);

impl<T> Drop for Tended<T> {
    fn drop(&mut self) {
        (self.1)(&self.0).store(false, Relaxed);
    }
}
