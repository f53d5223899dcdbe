//! One folder for many processes, by a queue: each item is read and stored by one of them, in the transaction that
//! removes it from the queue.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use indicatif::ProgressBar;
use parking_lot::Mutex;
use tierpool::PgPool;
use tierpool::batch::queue::{self, Claims, Queue, Report};
use tierpool::batch::{BoxError, Ended};
use tierpool::postgres::PgError;

use super::discover::Item;
use super::kind::Kind;
use super::pace::Pace;
use super::run::{options, with_adhoc};
use super::scrape::scrape;
use super::store::store;
use super::tally::Tally;

/// What a run gives back.
pub struct Shared {
    pub report: Report,
    /// What the committed items did to the tables.
    pub tally: Tally,
    /// The ad-hoc queries made meanwhile.
    pub adhoc: Pace,
}

/// Opens the queue, and says whether it is new: then it is filled with the items.
///
/// # Errors
/// A name that is none, and the database's.
pub fn queue(pool: &PgPool, name: &str, items: &[Item]) -> Result<(Queue, bool), PgError> {
    Queue::create_filled(pool, name, |queue, tx| {
        queue.push_many_in(tx, items.iter().map(written), Duration::ZERO).map(drop)
    })
}

/// Works with others through the queue until it is empty.
///
/// # Blocking
/// Until then, or, once `stop` is set, until the items under way have ended.
///
/// # Errors
/// Claims that cannot be used.
pub fn run(
    queue: &Queue,
    pool: &PgPool,
    claims: Claims,
    workers: Option<usize>,
    bar: &ProgressBar,
    stop: &Arc<AtomicBool>,
) -> Result<Shared, PgError> {
    let feed = queue.feed(claims.until_empty(true))?;
    let tally = Mutex::new(Tally::default());
    let (report, adhoc) = with_adhoc(pool, || {
        queue::run_with(
            pool,
            &feed,
            options(pool, workers, bar, stop),
            |tx, item| {
                let item = read(item.payload()).ok_or("this is no item of a scraper's queue")?;
                // No connection is held until this has ended.
                let page = scrape(&item)?;
                Ok::<_, BoxError>(store(&page).send(tx)?)
            },
            |_, change| tally.lock().add(change),
        )
    });
    Ok(Shared { report, tally: tally.into_inner(), adhoc })
}

/// An item as bytes: kind, package and path, apart by what no path can hold. A path need not be text.
fn written(item: &Item) -> Vec<u8> {
    let package = item.package.as_deref().map_or(OsStr::new(""), Path::as_os_str);
    let kind = match &item.kind {
        Ok(kind) => kind.as_str().to_owned(),
        Err(reason) => format!("!{}", reason.replace('\0', " ")),
    };
    [kind.as_bytes(), package.as_bytes(), item.path.as_os_str().as_bytes()].join(&0)
}

fn read(payload: &[u8]) -> Option<Item> {
    let mut fields = payload.splitn(3, |byte| *byte == 0);
    let (kind, package, path) = (fields.next()?, fields.next()?, fields.next()?);
    let kind = str::from_utf8(kind).ok()?;
    let kind = match kind.strip_prefix('!') {
        Some(reason) => Err(reason.to_owned()),
        None => Ok(Kind::named(kind)?),
    };
    let as_path = |bytes| PathBuf::from(OsStr::from_bytes(bytes));
    let package = Some(package).filter(|package| !package.is_empty()).map(|package| as_path(package).into());
    Some(Item { path: as_path(path), package, kind })
}

impl Shared {
    /// Whether every item of the queue is in the database, by whichever process.
    pub fn is_complete(&self) -> bool {
        matches!(self.report.ended, Ended::Completed) && self.report.dead == 0
    }
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{}\nad-hoc queries meanwhile: {}", self.report, self.tally, self.adhoc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_read_as_it_was_written() {
        let path = PathBuf::from(OsStr::from_bytes(b"/p/\xff.md"));
        let of = |package: Option<&str>, kind| Item {
            path: path.clone(),
            package: package.map(|folder| Path::new(folder).into()),
            kind,
        };
        for item in
            [of(Some("/p"), Ok(Kind::Markdown)), of(None, Ok(Kind::Rust)), of(None, Err("gone".into()))]
        {
            assert_eq!(read(&written(&item)), Some(item));
        }
        assert_eq!(read(b"a job of others"), None);
    }
}
