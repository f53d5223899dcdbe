//! Threads by number: a number is cheap to note at each checkout, the name is looked up when somebody asks.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::text::harmless;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Names of the live threads that have used a pool; an entry goes when its thread ends. No other lock is taken
/// under it.
static NAMES: Mutex<Option<HashMap<u64, String>>> = Mutex::new(None);

thread_local! {
    /// This thread's number (0: not given yet) and the slot it used last. Without a destructor, so that reading it
    /// is one load.
    static ME: (Cell<u64>, Cell<usize>) = const { (Cell::new(0), Cell::new(0)) };
    /// Takes the name off the list when the thread ends.
    static LISTED: Listed = const { Listed };
}

struct Listed;

impl Drop for Listed {
    fn drop(&mut self) {
        let number = ME.with(|me| me.0.get());
        if let Some(names) = &mut *NAMES.lock() {
            names.remove(&number);
        }
    }
}

/// This thread's number, and the index of the slot that it used last (in whatever pool: a hint).
#[inline]
pub(crate) fn me() -> (u64, usize) {
    let (number, home) = ME.with(|me| (me.0.get(), me.1.get()));
    if number == 0 { (enlist(), home) } else { (number, home) }
}

/// Remembers the slot to try first next time.
#[inline]
pub(crate) fn set_home(slot: usize) {
    ME.with(|me| me.1.set(slot));
}

#[cold]
fn enlist() -> u64 {
    // Relaxed: only uniqueness matters.
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    ME.with(|me| me.0.set(number));
    // While the thread is ending its destructors may still use a pool; then it stays nameless rather than listed
    // for ever.
    if LISTED.try_with(|_| ()).is_ok()
        && let Some(name) = std::thread::current().name()
    {
        NAMES.lock().get_or_insert_default().insert(number, harmless(name));
    }
    number
}

/// The name of a thread, made harmless, or its number where it has none or has ended.
pub(crate) fn name(number: u64) -> String {
    let names = NAMES.lock();
    match names.as_ref().and_then(|names| names.get(&number)) {
        Some(name) => name.clone(),
        None => format!("thread {number}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_lives_as_long_as_its_thread() {
        let number = std::thread::Builder::new()
            .name("somebody".into())
            .spawn(|| {
                let (number, _) = super::me();
                assert_eq!(super::me().0, number, "the number stays");
                assert_eq!(super::name(number), "somebody");
                number
            })
            .unwrap()
            .join()
            .unwrap();
        assert_eq!(super::name(number), format!("thread {number}"));
    }
}
