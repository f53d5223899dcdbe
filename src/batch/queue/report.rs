//! What became of what a batch has claimed.

use std::fmt;
use std::time::Duration;

use crate::batch::percentiles::Percentiles;
use crate::batch::report::Ended;
use crate::batch::stage_report::Groups;
use crate::text::Time;

/// What became of the items that a batch has claimed from a [`Feed`](super::Feed); `Display` prints it.
///
/// `claimed = committed + put_off + dead + taken_over + settled + given_back + left`, always. An item that is put off
/// and claimed again counts each time. So over all batches of a queue that is worked off, `committed` and `settled` and
/// `dead` are the items that were pushed, where no host has died; what a dead host had committed is in no report. An
/// item counts twice only where the claim of work whose COMMIT had no answer ended too, and another host did it then.
///
/// Items that fail are told of in the log and kept by the feed, as by
/// [`Queue::dead_letters`](super::Queue::dead_letters), and not in memory.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// Claims on items.
    pub claimed: u64,
    /// Items committed.
    pub committed: u64,
    /// Items that failed and are tried again later.
    pub put_off: u64,
    /// Items that failed for good.
    pub dead: u64,
    /// Items whose claim had ended before their work did, which somebody else has or had.
    pub taken_over: u64,
    /// Items that took effect once and are gone, by an attempt whose COMMIT had no answer.
    pub settled: u64,
    /// Items that were given back, not begun or rolled back as the batch ended.
    pub given_back: u64,
    /// Items of which the feed could not be told: they come back after their lease.
    pub left: u64,
    /// Attempts beyond the first of each claim.
    pub retried: u64,
    /// How it ended: `Completed` where the feed said that nothing will come.
    pub ended: Ended,
    /// How long it took.
    pub elapsed: Duration,
    /// What became of groups, where items were put into some.
    pub groups: Option<Groups>,
    /// How long checkouts took.
    pub wait: Percentiles,
    /// How long sessions had their connection.
    pub session: Percentiles,
    /// The most automation connections seen in use at once, since the pool was built.
    pub peak_in_use: u32,
    /// The most threads seen waiting for one at once, since the pool was built.
    pub peak_waiting: u32,
}

impl Report {
    /// Committed items a second.
    pub fn items_per_second(&self) -> f64 {
        self.committed as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "claimed      {}", self.claimed)?;
        writeln!(f, "committed    {}", self.committed)?;
        writeln!(f, "put off      {}", self.put_off)?;
        writeln!(f, "dead         {}", self.dead)?;
        writeln!(f, "taken over   {}", self.taken_over)?;
        writeln!(f, "settled      {}", self.settled)?;
        writeln!(f, "given back   {}", self.given_back)?;
        writeln!(f, "left         {}", self.left)?;
        writeln!(f, "retried      {}", self.retried)?;
        writeln!(f, "elapsed      {}, {:.0} items/s", Time(self.elapsed), self.items_per_second())?;
        writeln!(f, "checkout     {}", self.wait)?;
        writeln!(f, "session      {}", self.session)?;
        if let Some(groups) = &self.groups {
            writeln!(f, "groups       {groups}")?;
        }
        write!(f, "peak         {} in use, {} waiting", self.peak_in_use, self.peak_waiting)?;
        self.ended.write(f)
    }
}
