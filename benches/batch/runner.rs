//! What the runner costs an item where the work does nothing, beside the least that hands items to threads.

use std::hint::black_box;
use std::thread;
use std::time::Instant;

use tierpool::batch::{self, Options};
use tierpool::{PgBuilder, PgError, PgPool};

use super::common::mode::Mode;
use super::common::rounds::Rounds;
use super::common::table::{Row, Table, nanos};
use super::support::cluster::Cluster;

const WORKERS: u32 = 8;
/// Items that wait in the channel, as many as the runner's own at its defaults.
const QUEUE: usize = 2 * WORKERS as usize;

pub fn measure(cluster: &Cluster, mode: Mode, table: &mut Table) {
    let items = mode.pick(20_000, 200);
    let pool = PgBuilder::new().url(cluster.plain_url()).base_size(WORKERS).max_overflow(0).min_size(WORKERS);
    let pool = pool.build().expect("the server is up");
    let costs = Rounds::run(mode.pick(9, 1), 2, |which| {
        let begun = Instant::now();
        match which {
            0 => by_runner(&pool, items),
            _ => by_channel(items),
        }
        begun.elapsed().as_nanos() as f64 / f64::from(items)
    });
    let [own, bare] = [0, 1].map(|which| costs.median(which));
    let shown = |cost: f64| format!("{} an item, {:.0} items/s", nanos(cost), 1e9 / cost);
    let row = Row::new(
        format!("{items} items of work that does nothing, {WORKERS} threads"),
        shown(own),
        format!("bare channel {}", shown(bare)),
        costs.difference(0, 1) / 1e3,
    );
    table.push(row.unit(" µs"));
}

fn by_runner(pool: &PgPool, items: u32) {
    let options = Options::new().workers(WORKERS as usize).queue(QUEUE);
    let report = batch::run(pool, 0..items, options, |_, &item| Ok::<_, PgError>(black_box(item)));
    assert!(report.is_complete(), "{report}");
}

fn by_channel(items: u32) {
    let (sender, receiver) = crossbeam_channel::bounded(QUEUE);
    thread::scope(move |scope| {
        for _ in 0..WORKERS {
            let receiver = receiver.clone();
            scope.spawn(move || receiver.iter().map(black_box).count());
        }
        drop(receiver);
        (0..items).for_each(|item| sender.send(item).expect("the workers stay to the end"));
        // The workers end with it.
        drop(sender);
    });
}
