//! One of the forty, in a process of its own: ten threads that hold connections and give them back.

use std::env;
use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use rustix::process::{Signal, set_parent_process_death_signal};
use tierpool::{PgPool, Tier};

use super::{RESERVED, TOTAL, WANTED};
use crate::support::wait::{MS, SECOND};

pub const URL: &str = "TIERPOOL_TEST_FORTY_URL";
/// Where it tells what it does.
pub const SOCKET: &str = "TIERPOOL_TEST_FORTY_SOCKET";
/// What it is told by, and which of those of that number it is.
pub const NUMBER: &str = "TIERPOOL_TEST_FORTY_NUMBER";
pub const START: &str = "TIERPOOL_TEST_FORTY_START";
/// The name of its fleet, if it has one.
pub const FLEET: &str = "TIERPOOL_TEST_FORTY_FLEET";

/// It tells that it was served every so often at the most, and that it was not.
const TELLS_EVERY_MS: u64 = 50;
const TELLS_FAILURE_EVERY_MS: u64 = 1000;
/// How long a connection is held, in milliseconds.
const HOLD_MS: std::ops::RangeInclusive<u32> = 50..=500;

struct Teller {
    socket: UnixDatagram,
    to: String,
    number: String,
    start: String,
    began: Instant,
    /// In milliseconds since it began: that it was served, and that it was not.
    told_at: [AtomicU64; 2],
    served: AtomicU64,
    failed: AtomicU64,
}

impl Teller {
    fn new() -> Teller {
        Teller {
            socket: UnixDatagram::unbound().unwrap(),
            to: given(SOCKET),
            number: given(NUMBER),
            start: given(START),
            began: Instant::now(),
            told_at: [const { AtomicU64::new(0) }; 2],
            served: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// Tells who it is, whether it has a connection now, and how often it was served and not.
    fn tell(&self, has_one: bool) {
        let Teller { number, start, served, failed, .. } = self;
        let (served, failed) = (served.load(Relaxed), failed.load(Relaxed));
        let text = format!("{number} {start} {} {served} {failed}", u8::from(has_one));
        // Whom it tells may have gone, and ends it then.
        let _ = self.socket.send_to(text.as_bytes(), &self.to);
    }

    /// Tells it unless that was done very lately.
    fn tell_at_times(&self, has_one: bool) {
        let (at, every) = match has_one {
            true => (&self.told_at[0], TELLS_EVERY_MS),
            false => (&self.told_at[1], TELLS_FAILURE_EVERY_MS),
        };
        let (now, told) = (self.began.elapsed().as_millis() as u64, at.load(Relaxed));
        if now >= told + every && at.compare_exchange(told, now, Relaxed, Relaxed).is_ok() {
            self.tell(has_one);
        }
    }
}

fn given(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

/// Does what one of the forty does until it is killed, or until whoever started it is gone.
pub fn run(url: &str) -> ! {
    // A stopped one would not see that its input has ended.
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    let builder = PgPool::builder().url(url).app_name(format!("forty-{}", given(NUMBER)));
    let builder = builder.base_size(WANTED).max_overflow(0).connection_timeout(60 * SECOND);
    let pool = match env::var(FLEET) {
        Ok(fleet) => builder.fleet(fleet).total_connections(TOTAL).reserved(RESERVED),
        Err(_) => builder,
    };
    // Its threads want connections at once, not one first.
    let pool = pool.build_unchecked().unwrap();
    let teller = Teller::new();
    teller.tell(false);
    thread::scope(|scope| {
        for _ in 0..WANTED {
            scope.spawn(|| work(&pool, &teller));
        }
        // Its input ends with whoever started it.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    })
}

fn work(pool: &PgPool, teller: &Teller) {
    loop {
        match pool.get(Tier::Automation) {
            Ok(mut conn) => {
                teller.served.fetch_add(1, Relaxed);
                teller.tell_at_times(true);
                let hold = fastrand::u32(HOLD_MS);
                if conn.batch_execute(&format!("SELECT pg_sleep({hold} / 1000.0)")).is_ok() {
                    teller.tell_at_times(true);
                }
            }
            Err(_) => {
                teller.failed.fetch_add(1, Relaxed);
                teller.tell_at_times(false);
                thread::sleep(100 * MS);
            }
        }
    }
}
