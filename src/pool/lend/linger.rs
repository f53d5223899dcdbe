//! Lingering for a connection: a moment without sleep, where one is likely to come sooner than a sleep and a wake-up
//! take.
//!
//! Whether it is worth it the core tells (`core/tempo.rs`), from what is told to it here.

use std::time::{Duration, Instant};
use std::{hint, thread};

use crate::core::{Lending, Lingered, Outcome, Waited, Waiter, Watched};
use crate::pool::parts::linger::CROWDED;

/// The longest that a thread lingers at a time: several times what a sleep costs, since turns of the same length on the
/// mean come early and late.
const MOST: Duration = Duration::from_micros(100);

/// Looks of a thread whose turn is near, a pause before each, until it lets others run: some 200 ns, less than half of
/// what that takes.
const PAUSES: u32 = 8;

/// Waits for the verdict, at most until the deadline, and leaves. Lingers before it sleeps where there is hope to be
/// served within so many nanoseconds, and as it is told that its turn is near.
pub(super) fn wait<T, R>(
    waiter: &Waiter<T, R>,
    hope_ns: Option<u32>,
    deadline: Option<Instant>,
) -> (Outcome<T, R>, Lingered) {
    let mut lingered = Lingered::InVain;
    if let Some(hope_ns) = hope_ns {
        // Twice the mean: half of all turns are longer.
        let limit = 2 * Duration::from_nanos(hope_ns.into());
        lingered = linger(waiter, limit.min(MOST), deadline);
    }
    if lingered == Lingered::InVain && waiter.watch_until_near(deadline) == Watched::Near {
        lingered = linger(waiter, MOST, deadline);
    }
    (waiter.wait(deadline), lingered)
}

/// Looks out for the verdict for so long, and not beyond the deadline.
fn linger<T, R>(waiter: &Waiter<T, R>, limit: Duration, deadline: Option<Instant>) -> Lingered {
    let begun = Instant::now();
    let limit = deadline.map_or(limit, |deadline| limit.min(deadline.saturating_duration_since(begun)));
    let (mut pauses, mut seen, mut crowded) = (0, Duration::ZERO, false);
    let served = waiter.linger(|near| {
        if near && pauses < PAUSES {
            pauses += 1;
            hint::spin_loop();
            return true;
        }
        pauses = 0;
        // The thread that this one waits for may have no core but this one.
        thread::yield_now();
        let now = begun.elapsed();
        crowded = now - seen >= CROWDED;
        seen = now;
        !crowded && now < limit
    });
    match (crowded, served) {
        (true, _) => Lingered::Crowded,
        (false, true) => Lingered::Paid,
        (false, false) => Lingered::InVain,
    }
}

/// The time of one turn, for the core: that of a wait behind so many. Nothing where there is one core alone: whoever
/// lingered there would keep it from the thread that it waits for, and nobody lingers of whom the core knows no turns.
pub(super) fn turn_ns(waited: Duration, ahead: usize, cores: usize) -> Option<u32> {
    let turns = u32::try_from(ahead).unwrap_or(u32::MAX).saturating_add(1);
    let turn = waited / turns;
    (cores > 1).then(|| u32::try_from(turn.as_nanos()).unwrap_or(u32::MAX))
}

/// Takes note of how one fared that was not served: of that only a crowd tells something.
pub(super) fn left<T, S: Default, R: Clone, W: Copy>(line: &Lending<T, S, R, W>, lingered: Lingered) {
    if lingered == Lingered::Crowded {
        line.learn(Waited { turn_ns: None, lingered });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::{left, linger, turn_ns, wait};
    use crate::core::{Joined, Lending, Lingered, Outcome, Waited, Waiter};
    use crate::pool::parts::linger::cores;

    type Line = Lending<u32, (), ()>;

    /// A time that no test waits for.
    const LONG: Duration = Duration::from_secs(60);

    /// Of so many moments not all meet crowded cores.
    const TRIES: usize = 1_000;

    #[test]
    fn whoever_lingers_is_back_at_its_deadline() {
        let waiter = Waiter::<u32, ()>::new();
        let begun = Instant::now();
        for near in [false, true] {
            if near {
                waiter.alert();
            }
            // Crowded cores end it as well, but not each time.
            let is_back = (0..TRIES).any(|_| linger(&waiter, LONG, Some(begun)) == Lingered::InVain);
            assert!(is_back, "only crowded cores end it");
        }
        assert!(begun.elapsed() < LONG / 2, "it lingered beyond its deadline, for {:?}", begun.elapsed());
        assert!(matches!(wait(&waiter, Some(u32::MAX), Some(begun)).0, Outcome::Nothing));
    }

    #[test]
    fn whoever_lingers_takes_its_verdict_without_sleep() {
        let waiter = Arc::new(Waiter::<u32, ()>::new());
        waiter.serve(Box::new(7)).unwrap();
        waiter.wake();
        let (outcome, lingered) = wait(&waiter, Some(0), None);
        assert!(matches!(outcome, Outcome::Served(value) if *value == 7));
        assert_eq!(lingered, Lingered::Paid);
    }

    #[test]
    fn whoever_is_alerted_lingers_for_its_verdict() {
        let end = Instant::now() + LONG;
        let is_paid = || {
            let waiter = Arc::new(Waiter::<u32, ()>::new());
            waiter.alert();
            let (waits, about_to_wait) = channel();
            let server = thread::spawn({
                let waiter = Arc::clone(&waiter);
                move || {
                    about_to_wait.recv().unwrap();
                    waiter.serve(Box::new(7)).unwrap();
                    waiter.wake();
                }
            });
            waits.send(()).unwrap();
            let (outcome, lingered) = wait(&waiter, None, None);
            server.join().unwrap();
            assert!(matches!(outcome, Outcome::Served(value) if *value == 7));
            lingered == Lingered::Paid
        };
        // The value may come before it lingers, or after.
        while !is_paid() {
            assert!(Instant::now() < end, "it slept each time");
        }
    }

    #[test]
    fn on_one_core_nobody_is_told_to_linger() {
        let turn = Duration::from_micros(8);
        assert_eq!((turn_ns(turn, 3, 2), turn_ns(turn, 3, 1)), (Some(2_000), None));
        assert!(cores() > 0);
        for cores in [1, 2] {
            let line = Line::new(1);
            let stand = || match line.join(None, None, ()) {
                Joined::InLine { waiter, hope_ns, .. } => (waiter, hope_ns),
                _ => panic!("there is nothing to be lent"),
            };
            let (waiter, hope_ns) = stand();
            assert_eq!(hope_ns, None, "nothing was told yet");
            let waited = Waited { turn_ns: turn_ns(turn, 0, cores), lingered: Lingered::InVain };
            line.recycle_served(waiter, waited);
            assert_eq!(stand().1.is_some(), cores > 1, "{cores} cores");
        }
    }

    #[test]
    fn a_crowd_that_one_met_who_was_not_served_brakes_the_others() {
        let line = Line::new(1);
        let stand = || match line.join(None, None, ()) {
            Joined::InLine { waiter, ticket, hope_ns, .. } => (waiter, ticket, hope_ns),
            _ => panic!("there is nothing to be lent"),
        };
        let leave = |(waiter, ticket, _)| line.forget(waiter, ticket);
        let first = stand();
        line.learn(Waited { turn_ns: Some(1_000), lingered: Lingered::InVain });
        leave(first);
        let second = stand();
        assert!(second.2.is_some());
        left(&line, Lingered::InVain);
        leave(second);
        let third = stand();
        assert!(third.2.is_some(), "one in vain is no crowd");
        left(&line, Lingered::Crowded);
        leave(third);
        let last = stand();
        assert_eq!(last.2, None);
        leave(last);
    }
}
