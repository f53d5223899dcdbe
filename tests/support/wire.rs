//! What the tests of PostgreSQL connections share.

use std::time::Duration;

use rustix::process::Signal;
use tierpool::postgres::{PgConnection, PgManager, PgOptions};

use super::process::Process;

/// The longest that giving up a connection may take.
pub const DROP_BOUND: Duration = Duration::from_millis(100);

pub fn manager(url: &str, change: impl FnOnce(&mut PgOptions)) -> PgManager {
    let mut options = PgOptions::default();
    options.connect_timeout = Some(Duration::from_secs(5));
    change(&mut options);
    PgManager::new(url.parse().unwrap(), options).unwrap()
}

pub fn open(manager: &PgManager) -> PgConnection {
    manager.connect_within(Duration::from_secs(5)).unwrap()
}

/// Returns the one value that a query gives.
#[track_caller]
pub fn one<T: for<'a> postgres::types::FromSql<'a>>(conn: &mut PgConnection, query: &str) -> T {
    conn.query_one(query, &[]).unwrap_or_else(|error| panic!("{query}: {error:?}")).get(0)
}

/// The texts of an error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A backend that is stopped until this is dropped.
pub struct Frozen(Process);

impl Frozen {
    pub fn of(pid: i32) -> Frozen {
        let process = Process::find(pid).expect("the backend runs");
        process.signal(Signal::STOP);
        super::wait::eventually(Duration::from_secs(5), "the backend stops", || process.is_stopped());
        Frozen(process)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.0.signal(Signal::CONT);
    }
}
