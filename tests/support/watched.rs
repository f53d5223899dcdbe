//! A pool whose controls write down what is asked of them, for the tests of stuck checkouts.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tierpool::event::EventReceiver;
use tierpool::{Abandonment, Builder, ClockHand, Driver, NopErrorHandler, Place, Pool, SessionControl};

use super::scripted::{Gate, ScriptedConnection, ScriptedManager, still};
use super::wait::{BOUND, SECOND, eventually};

/// What was done to which connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Cancel(u64),
    Terminate(u64),
    Abandon(u64, Abandonment),
}

/// A driver whose controls write down what is asked of them.
#[derive(Clone, Default)]
pub struct Watched {
    pub acts: Arc<Mutex<Vec<Act>>>,
    pub places: Arc<Mutex<Vec<Place>>>,
    /// Where a request to cancel waits, if it is to.
    pub cancel_behind: Option<Gate>,
    pub refuses_to_end: bool,
    pub panics: bool,
    /// Cannot end a call without the server.
    pub cannot_abandon: bool,
}

struct Control {
    id: u64,
    manager: ScriptedManager,
    driver: Watched,
}

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

impl SessionControl for Control {
    fn placed(&self, place: Place) {
        self.driver.places.lock().push(place);
    }

    fn cancel(&self, _: Duration) -> Outcome {
        assert!(!self.driver.panics, "a control that panics");
        if let Some(gate) = &self.driver.cancel_behind {
            gate.pass(None);
        }
        self.driver.acts.lock().push(Act::Cancel(self.id));
        Ok(())
    }

    fn terminate(&self, _: Duration) -> Outcome {
        self.driver.acts.lock().push(Act::Terminate(self.id));
        if self.driver.refuses_to_end { Err("the server does not answer".into()) } else { Ok(()) }
    }

    fn abandon(&self, why: Abandonment) -> bool {
        if self.driver.cannot_abandon {
            return false;
        }
        self.driver.acts.lock().push(Act::Abandon(self.id, why));
        self.manager.kill(self.id);
        true
    }
}

impl Driver<ScriptedManager> for Watched {
    fn control(
        &self,
        manager: &ScriptedManager,
        conn: &mut ScriptedConnection,
    ) -> Option<Arc<dyn SessionControl>> {
        Some(Arc::new(Control { id: conn.id(), manager: manager.clone(), driver: self.clone() }))
    }
}

pub struct Rig {
    pub pool: Pool<ScriptedManager>,
    pub hand: ClockHand,
    pub driver: Watched,
    pub events: EventReceiver,
}

impl Rig {
    pub fn new(
        driver: Watched,
        change: impl FnOnce(Builder<ScriptedManager>) -> Builder<ScriptedManager>,
    ) -> Rig {
        let (builder, hand, manager) = still(|builder| {
            let builder = builder.max_size(1).driver(Box::new(driver.clone()));
            change(builder.error_handler(Box::new(NopErrorHandler)))
        });
        let pool = builder.build(manager).unwrap();
        let events = pool.subscribe(100);
        Rig { pool, hand, driver, events }
    }

    /// Warned of after 10 s, cancelled after 20 s, ended after 30 s.
    pub fn escalating(driver: Watched) -> Rig {
        Rig::new(driver, |builder| {
            builder
                .leak_threshold(Some(10 * SECOND))
                .cancel_stuck_after(Some(20 * SECOND))
                .terminate_stuck_after(Some(30 * SECOND))
        })
    }

    pub fn acts(&self) -> Vec<Act> {
        self.driver.acts.lock().clone()
    }

    /// Long holds, cancelled and ended checkouts.
    pub fn counts(&self) -> [u64; 3] {
        let stats = self.pool.stats();
        [stats.long_holds, stats.stuck_cancelled, stats.stuck_terminated]
    }

    /// Advances by `by` and waits until the counts are these.
    #[track_caller]
    pub fn advance(&self, by: Duration, counts: [u64; 3]) {
        self.hand.advance(by);
        eventually(BOUND, &format!("{counts:?}"), || self.counts() == counts);
    }
}
