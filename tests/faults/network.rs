//! Faults of the network between a pool and a server that is well.

use crate::lab::catalog;
use crate::server::assert_holds;

#[test]
fn f7a_black_hole_that_resumes() {
    assert_holds(&catalog::STALLED);
}

#[test]
fn f7b_black_hole_that_ends_in_resets() {
    assert_holds(&catalog::STALLED_THEN_RESET);
}

#[test]
fn f7c_flows_lost_for_good() {
    assert_holds(&catalog::FLOWS_LOST);
}

#[test]
fn f7d_handshakes_swallowed() {
    assert_holds(&catalog::HANDSHAKES_SWALLOWED);
}

#[test]
fn f7e_packets_lost() {
    assert_holds(&catalog::PACKETS_LOST);
}
