//! Who has connections and who waits for one.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use crate::text::Time;

/// A checkout that is out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The connection's id, as in the events.
    pub connection_id: u64,
    /// The thread that took it or last used it: its name, or its number in this process. As in the tag, what a terminal
    /// obeys is escaped, and 1 KiB is shown at the most.
    pub thread: String,
    /// The line that called `get`.
    pub location: &'static Location<'static>,
    /// The borrower's tag, if it set one.
    pub tag: Option<String>,
    /// For how long, by the coarse clock.
    pub held: Duration,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}:{}", self.thread, self.location.file(), self.location.line())?;
        if let Some(tag) = &self.tag {
            write!(f, " [{tag}]")?;
        }
        write!(f, " for {}", Time(self.held))
    }
}

/// A thread in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// The thread's name, or its number in this process.
    pub thread: String,
    /// The line that called `get`.
    pub location: &'static Location<'static>,
    /// For how long it has waited.
    pub waited: Duration,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at {}:{} for {}",
            self.thread,
            self.location.file(),
            self.location.line(),
            Time(self.waited)
        )
    }
}
#[cfg(feature = "serde")]
mod serialize {
    use serde::ser::{Serialize, SerializeStruct, Serializer};

    use super::{Holder, Waiting};

    impl Serialize for Holder {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut s = serializer.serialize_struct("Holder", 5)?;
            s.serialize_field("connection_id", &self.connection_id)?;
            s.serialize_field("thread", &self.thread)?;
            s.serialize_field("location", &self.location.to_string())?;
            s.serialize_field("tag", &self.tag)?;
            s.serialize_field("held_seconds", &self.held.as_secs_f64())?;
            s.end()
        }
    }

    impl Serialize for Waiting {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut s = serializer.serialize_struct("Waiting", 3)?;
            s.serialize_field("thread", &self.thread)?;
            s.serialize_field("location", &self.location.to_string())?;
            s.serialize_field("waited_seconds", &self.waited.as_secs_f64())?;
            s.end()
        }
    }
}
