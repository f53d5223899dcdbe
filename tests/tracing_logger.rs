//! With the feature `tracing`, in a program that has a logger and no subscriber: nothing changes for it.

mod support;

use std::thread;

use log::{Level, LevelFilter as LogLevel};
use support::logged::{self, lines};
use support::traced::Events;
use support::wait::{BOUND, eventually};
use tierpool::{MemoryManager, Pool};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::with_default;

fn pool(name: &str) -> Pool<MemoryManager> {
    Pool::builder().name(name).max_size(1).build(MemoryManager).unwrap()
}

#[test]
fn without_a_subscriber_every_line_is_one_of_the_log() {
    logged::capture(LogLevel::Debug);
    let pool = pool("logged");
    drop(pool.get().unwrap());
    pool.close(BOUND);
    eventually(BOUND, "it leaves", || !lines("logged", Level::Debug, "leaves the pool").is_empty());
    let texts = ["opened connection ", " lent after ", " returned after "];
    for text in texts {
        assert_eq!(lines("logged", Level::Debug, text).len(), 1, "{text}: {:?}", logged::of("logged"));
    }
    assert_eq!(lines("logged", Level::Info, "starting with Settings").len(), 1);
    // Written by a thread of the pool's, or by this one.
    eventually(BOUND, "it says that it is ready", || !lines("logged", Level::Info, "ready: ").is_empty());
    // Not as `tracing` does it: with no field behind the text.
    let ready = lines("logged", Level::Info, "ready: ");
    assert!(ready[0].ends_with("checkouts wait up to 30 s"), "{ready:?}");
}

#[test]
fn a_thread_with_a_subscriber_of_its_own_takes_no_line_from_the_log_that_others_write() {
    logged::capture(LogLevel::Debug);
    let events = Events::down_to(LevelFilter::TRACE);
    let pool = with_default(events.clone(), || pool("shared"));
    assert_eq!(events.the("tierpool::shared", "starting with").field("pool"), Some("shared"));
    assert!(lines("shared", Level::Info, "starting with").is_empty(), "told twice");
    // Written by a thread of the pool's.
    eventually(BOUND, "it is told", || lines("shared", Level::Debug, "opened connection ").len() == 1);
    assert!(events.at("tierpool::shared", "opened connection").is_empty(), "told twice");
    let other = pool.clone();
    thread::spawn(move || drop(other.get().unwrap())).join().unwrap();
    assert_eq!(lines("shared", Level::Debug, "lent after").len(), 1);
}
