//! A slot's cell: holds one boxed value or none, moved in and out by one atomic swap.
//!
//! The only file of the crate with `unsafe`. The measured need: a checkout and its checkin are one swap each here,
//! where a lock around an `Option` costs two read-modify-writes a side; the safe `AtomicCell<Option<Box<T>>>` of
//! crossbeam does the same swap but passes the pointer through an integer, which strict provenance (miri) rejects.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ptr;

use super::sync::{AtomicPtr, Ordering};

/// An atomic `Option<Box<T>>`.
///
/// Invariant C: the pointer is null, or came from `Box::into_raw` of a `Box<T>` that nothing else owns. Every
/// change is a swap, so a non-null pointer is given to exactly one thread, which owns the box again.
pub(crate) struct Cell<T> {
    value: AtomicPtr<T>,
    /// The cell owns a `T`: it is `Send` and `Sync` only where `T` is `Send`, since a value put in by one thread is
    /// taken out by another, and no `&T` is ever given out.
    owns: PhantomData<Box<T>>,
}

// SAFETY: sharing a cell lets threads move whole `Box<T>` values between them and nothing else (no method lends a
// reference into the value), which is what `T: Send` permits. `AtomicPtr` alone would make the cell `Sync` for any
// `T`, and the `PhantomData` for `T: Sync` only; neither is the right bound, hence this one.
unsafe impl<T: Send> Sync for Cell<T> {}

impl<T> Cell<T> {
    pub(crate) fn empty() -> Self {
        Cell { value: AtomicPtr::new(ptr::null_mut()), owns: PhantomData }
    }

    /// Takes the value out, if there is one. A cell that looks empty is not written to.
    #[inline]
    pub(crate) fn take(&self) -> Option<Box<T>> {
        // Relaxed: a hint only; whoever must not miss a value calls `take_surely`.
        if self.value.load(Ordering::Relaxed).is_null() {
            return None;
        }
        self.take_surely()
    }

    /// Takes the value out by a swap even where the cell looks empty.
    ///
    /// The swap is what makes a later [`Cell::put`] into this cell see everything that this thread did before
    /// (README, "register, then sweep"): it stands in the cell's modification order, and the put reads from it.
    #[inline]
    pub(crate) fn take_surely(&self) -> Option<Box<T>> {
        // AcqRel. Acquire: pairs with the Release of the `put` that stored the pointer, so that the value's
        // contents are visible. Release: pairs with the Acquire of the next `put`.
        let value = self.value.swap(ptr::null_mut(), Ordering::AcqRel);
        if value.is_null() {
            return None;
        }
        // SAFETY: by invariant C a non-null pointer came from `Box::into_raw`, and the swap has removed it from the
        // cell in the same step, so this is its only owner.
        Some(unsafe { Box::from_raw(value) })
    }

    /// Puts a value in and returns the one that was there.
    #[inline]
    pub(crate) fn put(&self, value: Box<T>) -> Option<Box<T>> {
        // AcqRel. Release: publishes the value's contents to the swap that takes it. Acquire: pairs with the Release
        // of an earlier `take_surely` on this cell, so that the putter's next look at the gate sees a waiter that
        // had registered before sweeping.
        let old = self.value.swap(Box::into_raw(value), Ordering::AcqRel);
        if old.is_null() {
            return None;
        }
        // SAFETY: as in `take_surely`: the swap removed a pointer that invariant C says is a box of ours alone.
        Some(unsafe { Box::from_raw(old) })
    }

    /// Whether a value is there at this moment.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        // Relaxed: a gauge; nothing is concluded from it about the value.
        !self.value.load(Ordering::Relaxed).is_null()
    }
}

impl<T> Drop for Cell<T> {
    fn drop(&mut self) {
        drop(self.take_surely());
    }
}

#[cfg(all(test, not(tierpool_loom)))]
mod tests {
    use super::Cell;
    use std::sync::Arc;

    #[test]
    fn a_value_comes_out_once() {
        let cell = Cell::empty();
        assert!(cell.take().is_none());
        assert!(cell.put(Box::new(7)).is_none());
        assert!(cell.is_full());
        assert_eq!(cell.take().as_deref(), Some(&7));
        assert!(cell.take_surely().is_none());
    }

    #[test]
    fn dropping_the_cell_drops_its_value() {
        let value = Arc::new(());
        let cell = Cell::empty();
        cell.put(Box::new(Arc::clone(&value)));
        drop(cell);
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[test]
    fn two_threads_never_take_the_same_value() {
        let cell = Arc::new(Cell::empty());
        cell.put(Box::new(0u64));
        // Small under miri, which runs some thousand times slower.
        let rounds = if cfg!(miri) { 50 } else { 10_000 };
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let cell = Arc::clone(&cell);
                std::thread::spawn(move || {
                    let mut done = 0;
                    while done < rounds {
                        if let Some(mut value) = cell.take() {
                            *value += 1;
                            assert!(cell.put(value).is_none());
                            done += 1;
                        } else {
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(cell.take().as_deref(), Some(&(3 * rounds)));
    }
}
