//! Fifty connections opened: by the pool, by r2d2, and one after another.
//!
//! Both sides work for each: a password is hashed 4,096 times over, and the server starts a process. One after another,
//! the two sides wait for each other in turn; with several at a time the cores are the limit.

use std::any::Any;
use std::time::{Duration, Instant};

use r2d2_postgres::postgres::NoTls;

use super::pools;
use crate::common::mode::Mode;
use crate::common::rounds::Rounds;
use crate::common::table::{Bound, Row, Table, nanos};
use crate::support::cluster::Cluster;
use crate::support::wait::eventually;

const BOUND: Duration = Duration::from_secs(20);

/// A name, and how to open all; what it returns keeps them open.
type Work<'a> = (&'static str, Box<dyn Fn() -> Box<dyn Any> + 'a>);

pub fn measure(mode: Mode, cluster: &Cluster, table: &mut Table) {
    let connections = mode.pick(50, 8);
    let works: [Work<'_>; 3] = [
        ("tierpool", Box::new(|| Box::new(pools::ours(cluster, connections)))),
        ("r2d2", Box::new(|| Box::new(pools::r2d2(cluster, connections, true)))),
        (
            "one after another",
            Box::new(|| {
                let open = |_| cluster.config().connect(NoTls).unwrap();
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
            format!("{connections} connections opened"),
            nanos(costs.median(0)),
            format!("{name} {}", nanos(costs.median(peer))),
            costs.ratio(peer, 0),
        );
        table.push(if peer == 2 { row.bar(Bound::AtLeast(2.0)) } else { row });
    }
}
