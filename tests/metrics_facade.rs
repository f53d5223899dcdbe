//! The facade: a recorder of the crate `metrics` is told what a scrape is told.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ::metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};
use support::prometheus::series;
use support::wait::{BOUND, MS, eventually, thread_names};
use tierpool::metrics::{Collector, text};
use tierpool::{MemoryManager, Pool, Tier, TieredPool};

/// What it was told last of each series, and which names it was given words for.
#[derive(Clone, Default)]
struct Told {
    values: Arc<Mutex<BTreeMap<String, f64>>>,
    described: Arc<Mutex<BTreeSet<String>>>,
}

struct One(String, Told);

impl One {
    fn tell(&self, value: f64) {
        self.1.values.lock().unwrap().insert(self.0.clone(), value);
    }
}

impl CounterFn for One {
    fn increment(&self, _: u64) {
        panic!("{} is told as a whole", self.0);
    }

    fn absolute(&self, value: u64) {
        self.tell(value as f64);
    }
}

impl GaugeFn for One {
    fn increment(&self, _: f64) {
        panic!("{} is told as a whole", self.0);
    }

    fn decrement(&self, _: f64) {
        panic!("{} is told as a whole", self.0);
    }

    fn set(&self, value: f64) {
        self.tell(value);
    }
}

impl Told {
    fn one(&self, key: &Key) -> Arc<One> {
        let labels = key.labels().map(|label| format!("{}=\"{}\"", label.key(), label.value()));
        let series = format!("{}{{{}}}", key.name(), labels.collect::<Vec<_>>().join(","));
        Arc::new(One(series, self.clone()))
    }

    fn describe(&self, name: &KeyName, help: &SharedString) {
        assert!(!help.is_empty());
        self.described.lock().unwrap().insert(name.as_str().to_owned());
    }

    fn values(&self) -> BTreeMap<String, f64> {
        self.values.lock().unwrap().clone()
    }
}

impl Recorder for Told {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        panic!("{} is told by its bounds", name.as_str());
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.one(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        panic!("{key} is told by its bounds");
    }
}

#[test]
fn a_recorder_is_told_each_series_of_a_scrape() {
    let pool = TieredPool::builder().build(|_| MemoryManager).unwrap();
    let _out = pool.get(Tier::Automation).unwrap();
    drop(pool.get(Tier::Adhoc).unwrap());
    eventually(BOUND, "all are open", || pool.adhoc().gauges().opening == 0);
    let told = Told::default();
    with_local_recorder(&told, || Collector::new().with(&pool).publish());
    let (by_facade, by_scrape) = (told.values(), series(&text(&pool)));
    let unlike = |(series, value): &(&String, &f64)| by_scrape.get(*series) != Some(*value);
    assert_eq!(by_facade.iter().filter(unlike).collect::<Vec<_>>(), []);
    assert_eq!(by_facade.len(), by_scrape.len());
    let described = told.described.lock().unwrap().clone();
    let names: BTreeSet<_> =
        told.values().keys().map(|series| series.split('{').next().unwrap().to_owned()).collect();
    assert_eq!(described, names);
}

static PANICS: AtomicBool = AtomicBool::new(true);
static CALLS: AtomicU64 = AtomicU64::new(0);

/// The recorder of this process, which panics at first.
struct Moody(Told);

impl Recorder for Moody {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.0.describe_counter(name, unit, help);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        // Relaxed: a count and a flag, each on its own.
        CALLS.fetch_add(1, Ordering::Relaxed);
        assert!(!PANICS.load(Ordering::Relaxed), "on purpose");
        self.0.describe_gauge(name, unit, help);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.0.describe_histogram(name, unit, help);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.0.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.0.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.0.register_histogram(key, metadata)
    }
}

#[test]
fn a_thread_publishes_until_its_publisher_or_the_last_pool_goes() {
    let runs = || thread_names().iter().any(|name| name.starts_with("tierpool-metric"));
    let told = Told::default();
    ::metrics::set_global_recorder(Moody(told.clone())).unwrap();
    let pool = Pool::builder().name("kept").max_size(1).build(MemoryManager).unwrap();
    let publisher = Collector::new().with(&pool).publish_every(MS).unwrap();
    eventually(BOUND, "it is called again after a panic", || CALLS.load(Ordering::Relaxed) > 1);
    PANICS.store(false, Ordering::Relaxed);
    let direct = "db_pool_checkouts_total{pool=\"kept\",outcome=\"direct\"}";
    drop(pool.get().unwrap());
    eventually(BOUND, "it tells news", || told.values().get(direct) == Some(&1.0));
    assert!(runs());
    drop(publisher);
    eventually(BOUND, "it ends with its publisher", || !runs());
    let _publisher = Collector::new().with(&pool).publish_every(MS).unwrap();
    eventually(BOUND, "another one runs", runs);
    drop(pool);
    eventually(BOUND, "it ends with the pool", || !runs());
}
