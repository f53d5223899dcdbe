//! What became of a batch.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::percentiles::Percentiles;
use super::stage_report::{FetchStage, Groups};
use crate::postgres::{OfFrame, PgError, is_lost, is_statement_timeout};
use crate::text::{Time, line};

/// The error of a failed item.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// The kinds of failures of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Class {
    /// No connection could be had from the pool.
    Checkout,
    /// The connection was lost, or had no reply within `socket_timeout`, and trying again came to an end.
    ConnectionLost,
    /// The connection was lost after COMMIT was sent: the item may have been done or not.
    OutcomeUnknown,
    /// A statement took longer than its timeout.
    StatementTimeout,
    /// Any other error of the server's.
    Database,
    /// The work itself returned an error.
    Work,
    /// The fetch returned an error, or a page larger than all pages may be.
    Fetch,
    /// The fetch did not end within its limit.
    FetchTimeout,
    /// The work or the fetch panicked.
    Panic,
}

impl Class {
    /// The name used in the report.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Checkout => "no connection",
            Class::ConnectionLost => "connection lost",
            Class::OutcomeUnknown => "outcome unknown",
            Class::StatementTimeout => "statement timeout",
            Class::Database => "database error",
            Class::Work => "work failed",
            Class::Fetch => "fetch failed",
            Class::FetchTimeout => "fetch timed out",
            Class::Panic => "panicked",
        }
    }

    /// The class of what a session itself has met, whatever type its error has become.
    pub(super) fn of_frame(failure: OfFrame) -> Class {
        match failure {
            OfFrame::OutcomeUnknown => Class::OutcomeUnknown,
            OfFrame::ConnectionLost => Class::ConnectionLost,
            OfFrame::StatementTimeout => Class::StatementTimeout,
            OfFrame::Refused => Class::Database,
        }
    }

    /// The class of an error, by the first error of the database's in its chain.
    pub(super) fn of(error: &(dyn StdError + 'static)) -> Class {
        let Some(error) = as_pg_error(error) else {
            // Work that used the client itself has its errors as they come.
            return match as_postgres(error) {
                None => Class::Work,
                Some(error) if is_lost(error) => Class::ConnectionLost,
                Some(error) if is_statement_timeout(error) => Class::StatementTimeout,
                Some(_) => Class::Database,
            };
        };
        if error.as_checkout().is_some() {
            Class::Checkout
        } else if error.is_outcome_unknown() {
            Class::OutcomeUnknown
        } else if error.is_connection_lost() {
            Class::ConnectionLost
        } else if error.is_statement_timeout() {
            Class::StatementTimeout
        } else {
            Class::Database
        }
    }
}

/// The first error of a type in a chain of causes.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut link = Some(error);
    while let Some(error) = link {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        link = error.source();
    }
    None
}

/// The first error of this crate's in a chain.
fn as_pg_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a PgError> {
    find(error)
}

/// The first error of the client's in a chain.
fn as_postgres<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a postgres::Error> {
    find(error)
}

/// An item that failed for good.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failed<I> {
    /// The item, as it was given.
    pub item: I,
    /// The error of its last attempt; of one that may have taken effect, where the server was away for those after it.
    pub error: BoxError,
    /// The kind of that error.
    pub class: Class,
    /// How often it was tried.
    pub attempts: u32,
    /// One of the attempts may have taken effect.
    pub(super) in_doubt: bool,
}

/// How a batch ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Ended {
    /// Every item was started.
    Completed,
    /// The stop flag was set before every item was started.
    Stopped,
    /// No connection could be had any more, for this reason.
    Unusable(BoxError),
}

impl Ended {
    /// The last line of a report, where there is more to say than that the batch is over.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Completed => Ok(()),
            Ended::Stopped => write!(f, "\nstopped on request"),
            Ended::Unusable(error) => {
                // For a reader, not for a caller that goes on with the error: the causes belong here.
                write!(f, "\nended early: {}", line(&**error))
            }
        }
    }
}

/// What became of a batch. `items = committed + failed + not_started`, always; `Display` prints it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report<I> {
    /// Items of the input. Where the input did not know its length and the batch ended early, those taken from it.
    pub items: u64,
    /// Items whose transaction was committed.
    pub committed: u64,
    /// Items that failed for good, with their errors.
    pub failed: Vec<Failed<I>>,
    /// Items that were not begun, those among them that waited for a connection when the batch ended, those of which
    /// nothing but a page was had, and those that were begun in a [group](crate::batch::Options::group), rolled back
    /// with it since another failed, and not done by themselves before the batch ended.
    pub not_started: u64,
    /// Attempts beyond the first of each item.
    pub retried: u64,
    /// How it ended.
    pub ended: Ended,
    /// How long it took.
    pub elapsed: Duration,
    /// What became of the stage of fetches, where there was one.
    pub fetch: Option<FetchStage>,
    /// What became of groups, where items were put into some.
    pub groups: Option<Groups>,
    /// What kept the batch from being faster, as far as that shows; each is logged too.
    pub advice: Vec<String>,
    /// How long checkouts took. An item that sent nothing had none.
    pub wait: Percentiles,
    /// How long sessions had their connection, from BEGIN to the answer to COMMIT; a group's is one.
    pub session: Percentiles,
    /// The most automation connections seen in use at once, since the pool was built.
    pub peak_in_use: u32,
    /// The most threads seen waiting for one at once, since the pool was built.
    pub peak_waiting: u32,
}

impl<I> Report<I> {
    /// Committed items a second.
    pub fn items_per_second(&self) -> f64 {
        self.committed as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// How many items failed in each way.
    pub fn failed_by_class(&self) -> BTreeMap<Class, u64> {
        let mut classes = BTreeMap::new();
        for failed in &self.failed {
            *classes.entry(failed.class).or_default() += 1;
        }
        classes
    }

    /// Whether every item was committed.
    pub fn is_complete(&self) -> bool {
        self.committed == self.items
    }
}

impl<I> fmt::Display for Report<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "items        {}", self.items)?;
        writeln!(f, "committed    {}", self.committed)?;
        writeln!(f, "failed       {}", self.failed.len())?;
        for (class, count) in self.failed_by_class() {
            write!(f, "  {:<18} {count}", class.as_str())?;
            // One of each kind, for whoever reads nothing but this.
            match self.failed.iter().find(|failed| failed.class == class) {
                Some(failed) => writeln!(f, ", such as: {}", line(&*failed.error))?,
                None => writeln!(f)?,
            }
        }
        writeln!(f, "not started  {}", self.not_started)?;
        writeln!(f, "retried      {}", self.retried)?;
        writeln!(f, "elapsed      {}, {:.0} items/s", Time(self.elapsed), self.items_per_second())?;
        writeln!(f, "checkout     {}", self.wait)?;
        writeln!(f, "session      {}", self.session)?;
        if let Some(fetch) = &self.fetch {
            writeln!(f, "{fetch}")?;
        }
        if let Some(groups) = &self.groups {
            writeln!(f, "groups       {groups}")?;
        }
        write!(f, "peak         {} in use, {} waiting", self.peak_in_use, self.peak_waiting)?;
        for advice in &self.advice {
            write!(f, "\nnote         {advice}")?;
        }
        self.ended.write(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_is_told_with_one_of_its_errors() {
        let failed = |class, error: &str| Failed {
            item: (),
            error: error.into(),
            class,
            attempts: 1,
            in_doubt: false,
        };
        let report = Report {
            items: 3,
            committed: 0,
            failed: vec![
                failed(Class::Database, "division by\nzero"),
                failed(Class::StatementTimeout, "the statement took too long"),
                failed(Class::Database, "another"),
            ],
            not_started: 0,
            retried: 0,
            ended: Ended::Completed,
            elapsed: Duration::from_secs(1),
            fetch: None,
            groups: None,
            advice: Vec::new(),
            wait: Percentiles::default(),
            session: Percentiles::default(),
            peak_in_use: 1,
            peak_waiting: 0,
        };
        let text = report.to_string();
        for told in [
            "database error     2, such as: division by\\nzero\n",
            "1, such as: the statement took too long\n",
        ] {
            assert!(text.contains(told), "{text}");
        }
    }
}
