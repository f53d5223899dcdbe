//! Model checks of seizing under loom, as in `model.rs`.

use loom::thread;

use super::ledger::Standing;
use super::model::explore;
use super::sync::{Arc, AtomicUsize, Ordering};
use super::{Lending, Seat};

/// Who has the value: 0 for nobody.
type Line = Lending<u64, AtomicUsize, ()>;

/// A checkout by `who`, with the orders of the pool's card.
fn take(line: &Line, who: usize) -> Option<Box<u64>> {
    let value = line.try_take(0)?;
    // Release: pairs with the Acquire of whoever seizes, as `Card::lent` does.
    line.slot(0).card.store(who, Ordering::Release);
    Some(value)
}

fn put(line: &Line, value: Box<u64>) -> Result<(), Box<u64>> {
    line.slot(0).card.store(0, Ordering::Relaxed);
    line.put(0, value)
}

/// The value of slot 0, out on loan to 1.
fn lent() -> (Arc<Line>, Box<u64>) {
    let line = Arc::new(Line::new(1));
    assert_eq!(line.claim(), Some(0));
    line.restate(0, Standing::Opening, Standing::Open);
    line.admit(0, Box::new(7)).expect("nobody closes here");
    let value = take(&line, 1).expect("the value was put");
    (line, value)
}

#[test]
fn a_seizure_against_a_put_and_the_next_checkout_hits_nobody_else() {
    explore(|| {
        let (line, value) = lent();
        let keeper = {
            let line = Arc::clone(&line);
            thread::spawn(move || line.seize(0, |card| card.load(Ordering::Acquire) == 1).is_some())
        };
        let returned = put(&line, value);
        let next = take(&line, 2);
        let seized = keeper.join().unwrap();
        assert_eq!(returned.is_err(), seized, "a value seized was lent on, or one lent on was seized");
        if let Some(next) = next {
            assert!(put(&line, next).is_ok(), "the next borrower's value was seized");
        }
    });
}

#[test]
fn a_forfeit_against_the_return_frees_its_capacity_once() {
    explore(|| {
        let line = Arc::new(Line::new(1));
        let mut seat = Seat::claim(&line).expect("the line is empty");
        seat.opened();
        let seizure = line.seize(0, |_| true).expect("it is out");
        let keeper = {
            let line = Arc::clone(&line);
            thread::spawn(move || line.forfeit(seizure, 1, |_| ()))
        };
        seat.leaves();
        drop(seat);
        keeper.join().unwrap();
        assert_eq!(line.counts().size() + line.counts().leaving, 0);
        assert!(line.claim().is_some(), "its capacity is lost");
        assert!(line.claim().is_none(), "its capacity came back twice");
    });
}
