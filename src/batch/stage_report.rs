//! What became of the stage of fetches, and of groups.

use std::fmt;
use std::time::Duration;

use super::percentiles::Percentiles;

/// From what share of its time on a stage counts as starved by the other.
const STARVED: f64 = 0.5;
/// Runs shorter than this are mostly the beginning and the end, when a stage waits for the other by nature.
const LEAST_TO_JUDGE: Duration = Duration::from_secs(1);

/// What became of the stage of fetches, in a batch of [two stages](crate::batch::stages).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FetchStage {
    /// Items whose page was fetched.
    pub fetched: u64,
    /// Attempts beyond the first of each item.
    pub retried: u64,
    /// Fetches that did not end within their limit, whose threads had to be left to them.
    pub abandoned: u64,
    /// The fetch threads asked for, also where fewer could be started: as many fetches at once, at most.
    pub threads: usize,
    /// How long attempts took, each by itself; those abandoned count up to then.
    pub time: Percentiles,
    /// The share of the fetch threads' time, from 0 to 1, in which they had a page and no room for it.
    pub waited_for_stores: f64,
    /// The share of their time in which they fetched.
    pub busy: f64,
    /// The share of the store threads' time in which they waited for a page; for the rest of a group too.
    pub stores_waited: f64,
    /// The most pages that waited for a store at once.
    pub peak_pages: usize,
    /// The most bytes that pages took at once, waiting and in store; 0 where no [size](crate::batch::Fetching::bytes)
    /// was given.
    pub peak_bytes: usize,
    /// Of the time in which a page had no room, the share, from 0 to 1, in which it had by
    /// [number](crate::batch::Fetching::pages) and not by [bytes](crate::batch::Fetching::bytes).
    pub short_of_bytes: f64,
}

impl FetchStage {
    /// What to change where one stage has kept the other waiting, or the bound of `most_bytes` both.
    pub(super) fn advice(&self, elapsed: Duration, most_bytes: usize) -> Option<String> {
        if elapsed < LEAST_TO_JUDGE {
            None
        } else if self.waited_for_stores > STARVED && self.short_of_bytes > STARVED {
            Some(format!(
                "fetchers waited {:.0} % of the time for room within {most_bytes} bytes, of which pages in store count \
                 too: a larger bound (Fetching::bytes) where there is memory, or fewer fetch threads than {} for the \
                 same speed",
                self.waited_for_stores * 100.0,
                self.threads
            ))
        } else if self.waited_for_stores > STARVED {
            Some(format!(
                "fetchers waited {:.0} % of the time for stores: more workers where the pool has connections for \
                 them, groups (Options::group), or fewer fetch threads than {} for the same speed",
                self.waited_for_stores * 100.0,
                self.threads
            ))
        } else if self.stores_waited > STARVED && self.busy > STARVED {
            // Where the fetchers had nothing to do either, the input sets the pace.
            Some(format!(
                "stores waited {:.0} % of the time for fetchers: more fetch threads than {} (Fetching::threads) where \
                 the other side bears them, or fewer workers for the same speed",
                self.stores_waited * 100.0,
                self.threads
            ))
        } else {
            None
        }
    }
}

impl fmt::Display for FetchStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FetchStage { fetched, retried, abandoned, threads, .. } = self;
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        writeln!(f, "fetch        {}", self.time)?;
        writeln!(f, "fetched      {fetched} by {threads} threads, {retried} retried, {abandoned} abandoned")?;
        writeln!(
            f,
            "stages       fetchers waited {} of the time for stores, stores {} for fetchers",
            percent(self.waited_for_stores),
            percent(self.stores_waited)
        )?;
        write!(f, "pages        at most {} waiting, {} bytes", self.peak_pages, self.peak_bytes)
    }
}

/// What became of the groups of a batch with [`Options::group`](crate::batch::Options::group).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Groups {
    /// Groups committed as one.
    pub committed: u64,
    /// Groups that failed, and whose items were then done one by one.
    pub taken_apart: u64,
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} committed, {} taken apart", self.committed, self.taken_apart)
    }
}

/// A part of a time, from 0 to 1.
pub(super) fn share(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() { 0.0 } else { (part.as_secs_f64() / whole.as_secs_f64()).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_for_most_of_a_run_is_told_what_to_change() {
        let long = Duration::from_secs(10);
        let stage = |waited_for_stores, stores_waited, busy| FetchStage {
            threads: 28,
            waited_for_stores,
            stores_waited,
            busy,
            ..FetchStage::default()
        };
        let told = stage(0.8, 0.1, 0.2).advice(long, 1 << 20).expect("the stores are too slow");
        assert!(told.starts_with("fetchers waited 80 % of the time for stores: more workers"), "{told}");
        let told = stage(0.0, 0.71, 0.9).advice(long, 1 << 20).expect("the fetches are too slow");
        assert!(told.starts_with("stores waited 71 % of the time for fetchers: more fetch threads than 28"));
        let short = FetchStage { short_of_bytes: 0.6, ..stage(0.8, 0.9, 0.2) };
        let told = short.advice(long, 1 << 20).expect("the bound is too small");
        assert!(told.starts_with("fetchers waited 80 % of the time for room within 1048576 bytes"), "{told}");
        assert!(told.contains("Fetching::bytes") && !told.contains("more workers"), "{told}");
        // The input sets the pace, both are at work, the run was short.
        assert_eq!(stage(0.0, 0.9, 0.1).advice(long, 1 << 20), None);
        assert_eq!(stage(0.4, 0.4, 0.6).advice(long, 1 << 20), None);
        assert_eq!(stage(0.8, 0.0, 0.2).advice(Duration::from_millis(900), 1 << 20), None);
    }
}
