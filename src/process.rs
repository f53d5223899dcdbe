//! The process in which a pool and its connections were made. A child made by `fork` has their memory and their
//! sockets, and none of their threads; locks that other threads held at that moment stay locked for good.

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

/// What is told to whoever uses in a child what its parent has opened.
pub(crate) const OF_PARENT: &str = "was inherited by fork, and belongs to the parent process";
