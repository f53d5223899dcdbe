//! A waiter: one thread's place to be served, with exactly one verdict.

use std::time::Instant;

use super::sync::{AtomicU32, Condvar, Mutex, MutexGuard, Ordering};

/// How a wait ended, or that it has not.
enum Verdict<T, R> {
    Waiting,
    Served(Box<T>),
    Refused(R),
    /// The thread gave up; whoever would serve it must go to the next.
    Left,
}

impl<T, R> Verdict<T, R> {
    fn leave(&mut self) -> Outcome<T, R> {
        match std::mem::replace(self, Verdict::Left) {
            Verdict::Waiting => Outcome::Nothing,
            Verdict::Served(value) => Outcome::Served(value),
            Verdict::Refused(reason) => Outcome::Refused(reason),
            Verdict::Left => unreachable!("BUG: a waiter left twice"),
        }
    }
}

/// What a waiter came away with.
#[derive(Debug)]
pub(crate) enum Outcome<T, R> {
    Served(Box<T>),
    Refused(R),
    /// Nothing by the deadline.
    Nothing,
}

/// How a look-out for the verdict ended. The waiter stays in line in each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    /// There is a verdict.
    Settled,
    /// None yet, and this waiter is likely to be the next that is served.
    Near,
    /// Nothing by the deadline.
    Nothing,
}

/// The hint of a waiter of which nothing is known.
const QUIET: u32 = 0;
/// It is the head of a line that moves fast: it is likely to be the next that is served.
const NEAR: u32 = 1;
/// It has its verdict.
const SETTLED: u32 = 2;

/// A thread's place to be served (invariant I3: the verdict leaves `Waiting` exactly once, under the lock, so
/// serving and giving up cannot both happen).
pub(crate) struct Waiter<T, R> {
    /// Guards the verdict alone. Nothing else is locked and no foreign code runs under it.
    verdict: Mutex<Verdict<T, R>>,
    settled: Condvar,
    /// [`QUIET`], [`NEAR`] or [`SETTLED`], and it only grows. Relaxed throughout, and paired with nothing: whoever
    /// reads it acts on the verdict alone, under the lock, so one that is read late costs time only.
    hint: AtomicU32,
}

impl<T, R> Waiter<T, R> {
    pub(crate) fn new() -> Self {
        Waiter { verdict: Mutex::new(Verdict::Waiting), settled: Condvar::new(), hint: AtomicU32::new(QUIET) }
    }

    /// Offers a value; gives it back where the waiter has left. The caller then calls [`Waiter::wake`], outside
    /// any lock of its own.
    pub(crate) fn serve(&self, value: Box<T>) -> Result<(), Box<T>> {
        let mut verdict = self.verdict.lock();
        match *verdict {
            Verdict::Waiting => {
                *verdict = Verdict::Served(value);
                Ok(())
            }
            _ => Err(value),
        }
    }

    /// Tells the waiter that it will not be served, unless it has left. The caller then calls [`Waiter::wake`].
    pub(crate) fn refuse(&self, reason: R) {
        let mut verdict = self.verdict.lock();
        if matches!(*verdict, Verdict::Waiting) {
            *verdict = Verdict::Refused(reason);
        }
    }

    /// As `serve`, for one that stands in no line, and has it see that at once.
    pub(crate) fn answer(&self, value: Box<T>) -> Result<(), Box<T>> {
        let mut verdict = self.verdict.lock();
        let Verdict::Waiting = *verdict else { return Err(value) };
        *verdict = Verdict::Served(value);
        self.settle(verdict);
        Ok(())
    }

    /// As `refuse`, likewise.
    pub(crate) fn dismiss(&self, reason: R) {
        let mut verdict = self.verdict.lock();
        if matches!(*verdict, Verdict::Waiting) {
            *verdict = Verdict::Refused(reason);
            self.settle(verdict);
        }
    }

    /// With the verdict, and not after it: both are close to each other in memory, and one that lingers takes that away
    /// to its own core as it looks.
    fn settle(&self, verdict: MutexGuard<'_, Verdict<T, R>>) {
        self.hint.swap(SETTLED, Ordering::Relaxed);
        drop(verdict);
        self.settled.notify_one();
    }

    /// Has the thread see its verdict, whether it lingers or sleeps. A wake too many is harmless: the thread looks and
    /// sleeps on.
    pub(crate) fn wake(&self) {
        // Not with the verdict, which is given under the desk: one that lingers would come for the desk at once.
        self.hint.swap(SETTLED, Ordering::Relaxed);
        self.settled.notify_one();
    }

    /// Tells the thread that it is likely to be served next. Outside any lock, and so lost on one that is just going
    /// to sleep: it is woken by its verdict then.
    pub(crate) fn alert(&self) {
        // Read-modify-writes, this and those of `wake` and `settle`: it never takes back that the waiter is settled.
        if self.hint.fetch_max(NEAR, Ordering::Relaxed) == QUIET {
            self.settled.notify_one();
        }
    }

    /// Looks out for the verdict without sleeping, for as long as `rest` says so, which spends a moment in between; it
    /// is told whether the verdict is near. True where there is a verdict.
    pub(crate) fn linger(&self, mut rest: impl FnMut(bool) -> bool) -> bool {
        loop {
            match self.hint.load(Ordering::Relaxed) {
                SETTLED => return true,
                hint if rest(hint == NEAR) => {}
                _ => return false,
            }
        }
    }

    /// Whether there is a verdict: a hint for one that looks out for it.
    pub(crate) fn is_settled(&self) -> bool {
        self.hint.load(Ordering::Relaxed) == SETTLED
    }

    /// Whether it is past being served: it has left, or was refused.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(*self.verdict.lock(), Verdict::Left | Verdict::Refused(_))
    }

    /// Gives up: takes the verdict if there is one, and otherwise sees to it that none will be given.
    pub(crate) fn leave(&self) -> Outcome<T, R> {
        self.verdict.lock().leave()
    }

    /// Waits for the verdict, at most until the deadline, and leaves.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Outcome<T, R> {
        self.sleep(deadline, |_| false).0.leave()
    }

    /// Waits for the verdict, at most until the deadline, and stays in line. True where there is one.
    pub(crate) fn watch(&self, deadline: Option<Instant>) -> bool {
        self.sleep(deadline, |_| false).1 == Watched::Settled
    }

    /// As `watch`, and ends as well when the verdict is near.
    pub(crate) fn watch_until_near(&self, deadline: Option<Instant>) -> Watched {
        self.sleep(deadline, |hint| hint == NEAR).1
    }

    fn sleep(
        &self,
        deadline: Option<Instant>,
        is_enough: impl Fn(u32) -> bool,
    ) -> (MutexGuard<'_, Verdict<T, R>>, Watched) {
        let mut verdict = self.verdict.lock();
        let mut is_over = false;
        loop {
            let watched = match *verdict {
                Verdict::Waiting if is_enough(self.hint.load(Ordering::Relaxed)) => Watched::Near,
                Verdict::Waiting if is_over => Watched::Nothing,
                Verdict::Waiting => {
                    (verdict, is_over) = self.settled.wait_until(verdict, deadline);
                    continue;
                }
                _ => Watched::Settled,
            };
            return (verdict, watched);
        }
    }

    /// Makes a used waiter as good as new. Only for one that nobody else refers to.
    pub(crate) fn renew(&mut self) {
        *self.verdict.lock() = Verdict::Waiting;
        self.hint.store(QUIET, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(tierpool_loom)))]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::{NEAR, Waiter, Watched};
    use crate::core::sync::Arc;

    /// A time that no test waits for.
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn an_alert_ends_the_sleep() {
        let waiter = Arc::new(Waiter::<u32, ()>::new());
        let begun = Instant::now();
        let (look, looked) = channel();
        let sleeper = thread::spawn({
            let waiter = Arc::clone(&waiter);
            move || {
                let is_near = |hint| {
                    look.send(()).unwrap();
                    hint == NEAR
                };
                waiter.sleep(Some(begun + LONG), is_near).1
            }
        });
        looked.recv().unwrap();
        // It looked with the lock, and gives it back by falling asleep.
        drop(waiter.verdict.lock());
        waiter.alert();
        assert_eq!(sleeper.join().unwrap(), Watched::Near);
        assert!(begun.elapsed() < LONG / 2, "it slept to its deadline");
    }
}
