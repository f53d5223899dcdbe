//! The kinds of errors of a pool.

/// What went wrong, for code that decides by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No connection within the deadline.
    #[doc(alias("P2024", "DPY-4005", "PoolTimeout", "QueuePool limit"))]
    Timeout,
    /// Borrowers have every connection, or those who wait will, and the pool has no room for another, in
    /// [`WaitMode::NoWait`](crate::config::WaitMode::NoWait). Of the pool, and of one call: a server that is full is
    /// [`FailureClass::Exhausted`](crate::FailureClass::Exhausted).
    /// A pool that is suspended has no room.
    Exhausted,
    /// As many callers as `max_waiting` allows are waiting already.
    #[doc(alias("TooManyRequests"))]
    QueueFull,
    /// The circuit breaker is open and no idle connection could serve the call.
    CircuitOpen,
    /// A connection could not be opened, for a cause that waiting will not cure.
    ConnectFailed,
    /// Every connection is held by a thread that is itself waiting in this pool; waiting would not end.
    WouldDeadlock,
    /// The pool has been closed.
    Closed,
    /// The pool was built by the process from which this one was forked: it, its connections and its threads are that
    /// one's. Or a pool was to be built in a child of a process in which pools were at work. Build a pool of its own in
    /// each process, after `fork`; see [the guide](crate::guide::fork).
    #[doc(alias("multiprocessing", "prefork", "daemon"))]
    Forked,
    /// Settings that contradict each other or the rules.
    InvalidConfig,
}
