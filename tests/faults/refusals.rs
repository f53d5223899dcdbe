//! A server that answers, and says no.

use crate::lab::catalog;
use crate::server::assert_holds;

#[test]
fn f8_out_of_connections_with_half_of_ours_left() {
    assert_holds(&catalog::OUT_OF_CONNECTIONS);
}

#[test]
fn f8_out_of_connections_with_none_of_ours_left() {
    assert_holds(&catalog::NO_CONNECTION_LEFT);
}

#[test]
fn f9_password_rotated() {
    assert_holds(&catalog::PASSWORD_ROTATED);
}

#[test]
fn f10_idle_sessions_ended() {
    assert_holds(&catalog::IDLE_SESSIONS_ENDED);
}

#[test]
fn f15_server_turned_read_only() {
    assert_holds(&catalog::READ_ONLY);
}
