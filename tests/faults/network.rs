//! Faults of the network between a pool and a server that is well.

use std::thread;
use std::time::Duration;

use tierpool::{PgPool, Tier};

use crate::lab::catalog;
use crate::programs::{assert_whole, cluster, pool};
use crate::server::assert_holds;
use crate::support::proxy::Proxy;
use crate::support::wait::took;
use crate::support::wire::one;

const RESTED: Duration = Duration::from_millis(1200);

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

/// A program that rests long enough for a firewall to forget all its flows.
#[test]
fn f7c_a_caller_does_not_try_one_lost_connection_after_the_other() {
    let cluster = cluster();
    let proxy = Proxy::start(cluster.port()).expect("a proxy can be started");
    let pool = pool(cluster.url_through(proxy.port()), |builder| builder);
    let waits: [fn(&PgPool) -> bool; 2] = [
        |pool| {
            pool.get(Tier::Automation).is_ok_and(|mut conn| one::<i64>(&mut conn, "SELECT 1::bigint") == 1)
        },
        |pool| pool.automation().try_get().is_some() || pool.get(Tier::Automation).is_ok(),
    ];
    for works in waits {
        assert_whole(&cluster, &pool);
        // So long that a validation takes no recent reply for a sign of life. Time has to pass; nothing is waited for.
        thread::sleep(RESTED);
        proxy.lose();
        let (works, time) = took(|| works(&pool));
        // Eight times the validation timeout is more than a caller has.
        assert!(works, "no connection after {time:?}: {:?}", pool.automation().stats());
        proxy.forget();
    }
    assert_whole(&cluster, &pool);
}
