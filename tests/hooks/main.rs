//! Faults of the code that a pool calls: every hook with every outcome at every stage, and what must hold after each.

#[path = "../support/mod.rs"]
mod support;

mod faulty;
mod panics;

use std::thread;
use std::time::Duration;

use faulty::{Customizer, Fault, FaultyDriver, HOOKS, Handler, Hook, Manager, OUTCOMES, Outcome, SLOW};
use parking_lot::Mutex;
use support::scripted::{Call, ScriptedDriver, ScriptedError, ScriptedManager, Step};
use support::wait::{BOUND, SECOND, comes_true, thread_names};
use tierpool::config::PrePing;
use tierpool::{Clock, ClockHand, Condition, Pool};

/// The promise of a time in which no thread of a dead pool is left.
const LEFT: Duration = Duration::from_secs(5);
const CEILING: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Fill,
    Growth,
    Checkout,
    Checkin,
    Keeper,
    Close,
}

const STAGES: [Stage; 6] =
    [Stage::Fill, Stage::Growth, Stage::Checkout, Stage::Checkin, Stage::Keeper, Stage::Close];

/// One case under test.
struct Case {
    name: String,
    fault: Fault,
    manager: ScriptedManager,
    hand: ClockHand,
    pool: Pool<Manager>,
}

impl Case {
    fn new(number: usize, hook: Hook, outcome: Outcome) -> Self {
        let (clock, hand) = Clock::manual();
        let fault = Fault::new(hook, outcome);
        let manager = ScriptedManager::new();
        // Threads are told by their first 15 bytes.
        let name = format!("f16-{number}");
        let pool = Pool::builder()
            .name(&name)
            .clock(clock)
            .max_size(CEILING)
            .min_idle(Some(0))
            .pre_ping(PrePing::Always)
            .keepalive(Some(60 * SECOND))
            .leak_threshold(Some(3600 * SECOND))
            .validation_timeout(SLOW * 3)
            .failure_threshold(0)
            .max_waiting(Some(64))
            .driver(Box::new(FaultyDriver(ScriptedDriver::new(), fault.clone())))
            .connection_customizer(Box::new(Customizer(fault.clone())))
            .event_handler(Box::new(Handler(fault.clone())))
            .error_handler(Box::new(Handler(fault.clone())))
            .build_unchecked(Manager(manager.clone(), fault.clone()));
        Case { name, fault, manager, hand, pool }
    }

    /// Has the hook called at the stage. What comes of it is no matter: a guard is all that may be returned.
    fn run(&self, stage: Stage) {
        let failing = matches!(self.fault.hook, Hook::ErrorHandler | Hook::Classify | Hook::Code);
        let dirty = self.fault.hook == Hook::Reset;
        let limit = SLOW * 5;
        if stage != Stage::Fill {
            drop(self.pool.get_timeout(BOUND).expect("nothing is wrong yet"));
        }
        if failing && stage != Stage::Checkin {
            self.manager.script(Call::Connect, [Step::err(ScriptedError::transient("for the handler"))]);
        }
        self.fault.arm();
        match stage {
            Stage::Fill => drop(self.pool.get_timeout(limit)),
            Stage::Growth => {
                let pair = (self.pool.get_timeout(limit), self.pool.get_timeout(limit));
                drop(pair);
            }
            Stage::Checkout => {
                if failing {
                    self.manager.script(Call::IsValid, [Step::err(ScriptedError::transient("dead"))]);
                }
                drop(self.pool.get_timeout(limit));
            }
            Stage::Checkin => {
                if dirty {
                    self.manager.conditions([Condition::Dirty]);
                }
                if let Ok(mut conn) = self.pool.get_timeout(limit) {
                    if matches!(self.fault.hook, Hook::OnRelease | Hook::PrepareClose | Hook::Drop) {
                        conn.mark_broken();
                    }
                    drop(conn);
                }
            }
            Stage::Keeper => {
                self.manager
                    .script(Call::IsValid, [Step::err(ScriptedError::transient("found by the keeper"))]);
                self.hand.advance(61 * SECOND);
                comes_true(SLOW, || !self.fault.is_armed());
            }
            Stage::Close => {
                let conn = self.pool.get_timeout(limit);
                let report = self.pool.close(SLOW);
                assert!(report.took < SECOND, "{report:?}");
                drop(conn);
            }
        }
    }

    /// What must hold once the fault is over.
    fn verify(self, stage: Stage) -> Result<(), String> {
        let gauges = self.pool.gauges();
        let size = gauges.idle + gauges.in_use + gauges.opening;
        if size > CEILING || size != gauges.size() {
            return Err(format!("the gauges do not add up: {gauges:?}"));
        }
        self.fault.end();
        self.manager.always(Call::IsValid, Step::ok());
        if stage != Stage::Close {
            // All slots are there: as many checkouts at once as the ceiling. The clock passes any back-off.
            let served = comes_true(BOUND, || {
                self.hand.advance(SECOND);
                let all: Vec<_> = (0..CEILING).map(|_| self.pool.get_timeout(SLOW).ok()).collect();
                all.iter().all(Option::is_some)
            });
            if !served {
                return Err(format!("a slot is lost: {:?}", self.pool.gauges()));
            }
            let back = comes_true(BOUND, || {
                let gauges = self.pool.gauges();
                gauges.in_use == 0 && gauges.zombies == 0 && gauges.idle == gauges.size()
            });
            if !back {
                return Err(format!("not all came back: {:?}", self.pool.gauges()));
            }
            if self.manager.live() != self.pool.gauges().size() as usize {
                return Err(format!("{} live, {:?}", self.manager.live(), self.pool.gauges()));
            }
        }
        let name = self.name.clone();
        let manager = self.manager.clone();
        drop(self);
        let prefixes = ["keeper", "open", "close", "events"].map(|role| format!("{name}-{role}"));
        let cut = |prefix: &String| prefix.chars().take(15).collect::<String>();
        let left = || thread_names().into_iter().filter(|thread| prefixes.iter().any(|p| *thread == cut(p)));
        // Together: a thread has its name only a moment after its start.
        if !comes_true(LEFT, || manager.live() == 0 && left().next().is_none()) {
            let threads: Vec<_> = left().collect();
            return Err(format!("{} connections are left open, and threads {threads:?}", manager.live()));
        }
        Ok(())
    }
}

#[test]
fn no_fault_of_a_hook_costs_a_slot_a_caller_or_a_thread() {
    // Panics are the point here; their texts and backtraces would bury the result.
    std::panic::set_hook(Box::new(|_| {}));
    let cases: Vec<_> = HOOKS
        .iter()
        .flat_map(|hook| OUTCOMES.iter().map(move |outcome| (*hook, *outcome)))
        .flat_map(|(hook, outcome)| STAGES.iter().map(move |stage| (hook, outcome, *stage)))
        .enumerate()
        .collect();
    let next = Mutex::new(cases.into_iter());
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                loop {
                    let Some((number, (hook, outcome, stage))) = next.lock().next() else { return };
                    let case = Case::new(number, hook, outcome);
                    let outcome_of = run_guarded(case, stage);
                    if let Err(why) = outcome_of {
                        failed.lock().push(format!("{hook:?} × {outcome:?} × {stage:?}: {why}"));
                    }
                }
            });
        }
    });
    let _ = std::panic::take_hook();
    let failed = failed.into_inner();
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}

/// Runs a case; a hook that hangs on the caller's own thread is let go by another thread after a while.
fn run_guarded(case: Case, stage: Stage) -> Result<(), String> {
    let gate = case.fault.gate.clone();
    let ran = thread::scope(|scope| {
        let runner = scope.spawn(|| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case.run(stage))).map_err(|payload| {
                let text = payload.downcast_ref::<String>().cloned();
                text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                    .unwrap_or_default()
            })
        });
        if !comes_true(SECOND, || runner.is_finished()) {
            gate.open();
        }
        runner.join().expect("caught")
    });
    ran?;
    case.verify(stage)
}
