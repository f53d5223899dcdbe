//! The same through the facade of the crate `metrics`, for StatsD and every other exporter that takes its part.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use std::{fmt, io, thread};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::Level;
use metrics::Label;

use super::collector::Collector;
use super::family::{Family, Kind, Value};
use crate::lines::say;

/// No exporter is better off with more, and each is a snapshot of all pools.
const MOST_OFTEN: Duration = Duration::from_millis(100);

impl Collector {
    /// Tells the recorder of the crate `metrics` all metrics as they are at this moment, counters by their whole value.
    ///
    /// The names are those of a scrape, `_total` included. A histogram is told as `…_bucket`, a counter for each bound
    /// in the label `le`, `…_sum` and `…_count`: that is all that is known of it, and no single values are made up. The
    /// facade has whole counters alone, so a sum of seconds is a gauge that only grows.
    ///
    /// # Blocking
    ///
    /// As [`Pool::stats`](crate::Pool::stats), and for what the recorder does.
    ///
    /// ```
    /// use tierpool::metrics::Collector;
    /// use tierpool::{MemoryManager, Pool};
    ///
    /// let pool = Pool::new(MemoryManager)?;
    /// let collector = Collector::new().with(&pool);
    /// collector.publish(); // to the recorder that the program has installed, if it has one
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn publish(&self) {
        self.families().iter().for_each(tell);
    }

    /// Calls [`Collector::publish`] now and then each `interval`, at least 100 ms, on a thread of its own. The thread
    /// ends with what this returns, and with the last of the pools.
    ///
    /// A recorder that panics is called again; the panic is logged.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub fn publish_every(self, interval: Duration) -> io::Result<Publisher> {
        let (alive, over) = bounded(0);
        let interval = interval.max(MOST_OFTEN);
        let publish = move || publish_until(&self, interval, &over);
        thread::Builder::new().name("tierpool-metrics".to_owned()).spawn(publish)?;
        Ok(Publisher { _alive: alive })
    }
}

/// Publishes metrics for as long as it lives: see [`Collector::publish_every`]. Its drop waits for nothing.
#[must_use = "dropping it ends the publishing"]
pub struct Publisher {
    /// Nothing is sent; the thread sees that it is gone.
    _alive: Sender<()>,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

fn publish_until(collector: &Collector, interval: Duration, over: &Receiver<()>) {
    loop {
        let families = collector.families();
        if families.is_empty() {
            return;
        }
        if catch_unwind(AssertUnwindSafe(|| families.iter().for_each(tell))).is_err() {
            say!(Level::Error, "tierpool", [], "the recorder of metrics panicked, and is called again");
        }
        drop(families);
        if !matches!(over.recv_timeout(interval), Err(RecvTimeoutError::Timeout)) {
            return;
        }
    }
}

fn tell(family: &Family) {
    let Family { name, help, kind, series } = family;
    match kind {
        Kind::Gauge => metrics::describe_gauge!(*name, *help),
        Kind::Counter if series.iter().any(|(_, value)| matches!(value, Value::Real(_))) => {
            metrics::describe_gauge!(format!("{name}_total"), *help);
        }
        Kind::Counter => metrics::describe_counter!(format!("{name}_total"), *help),
        Kind::Histogram => {
            metrics::describe_counter!(format!("{name}_bucket"), *help);
            metrics::describe_gauge!(format!("{name}_sum"), *help);
            metrics::describe_counter!(format!("{name}_count"), *help);
        }
    }
    for (labels, value) in series {
        let labels = labels.iter().map(|(name, value)| Label::new(*name, value.clone()));
        tell_one(name, *kind, labels.collect(), value);
    }
}

fn tell_one(name: &'static str, kind: Kind, labels: Vec<Label>, value: &Value) {
    match (kind, value) {
        (Kind::Counter, Value::Whole(count)) => {
            metrics::counter!(format!("{name}_total"), labels).absolute(*count);
        }
        // The facade's counters are whole.
        (Kind::Counter, Value::Real(sum)) => metrics::gauge!(format!("{name}_total"), labels).set(*sum),
        (_, Value::Whole(level)) => metrics::gauge!(name, labels).set(*level as f64),
        (_, Value::Real(level)) => metrics::gauge!(name, labels).set(*level),
        (_, Value::Times(times)) => {
            let mut below = 0;
            for (bound, count) in &times.buckets {
                below += count;
                let le = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
                let labels = labels.iter().cloned().chain([Label::new("le", le)]).collect::<Vec<_>>();
                metrics::counter!(format!("{name}_bucket"), labels).absolute(below);
            }
            metrics::gauge!(format!("{name}_sum"), labels.clone()).set(times.sum);
            metrics::counter!(format!("{name}_count"), labels).absolute(times.count());
        }
    }
}
