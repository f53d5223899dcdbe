//! The slots: one padded cell per connection, in an array that can grow while it is read.

use std::sync::OnceLock;

use crossbeam_utils::CachePadded;

use super::cell::Cell;
use super::sync::{AtomicUsize, Ordering};

/// One place for a value, and a card of the floor above beside it, on cache lines of their own: a thread that
/// takes and returns the same connection writes to memory that no other thread touches.
pub(crate) struct Slot<T, S> {
    pub(crate) cell: Cell<T>,
    pub(crate) card: S,
}

/// Enough for [`MAX_CEILING`](crate::config::MAX_CEILING) from a first chunk of one.
const DOUBLINGS: usize = 16;

type Chunk<T, S> = Box<[CachePadded<Slot<T, S>>]>;

/// The array of slots. It grows by chunks that double its length and never moves or shrinks, so that a reference
/// to a slot stays good for as long as the array.
pub(crate) struct Slots<T, S> {
    first: Chunk<T, S>,
    /// Chunk `k` doubles the length that the array had with the chunks before it.
    more: [OnceLock<Chunk<T, S>>; DOUBLINGS],
    /// How many slots are in use by the ledger: the bound of every sweep.
    len: AtomicUsize,
}

impl<T, S: Default> Slots<T, S> {
    pub(crate) fn new(first: usize) -> Self {
        Slots {
            first: Self::chunk(first.max(1)),
            more: [const { OnceLock::new() }; DOUBLINGS],
            len: AtomicUsize::new(0),
        }
    }

    fn chunk(len: usize) -> Chunk<T, S> {
        (0..len).map(|_| CachePadded::new(Slot { cell: Cell::new(), card: S::default() })).collect()
    }

    /// The number of slots that may hold a value.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        // Acquire: pairs with the Release in `ensure`, so that the chunk of every index below is there.
        self.len.load(Ordering::Acquire)
    }

    /// Makes slots `0..len` usable. Called with the desk locked, so by one thread at a time.
    pub(crate) fn ensure(&self, len: usize) {
        let mut capacity = self.first.len();
        for chunk in &self.more {
            if capacity >= len {
                break;
            }
            chunk.get_or_init(|| Self::chunk(capacity));
            capacity *= 2;
        }
        assert!(capacity >= len, "BUG: {len} slots asked for, {capacity} is the most");
        // Relaxed load: only the holder of the desk writes. Release store: pairs with the Acquire in `len`.
        if self.len.load(Ordering::Relaxed) < len {
            self.len.store(len, Ordering::Release);
        }
    }

    /// The slot, if it is in the part of the array that was there from the start: one comparison with a bound that
    /// never changes, where [`Slots::len`] does. It need not be in use yet; its cell is empty then.
    #[inline]
    pub(crate) fn get_first(&self, index: usize) -> Option<&Slot<T, S>> {
        self.first.get(index).map(|padded| &**padded)
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> &Slot<T, S> {
        match self.first.get(index) {
            Some(slot) => slot,
            None => self.get_grown(index),
        }
    }

    #[cold]
    fn get_grown(&self, index: usize) -> &Slot<T, S> {
        let first = self.first.len();
        // Chunk k covers the indices from first * 2^k up to first * 2^(k + 1).
        let k = (index / first).ilog2() as usize;
        match self.more[k].get() {
            Some(chunk) => &chunk[index - (first << k)],
            None => unreachable!("BUG: slot {index} asked for, beyond the {} that exist", self.len()),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot<T, S>> {
        let more = self.more.iter().map_while(OnceLock::get);
        let chunks = std::iter::once(&self.first).chain(more);
        chunks.flat_map(|chunk| chunk.iter()).map(|padded| &**padded).take(self.len())
    }
}

#[cfg(all(test, not(tierpool_loom)))]
mod tests {
    use super::Slots;

    #[test]
    fn every_index_has_a_slot_of_its_own_across_chunks() {
        let slots: Slots<usize, ()> = Slots::new(3);
        slots.ensure(2);
        assert_eq!(slots.len(), 2);
        slots.ensure(40);
        for index in 0..40 {
            assert!(!slots.get(index).cell.is_full(), "slot {index} was taken");
            slots.get(index).cell.place(Box::new(index));
        }
        for (index, slot) in slots.iter().enumerate() {
            assert_eq!(slot.cell.take().as_deref(), Some(&index));
        }
        slots.ensure(5);
        assert_eq!(slots.len(), 40, "the array never shrinks");
    }
}
