//! The last answer to whether the database answers, and who asks for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::Level;
use serde::Serialize;
use tokio::sync::watch;

use super::view::View;
use crate::lines::say;
use crate::process::PoolThread;
use crate::text::Time;
use crate::tiers::Answer;

/// How long an answer is shown before the next one is asked for.
const FRESH_FOR: Duration = Duration::from_secs(5);

/// How long a request waits for a check that is under way. What a healthy server takes is far less.
const PATIENCE: Duration = Duration::from_secs(2);

/// The last check, and the right to make the next.
pub(super) struct Checks {
    view: Arc<dyn View>,
    last: watch::Sender<Option<Checked>>,
    /// Whether a thread is asking. Taken with `swap`, so that one does; given back by the thread's guard.
    is_asking: AtomicBool,
}

#[derive(Clone)]
struct Checked {
    answer: Arc<Answer>,
    at: Instant,
}

/// What `/healthz` tells.
#[derive(Serialize)]
pub(super) struct Shown {
    pub(super) healthy: bool,
    message: String,
    /// How old the answer is; `null` where there is none.
    checked_seconds_ago: Option<f64>,
}

impl Checked {
    fn is_fresh(&self) -> bool {
        self.at.elapsed() < FRESH_FOR
    }
}

impl Checks {
    pub(super) fn new(view: Arc<dyn View>) -> Arc<Self> {
        Arc::new(Checks { view, last: watch::Sender::new(None), is_asking: AtomicBool::new(false) })
    }

    /// The last check where it is fresh, else the next, for which it waits a while. Names, addresses and what a server
    /// says are in it for `may_read_all` alone.
    pub(super) async fn shown(self: &Arc<Self>, may_read_all: bool) -> Shown {
        let is_fresh = |last: &Option<Checked>| last.as_ref().is_some_and(Checked::is_fresh);
        let mut last = self.last.subscribe();
        if !is_fresh(&last.borrow_and_update()) {
            self.begin();
        }
        let fresh = tokio::time::timeout(PATIENCE, last.wait_for(is_fresh)).await;
        match fresh {
            Ok(Ok(checked)) => Self::show(checked.as_ref(), may_read_all),
            _ => Shown {
                healthy: false,
                message: format!("not known: a check has not ended within {}", Time(PATIENCE)),
                checked_seconds_ago: None,
            },
        }
    }

    fn show(checked: Option<&Checked>, may_read_all: bool) -> Shown {
        let message = |answer: &Answer| match may_read_all {
            true => answer.message.clone(),
            false => answer.brief.to_owned(),
        };
        Shown {
            healthy: checked.is_some_and(|checked| checked.answer.healthy),
            message: checked.map(|checked| message(&checked.answer)).unwrap_or_default(),
            checked_seconds_ago: checked.map(|checked| checked.at.elapsed().as_secs_f64()),
        }
    }

    /// Has a thread ask, unless one does. It lives as long as the question.
    fn begin(self: &Arc<Self>) {
        // Both orders as strong as can be, since it is once in seconds.
        if self.is_asking.swap(true, Ordering::SeqCst) {
            return;
        }
        let asking = Asking(Arc::clone(self));
        let counted = PoolThread::counted();
        let started = std::thread::Builder::new().name("tierpool-check".to_owned()).spawn(move || {
            let _counted = counted;
            asking.ask();
        });
        if let Err(error) = started {
            // The guard went with the closure, and the next request tries again.
            say!(
                Level::Warn,
                "tierpool",
                [error = error.to_string()],
                "cannot start the thread of a check: {error}"
            );
        }
    }
}

/// The right to ask, which ends with the thread or with the attempt to start it.
struct Asking(Arc<Checks>);

impl Asking {
    fn ask(&self) {
        let asked = catch_unwind(AssertUnwindSafe(|| self.0.view.check()));
        let failed = |brief: &'static str| Answer { healthy: false, message: brief.to_owned(), brief };
        let answer = asked.map(|answer| answer.unwrap_or_else(|| failed("the pool is gone")));
        let answer = Arc::new(answer.unwrap_or_else(|_| failed("the check panicked")));
        self.0.last.send_replace(Some(Checked { answer, at: Instant::now() }));
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.is_asking.store(false, Ordering::SeqCst);
    }
}
