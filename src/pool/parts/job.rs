//! What a thread of a group is given to do.

use std::sync::Arc;

/// Work that is done once.
pub(crate) trait Work: Send + Sync {
    fn run(self: Arc<Self>);
}

/// One job.
pub(crate) enum Job {
    Call(Box<dyn FnOnce() + Send>),
    /// What is there already, and shared with others: no memory is needed for the job itself.
    Work(Arc<dyn Work>),
}

impl Job {
    pub(crate) fn call(call: impl FnOnce() + Send + 'static) -> Self {
        Job::Call(Box::new(call))
    }

    pub(crate) fn run(self) {
        match self {
            Job::Call(call) => call(),
            Job::Work(work) => work.run(),
        }
    }
}
