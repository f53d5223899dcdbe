//! The error of a pool: opaque, with a kind, the evidence, and the last open failure as its source.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use super::evidence::Evidence;
use super::failure::OpenFailure;
use super::kind::ErrorKind;
use super::report;
use crate::config::Faults;

/// Why a pool of the parent's is of no use.
const INHERITED: &str =
    "the pool was inherited by fork, and belongs to the parent process: build it after fork, in each process";

/// Why a child has none of its own.
const AMID_POOLS: &str = "no pool can be built here: this process was forked from one in which pools were at work, whose \
                          locks it has; fork before the first pool is built, or let the child call exec";

struct Inner {
    kind: ErrorKind,
    evidence: Evidence,
    faults: Faults,
    cause: Option<Arc<OpenFailure>>,
    /// Of `Forked`: why.
    forked: &'static str,
}

/// An error of a pool.
///
/// `Display` is one line for logs; the alternate form `{:#}` is the full report on several lines, with the chain of
/// causes, and so is `Debug`, which `unwrap` and a `main` that fails print. [`source`](StdError::source) is the last
/// failure to open a connection, where there was one. It holds no secret: those of managers' errors are theirs to keep,
/// and those of PostgreSQL name no password. Text of others, such as a manager's error, a tag or a thread's name, has
/// its control characters, line breaks and bidirectional marks escaped, and is cut after 1 KiB.
pub struct Error(Arc<Inner>);

impl Error {
    pub(crate) fn new(kind: ErrorKind, evidence: Evidence, cause: Option<Arc<OpenFailure>>) -> Self {
        Error(Arc::new(Inner { kind, evidence, faults: Faults::new(), cause, forked: "" }))
    }

    /// An error for settings that cannot be used.
    pub(crate) fn invalid(faults: Faults) -> Self {
        let kind = ErrorKind::InvalidConfig;
        Error(Arc::new(Inner { kind, evidence: Evidence::default(), faults, cause: None, forked: "" }))
    }

    /// The same error once more: a session tells each of its statements what refused it a connection.
    #[cfg(feature = "postgres")]
    pub(crate) fn again(&self) -> Self {
        Error(Arc::clone(&self.0))
    }

    /// An error for a pool that was inherited by `fork`. Nothing is looked at for it.
    pub(crate) fn forked() -> Self {
        Error::of_fork(INHERITED)
    }

    /// An error for a pool that is to be built in a child of a process whose pools are at work.
    pub(crate) fn forked_amid_pools() -> Self {
        Error::of_fork(AMID_POOLS)
    }

    fn of_fork(forked: &'static str) -> Self {
        let (kind, evidence, faults) = (ErrorKind::Forked, Evidence::default(), Faults::new());
        Error(Arc::new(Inner { kind, evidence, faults, cause: None, forked }))
    }

    /// The kind of error.
    ///
    /// ```
    /// use tierpool::{ErrorKind, Pool};
    /// use tierpool::MemoryManager;
    ///
    /// let error = Pool::builder().max_size(0).build(MemoryManager).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    /// assert_eq!(error.to_string(), "invalid configuration: base_size is 0: must be at least 1");
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether no connection came within the deadline.
    pub fn is_timeout(&self) -> bool {
        self.0.kind == ErrorKind::Timeout
    }

    /// Whether no connection was idle and none could be opened for a caller that does not wait for others.
    pub fn is_exhausted(&self) -> bool {
        self.0.kind == ErrorKind::Exhausted
    }

    /// Whether the queue was full.
    pub fn is_queue_full(&self) -> bool {
        self.0.kind == ErrorKind::QueueFull
    }

    /// Whether the circuit breaker refused the call.
    pub fn is_circuit_open(&self) -> bool {
        self.0.kind == ErrorKind::CircuitOpen
    }

    /// Whether a connection could not be opened for a cause that waiting will not cure.
    pub fn is_connect_failed(&self) -> bool {
        self.0.kind == ErrorKind::ConnectFailed
    }

    /// Whether waiting would have been a deadlock.
    pub fn is_would_deadlock(&self) -> bool {
        self.0.kind == ErrorKind::WouldDeadlock
    }

    /// Whether the pool has been closed.
    pub fn is_closed(&self) -> bool {
        self.0.kind == ErrorKind::Closed
    }

    /// Whether the pool belongs to the process from which this one was forked.
    pub fn is_forked(&self) -> bool {
        self.0.kind == ErrorKind::Forked
    }

    /// Whether the settings cannot be used; [`Error::faults`] lists why.
    pub fn is_invalid_config(&self) -> bool {
        self.0.kind == ErrorKind::InvalidConfig
    }

    /// Every fault of the settings; empty for other kinds.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// The last failure to open a connection, where there was one; the same as `source()`, typed.
    pub fn open_failure(&self) -> Option<&OpenFailure> {
        self.0.cause.as_deref()
    }

    /// How long the caller had waited.
    pub fn waited(&self) -> std::time::Duration {
        self.0.evidence.waited
    }

    /// The gauges of the pool at that moment.
    pub fn gauges(&self) -> crate::stats::Gauges {
        self.0.evidence.gauges
    }

    /// The longest holders at that moment, longest first, eight at the most.
    pub fn holders(&self) -> &[crate::stats::Holder] {
        &self.0.evidence.holders
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        match inner.kind {
            ErrorKind::InvalidConfig => return inner.faults.write_below(f, "invalid configuration"),
            ErrorKind::Forked => return f.write_str(inner.forked),
            _ => {}
        }
        let cause = inner.cause.as_deref();
        if f.alternate() {
            report::full(f, inner.kind, &inner.evidence, cause)
        } else {
            report::line(f, inner.kind, &inner.evidence, cause)
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as _)
    }
}
