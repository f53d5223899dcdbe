//! Capacity and gauges: what the desk knows in numbers.

use super::{Desk, Joined, Lending};
use crate::core::ledger::Standing;
use crate::core::queue::Ticket;

/// The gauges of the pool and what goes with them, all read in one hold of the desk's lock.
///
/// Direct takes and puts do not pass the desk, so `idle` is counted slot by slot while they go on. The peak of
/// `in_use` is exact where it reaches all open connections, and otherwise the highest of the moments at which a
/// connection was opened or the gauges were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) idle: usize,
    pub(crate) in_use: usize,
    pub(crate) opening: usize,
    /// Connections being closed, whose slots are not free yet; not part of `size`.
    pub(crate) leaving: usize,
    pub(crate) waiting: usize,
    pub(crate) ceiling: usize,
    pub(crate) peak_in_use: usize,
    pub(crate) peak_waiting: usize,
}

impl Counts {
    pub(crate) fn size(&self) -> usize {
        self.idle + self.in_use + self.opening
    }
}

impl<T, S: Default, R: Clone, W: Copy> Lending<T, S, R, W> {
    pub(in crate::core) fn claim(&self) -> Option<usize> {
        let mut desk = self.desk.lock();
        if self.gate.is_closed() {
            return None;
        }
        let index = desk.ledger.claim()?;
        self.slots.ensure(desk.ledger.extent());
        Some(index)
    }

    pub(in crate::core) fn restate(&self, index: usize, from: Standing, to: Standing) {
        let mut desk = self.desk.lock();
        desk.ledger.restate(index, from, to);
        self.note_in_use(&mut desk);
    }

    pub(in crate::core) fn give_back(&self, index: usize, standing: Standing) {
        self.desk.lock().ledger.give_back(index, standing);
    }

    pub(crate) fn set_ceiling(&self, ceiling: usize) {
        self.desk.lock().ledger.set_ceiling(ceiling);
    }

    /// The slots that are claimed: the size, and what is being closed.
    pub(crate) fn taken(&self) -> usize {
        self.desk.lock().ledger.size()
    }

    /// The size alone, without the walk over the slots that tells idle ones from those in use.
    pub(crate) fn size(&self) -> usize {
        let desk = self.desk.lock();
        desk.ledger.open() + desk.ledger.opening()
    }

    pub(super) fn idle(&self) -> usize {
        self.slots.iter().filter(|slot| slot.cell.is_full()).count()
    }

    fn note_in_use(&self, desk: &mut Desk<T, R, W>) {
        let open = desk.ledger.open();
        if desk.peak_in_use < open {
            // A value can be put before its seat is recorded as open, hence the saturation.
            desk.peak_in_use = desk.peak_in_use.max(open.saturating_sub(self.idle()));
        }
    }

    /// The gauges: `size = idle + in_use + opening` by construction.
    pub(crate) fn counts(&self) -> Counts {
        let mut desk = self.desk.lock();
        let open = desk.ledger.open();
        let idle = self.idle().min(open);
        let in_use = open - idle;
        desk.peak_in_use = desk.peak_in_use.max(in_use);
        Counts {
            idle,
            in_use,
            opening: desk.ledger.opening(),
            leaving: desk.ledger.leaving(),
            waiting: desk.queue.len(),
            ceiling: desk.ledger.ceiling(),
            peak_in_use: desk.peak_in_use,
            peak_waiting: desk.peak_waiting,
        }
    }

    /// As [`Lending::join`], for a caller that does not wait for others to return what they have: in line only where
    /// more values can still come than there are waiters: by new seats, by those being opened, and by the `returning`
    /// open ones that no borrower has. `leaving` is how many open ones the caller itself is about to close. For it
    /// there is no room while lending is suspended.
    pub(crate) fn join_if_room(
        &self,
        old: Option<Ticket>,
        max_waiting: Option<usize>,
        leaving: usize,
        returning: usize,
        who: W,
    ) -> Joined<T, R> {
        self.join_where(old, max_waiting, who, |desk| {
            desk.to_come(leaving, returning) > desk.queue.len() && !self.gate.is_suspended()
        })
    }

    /// Whether more values can still come, as for [`Lending::join_if_room`], than there are waiters before this ticket.
    pub(crate) fn has_room_for(&self, ticket: Ticket, returning: usize) -> bool {
        let desk = self.desk.lock();
        desk.to_come(0, returning) > desk.queue.ahead_of(ticket)
    }
}

impl<T, R, W: Copy> Desk<T, R, W> {
    fn to_come(&self, leaving: usize, returning: usize) -> usize {
        let open = self.ledger.open().saturating_sub(leaving);
        self.ledger.ceiling().saturating_sub(open) + returning
    }
}

#[cfg(all(test, not(tierpool_loom)))]
mod tests {
    use crate::core::ledger::Standing;
    use crate::core::{Joined, Lending};

    #[test]
    fn room_is_what_can_still_be_opened_beyond_those_who_wait() {
        let line = Lending::<u32, (), &str>::new(2);
        let joined = line.join_if_room(None, None, 0, 0, ());
        assert!(matches!(joined, Joined::InLine { ahead: 0, has_room: true, .. }));
        assert_eq!(line.claim(), Some(0));
        assert!(matches!(line.join_if_room(None, Some(1), 0, 0, ()), Joined::Full), "the bound of all");
        assert!(
            matches!(line.join_if_room(None, None, 0, 0, ()), Joined::InLine { ahead: 1, .. }),
            "one is opening"
        );
        assert!(
            matches!(line.join_if_room(None, None, 0, 0, ()), Joined::NoRoom),
            "it would overtake nobody, and wait"
        );
        assert_eq!(line.claim(), Some(1));
        let Joined::InLine { ticket, has_room: false, .. } = line.join(None, None, ()) else {
            panic!("others may wait")
        };
        line.close(&"over");
        let line = Lending::<u32, (), &str>::new(1);
        assert_eq!(line.claim(), Some(0));
        line.restate(0, Standing::Opening, Standing::Open);
        assert!(matches!(line.join_if_room(None, None, 0, 0, ()), Joined::NoRoom), "it is out");
        assert!(
            matches!(line.join_if_room(None, Some(0), 0, 0, ()), Joined::NoRoom),
            "as much as the line is full"
        );
        assert!(
            matches!(line.join_if_room(None, None, 1, 0, ()), Joined::InLine { .. }),
            "in the caller's own hand"
        );
        let line = Lending::<u32, (), &str>::new(1);
        assert_eq!(line.claim(), Some(0));
        line.restate(0, Standing::Opening, Standing::Open);
        let Joined::InLine { ticket: first, .. } = line.join_if_room(None, None, 0, 1, ()) else {
            panic!("no borrower has it")
        };
        assert!(line.has_room_for(first, 1) && !line.has_room_for(first, 0), "a borrower has it now");
        assert!(matches!(line.join_if_room(None, None, 0, 1, ()), Joined::NoRoom), "it is the other one's");
        let line = Lending::<u32, (), &str>::new(9);
        assert!(line.suspend());
        assert!(matches!(line.join_if_room(None, None, 0, 0, ()), Joined::NoRoom), "nobody is served");
        assert_eq!(ticket, 2);
    }
}
