//! Model checks under loom: one race a test, named for it. README, "What is checked", says which fault each finds.
//!
//! loom runs a test once for every order in which its threads can meet, with at most `PREEMPTIONS` switches away
//! from a thread that could go on, and for every stale value that a load may see. A thread that nobody wakes is
//! reported as a deadlock, so "always gets it" is checked by waiting without end.

use loom::cell::UnsafeCell;
use loom::thread::{self, JoinHandle};

use super::ledger::Standing;
use super::sync::Arc;
use super::{Joined, Lending, Outcome, Seat, Ticket};

/// Most known races need two preemptions; three is what fits the time that `.ci/loom` is given.
const PREEMPTIONS: usize = 3;

/// What is lent.
pub(super) struct Value {
    slot: usize,
    /// The last ticket that was served with it: tells whether the order was kept.
    ticket: Ticket,
    /// Watched by loom: two uses of which neither is ordered before the other are a data race.
    contents: UnsafeCell<()>,
}

impl Value {
    fn new(slot: usize) -> Box<Self> {
        let value = Box::new(Value { slot, ticket: 0, contents: UnsafeCell::new(()) });
        value.touch();
        value
    }

    /// Uses the contents, as a borrower does.
    pub(super) fn touch(&self) {
        self.contents.with_mut(|_| ());
    }
}

pub(super) type Line = Lending<Value, (), &'static str>;

pub(super) fn explore(race: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // Unset unless LOOM_MAX_PREEMPTIONS says otherwise.
    builder.preemption_bound.get_or_insert(PREEMPTIONS);
    builder.check(race);
}

/// A line with these slots, the value of the first out on loan and its cell unmarked; the others are not in use.
fn lent_of(slots: usize) -> (Arc<Line>, Box<Value>) {
    let line = Arc::new(Line::new(slots));
    assert_eq!(line.claim(), Some(0));
    line.restate(0, Standing::Opening, Standing::Open);
    line.admit(0, Value::new(0)).unwrap_or_else(|_| panic!("nobody closes here"));
    let value = line.try_take(0).expect("the value was put");
    (line, value)
}

pub(super) fn lent() -> (Arc<Line>, Box<Value>) {
    lent_of(1)
}

/// Puts a value after its last use; false where lending is closed.
pub(super) fn put(line: &Line, value: Box<Value>) -> bool {
    value.touch();
    line.put(value.slot, value).is_ok()
}

pub(super) fn spawn<R: 'static>(line: &Arc<Line>, act: impl FnOnce(&Line) -> R + 'static) -> JoinHandle<R> {
    let line = Arc::clone(line);
    thread::spawn(move || act(&line))
}

/// A checkout that waits for as long as it takes; `None` where it is refused.
fn get(line: &Line) -> Option<Box<Value>> {
    let value = line.try_take(0).or_else(|| queue(line))?;
    value.touch();
    Some(value)
}

fn queue(line: &Line) -> Option<Box<Value>> {
    match line.join(None, None, ()) {
        Joined::Got(value) => Some(value),
        Joined::InLine { waiter, ticket, .. } => {
            let outcome = waiter.wait(None);
            line.recycle(waiter);
            match outcome {
                Outcome::Served(mut value) => {
                    assert!(value.ticket <= ticket, "ticket {} was served before {ticket}", value.ticket);
                    value.ticket = ticket;
                    Some(value)
                }
                Outcome::Refused(_) => None,
                Outcome::Nothing => unreachable!("BUG: a wait ended by itself"),
            }
        }
        Joined::Refused(_) | Joined::Closed => None,
        Joined::Full | Joined::NoRoom => unreachable!("BUG: no bound was given"),
    }
}

fn borrow(line: &Line) {
    let value = get(line).expect("nobody refuses here");
    assert!(put(line, value), "nobody closes here");
}

/// At the end of a race: the one value lies in its slot, and the direct way is free.
fn assert_at_rest(line: &Line) {
    assert_eq!(line.counts().waiting, 0);
    let value = line.try_take(0).expect("the value is lost, or the gate does not open again");
    value.touch();
    assert!(line.take_at(0).is_none(), "the value is there twice");
}

#[test]
fn a_direct_put_against_a_join() {
    explore(|| {
        let (line, value) = lent();
        let waiter = spawn(&line, borrow);
        assert!(put(&line, value));
        waiter.join().unwrap();
        assert_at_rest(&line);
    });
}

#[test]
fn a_direct_put_against_two_joins_is_served_by_ticket() {
    explore(|| {
        let (line, value) = lent();
        let waiters = [spawn(&line, borrow), spawn(&line, borrow)];
        assert!(put(&line, value));
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert_at_rest(&line);
    });
}

#[test]
fn a_put_into_one_of_two_slots_against_a_join() {
    explore(|| {
        let (line, value) = lent_of(2);
        assert_eq!(line.claim(), Some(1));
        let waiter = spawn(&line, |line| get(line).is_some());
        let putter = spawn(&line, |line| assert!(put(line, value)));
        assert!(put(&line, Value::new(1)));
        putter.join().unwrap();
        assert!(waiter.join().unwrap());
        let left = [line.take_at(0), line.take_at(1)];
        assert_eq!(left.iter().flatten().count(), 1);
    });
}

#[test]
fn a_look_into_the_slots_against_a_join_leaves_the_mark() {
    explore(|| {
        let (line, value) = lent();
        assert!(put(&line, value));
        let borrowers = [spawn(&line, borrow), spawn(&line, borrow)];
        if let Some(value) = line.try_take(0) {
            assert!(put(&line, value));
        }
        for borrower in borrowers {
            borrower.join().unwrap();
        }
        assert_at_rest(&line);
    });
}

/// The new slot's value goes to the first waiter at once, whose own put must then reach the second.
#[test]
fn a_new_slot_against_two_joins() {
    explore(|| {
        let (line, _out) = lent_of(2);
        let waiters = [spawn(&line, borrow), spawn(&line, borrow)];
        assert_eq!(line.claim(), Some(1));
        line.restate(1, Standing::Opening, Standing::Open);
        assert!(line.admit(1, Value::new(1)).is_ok());
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert!(line.take_at(1).is_some());
    });
}

#[test]
fn a_hand_off_against_a_give_up_goes_to_the_next() {
    explore(|| {
        let (line, value) = lent();
        let Joined::InLine { waiter, ticket, .. } = line.join(None, None, ()) else {
            panic!("the slot is empty")
        };
        let next = spawn(&line, borrow);
        let putter = spawn(&line, |line| assert!(put(line, value)));
        match waiter.leave() {
            Outcome::Served(value) => {
                line.recycle(waiter);
                assert!(put(&line, value));
            }
            Outcome::Nothing => line.forget(waiter, ticket),
            Outcome::Refused(reason) => unreachable!("BUG: refused with {reason}"),
        }
        putter.join().unwrap();
        next.join().unwrap();
        assert_at_rest(&line);
    });
}

#[test]
fn a_newcomer_against_a_hand_off_loses_nobody() {
    explore(|| {
        let (line, value) = lent();
        let waiter = spawn(&line, |line| queue(line).map(|value| put(line, value)));
        let newcomer = spawn(&line, |line| line.try_take(0).map(|value| put(line, value)));
        assert!(put(&line, value));
        newcomer.join().unwrap();
        assert!(waiter.join().unwrap().is_some());
        assert_at_rest(&line);
    });
}

#[test]
fn one_that_comes_back_with_its_ticket_against_a_join() {
    explore(|| {
        let (line, value) = lent();
        let Joined::InLine { waiter, ticket, .. } = line.join(None, None, ()) else {
            panic!("the slot is empty")
        };
        assert!(put(&line, value));
        let Outcome::Served(value) = waiter.wait(None) else { panic!("the value was put") };
        let other = spawn(&line, borrow);
        let putter = spawn(&line, |line| assert!(put(line, value)));
        match line.join(Some(ticket), Some(0), ()) {
            Joined::Got(value) => assert!(put(&line, value)),
            Joined::InLine { waiter, ticket: again, ahead, .. } => {
                assert_eq!((again, ahead), (ticket, 0));
                let Outcome::Served(value) = waiter.wait(None) else { panic!("nobody refuses here") };
                assert!(put(&line, value));
            }
            _ => panic!("an old ticket was turned away"),
        }
        putter.join().unwrap();
        other.join().unwrap();
        assert_at_rest(&line);
    });
}

#[test]
fn a_close_against_a_wait() {
    explore(|| {
        let (line, _out) = lent();
        let waiters = [spawn(&line, get), spawn(&line, get)];
        assert!(line.close(&"closed").is_empty());
        for waiter in waiters {
            assert!(waiter.join().unwrap().is_none());
        }
        assert_eq!(line.counts().waiting, 0);
    });
}

#[test]
fn a_close_against_a_put_gives_the_value_back_once() {
    explore(|| {
        let (line, value) = lent();
        let putter = spawn(&line, |line| !put(line, value));
        let newcomer = spawn(&line, |line| line.try_take(0).is_some_and(|value| !put(line, value)));
        let idle = line.close(&"closed");
        let returned =
            [putter.join().unwrap(), newcomer.join().unwrap()].iter().filter(|&&back| back).count();
        assert_eq!(idle.len() + returned, 1);
        assert!(line.take_at(0).is_none(), "a value stays behind in a closed pool");
        assert!(line.close(&"closed").is_empty());
    });
}

/// A value that owns its seat, as a connection does.
struct Seated {
    _seat: Seat<Seated, (), &'static str>,
}

type Seats = Lending<Seated, (), &'static str>;

fn open(seats: &Arc<Seats>) -> Option<Result<(), Box<Seated>>> {
    let mut seat = Seat::claim(seats)?;
    seat.opened();
    Some(seats.admit(seat.index(), Box::new(Seated { _seat: seat })))
}

#[test]
fn an_open_against_a_close_leaves_no_capacity_behind() {
    explore(|| {
        let seats = Arc::new(Seats::new(1));
        let opener = {
            let seats = Arc::clone(&seats);
            thread::spawn(move || drop(open(&seats)))
        };
        drop(seats.close(&"closed"));
        opener.join().unwrap();
        assert_eq!(seats.counts().size(), 0);
        assert!(Seat::claim(&seats).is_none());
    });
}

#[test]
fn an_open_against_a_join() {
    explore(|| {
        let seats = Arc::new(Seats::new(2));
        let opener = {
            let seats = Arc::clone(&seats);
            thread::spawn(move || assert!(matches!(open(&seats), Some(Ok(())))))
        };
        let served = match seats.join(None, None, ()) {
            Joined::Got(value) => value,
            Joined::InLine { waiter, .. } => match waiter.wait(None) {
                Outcome::Served(value) => value,
                other => unreachable!(
                    "BUG: nobody refuses here, refused: {}",
                    matches!(other, Outcome::Refused(_))
                ),
            },
            _ => unreachable!("BUG: nobody refuses or closes here"),
        };
        opener.join().unwrap();
        assert_eq!((seats.counts().size(), seats.counts().in_use), (1, 1));
        drop(served);
        assert_eq!(seats.counts().size(), 0);
    });
}

#[test]
fn two_claims_never_pass_the_ceiling() {
    explore(|| {
        let seats = Arc::new(Seats::new(1));
        let other = {
            let seats = Arc::clone(&seats);
            thread::spawn(move || Seat::claim(&seats))
        };
        let mine = Seat::claim(&seats);
        let others = other.join().unwrap();
        assert_eq!(mine.iter().chain(&others).count(), 1);
        drop((mine, others));
        assert_eq!(seats.counts().size(), 0);
    });
}

#[test]
fn a_suspension_against_a_put_and_a_join() {
    explore(|| {
        let (line, value) = lent();
        let waiter = spawn(&line, borrow);
        let putter = spawn(&line, |line| assert!(put(line, value)));
        assert!(line.suspend());
        assert!(line.resume());
        putter.join().unwrap();
        waiter.join().unwrap();
        assert_at_rest(&line);
    });
}

#[test]
fn a_resumption_with_two_in_line_serves_both() {
    explore(|| {
        let (line, value) = lent();
        assert!(line.suspend());
        let waiters = [spawn(&line, borrow), spawn(&line, borrow)];
        assert!(put(&line, value));
        assert!(line.resume());
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert_at_rest(&line);
    });
}

#[test]
fn a_standing_refusal_against_a_join_leaves_nobody_in_line() {
    explore(|| {
        let (line, value) = lent();
        let waiters = [spawn(&line, get), spawn(&line, get)];
        line.refuse_until_further_notice(&"refused");
        for waiter in waiters {
            assert!(waiter.join().unwrap().is_none());
        }
        assert!(put(&line, value));
        line.stop_refusing();
        assert_at_rest(&line);
    });
}

#[test]
fn a_refusal_against_a_put_and_a_wait() {
    explore(|| {
        let (line, value) = lent();
        let waiter = spawn(&line, |line| get(line).map(|value| assert!(put(line, value))).is_some());
        let putter = spawn(&line, |line| assert!(put(line, value)));
        let refused = line.refuse(&"refused");
        putter.join().unwrap();
        assert_eq!(waiter.join().unwrap(), refused == 0);
        assert_at_rest(&line);
    });
}
