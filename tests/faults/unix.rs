//! Faults of the server over its Unix socket, where no byte stream can be read along and so no query be ended.

use crate::lab::catalog::OVER_UNIX;
use crate::server::assert_holds;

#[test]
fn f1_all_backends_terminated() {
    assert_holds(&OVER_UNIX[0]);
}

#[test]
fn f2_server_restarted() {
    assert_holds(&OVER_UNIX[1]);
}

#[test]
fn f3_server_killed() {
    assert_holds(&OVER_UNIX[2]);
}

#[test]
fn f4_server_frozen() {
    assert_holds(&OVER_UNIX[3]);
}

#[test]
fn f5_backends_frozen() {
    assert_holds(&OVER_UNIX[4]);
}
