//! A seeded stress test of the lending core: every action there is, at random, on many threads.
//!
//! `TIERPOOL_STRESS_ROUNDS` sets the length in rounds a thread, `TIERPOOL_STRESS_SEED` the seed, which is printed.
//! A seed fixes what each thread tries, not how the threads meet; the model checks are for that.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Joined, Lending, Outcome, Seat, Ticket};

/// More threads than connections, or nobody would wait.
const THREADS: usize = 6;
const CEILING: usize = 3;
/// A wait as long as this, with connections going round all the while, is a lost wake-up.
const FOREVER: Duration = Duration::from_secs(60);

type Connections = Lending<Connection, AtomicBool, &'static str>;

/// What is lent: its seat, and what the last borrower wrote without any lock.
struct Connection {
    seat: Seat<Connection, AtomicBool, &'static str>,
    uses: u64,
    alive: Arc<AtomicUsize>,
    /// As in a pool, where what is out keeps the memory of the slots.
    lending: Arc<Connections>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// SplitMix64: short, and good enough to choose actions with.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

struct Player {
    lending: Arc<Connections>,
    alive: Arc<AtomicUsize>,
    dice: Dice,
    tally: Tally,
}

/// How a player's waits ended.
#[derive(Debug, Default)]
struct Tally {
    served: u64,
    gave_up: u64,
    refused: u64,
}

impl Player {
    /// One random action; false once lending has closed.
    fn act(&mut self) -> bool {
        match self.dice.below(32) {
            0..12 => match self.lending.try_take(self.dice.below(4) as usize) {
                Some(connection) => self.use_and_return(connection, None),
                None => self.queue(None),
            },
            12..26 => self.queue(None),
            26 => self.tidy(),
            27 => {
                self.open();
            }
            28 => {
                if self.lending.suspend() {
                    self.tidy();
                    assert!(self.lending.resume(), "resumed by somebody who had not suspended");
                }
            }
            29 => {
                self.lending.refuse(&"refused once");
            }
            30 => {
                self.lending.refuse_until_further_notice(&"refused for now");
                self.tidy();
                self.lending.stop_refusing();
            }
            _ => self.check_counts(),
        }
        !self.lending.is_closed()
    }

    fn queue(&mut self, old: Option<Ticket>) {
        let bound = [None, None, Some(0), Some(2)][self.dice.below(4) as usize];
        match self.lending.join(old, bound, ()) {
            Joined::Got(connection) => self.use_and_return(connection, None),
            Joined::InLine { waiter, ticket, .. } => {
                let patience = match self.dice.below(3) {
                    0 => Duration::ZERO,
                    1 => Duration::from_micros(self.dice.below(100)),
                    _ => FOREVER,
                };
                let outcome = waiter.wait(Some(Instant::now() + patience));
                match outcome {
                    Outcome::Nothing => {
                        assert!(
                            patience < FOREVER,
                            "ticket {ticket} was forgotten: {:?}",
                            self.lending.counts()
                        );
                        self.tally.gave_up += 1;
                        self.lending.forget(waiter, ticket);
                    }
                    Outcome::Refused(_) => {
                        self.tally.refused += 1;
                        self.lending.recycle(waiter);
                    }
                    Outcome::Served(connection) => {
                        self.tally.served += 1;
                        self.lending.recycle(waiter);
                        self.use_and_return(connection, Some(ticket));
                    }
                }
            }
            Joined::Full => assert!(old.is_none() && bound.is_some()),
            Joined::NoRoom => unreachable!("BUG: it may wait for others"),
            Joined::Refused(_) | Joined::Closed => {}
        }
    }

    fn use_and_return(&mut self, mut connection: Box<Connection>, ticket: Option<Ticket>) {
        let index = connection.seat.index();
        let out = &self.lending.slot(index).card;
        assert!(!out.swap(true, Ordering::Relaxed), "connection {index} was lent twice");
        connection.uses += 1;
        if self.dice.below(4) == 0 {
            // Lets the others run into an empty pool, also on a machine with few cores.
            thread::yield_now();
        }
        out.store(false, Ordering::Relaxed);
        if ticket.is_some() && self.dice.below(8) == 0 {
            // It proved dead: stand where one stood before.
            self.replace(connection);
            self.queue(ticket);
        } else {
            // Err: lending has closed, and the connection ends here.
            drop(Connections::put_owned(connection, |it| (&it.lending, it.seat.index())));
        }
    }

    /// Takes a connection past the gate, as the keeper does, and puts it back or replaces it.
    fn tidy(&mut self) {
        let index = self.dice.below(self.lending.slots().count().max(1) as u64) as usize;
        match self.lending.take_at(index) {
            Some(connection) if self.dice.below(4) == 0 => self.replace(connection),
            Some(connection) => drop(self.lending.put(index, connection)),
            None => {}
        }
    }

    /// Closes one and opens another in its stead, so that those in line always have something to wait for.
    fn replace(&self, connection: Box<Connection>) {
        drop(connection);
        self.open();
    }

    fn open(&self) -> bool {
        let Some(mut seat) = Seat::claim(&self.lending) else { return false };
        seat.opened();
        assert!(self.alive.fetch_add(1, Ordering::Relaxed) < CEILING, "more connections than the ceiling");
        let index = seat.index();
        let (alive, lending) = (Arc::clone(&self.alive), Arc::clone(&self.lending));
        self.lending.admit(index, Box::new(Connection { seat, uses: 0, alive, lending })).is_ok()
    }

    fn check_counts(&self) {
        let counts = self.lending.counts();
        assert!(counts.size() <= CEILING, "{counts:?}");
        assert!(counts.waiting <= THREADS && counts.waiting <= counts.peak_waiting, "{counts:?}");
        assert!(counts.in_use <= counts.peak_in_use, "{counts:?}");
    }
}

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")))
}

#[test]
fn any_actions_in_any_order_keep_the_books() {
    // The standard library's random hasher is the one source of chance at hand that miri has as well.
    let chance = || RandomState::new().build_hasher().finish();
    let seed = from_environment("TIERPOOL_STRESS_SEED").unwrap_or_else(chance);
    // Small under miri, which runs some thousand times slower.
    let usual = if cfg!(miri) { 40 } else { 20_000 };
    let rounds = from_environment("TIERPOOL_STRESS_ROUNDS").unwrap_or(usual);
    println!("TIERPOOL_STRESS_SEED={seed} TIERPOOL_STRESS_ROUNDS={rounds}");

    let lending = Arc::new(Connections::new(CEILING));
    let alive = Arc::new(AtomicUsize::new(0));
    let player = |number: u64| Player {
        lending: Arc::clone(&lending),
        alive: Arc::clone(&alive),
        dice: Dice(seed.wrapping_add(number)),
        tally: Tally::default(),
    };
    while player(0).open() {}
    let threads: Vec<_> = (0..THREADS as u64)
        .map(|number| {
            let mut player = player(number);
            thread::spawn(move || {
                // The first to be through closes; the rest meet that wherever they are.
                if (0..rounds).all(|_| player.act()) {
                    drop(player.lending.close(&"closed"));
                }
                player.tally
            })
        })
        .collect();
    for thread in threads {
        let tally = thread.join().expect("a thread failed; its message and the seed are above");
        println!("{tally:?}");
    }

    let counts = lending.counts();
    assert_eq!((counts.size(), counts.waiting), (0, 0), "{counts:?}");
    assert_eq!(alive.load(Ordering::Relaxed), 0, "a connection is still alive");
    assert!(lending.slots().all(|slot| !slot.cell.is_full()), "a connection stays in a closed pool");
    assert_eq!(Arc::strong_count(&lending), 1, "a seat is still out");
}
