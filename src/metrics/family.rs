//! A metric with its series, before it is written in anybody's format.

use std::borrow::Cow;
use std::time::Duration;

use super::reading::Reading;
use crate::stats::{BOUNDS_MS, Histogram};

/// A label's name and value.
pub(super) type Label = (&'static str, Cow<'static, str>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
    Histogram,
}

/// One metric: all series of one name. Its pieces are written together, as the text format wants them.
pub(super) struct Family {
    /// Without the `_total` of a counter.
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    pub series: Vec<(Vec<Label>, Value)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Whole(u64),
    Real(f64),
    Times(Times),
}

/// A histogram with bounds in seconds, the last one without end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Times {
    /// Each bound, and how many fell between the one before and it.
    pub buckets: Vec<(f64, u64)>,
    pub sum: f64,
}

impl Times {
    /// With all bounds of the pool's own.
    pub(super) fn of(histogram: &Histogram) -> Self {
        Times::from_bound(histogram, BOUNDS_MS[0])
    }

    /// With the bounds from this one on: what is shorter falls below it.
    pub(super) fn from_bound(histogram: &Histogram, first_ms: u64) -> Self {
        let first = BOUNDS_MS.partition_point(|bound| *bound < first_ms);
        let below = histogram.counts[..first].iter().sum::<u64>();
        let mut counts = histogram.counts[first..].to_vec();
        counts[0] += below;
        let bounds = BOUNDS_MS[first..].iter().map(|ms| Duration::from_millis(*ms).as_secs_f64());
        let buckets = bounds.chain([f64::INFINITY]).zip(counts).collect();
        Times { buckets, sum: histogram.sum.as_secs_f64() }
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Value::Whole(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Value::Whole(value.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Whole(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Real(value)
    }
}

impl From<Duration> for Value {
    fn from(value: Duration) -> Self {
        Value::Real(value.as_secs_f64())
    }
}

impl From<Times> for Value {
    fn from(value: Times) -> Self {
        Value::Times(value)
    }
}

/// The metrics of some pools under one set of names, as they are put together.
pub(super) struct Families<'a> {
    readings: &'a [Reading],
    labels: fn(&Reading) -> Vec<Label>,
    told: Vec<Family>,
}

impl<'a> Families<'a> {
    /// `labels` says whose series it is.
    pub(super) fn new(readings: &'a [Reading], labels: fn(&Reading) -> Vec<Label>) -> Self {
        Families { readings, labels, told: Vec::new() }
    }

    /// A metric with one series for each reading that has a value.
    pub(super) fn add<V: Into<Value>>(
        &mut self,
        kind: Kind,
        name: &'static str,
        help: &'static str,
        value: impl Fn(&Reading) -> Option<V>,
    ) {
        let series = self.readings.iter().filter_map(|reading| {
            let value = value(reading)?;
            Some(((self.labels)(reading), value.into()))
        });
        self.put(kind, name, help, series.collect());
    }

    /// A metric with a series for each value of one more label.
    pub(super) fn add_by<V: Into<Value>, S: IntoIterator<Item = (&'static str, V)>>(
        &mut self,
        kind: Kind,
        (name, label): (&'static str, &'static str),
        help: &'static str,
        values: impl Fn(&Reading) -> S,
    ) {
        let series = self.readings.iter().flat_map(|reading| {
            values(reading).into_iter().map(|(which, value)| {
                let mut labels = (self.labels)(reading);
                labels.push((label, Cow::Borrowed(which)));
                (labels, value.into())
            })
        });
        self.put(kind, name, help, series.collect());
    }

    /// A gauge that every reading has.
    pub(super) fn gauge<V: Into<Value>>(
        &mut self,
        name: &'static str,
        help: &'static str,
        value: impl Fn(&Reading) -> V,
    ) {
        self.add(Kind::Gauge, name, help, |reading| Some(value(reading)));
    }

    /// A counter that every reading has.
    pub(super) fn counter<V: Into<Value>>(
        &mut self,
        name: &'static str,
        help: &'static str,
        value: impl Fn(&Reading) -> V,
    ) {
        self.add(Kind::Counter, name, help, |reading| Some(value(reading)));
    }

    /// A histogram that every reading has.
    pub(super) fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        times: impl Fn(&Reading) -> Times,
    ) {
        self.add(Kind::Histogram, name, help, |reading| Some(times(reading)));
    }

    fn put(&mut self, kind: Kind, name: &'static str, help: &'static str, series: Vec<(Vec<Label>, Value)>) {
        // A name without a series says nothing.
        if !series.is_empty() {
            self.told.push(Family { name, help, kind, series });
        }
    }

    pub(super) fn done(self) -> Vec<Family> {
        self.told
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Times;
    use crate::stats::Histogram;

    #[test]
    fn what_is_shorter_than_the_first_bound_falls_below_it() {
        let mut held = Histogram { sum: Duration::from_millis(90_000), ..Histogram::default() };
        (held.counts[0], held.counts[4], held.counts[5], held.counts[15]) = (3, 2, 1, 7);
        let times = Times::from_bound(&held, 25);
        assert_eq!(times.buckets[..2], [(0.025, 5), (0.05, 1)]);
        assert_eq!(times.buckets.last(), Some(&(f64::INFINITY, 7)));
        assert_eq!((times.count(), times.sum), (held.count(), 90.0));
        let all = Times::of(&held);
        assert_eq!((all.buckets.len(), all.buckets[0], all.count()), (16, (0.001, 3), 13));
    }
}
