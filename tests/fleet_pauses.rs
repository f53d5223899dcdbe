//! What programs of a fleet do while it has no slot for them.
#![cfg(feature = "postgres")]

mod fleets;
mod support;

use std::time::Instant;

use fleets::{RESERVED, SLOTS, TOTAL, builder};
use postgres::{Client, NoTls};
use support::cluster::{Cluster, cluster};
use support::proxy::Proxy;
use support::wait::{LONG_BOUND, SECOND, eventually};
use tierpool::Tier;

/// The first of the numbers by which the locks of the fleet `news` are known.
const NEWS: u32 = 0xc573_3e00;
const PLACE: u32 = 1;
const MARK: u32 = 8;

/// Takes locks of the fleet as other programs would.
fn take(client: &mut Client, kind: u32, numbers: impl Iterator<Item = i64>) {
    for number in numbers {
        let kind = (NEWS + kind) as i32;
        client.batch_execute(&format!("SELECT pg_advisory_lock({kind}, {number})")).unwrap();
    }
}

fn session(cluster: &Cluster) -> Client {
    Client::connect(&cluster.superuser_url(), NoTls).unwrap()
}

#[test]
fn a_program_logs_in_seldom_where_there_is_neither_a_slot_nor_a_place_to_ask_from() {
    let cluster = cluster();
    let mut others = session(&cluster);
    take(&mut others, 0, 0..SLOTS);
    take(&mut others, PLACE, 0..2);
    // More programs than slots, so that nobody hopes for one soon.
    take(&mut others, MARK, 1..=SLOTS + 1);
    let proxy = Proxy::start(cluster.port()).unwrap();
    let pool = builder(&cluster.url_through(proxy.port()), "one").build_unchecked().unwrap();
    let end = Instant::now() + 6 * SECOND;
    while Instant::now() < end {
        let error = pool.automation().get_timeout(SECOND).unwrap_err();
        assert!(error.is_timeout(), "{error:#}");
    }
    // Pauses of up to 3.2, 6.4 and 12.8 s; three a second, and so 18, if each opening began anew.
    assert!(proxy.accepted() <= 8, "{} log-ins", proxy.accepted());
    drop(others);
    // After the longest pause, of half a minute, and what a machine under load makes of it.
    pool.automation().get_timeout(3 * LONG_BOUND).unwrap();
}

#[test]
fn a_pool_that_keeps_several_is_built_though_somebody_asks_when_it_wants_the_second() {
    let cluster = cluster();
    let mut asks = session(&cluster);
    take(&mut asks, PLACE, 0..1);
    let url = cluster.url();
    let building = std::thread::spawn(move || {
        let pool = builder(&url, "one").automation(|tier| tier.min_size(3)).build();
        pool.map(|pool| pool.automation().gauges())
    });
    let mut client = cluster.client();
    eventually(LONG_BOUND, "its first connection", || fleets::seen(&mut client).slots == 1);
    std::thread::sleep(SECOND);
    assert!(!building.is_finished(), "nobody grows while somebody asks");
    drop(asks);
    let open = building.join().unwrap().unwrap();
    // One may be in the pool's own hands at the moment.
    assert_eq!(open.idle + open.in_use, 3);
}

#[test]
fn one_that_asks_has_its_time_however_short_that_to_connect_is() {
    let cluster = cluster();
    let mut others = session(&cluster);
    take(&mut others, 0, 0..SLOTS);
    let pool = builder(&cluster.url(), "one").connect_timeout(SECOND / 2).build_unchecked().unwrap();
    let mut client = cluster.client();
    let places = format!("SELECT pid FROM pg_locks WHERE classid::int8 = {}", NEWS + PLACE);
    let (mut asker, mut since) = (None, Instant::now());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.get(Tier::Automation).map(drop));
        eventually(LONG_BOUND, "an asker for longer than it may take to connect", || {
            let there: Option<i32> = client.query_opt(&places, &[]).unwrap().map(|row| row.get(0));
            if there != asker {
                (asker, since) = (there, Instant::now());
            }
            asker.is_some() && since.elapsed() > SECOND
        });
        drop(others);
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(fleets::seen(&mut cluster.client()).slots, 1, "of a budget of {TOTAL}, {RESERVED} for people");
}
