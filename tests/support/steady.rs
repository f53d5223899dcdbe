//! Counting what threads cause in their steady state.

use std::sync::Barrier;
use std::thread;

/// By how much `count` grows while `threads` threads do `work` once more, after each has done it to get warm. Nothing
/// else of theirs runs meanwhile: neither a start nor an end.
pub fn growth(threads: usize, work: impl Fn() + Sync, count: impl Fn() -> usize) -> usize {
    let [warm, start, end, leave] = [(); 4].map(|()| Barrier::new(threads + 1));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                work();
                warm.wait();
                start.wait();
                work();
                end.wait();
                leave.wait();
            });
        }
        warm.wait();
        let before = count();
        start.wait();
        end.wait();
        let grown = count() - before;
        leave.wait();
        grown
    })
}
