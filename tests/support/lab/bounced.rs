//! Faults of a PgBouncer between the pool and the server, and of the server behind it.

use super::catalog::{FROZEN, KILLED, RESTARTED, TERMINATED};
use super::scenario::{Bars, Scenario};
use super::stage::Way;
use super::subject::Failure;

pub const BOUNCER_RESTARTED: Scenario = Scenario {
    name: "F2a",
    title: "PgBouncer restarted",
    begin: |stage| stage.bouncer().restart(),
    ..RESTARTED
};

pub const RESTARTED_BEHIND: Scenario =
    Scenario { name: "F2b", title: "server restarted behind PgBouncer", ..RESTARTED };

pub const KILLED_BEHIND: Scenario = Scenario {
    name: "F3",
    title: "server killed behind PgBouncer, down 5 s",
    bars: Bars { cause: tells_of_no_server_behind, ..KILLED.bars },
    ..KILLED
};

pub const BOUNCER_KILLED: Scenario = Scenario {
    name: "F3b",
    title: "PgBouncer killed, down 5 s",
    begin: |stage| stage.bouncer().kill(),
    end: |stage| stage.bouncer().start(),
    ..KILLED
};

/// What PgBouncer says itself, as it cannot log in to the server, or the server as it comes and goes.
fn tells_of_no_server_behind(failure: &Failure) -> bool {
    failure.names_cause && matches!(failure.code.as_deref(), Some("08P01" | "57P01" | "57P03"))
}

/// The faults, in session mode.
pub const BEHIND_BOUNCER: [Scenario; 6] =
    [TERMINATED, BOUNCER_RESTARTED, RESTARTED_BEHIND, KILLED_BEHIND, BOUNCER_KILLED, FROZEN];

/// The same fault behind a PgBouncer in either mode.
pub fn in_both_modes(fault: &Scenario) -> [Scenario; 2] {
    [fault.over(Way::Session), fault.over(Way::Transaction)]
}
