//! Fifty connections opened: by the pool, by r2d2, and one after another.
//!
//! Both sides work for each: a password is hashed 4,096 times over, and the server starts a process. On loopback there
//! is nothing but that work, and the cores are the limit: two of them are at most twice as quick as one. A database is
//! elsewhere as a rule, and one after another means to wait for each round trip of each handshake. So the bar holds
//! where a round trip takes 2 ms, as between neighbouring data centres; the rows of the loopback stand beside it.

use std::any::Any;
use std::time::{Duration, Instant};

use r2d2_postgres::postgres::{Config, NoTls};

use super::pools;
use crate::common::mode::Mode;
use crate::common::rounds::Rounds;
use crate::common::table::{Bound, Row, Table, nanos};
use crate::support::cluster::Cluster;
use crate::support::proxy::Proxy;
use crate::support::wait::eventually;

const BOUND: Duration = Duration::from_secs(20);
/// What a packet takes to the server, and back.
const ONE_WAY: Duration = Duration::from_millis(1);

/// A name, and how to open all; what it returns keeps them open.
type Work<'a> = (&'static str, Box<dyn Fn() -> Box<dyn Any> + 'a>);

pub fn measure(mode: Mode, cluster: &Cluster, table: &mut Table) {
    compare(mode, cluster, &cluster.plain_url(), "on loopback", None, table);
    let proxy = Proxy::start(cluster.port()).expect("a proxy can be started");
    proxy.delay(ONE_WAY);
    let url = cluster.plain_url_through(proxy.port());
    compare(mode, cluster, &url, "a round trip of 2 ms", Some(Bound::AtLeast(2.0)), table);
}

fn compare(mode: Mode, cluster: &Cluster, url: &str, place: &str, bar: Option<Bound>, table: &mut Table) {
    let connections = mode.pick(50, 8);
    let config: Config = url.parse().expect("the cluster's URL is one");
    let works: [Work<'_>; 3] = [
        ("tierpool", Box::new(|| Box::new(pools::ours_at(url, connections)))),
        ("r2d2", Box::new(|| Box::new(pools::r2d2_at(config.clone(), connections, true)))),
        (
            "one after another",
            Box::new(|| {
                let open = |_| config.connect(NoTls).unwrap();
                Box::new((0..connections).map(open).collect::<Vec<_>>())
            }),
        ),
    ];
    let costs = Rounds::run(mode.pick(11, 1), works.len(), |work| {
        // The server is to have nothing left to do for the one before.
        eventually(BOUND, "all sessions have ended", || cluster.connections("%") == 0);
        let begun = Instant::now();
        let open = (works[work].1)();
        let took = begun.elapsed().as_nanos() as f64;
        drop(open);
        took
    });
    for (peer, (name, _)) in works.iter().enumerate().skip(1) {
        let row = Row::new(
            format!("{connections} connections opened, {place}"),
            nanos(costs.median(0)),
            format!("{name} {}", nanos(costs.median(peer))),
            costs.ratio(peer, 0),
        );
        table.push(match bar {
            Some(bar) if peer == 2 => row.bar(bar),
            _ => row,
        });
    }
}
