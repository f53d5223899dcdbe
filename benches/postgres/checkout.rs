//! One thread: what a validated checkout costs over another, and a checkout with a query.
//!
//! The query is prepared once for each connection: by our statement cache, and on r2d2's side kept in the connection's
//! extensions, which is how far a careful user of r2d2 can go. What r2d2 costs with `query_one` and a text, which
//! prepares each time, stands beside it.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use criterion::BenchmarkId;
use postgres::tls::{MakeTlsConnect, TlsConnect};
use postgres::{Config, NoTls, Socket, Statement};
use r2d2_postgres::PostgresConnectionManager;
use tierpool::postgres::PgConnection;
use tierpool::{PgPool, Tier};

use super::placement::Placement;
use super::pools;
use crate::common::mode::Mode;
use crate::common::rounds::Rounds;
use crate::common::table::{Bound, Row, Table, nanos};
use crate::support::cluster::Cluster;

pub const CONNECTIONS: u32 = 8;
pub const QUERY: &str = "SELECT 1";

/// The name of a piece of work that is done again and again, and how to get ready for it.
pub type Work<'a> = (&'static str, Box<dyn Fn() -> Box<dyn Fn()> + 'a>);

/// Cycles before those that count, in which the connection is looked up and the statement prepared.
const WARM: u64 = 20;

fn time_of(work: &dyn Fn(), cycles: u64) -> Duration {
    (0..WARM).for_each(|_| work());
    let begun = Instant::now();
    (0..cycles).for_each(|_| work());
    begun.elapsed()
}

pub fn measure(mode: Mode, cluster: &Cluster, table: &mut Table) {
    for placement in Placement::ALL {
        validation(mode, cluster, placement, table);
    }
    for placement in Placement::ALL {
        query(mode, cluster, placement, table);
    }
}

pub fn compare(
    mode: Mode,
    cluster: &Cluster,
    placement: Placement,
    group: &str,
    works: &[Work<'_>],
    cycles: u64,
) -> Rounds {
    let mut criterion = mode.criterion();
    let group = format!("1 thread x {CONNECTIONS} connections x {group}, {placement}");
    let mut group = criterion.benchmark_group(group);
    let ready: Vec<_> = works.iter().map(|(_, make)| make()).collect();
    placement.hold(cluster, || {
        for ((name, _), work) in works.iter().zip(&ready) {
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter_custom(|cycles| time_of(work, cycles));
            });
        }
        group.finish();
        Rounds::run(mode.pick(41, 1), works.len(), |work| {
            time_of(&ready[work], cycles).as_nanos() as f64 / cycles as f64
        })
    })
}

fn validation(mode: Mode, cluster: &Cluster, placement: Placement, table: &mut Table) {
    let ours = |always: bool| -> Box<dyn Fn()> {
        let pool = pools::ours_with(cluster, CONNECTIONS, move |tier| tier.test_on_check_out(always));
        Box::new(move || drop(pool.get(Tier::Automation).unwrap()))
    };
    let theirs = |always: bool| -> Box<dyn Fn()> {
        let pool = pools::r2d2(cluster, CONNECTIONS, always);
        Box::new(move || drop(pool.get().unwrap()))
    };
    let works: [Work<'_>; 4] = [
        ("tierpool, validated", Box::new(|| ours(true))),
        ("tierpool, not validated", Box::new(|| ours(false))),
        ("r2d2, tested", Box::new(|| theirs(true))),
        ("r2d2, not tested", Box::new(|| theirs(false))),
    ];
    let costs = compare(mode, cluster, placement, "no hold", &works, mode.pick(500, 50));
    let (ours, theirs) = (costs.difference(0, 1), costs.difference(2, 3));
    let row = Row::new(
        format!("validated checkout over an unvalidated one, {placement}"),
        format!("{} over {}", nanos(ours), nanos(costs.median(1))),
        format!("r2d2 {} over {}", nanos(theirs), nanos(costs.median(3))),
        ours / 1e3,
    );
    table.push(row.unit(" µs").bar(Bound::AtMost(5.0)).goal(Bound::AtMost(2.0)));
}

pub fn ours_asks(pool: &PgPool) {
    asks(&mut pool.get(Tier::Automation).unwrap());
}

fn asks(conn: &mut PgConnection) {
    let one: i32 = conn.query_one_cached(QUERY, &[]).unwrap().get(0);
    assert_eq!(one, 1);
}

pub fn r2d2_asks<T>(pool: &r2d2::Pool<PostgresConnectionManager<T>>)
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::TlsConnect: Send,
    T::Stream: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let mut conn = pool.get().unwrap();
    let known = r2d2::PooledConnection::extensions(&conn).get::<Statement>().cloned();
    let statement = known.unwrap_or_else(|| {
        let statement = conn.prepare(QUERY).unwrap();
        r2d2::PooledConnection::extensions_mut(&mut conn).insert(statement.clone());
        statement
    });
    let one: i32 = conn.query_one(&statement, &[]).unwrap().get(0);
    assert_eq!(one, 1);
}

/// A client that keeps its connection to itself, and its statement.
fn bare(cluster: &Cluster) -> Box<dyn Fn()> {
    let config: Config = cluster.plain_url().parse().unwrap();
    let mut client = config.connect(NoTls).unwrap();
    let statement = client.prepare(QUERY).unwrap();
    let client = RefCell::new(client);
    Box::new(move || {
        let one: i32 = client.borrow_mut().query_one(&statement, &[]).unwrap().get(0);
        assert_eq!(one, 1);
    })
}

fn query(mode: Mode, cluster: &Cluster, placement: Placement, table: &mut Table) {
    let r2d2 = |tested: bool| -> Box<dyn Fn()> {
        let pool = pools::r2d2(cluster, CONNECTIONS, tested);
        Box::new(move || r2d2_asks(&pool))
    };
    let ours = |pool: PgPool| -> Box<dyn Fn()> { Box::new(move || ours_asks(&pool)) };
    let works: [Work<'_>; 7] = [
        ("tierpool", Box::new(|| ours(pools::ours(cluster, CONNECTIONS)))),
        ("r2d2", Box::new(|| r2d2(true))),
        ("r2d2, not tested", Box::new(|| r2d2(false))),
        ("tierpool, timed", Box::new(|| ours(pools::ours_timed(cluster, CONNECTIONS)))),
        (
            "r2d2, text",
            Box::new(|| {
                let pool = pools::r2d2(cluster, CONNECTIONS, true);
                Box::new(move || {
                    let _: i32 = pool.get().unwrap().query_one(QUERY, &[]).unwrap().get(0);
                })
            }),
        ),
        ("bare client", Box::new(|| bare(cluster))),
        (
            "tierpool, kept",
            Box::new(|| {
                let pool = pools::ours(cluster, 1);
                let conn = RefCell::new(pool.get(Tier::Automation).unwrap());
                Box::new(move || {
                    // As long as its connection.
                    let _pool = &pool;
                    asks(&mut conn.borrow_mut());
                })
            }),
        ),
    ];
    let costs = compare(mode, cluster, placement, QUERY, &works, mode.pick(300, 50));
    for peer in [1, 2, 4] {
        let name = works[peer].0;
        let row = Row::new(
            format!("get + {QUERY} (cached) + return, {placement}"),
            nanos(costs.median(0)),
            format!("{name} {}", nanos(costs.median(peer))),
            costs.ratio(peer, 0),
        );
        table.push(if peer == 1 { row.bar(Bound::AtLeast(1.6)).goal(Bound::AtLeast(1.9)) } else { row });
    }
    let row = Row::new(
        format!("get + {QUERY} (cached) + return over a client of one's own, {placement}"),
        nanos(costs.median(0)),
        format!("bare client {}", nanos(costs.median(5))),
        costs.ratio(0, 5),
    );
    table.push(row.unit("× the client").bar(Bound::AtMost(1.05)).goal(Bound::AtMost(1.02)));
    let row = Row::new(
        format!("{QUERY} (cached) on a connection kept, over a client of one's own, {placement}"),
        nanos(costs.median(6)),
        format!("bare client {}", nanos(costs.median(5))),
        costs.ratio(6, 5),
    );
    table.push(row.unit("× the client"));
    let cost = costs.difference(3, 0);
    let row = Row::new(
        format!("what `query_times` adds to it, {placement}"),
        format!("{} over {}", nanos(cost), nanos(costs.median(0))),
        "without it".to_owned(),
        cost / 1e3,
    );
    table.push(row.unit(" µs").bar(Bound::AtMost(2.0)).goal(Bound::AtMost(0.5)));
}
