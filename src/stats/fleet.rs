//! A budget that several processes share, as one of them knows it.

use std::fmt;
use std::time::Duration;

use crate::text::{Ago, counted};

/// The age of what the server said is told from here on.
const OLD: Duration = Duration::from_secs(10);

/// What a program knows of its fleet, from its last question to the server; see
/// `PgPool::fleet_status`.
///
/// `{}` is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FleetStatus {
    /// The fleet's name.
    pub name: String,
    /// The connections that automation of the whole fleet works with.
    pub slots: u32,
    /// Those of them that are taken, by whichever program.
    pub slots_held: u32,
    /// Programs in the fleet that have a connection or ask for one.
    pub members: u32,
    /// Programs that have less than their share and find no free slot.
    pub wanting: u32,
    /// Programs that have no connection and wait for a slot.
    pub asking: u32,
    /// Connections that this program may have while others are short.
    pub share: u32,
    /// Connections that this program has.
    pub held: u32,
    /// The most that it may have now.
    pub ceiling: u32,
    /// The connections that the ad-hoc tiers of the whole fleet have together: the reserve.
    pub adhoc_slots: u32,
    /// Those of them that are taken, by whichever program.
    pub adhoc_held: u32,
    /// How long ago the server said so: a second or so, unless all connections are lent, or none is open. `None` before
    /// its first answer.
    pub age: Option<Duration>,
}

impl fmt::Display for FleetStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "fleet {}: {} of {} slots taken by {}, {} here (share {})",
            self.name,
            self.slots_held,
            self.slots,
            counted(self.members, "program"),
            self.held,
            self.share
        )?;
        if self.wanting + self.asking > 0 {
            write!(f, "; {} want more, {} ask for a first one", self.wanting, self.asking)?;
        }
        match self.age {
            None => f.write_str("; the server has said nothing so far"),
            Some(age) if age > OLD => write!(f, "; said {}", Ago(age)),
            Some(_) => Ok(()),
        }
    }
}
