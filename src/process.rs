//! The process in which a pool and its connections were made. A child made by `fork` has their memory and their
//! sockets, and none of their threads; locks that other threads held at that moment stay locked for good.
//!
//! **Nor can a child build a pool while its parent's are at work.** Those who wait for a lock of `parking_lot` are in one
//! list for all locks of the process, by records that lie on their threads' stacks. A child has the list, and gives the
//! stacks to threads of its own: it would wait for ever, or run through the list for ever. So the threads of pools are
//! counted.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};

/// A process by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    /// The one that asks.
    pub(crate) fn this() -> Self {
        Process(std::process::id())
    }

    /// Whether it is the one that asks. A system call: to be asked where others are made.
    pub(crate) fn is_this(self) -> bool {
        self == Process::this()
    }
}

/// The threads of pools, and the process that they are of. Asked and changed where threads are started, so that the
/// strongest ordering costs nothing.
static THREADS: AtomicUsize = AtomicUsize::new(0);
static OWNER: AtomicU32 = AtomicU32::new(0);

/// Counts one thread of a pool, from before its start to its end.
pub(crate) struct PoolThread(());

impl PoolThread {
    pub(crate) fn counted() -> Self {
        // Not in a child: there the count is the parent's, and so it stays.
        if THREADS.load(SeqCst) == 0 {
            OWNER.store(std::process::id(), SeqCst);
        }
        THREADS.fetch_add(1, SeqCst);
        PoolThread(())
    }
}

impl Drop for PoolThread {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, SeqCst);
    }
}

/// Whether this process was forked from one in which pools were at work.
pub(crate) fn was_forked_amid_pools() -> bool {
    THREADS.load(SeqCst) > 0 && OWNER.load(SeqCst) != std::process::id()
}

#[cfg(feature = "postgres")]
/// What is told to whoever uses in a child what its parent has opened.
pub(crate) const OF_PARENT: &str = "was inherited by fork, and belongs to the parent process";
