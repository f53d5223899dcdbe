//! Random actions from several threads: whatever happens, the ceiling holds and nothing is lost.
//!
//! `TIERPOOL_STRESS_SEED` repeats a run's choices (not its interleaving), `TIERPOOL_STRESS_SECONDS` sets its length.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::scripted::{Call, Gate, ScriptedDriver, ScriptedError, ScriptedManager, Step};
use support::stress::{length, seed};
use support::wait::{LONG_BOUND, comes_true, eventually, thread_names};
use tierpool::config::PrePing;
use tierpool::{Clock, ClockHand, Condition, NopErrorHandler, Pool, PooledConnection};

/// The largest ceiling that a reconfiguration may set.
const CEILING: u32 = 8;
const ZOMBIES: u32 = 4;
const THREADS: u64 = 6;

/// What the threads of a run share.
struct Run {
    pool: Pool<ScriptedManager>,
    manager: ScriptedManager,
    hand: ClockHand,
    over: AtomicBool,
    served: AtomicUsize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let (clock, hand) = Clock::manual();
        let manager = ScriptedManager::new();
        let pool = Pool::builder()
            .name(format!("s{}", seed % 1000))
            .clock(clock)
            .base_size(CEILING - 2)
            .max_overflow(2)
            .min_idle(Some(1))
            .max_lifetime(Some(Duration::from_secs(120)))
            .lifetime_jitter(0.5)
            .idle_timeout(Some(Duration::from_secs(60)))
            .keepalive(Some(Duration::from_secs(20)))
            .validation_timeout(Duration::from_millis(20))
            .max_zombies(Some(ZOMBIES))
            .max_uses(Some(50))
            .error_handler(Box::new(NopErrorHandler))
            .driver(Box::new(ScriptedDriver::new()))
            .build(manager.clone())
            .unwrap();
        Run { pool, manager, hand, over: AtomicBool::new(false), served: AtomicUsize::new(0) }
    }

    /// Takes a connection in one way or another.
    fn take(&self, dice: &mut fastrand::Rng) -> Option<PooledConnection<ScriptedManager>> {
        let conn = match dice.u32(..10) {
            0..3 => self.pool.try_get(),
            3 => self.pool.get_timeout(Duration::ZERO).ok(),
            _ => self.pool.get_timeout(Duration::from_millis(dice.u64(1..30))).ok(),
        };
        // Relaxed, as all below: counts that are read at the end.
        self.served.fetch_add(usize::from(conn.is_some()), Ordering::Relaxed);
        conn
    }

    /// Gives it back in one way or another.
    fn give(&self, mut conn: PooledConnection<ScriptedManager>, dice: &mut fastrand::Rng) {
        match dice.u32(..100) {
            0 => conn.mark_broken(),
            1 => drop(conn.detach()),
            2 => conn.close(),
            3 => {
                let panicked = catch_unwind(AssertUnwindSafe(move || {
                    let _held = conn;
                    panic!("a borrower's");
                }));
                assert!(panicked.is_err());
            }
            4 => self.manager.kill(conn.id()),
            5 => drop(thread::spawn(move || drop(conn)).join()),
            _ => drop(conn),
        }
    }

    /// Disturbs manager or pool.
    fn disturb(&self, dice: &mut fastrand::Rng) {
        let some = |step: Step, dice: &mut fastrand::Rng| vec![step; dice.usize(1..4)];
        match dice.u32(..12) {
            0 => self.manager.kill_all(),
            1 => {
                let errors = [
                    ScriptedError::transient("refused"),
                    ScriptedError::exhausted(),
                    ScriptedError::permanent(),
                ];
                let step = Step::err(errors[dice.usize(..3)].clone());
                self.manager.script(Call::Connect, some(step, dice));
            }
            2 => self.manager.script(Call::Connect, some(Step::panic(), dice)),
            3 => self.manager.script(Call::IsValid, some(Step::panic(), dice)),
            4 => {
                let slow = Step::ok().after(Duration::from_millis(dice.u64(1..60)));
                let call = [Call::IsValid, Call::Connect, Call::Close, Call::Reset][dice.usize(..4)];
                self.manager.script(call, some(slow, dice));
            }
            5 => {
                let all = [Condition::Dirty, Condition::Broken, Condition::Misrouted];
                self.manager.conditions([all[dice.usize(..3)]]);
            }
            6 => {
                let (base, overflow) = (dice.u32(1..=CEILING - 2), dice.u32(..=2));
                let ping = [PrePing::Never, PrePing::Always, PrePing::default()][dice.usize(..3)];
                let changed = self.pool.reconfigure(|settings| {
                    (settings.base_size, settings.max_overflow, settings.pre_ping) = (base, overflow, ping);
                    settings.failure_threshold = base % 4;
                });
                assert!(changed.is_ok(), "{changed:?}");
            }
            7 => self.pool.drain(),
            8 => self.pool.evict_idle(),
            9 => {
                self.pool.suspend();
                Gate::new().pass(Some(Duration::from_millis(2)));
                self.pool.resume();
            }
            _ => self.hand.advance(Duration::from_millis(dice.u64(1..40_000))),
        }
    }

    fn work(&self, seed: u64) {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut held = Vec::new();
        while !self.over.load(Ordering::Relaxed) {
            // Disturbances are rare, or the run would be one long outage.
            match dice.u32(..400) {
                0 => self.disturb(&mut dice),
                1..20 => self.hand.advance(Duration::from_millis(dice.u64(1..500))),
                20..220 => held.extend(self.take(&mut dice)),
                _ if held.is_empty() => {}
                _ => {
                    let conn = held.swap_remove(dice.usize(..held.len()));
                    self.give(conn, &mut dice);
                }
            }
            if held.len() > 2 {
                held.remove(0);
            }
        }
    }

    fn watch(&self) {
        while !self.over.load(Ordering::Relaxed) {
            let gauges = self.pool.gauges();
            assert!(gauges.size() <= CEILING, "{gauges:?}");
            assert!(gauges.zombies <= CEILING + ZOMBIES && gauges.waiting <= THREADS as u32, "{gauges:?}");
            let stats = self.pool.stats();
            assert!(stats.closed.total() <= stats.opened, "{stats:?}");
            thread::yield_now();
        }
    }

    /// Lets everything come to rest and checks that all is there.
    fn settle(&self) {
        self.pool.resume();
        let settings = |settings: &mut tierpool::config::Settings| {
            (settings.base_size, settings.max_overflow, settings.pre_ping) = (CEILING, 0, PrePing::Always);
        };
        self.pool.reconfigure(settings).unwrap();
        eventually(LONG_BOUND, "as many checkouts at once as the ceiling", || {
            self.hand.advance(Duration::from_secs(31));
            let limit = Duration::from_millis(20);
            let mut all: Vec<_> = (0..CEILING).filter_map(|_| self.pool.get_timeout(limit).ok()).collect();
            all.len() == CEILING as usize && all.iter_mut().all(|conn| conn.work().is_ok())
        });
        let idle = comes_true(LONG_BOUND, || {
            let gauges = self.pool.gauges();
            gauges.idle == gauges.size() && gauges.zombies == 0 && gauges.waiting == 0
        });
        let stats = self.pool.stats();
        assert!(idle, "{stats:?}");
        let (live, size) = (self.manager.live(), stats.gauges.size() as usize);
        assert_eq!(live, size, "{stats:?}");
        assert_eq!(stats.opened - stats.closed.total(), u64::from(stats.gauges.size()), "{stats:?}");
        assert_eq!(stats.opened as usize, self.manager.opened(), "{stats:?}");
        let lent = stats.checkouts.direct + stats.checkouts.waited;
        assert!(lent >= self.served.load(Ordering::Relaxed) as u64);
        assert_eq!(stats.hold.count(), lent, "each loan was returned once");
        assert!(self.pool.holders().is_empty() && self.pool.waiters().is_empty());
    }
}

#[test]
fn whatever_happens_the_ceiling_holds_and_nothing_is_lost() {
    let (seed, length) = (seed(), length(3));
    // The panics of borrowers and of scripts are part of it; the seed above is what a failure needs.
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        if !["a borrower's", "scripted panic"].iter().any(|expected| text.contains(expected)) {
            eprintln!("{text}");
        }
    }));
    let end = Instant::now() + length;
    let mut round = 0;
    while Instant::now() < end || round == 0 {
        round += 1;
        let run = Run::new(seed.wrapping_add(round));
        thread::scope(|scope| {
            scope.spawn(|| run.watch());
            for worker in 0..THREADS {
                let run = &run;
                scope.spawn(move || run.work(seed.wrapping_mul(31).wrapping_add(round * THREADS + worker)));
            }
            let slice = (length / 4).max(Duration::from_millis(500)).min(Duration::from_secs(5));
            Gate::new().pass(Some(slice));
            run.over.store(true, Ordering::Relaxed);
        });
        run.settle();
        // Each thread may be dropping one that it has detached.
        let most = (CEILING + ZOMBIES) as usize + THREADS as usize;
        assert!(run.manager.most_live() <= most, "{} at once", run.manager.most_live());
        let (manager, name) = (run.manager.clone(), run.pool.settings().name);
        if round % 2 == 0 {
            let report = run.pool.close(LONG_BOUND);
            assert!(report.is_complete(), "{report:?}");
        }
        drop(run);
        eventually(LONG_BOUND, "no thread and no connection is left", || {
            let prefix = format!("{name}-");
            manager.live() == 0 && !thread_names().iter().any(|thread| thread.starts_with(&prefix))
        });
    }
}
