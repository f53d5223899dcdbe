//! A slot's cell: holds one boxed value, or nothing, or the mark of somebody who wants the next value.
//!
//! The only file of the crate with `unsafe`. The measured need: a checkout and its checkin are one compare-and-swap
//! each here, where a lock around an `Option` costs two read-modify-writes a side, and a count of references around
//! the checkin two more on memory that all threads share; the safe `AtomicCell<Option<Box<T>>>` of crossbeam passes
//! the pointer through an integer, which strict provenance (miri) rejects.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ptr;

use super::sync::{AtomicPtr, Ordering};

/// An atomic `Option<Box<T>>` whose empty state comes in two kinds: empty, and marked as wanted.
///
/// Invariant C: the pointer is `EMPTY`, or `WANTED`, or came from `Box::into_raw` of a `Box<T>` that nothing else
/// owns. A pointer of the third kind leaves the cell by one read-modify-write, so it is given to exactly one thread,
/// which owns the box again.
///
/// The methods said to need the desk run under its lock, which is outside of this file. A caller without the lock
/// could lose a value or a mark; no memory would be touched wrongly.
pub(crate) struct Cell<T> {
    state: AtomicPtr<T>,
    /// The cell owns a `T`: it is `Send` and `Sync` only where `T` is `Send`, since a value put in by one thread is
    /// taken out by another, and no `&T` is ever given out.
    owns: PhantomData<Box<T>>,
}

// SAFETY: sharing a cell lets threads move whole `Box<T>` values between them and nothing else (no method lends a
// reference into a value that is in the cell), which is what `T: Send` permits. `AtomicPtr` alone would make the
// cell `Sync` for any `T`, and the `PhantomData` for `T: Sync` only; neither is the right bound, hence this one.
unsafe impl<T: Send> Sync for Cell<T> {}

impl<T> Cell<T> {
    const EMPTY: *mut T = ptr::null_mut();

    const WANTED: *mut T = {
        // A box's pointer is aligned and not null, so it is neither constant; this holds for zero-sized types too.
        assert!(
            align_of::<T>() > 1,
            "a cell's value needs an alignment above 1, which keeps address 1 for the mark"
        );
        ptr::without_provenance_mut(1)
    };

    /// A cell begins marked, so that its first value is announced (README, I5).
    pub(crate) fn new() -> Self {
        Cell { state: AtomicPtr::new(Self::WANTED), owns: PhantomData }
    }

    #[inline]
    fn is_value(state: *mut T) -> bool {
        state != Self::EMPTY && state != Self::WANTED
    }

    /// Takes the value out, if there is one. A cell without one is not written to, so a mark stays.
    #[inline]
    pub(crate) fn take(&self) -> Option<Box<T>> {
        // Relaxed: a hint; the exchange decides.
        let seen = self.state.load(Ordering::Relaxed);
        if !Self::is_value(seen) {
            return None;
        }
        // Acquire: pairs with the Release of the `put_raw` or `place` that stored the pointer, so that the value's
        // contents are visible. An exchange, since a swap could erase a mark set meanwhile. On failure somebody else
        // has taken the value.
        let taken =
            self.state.compare_exchange(seen, Self::EMPTY, Ordering::Acquire, Ordering::Relaxed).ok()?;
        // SAFETY: the exchange compared equal to a pointer that is neither constant, so by invariant C `taken` came
        // from `Box::into_raw`, and it has left the cell in the same step: this is its only owner. `taken`, not
        // `seen`: the box seen may have ended and another lie at its address, with a provenance of its own.
        Some(unsafe { Box::from_raw(taken) })
    }

    /// Puts a value in, unless the cell is marked.
    #[inline]
    pub(crate) fn put(&self, value: Box<T>) -> Result<(), Box<T>> {
        // SAFETY: `self` is a reference to a cell, and the pointer is a box's that is given up here.
        unsafe { Self::put_raw(self, Box::into_raw(value)) }
    }

    /// As [`Cell::put`], into the cell that the value itself leads to and may be the last to keep alive.
    ///
    /// A panic of `cell_of` leaks the value.
    #[inline]
    pub(crate) fn put_through(
        value: Box<T>,
        cell_of: impl for<'a> FnOnce(&'a T) -> &'a Cell<T>,
    ) -> Result<(), Box<T>> {
        // Given up before it is borrowed: moving a `Box` would end the right to use what was borrowed from it.
        let value = Box::into_raw(value);
        // SAFETY: `value` came from `Box::into_raw` and nothing else has it before it is in the cell, so it may be
        // borrowed; the borrow, and the cell's with it, is used no more once the pointer below is made.
        let cell: *const Cell<T> = cell_of(unsafe { &*value });
        // SAFETY: for as long as the value exists and is not changed, the reference from `cell_of` is good, and
        // `cell` with it. The value is this thread's until it is in the cell.
        unsafe { Self::put_raw(cell, value) }
    }

    /// Puts a value in, unless the cell is marked. Where it succeeds, another thread may have taken the value and
    /// dropped it, and with it the cell, before this function returns.
    ///
    /// # Safety
    ///
    /// `cell` is good for as long as the value has not been put, and `value` came from `Box::into_raw` of a box
    /// that nothing else owns.
    #[inline]
    unsafe fn put_raw(cell: *const Self, value: *mut T) -> Result<(), Box<T>> {
        // SAFETY: until the exchange takes effect, the caller vouches for the cell. Once it has, nothing here reads
        // or writes it: the success arm touches neither pointer. The `&AtomicPtr` that exists until the call returns
        // may dangle by then: it covers an `UnsafeCell` alone, for which a reference promises no memory beyond its
        // last access (the compiler marks none `dereferenceable`; the standard `Arc` rests on it too).
        let outcome = unsafe {
            // Release: publishes the value's contents to whoever takes it (`take`, `take_marking`). Relaxed on
            // failure: the mark says only that the desk is to be asked, and its lock orders what follows.
            (*cell).state.compare_exchange(Self::EMPTY, value, Ordering::Release, Ordering::Relaxed)
        };
        match outcome {
            Ok(_) => Ok(()),
            Err(found) => {
                debug_assert_eq!(found, Self::WANTED, "BUG: a slot held two values");
                // SAFETY: the exchange failed, so the box given up by the caller never was in the cell.
                Err(unsafe { Box::from_raw(value) })
            }
        }
    }

    /// Takes the value out, if there is one, and leaves the cell marked. Needs the desk.
    pub(crate) fn take_marking(&self) -> Option<Box<T>> {
        // Relaxed: marks come and go under the desk's lock, so one that is seen is still there. A marked cell is
        // not written to: its line stays in the caches of those who look at it.
        if self.state.load(Ordering::Relaxed) == Self::WANTED {
            return None;
        }
        // Acquire: as in `take`. The mark itself publishes nothing.
        let taken = self.state.swap(Self::WANTED, Ordering::Acquire);
        // SAFETY: as in `take`: a pointer that is neither constant has left the cell with the swap.
        Self::is_value(taken).then(|| unsafe { Box::from_raw(taken) })
    }

    /// Removes the mark, on behalf of the owner of the slot's value. Needs the desk.
    pub(crate) fn unmark(&self) {
        debug_assert!(!self.is_full(), "BUG: a value is in the cell and also with its owner");
        // Relaxed: publishes nothing. Nobody else writes: putting is the owner's, marking the desk's.
        self.state.store(Self::EMPTY, Ordering::Relaxed);
    }

    /// Puts a value in, over a mark too. Needs the desk.
    pub(crate) fn place(&self, value: Box<T>) {
        debug_assert!(!self.is_full(), "BUG: a slot held two values");
        // Release: as in `put_raw`. A store will do: nobody else writes, as in `unmark`.
        self.state.store(Box::into_raw(value), Ordering::Release);
    }

    /// Whether a value is there at this moment.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        // Relaxed: a gauge; nothing is concluded from it about the value.
        Self::is_value(self.state.load(Ordering::Relaxed))
    }
}

impl<T> Drop for Cell<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[cfg(all(test, not(tierpool_loom)))]
mod tests {
    use super::Cell;
    use std::sync::Arc;
    use std::thread;

    /// Small under miri, which runs some thousand times slower.
    const ROUNDS: u64 = if cfg!(miri) { 50 } else { 10_000 };

    fn unmarked<T>() -> Cell<T> {
        let cell = Cell::new();
        cell.unmark();
        cell
    }

    #[test]
    fn a_value_comes_out_once() {
        let cell = unmarked();
        assert!(cell.take().is_none());
        cell.put(Box::new(7)).unwrap();
        assert!(cell.is_full());
        assert_eq!(cell.take().as_deref(), Some(&7));
        assert!(cell.take().is_none());
    }

    #[test]
    fn a_marked_cell_gives_the_value_back_until_one_is_placed() {
        let cell = Cell::new();
        assert_eq!(cell.put(Box::new(1)), Err(Box::new(1)), "a new cell is marked");
        assert!(cell.take().is_none() && !cell.is_full());
        assert!(cell.put(Box::new(2)).is_err(), "a take has erased the mark");
        cell.place(Box::new(3));
        assert_eq!(cell.take().as_deref(), Some(&3));
        cell.put(Box::new(4)).unwrap();
        assert_eq!(cell.take_marking().as_deref(), Some(&4));
        assert!(cell.take_marking().is_none());
        assert!(cell.put(Box::new(5)).is_err());
    }

    #[test]
    fn dropping_the_cell_drops_its_value() {
        let value = Arc::new(());
        let cell = unmarked();
        cell.put(Box::new(Arc::clone(&value))).unwrap();
        drop(cell);
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[test]
    fn two_threads_never_take_the_same_value() {
        let cell = Arc::new(unmarked());
        cell.put(Box::new(0u64)).unwrap();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let cell = Arc::clone(&cell);
                thread::spawn(move || {
                    let mut done = 0;
                    while done < ROUNDS {
                        if let Some(mut value) = cell.take() {
                            *value += 1;
                            cell.put(value).unwrap();
                            done += 1;
                        } else {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(cell.take().as_deref(), Some(&(3 * ROUNDS)));
    }

    /// Keeps alive the cell that it is put into.
    struct Keeper(Arc<Cell<Keeper>>);

    #[test]
    fn the_cell_may_end_as_soon_as_its_value_is_in_it() {
        for _ in 0..ROUNDS {
            let cell = Arc::new(unmarked());
            let value = Box::new(Keeper(Arc::clone(&cell)));
            let taker = thread::spawn(move || {
                let value = loop {
                    match cell.take() {
                        Some(value) => break value,
                        None => thread::yield_now(),
                    }
                };
                drop(cell);
                drop(value);
            });
            assert!(Cell::put_through(value, |value| &value.0).is_ok());
            taker.join().unwrap();
        }
    }
}
