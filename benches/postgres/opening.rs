//! Fifty connections opened: by the pool, by r2d2, and one after another.

use std::time::Instant;

use r2d2_postgres::postgres::NoTls;

use super::pools;
use crate::common::mode::Mode;
use crate::common::rounds::Rounds;
use crate::common::table::{Bound, Row, Table, nanos};
use crate::support::cluster::Cluster;

pub fn measure(mode: Mode, cluster: &Cluster, table: &mut Table) {
    let connections = mode.pick(50, 8);
    let works: [(&str, Box<dyn Fn()>); 3] = [
        ("tierpool", Box::new(|| drop(pools::ours(cluster, connections)))),
        ("r2d2", Box::new(|| drop(pools::r2d2(cluster, connections, true)))),
        (
            "one after another",
            Box::new(|| {
                let open = |_| cluster.config().connect(NoTls).unwrap();
                drop((0..connections).map(open).collect::<Vec<_>>());
            }),
        ),
    ];
    let costs = Rounds::run(mode.pick(5, 1), works.len(), |work| {
        let begun = Instant::now();
        (works[work].1)();
        let took = begun.elapsed().as_nanos() as f64;
        // The server is to have nothing left to do for the next.
        crate::support::wait::eventually(std::time::Duration::from_secs(20), "all have gone", || {
            cluster.connections("bench/%") == 0
        });
        took
    });
    for (peer, work) in works.iter().enumerate().skip(1) {
        let row = Row::new(
            format!("{connections} connections opened"),
            nanos(costs.median(0)),
            format!("{} {}", work.0, nanos(costs.median(peer))),
            costs.ratio(peer, 0),
        );
        table.push(if peer == 2 { row.bar(Bound::AtLeast(2.0)) } else { row });
    }
}
