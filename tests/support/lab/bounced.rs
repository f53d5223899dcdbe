//! Faults of a PgBouncer between the pool and the server, and of the server behind it.

use std::time::Duration;

use super::catalog::{FROZEN, IN_FLIGHT, KILLED, RESTARTED, SILENCE, TERMINATED};
use super::scenario::{Bars, Scenario};
use super::stage::Way;

pub const BOUNCER_RESTARTED: Scenario = Scenario {
    name: "F2a",
    title: "PgBouncer restarted",
    begin: |stage| stage.bouncer().restart(),
    ..RESTARTED
};

pub const RESTARTED_BEHIND: Scenario =
    Scenario { name: "F2b", title: "server restarted behind PgBouncer", ..RESTARTED };

pub const KILLED_BEHIND: Scenario =
    Scenario { name: "F3", title: "server killed behind PgBouncer, down 5 s", ..KILLED };

pub const BOUNCER_KILLED: Scenario = Scenario {
    name: "F3b",
    title: "PgBouncer killed, down 5 s",
    begin: |stage| stage.bouncer().kill(),
    end: |stage| stage.bouncer().start(),
    ..KILLED
};

/// The faults, in session mode.
pub const BEHIND_BOUNCER: [Scenario; 6] =
    [TERMINATED, BOUNCER_RESTARTED, RESTARTED_BEHIND, KILLED_BEHIND, BOUNCER_KILLED, FROZEN];

/// The same fault behind a PgBouncer in either mode.
pub fn in_both_modes(fault: &Scenario) -> [Scenario; 2] {
    [fault.over(Way::Session), fault.over(Way::Transaction)]
}
