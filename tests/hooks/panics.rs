//! A panic in a hook costs the caller who meets it nothing: it is served, no slot is lost, and the panic is counted.

use tierpool::stats::CloseCause;
use tierpool::{Condition, Pool};

use crate::faulty::{Customizer, Fault, FaultyDriver, HOOKS, Handler, Hook, Manager, Outcome};
use crate::support::scripted::{Call, ScriptedDriver, ScriptedError, ScriptedManager, Step};
use crate::support::wait::{BOUND, eventually};

/// A pool of one connection that calls the hook.
fn pool_of_one(manager: &ScriptedManager, fault: &Fault, driver: ScriptedDriver) -> Pool<Manager> {
    let mut builder = Pool::builder()
        .max_size(1)
        .min_idle(Some(0))
        .test_on_check_out(true)
        .driver(Box::new(FaultyDriver(driver, fault.clone())))
        .connection_customizer(Box::new(Customizer(fault.clone())))
        .error_handler(Box::new(Handler(fault.clone())));
    if fault.hook == Hook::EventHandler {
        // Of the others' returns nobody is told, so that they take the short way.
        builder = builder.event_handler(Box::new(Handler(fault.clone())));
    }
    builder.build(Manager(manager.clone(), fault.clone())).unwrap()
}

/// What the connection is closed as, where the panic costs it.
fn cause_of(hook: Hook) -> Option<CloseCause> {
    match hook {
        Hook::IsValid => Some(CloseCause::Invalid),
        Hook::HasBroken | Hook::Condition | Hook::Reset => Some(CloseCause::Broken),
        _ => None,
    }
}

#[track_caller]
fn next_gets_succeed(pool: &Pool<Manager>, what: &str) {
    for _ in 0..3 {
        let conn = pool.get_timeout(BOUND).unwrap_or_else(|error| panic!("{what}: {error:#}"));
        assert_eq!(pool.gauges().size(), 1, "{what}");
        drop(conn);
    }
}

#[test]
fn a_panic_in_any_hook_costs_no_slot_and_no_caller() {
    let drivers = [ScriptedDriver::new(), ScriptedDriver::bounded()];
    let outcomes = [Outcome::Panic, Outcome::PanicTwice];
    let cases = drivers.into_iter().flat_map(|driver| outcomes.map(|outcome| (driver, outcome)));
    for (hook, (driver, outcome)) in
        HOOKS.into_iter().flat_map(|hook| cases.clone().map(move |case| (hook, case)))
    {
        let fault = Fault::new(hook, outcome);
        let what = format!("{fault:?} with {driver:?}");
        let manager = ScriptedManager::new();
        let pool = pool_of_one(&manager, &fault, driver);
        // So that each hook has its turn: an attempt that fails, a return to be reset, and a close.
        manager.script(Call::Connect, [Step::err(ScriptedError::transient("refused"))]);
        manager.conditions([Condition::Dirty]);
        fault.arm();
        next_gets_succeed(&pool, &what);
        pool.get_timeout(BOUND).unwrap_or_else(|error| panic!("{what}: {error:#}")).close();
        eventually(BOUND, &format!("{what}: the panic is counted"), || pool.stats().user_panics == 1);
        next_gets_succeed(&pool, &what);
        eventually(BOUND, &format!("{what}: no zombie is left"), || pool.gauges().zombies == 0);
        eventually(BOUND, &format!("{what}: it is back"), || pool.gauges().idle == 1);
        let closed = pool.stats().closed;
        for cause in [CloseCause::Invalid, CloseCause::Broken] {
            let expected = u64::from(cause_of(hook) == Some(cause));
            assert_eq!(closed.count(cause), expected, "{what}: {cause:?}");
        }
    }
}
