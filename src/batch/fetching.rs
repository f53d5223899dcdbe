//! What the stage of fetches may be told.

use std::fmt;
use std::time::Duration;

use log::Level;

use super::options::{MOST_THREADS, at_least_one, within};
use crate::lines::say;
use crate::postgres::Retry;

/// Longer than any client of a web server or a file store waits by itself when it is set up with care.
const LIMIT: Duration = Duration::from_secs(60);

/// Which failed fetches are tried again.
pub(super) type Passes<FE> = Box<dyn Fn(&FE) -> bool + Send + Sync>;

/// The options of the stage of fetches, in [`stages`](crate::batch::stages). All have defaults.
///
/// ```
/// use std::io;
/// use std::time::Duration;
/// use tierpool::batch::Fetching;
/// use tierpool::postgres::Retry;
///
/// let fetching = Fetching::<String, io::Error>::new()
///     .threads(64)
///     .limit(Duration::from_secs(20))
///     .retry(Retry::default(), |error| error.kind() == io::ErrorKind::TimedOut)
///     .bytes(64 * 1024 * 1024, String::len);
/// # let _ = fetching;
/// ```
pub struct Fetching<P, FE> {
    pub(super) threads: Option<usize>,
    pub(super) limit: Duration,
    pub(super) retry: Retry,
    pub(super) passes: Option<Passes<FE>>,
    pub(super) pages: Option<usize>,
    pub(super) bytes: Option<Bytes<P>>,
}

/// A bound for the bytes of pages.
pub(super) struct Bytes<P> {
    pub(super) limit: usize,
    pub(super) size: fn(&P) -> usize,
}

impl<P, FE> Default for Fetching<P, FE> {
    fn default() -> Self {
        Fetching { threads: None, limit: LIMIT, retry: Retry::NEVER, passes: None, pages: None, bytes: None }
    }
}

impl<P, FE> Fetching<P, FE> {
    /// Starts with the defaults.
    pub fn new() -> Self {
        Fetching::default()
    }

    /// Sets the number of fetch threads, 1 to 4,096: another number counts as the nearest of these, with a
    /// warning. Default: four a worker.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(within("Fetching::threads", threads, MOST_THREADS));
        self
    }

    /// Sets the longest that one attempt at a fetch may take, to within 20 ms. Past it the item fails with
    /// [`Class::FetchTimeout`](crate::batch::Class::FetchTimeout). Its thread cannot be ended: it is left to the fetch
    /// for as long as that takes, what it brings is thrown away, and another takes its place. Default 60 s.
    ///
    /// As many threads as there are at once may be left so; with one more the batch ends as
    /// [`Unusable`](crate::batch::Ended::Unusable). A limit of the client's own is therefore the better one, and this
    /// the last resort.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sets which failed fetches are tried again, and how often and how soon. `passes` is part of the fetch: its time
    /// counts, and where it panics the item fails. A panic is not tried again, nor a fetch that took too long. Default:
    /// none is.
    pub fn retry(mut self, retry: Retry, passes: impl Fn(&FE) -> bool + Send + Sync + 'static) -> Self {
        self.retry = retry;
        self.passes = Some(Box::new(passes));
        self
    }

    /// Sets how many fetched pages may wait for a store, at least 1: 0 counts as 1, with a warning. One page more waits
    /// in the hands of each fetch thread. Default: two a worker.
    pub fn pages(mut self, pages: usize) -> Self {
        self.pages = Some(at_least_one("Fetching::pages", pages));
        self
    }

    /// Sets how many bytes fetched pages may take in all, waiting and in store, by what `size` says of each. A page
    /// that has just been fetched, one a thread, is not among them: its size is not known before. One that takes more
    /// than that alone fails its item. Default: no bound.
    pub fn bytes(mut self, limit: usize, size: fn(&P) -> usize) -> Self {
        if limit == 0 {
            say!(
                Level::Warn,
                "tierpool::batch",
                [],
                "Fetching::bytes: within 0 no page fits but an empty one"
            );
        }
        self.bytes = Some(Bytes { limit, size });
        self
    }
}

impl<P, FE> fmt::Debug for Fetching<P, FE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetching")
            .field("threads", &self.threads)
            .field("limit", &self.limit)
            .field("retry", &self.retry)
            .field("pages", &self.pages)
            .field("bytes", &self.bytes.as_ref().map(|bytes| bytes.limit))
            .finish_non_exhaustive()
    }
}
