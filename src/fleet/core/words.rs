//! What a process is told, and what it is to do.

use std::time::Duration;

use super::budget::Budget;

/// The number of a slot, from 0; part of the key of its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(
    /// Below [`Budget::slots`].
    pub u32,
);

/// What the machine cannot know by itself: the time, and a random number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Since some fixed moment; it never goes back.
    pub now: Duration,
    /// Evenly spread over 0 to 1, without 1, and new for each step.
    pub chance: f64,
}

/// What the server says of the whole fleet, counted from its table of locks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Slots that somebody holds or has reserved.
    pub slots_held: u32,
    /// Processes that have their first mark there, the one that looks and the askers included.
    pub members: u32,
    /// All marks of members: the sum of their weights.
    pub weights: u32,
    /// Members that have less than their share and wait for a slot, the one that looks included.
    pub wanting: u32,
    /// Places of askers that are taken: processes that have no connection and wait for a slot.
    pub asking: u32,
    /// A budget that the marks of another member carry, where it is another than ours.
    pub other_budget: Option<Budget>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// So many connections the pool would have now, those it has included. A pool says so whenever that changes.
    Wants(u32),
    /// The time that [`Member::due`](super::Member::due) gave has come.
    Tick,
    /// The answer to [`Action::Ask`] and [`Action::AskAgain`].
    Asked(Asked),
    /// The answer to [`Action::Reserve`].
    Reserved(Reserved),
    /// The answer to [`Action::Open`]: the connection is there and holds the slot.
    Opened(Slot),
    /// The answer to [`Action::Open`]: it could not be opened, or the slot was lost meanwhile (I3). The connection, if
    /// there was one, is closed.
    NotOpened(Slot),
    /// The answer to [`Action::Look`]; `None` where it failed.
    Looked(Option<View>),
    /// A connection that had been asked for or opened is closed, for whatever reason.
    Closed,
}

/// What became of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The asker holds a slot; it is an ordinary connection now.
    Slot(Slot, View),
    /// No slot was free. The asker is still there, with its place.
    NoSlot(View),
    /// No slot was free, and all places for askers were taken. The connection is closed.
    NoPlace(View),
    /// The server had no room for the connection (53300): too many of this role, or in all.
    Refused,
    /// Server or network failed; no connection is left.
    Failed,
    /// Nobody was there to do it, or a connection came by another way: the server was not asked.
    NotBegun,
}

/// What became of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// The anchor holds the slot.
    Slot(Slot, View),
    /// No slot was free, or others come first (R5).
    None(View),
    /// The question got no answer. The connection that it was put on is reported closed by itself.
    Failed,
    /// It was taken back before anybody began it: nobody wants the connection any more.
    NotBegun,
}

/// What is to be done. Each but the last three has an answer, an [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a connection without a slot; on it put the marks of a member, and take a free slot, or else a place for
    /// askers.
    Ask,
    /// Try for a free slot once more on the asker.
    AskAgain,
    /// On a connection of one's own that is at hand, the *anchor* of the slot: take a free slot unless somebody asks,
    /// or, beyond the share, somebody wants.
    Reserve {
        /// The process has its share already.
        beyond_share: bool,
    },
    /// Open a connection that takes this slot, with the anchor as its witness; then have the anchor let go.
    Open(Slot),
    /// Count locks on a connection that is at hand, put there what is missing of one's own marks, and put or take back
    /// the mark of those who want.
    Look {
        /// Whether the process is to have the mark.
        want: bool,
    },
    /// Close the asker: there was no slot for it.
    LeaveOff,
    /// Have the anchor let go of a slot that nothing was opened for.
    LetGo(Slot),
    /// The pool has at most so many connections from now on: it closes what is idle above it now, and what is lent when
    /// it comes back.
    Ceiling(u32),
    /// Tell the operator.
    Warn(Warning),
}

/// What an operator should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Another program of this fleet reckons with another budget.
    OtherBudget {
        /// This program's.
        ours: Budget,
        /// The other's.
        theirs: Budget,
    },
    /// There are more processes than slots: some get none. A pooler in front is what helps.
    MoreThanFit {
        /// Processes seen at once, of which there may be more.
        members: u32,
        /// What there is for them.
        slots: u32,
    },
}
