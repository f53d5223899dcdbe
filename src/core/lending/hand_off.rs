//! The announced put: a value goes from hand to hand, or into its slot where nobody waits.

use super::{Desk, Lending};
use crate::core::sync::Arc;
use crate::core::waiter::Waiter;

impl<T, S: Default, R: Clone, W: Copy> Lending<T, S, R, W> {
    /// As `put`, decided under the lock.
    #[cold]
    pub(super) fn put_announced(&self, index: usize, value: Box<T>) -> Result<(), Box<T>> {
        let mut desk = self.desk.lock();
        if self.gate.is_closed() || desk.ledger.seized(index).is_some() {
            return Err(value);
        }
        let unclaimed = if self.gate.is_suspended() { Err(value) } else { self.hand_over(&mut desk, value) };
        match unclaimed {
            Ok(waiter) => {
                let next = desk.whom_to_alert();
                drop(desk);
                // The one served comes first: the other has nothing to do yet.
                waiter.wake();
                if let Some(next) = next {
                    next.alert();
                }
            }
            Err(value) => {
                // Under the lock: a caller that joins next finds it in its sweep.
                self.slots.get(index).cell.place(value);
            }
        }
        Ok(())
    }

    /// Serves the first in line who has not left, and returns whom to wake; the value where nobody is left.
    pub(super) fn hand_over(
        &self,
        desk: &mut Desk<T, R, W>,
        mut value: Box<T>,
    ) -> Result<Arc<Waiter<T, R>>, Box<T>> {
        while let Some(waiter) = self.pop(desk) {
            match waiter.serve(value) {
                Ok(()) => return Ok(waiter),
                Err(back) => value = back,
            }
        }
        Err(value)
    }
}

impl<T, R, W: Copy> Desk<T, R, W> {
    /// Who is to be told that its turn is near, now that a value was handed over: the new head, in a line that moves so
    /// fast that it had better be awake by then.
    fn whom_to_alert(&self) -> Option<Arc<Waiter<T, R>>> {
        if self.tempo.is_brisk(self.ledger.open()) { self.queue.head() } else { None }
    }
}

#[cfg(all(test, not(tierpool_loom)))]
mod tests {
    use crate::core::ledger::Standing;
    use crate::core::sync::Arc;
    use crate::core::waiter::Waiter;
    use crate::core::{Joined, Lending, Lingered, Outcome, Waited, Watched};

    type Line = Lending<u32, (), ()>;

    fn stand(line: &Line) -> Arc<Waiter<u32, ()>> {
        match line.join(None, None, ()) {
            Joined::InLine { waiter, .. } => waiter,
            _ => panic!("the value is out"),
        }
    }

    fn is_alerted(waiter: &Waiter<u32, ()>) -> bool {
        waiter.watch_until_near(Some(std::time::Instant::now())) == Watched::Near
    }

    #[test]
    fn a_hand_off_alerts_the_next_in_a_brisk_line_and_nobody_else() {
        let line = Line::new(1);
        assert_eq!(line.claim(), Some(0));
        line.restate(0, Standing::Opening, Standing::Open);
        for (turn_ns, is_brisk) in [(1_000, true), (1_000_000, false)] {
            let [first, second, third, fourth] = [(); 4].map(|()| stand(&line));
            line.put(0, Box::new(1)).unwrap();
            let Outcome::Served(value) = first.leave() else { panic!("not served") };
            line.recycle_served(first, Waited { turn_ns: Some(turn_ns), lingered: Lingered::InVain });
            line.put(0, value).unwrap();
            assert!(matches!(second.leave(), Outcome::Served(_)));
            assert_eq!([&third, &fourth].map(|one| is_alerted(one)), [is_brisk, false], "{turn_ns} ns");
            line.refuse(&());
        }
    }
}
