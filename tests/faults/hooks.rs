//! F16: a panic in code that the pool calls, with a real server behind it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tierpool::event::{AcquireEvent, HandleEvent};
use tierpool::postgres::{PgConnection, PgDriver, PgManager};
use tierpool::{Condition, CustomizeConnection, Driver, FailureClass, PgError, Tier};

use crate::lab::subject::WORKERS;
use crate::programs::{assert_whole, cluster, on_eight_threads, pool};
use crate::support::wire::one;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hook {
    Connect,
    Validate,
    Condition,
    Reset,
    OnAcquire,
    OnRelease,
    Handler,
}

const HOOKS: [Hook; 7] = [
    Hook::Connect,
    Hook::Validate,
    Hook::Condition,
    Hook::Reset,
    Hook::OnAcquire,
    Hook::OnRelease,
    Hook::Handler,
];

/// Panics in one hook while it is armed. Relaxed: a moment earlier or later is as good.
#[derive(Clone)]
struct Bomb {
    hook: Hook,
    armed: Arc<AtomicBool>,
}

impl Bomb {
    fn pass(&self, hook: Hook) {
        assert!(hook != self.hook || !self.armed.load(Ordering::Relaxed), "a panic in {hook:?}");
    }
}

impl fmt::Debug for Bomb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hook.fmt(f)
    }
}

impl Driver<PgManager> for Bomb {
    fn connect(&self, manager: &PgManager, limit: Duration) -> Result<PgConnection, PgError> {
        self.pass(Hook::Connect);
        PgDriver.connect(manager, limit)
    }

    fn validate(&self, manager: &PgManager, conn: &mut PgConnection, limit: Duration) -> Result<(), PgError> {
        self.pass(Hook::Validate);
        PgDriver.validate(manager, conn, limit)
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn condition(&self, manager: &PgManager, conn: &mut PgConnection) -> Condition {
        self.pass(Hook::Condition);
        PgDriver.condition(manager, conn)
    }

    fn reset(
        &self,
        manager: &PgManager,
        conn: &mut PgConnection,
        suspect: bool,
        limit: Duration,
    ) -> Result<(), PgError> {
        self.pass(Hook::Reset);
        PgDriver.reset(manager, conn, suspect, limit)
    }

    fn prepare_close(&self, conn: &mut PgConnection, polite: bool) {
        PgDriver.prepare_close(conn, polite);
    }

    fn classify(&self, error: &PgError) -> FailureClass {
        PgDriver.classify(error)
    }
}

impl CustomizeConnection<PgConnection, PgError> for Bomb {
    fn on_acquire(&self, _: &mut PgConnection) -> Result<(), PgError> {
        self.pass(Hook::OnAcquire);
        Ok(())
    }

    fn on_release(&self, conn: PgConnection) {
        self.pass(Hook::OnRelease);
        drop(conn);
    }
}

impl HandleEvent for Bomb {
    fn handle_acquire(&self, _: AcquireEvent) {
        self.pass(Hook::Handler);
    }
}

#[test]
fn f16_a_panic_in_a_hook_costs_no_slot() {
    let cluster = cluster();
    for hook in HOOKS {
        let bomb = Bomb { hook, armed: Arc::default() };
        let (driver, customizer, handler) = (bomb.clone(), bomb.clone(), bomb.clone());
        let pool = pool(cluster.url(), |builder| {
            builder.automation(|tier| {
                tier.driver(Box::new(driver))
                    .connection_customizer(Box::new(customizer))
                    .event_handler(Box::new(handler))
                    .test_on_check_out(true)
                    .failure_threshold(0)
            })
        });
        bomb.armed.store(true, Ordering::Relaxed);
        let rounds = |armed: bool| {
            on_eight_threads(|_| {
                for _ in 0..3 {
                    // While it is armed a checkout may fail; none may hang, and none may be lost.
                    match pool.automation().get_timeout(Duration::from_millis(500)) {
                        // Dirty, so that it is reset.
                        Ok(mut conn) => conn.batch_execute("BEGIN").unwrap(),
                        Err(error) => assert!(armed, "{hook:?}: {error:#}"),
                    }
                }
            });
        };
        rounds(true);
        // Replaces all of them, by way of the hooks for opening and closing.
        pool.automation().drain();
        rounds(true);
        bomb.armed.store(false, Ordering::Relaxed);
        assert_whole(&cluster, &pool);
        on_eight_threads(|_| {
            let mut conn = pool.get(Tier::Automation).unwrap_or_else(|error| panic!("{hook:?}: {error:#}"));
            assert_eq!(one::<i64>(&mut conn, "SELECT 1::bigint"), 1);
        });
        assert!(pool.automation().stats().user_panics > 0, "{hook:?} was never called");
        assert!(pool.automation().stats().peak_in_use <= WORKERS as u32);
        pool.close(Duration::from_secs(5));
    }
}
