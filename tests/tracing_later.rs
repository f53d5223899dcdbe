//! With the feature `tracing`: a subscriber that comes while a pool is at work.

mod support;

use support::traced::Events;
use support::wait::{BOUND, eventually};
use tierpool::{MemoryManager, Pool};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::with_default;

#[test]
fn direct_checkouts_are_told_from_the_keeper_s_next_look_on_and_no_more_once_nobody_wants_them() {
    let pool = Pool::builder().name("later").max_size(1).build(MemoryManager).unwrap();
    drop(pool.get().unwrap());
    let told = |events: &Events| {
        with_default(events.clone(), || drop(pool.get().unwrap()));
        events.at("tierpool::later", " lent after ").len()
    };
    let calm = Events::down_to(LevelFilter::INFO);
    assert_eq!(told(&calm), 0);
    let curious = Events::down_to(LevelFilter::DEBUG);
    eventually(BOUND, "a direct checkout is told", || told(&curious) > 0);
    eventually(BOUND, "and its checkin", || {
        told(&curious);
        !curious.at("tierpool::later", " returned after ").is_empty()
    });
    drop(curious);
    assert_eq!(told(&calm), 0);
}
