//! Whom a waker wakes.

use std::task::Waker;

/// Whether both wake the same task; `kept` is somebody's own.
///
/// [`Waker::will_wake`] compares the places of their tables of functions too, and those of the waker that a runtime
/// lends and of its clones may differ, so that it says no each time. A waker that is kept keeps the task's data where
/// it is, and so no other task's is there. Of wakers without data it says nothing; the client's runtime has none.
pub(super) fn is_same(kept: &Waker, other: &Waker) -> bool {
    kept.data() == other.data()
}
