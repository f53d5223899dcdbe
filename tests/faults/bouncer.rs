//! Faults of a PgBouncer, and of the server behind it, in session and in transaction mode at the same time.

use std::thread;

use crate::lab::bounced::{self, in_both_modes};
use crate::lab::catalog;
use crate::lab::scenario::Scenario;
use crate::server::assert_holds;

#[track_caller]
fn assert_holds_in_both_modes(fault: &Scenario) {
    thread::scope(|scope| {
        for fault in in_both_modes(fault) {
            scope.spawn(move || assert_holds(&fault));
        }
    });
}

#[test]
fn f1_all_backends_terminated() {
    assert_holds_in_both_modes(&catalog::TERMINATED);
}

#[test]
fn f2_pgbouncer_restarted() {
    assert_holds_in_both_modes(&bounced::BOUNCER_RESTARTED);
}

#[test]
fn f2_server_restarted_behind_it() {
    assert_holds_in_both_modes(&bounced::RESTARTED_BEHIND);
}

#[test]
fn f3_server_killed_behind_it() {
    assert_holds_in_both_modes(&bounced::KILLED_BEHIND);
}

#[test]
fn f3_pgbouncer_killed() {
    assert_holds_in_both_modes(&bounced::BOUNCER_KILLED);
}

#[test]
fn f4_server_frozen_behind_it() {
    assert_holds_in_both_modes(&catalog::FROZEN);
}
