//! Counting what threads cause in their steady state.

use std::sync::Barrier;
use std::thread;

/// How often it is counted. Another thread of the process, as that of the test runner, may do something meanwhile: what
/// the work itself causes shows each time.
const TIMES: usize = 5;

/// By how much `count` grows while `threads` threads do `work` once more, after each has done it to get warm: the least
/// of several times. Nothing else of theirs runs meanwhile: neither a start nor an end.
pub fn growth(threads: usize, work: impl Fn() + Sync, count: impl Fn() -> usize) -> usize {
    let [warm, start, end, leave] = [(); 4].map(|()| Barrier::new(threads + 1));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                work();
                warm.wait();
                for _ in 0..TIMES {
                    start.wait();
                    work();
                    end.wait();
                }
                leave.wait();
            });
        }
        warm.wait();
        let once = |_| {
            let before = count();
            start.wait();
            end.wait();
            count() - before
        };
        let grown = (0..TIMES).map(once).min().expect("it is counted");
        leave.wait();
        grown
    })
}
