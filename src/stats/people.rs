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
    /// By which number the server knows the connection, as [`Pool::holders`](crate::Pool::holders) tells it:
    /// PostgreSQL's backend pid. `None` where it is not known, as behind a pooler, and in log lines.
    pub backend_pid: Option<i32>,
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
    /// For how much longer it waits at the most; `None` for one without a limit.
    pub time_left: Option<Duration>,
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
            let mut s = serializer.serialize_struct("Holder", 6)?;
            s.serialize_field("connection_id", &self.connection_id)?;
            s.serialize_field("thread", &self.thread)?;
            s.serialize_field("location", &self.location.to_string())?;
            s.serialize_field("tag", &self.tag)?;
            s.serialize_field("held_seconds", &self.held.as_secs_f64())?;
            s.serialize_field("backend_pid", &self.backend_pid)?;
            s.end()
        }
    }

    impl Serialize for Waiting {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut s = serializer.serialize_struct("Waiting", 4)?;
            s.serialize_field("thread", &self.thread)?;
            s.serialize_field("location", &self.location.to_string())?;
            s.serialize_field("waited_seconds", &self.waited.as_secs_f64())?;
            s.serialize_field("seconds_left", &self.time_left.map(|time| time.as_secs_f64()))?;
            s.end()
        }
    }
}
