//! Traces: the wait for a connection is a field of the caller's own span.

mod support;

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use support::scripted::{pool_of, waiters};
use support::wait::{BOUND, MS, eventually};
use tracing::field::{Empty, Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::with_default;
use tracing::{Event, Metadata, Subscriber, info_span};
use tracing_core::span::Current;

/// Knows one span, and what is recorded in it.
#[derive(Clone, Default)]
struct Trace {
    span: Arc<Mutex<Option<&'static Metadata<'static>>>>,
    recorded: Arc<Mutex<Vec<(&'static str, f64)>>>,
}

impl Visit for &Trace {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.recorded.lock().unwrap().push((field.name(), value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        panic!("{field} is no number of seconds: {value:?}");
    }
}

impl Subscriber for Trace {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span()
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        *self.span.lock().unwrap() = Some(span.metadata());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut &*self);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}

    fn current_span(&self) -> Current {
        self.span.lock().unwrap().map_or_else(Current::none, |span| Current::new(Id::from_u64(1), span))
    }
}

/// What is recorded in a span of a caller that does this.
fn recorded(with_field: bool, work: impl FnOnce()) -> Vec<(&'static str, f64)> {
    let trace = Trace::default();
    with_default(trace.clone(), || {
        let span = match with_field {
            true => info_span!("work", db.client.connection.wait = Empty),
            false => info_span!("other work"),
        };
        span.in_scope(work);
    });
    trace.recorded.lock().unwrap().clone()
}

#[test]
fn whoever_has_waited_finds_the_seconds_in_its_span_and_others_find_nothing() {
    let (_manager, pool) = pool_of(1);
    assert_eq!(recorded(true, || drop(pool.get().unwrap())), [], "a direct checkout");
    let held = pool.get().unwrap();
    let holder = thread::spawn({
        let pool = pool.clone();
        move || {
            eventually(BOUND, "somebody waits", || pool.gauges().waiting == 1);
            thread::sleep(20 * MS);
            drop(held);
        }
    });
    let found = recorded(true, || drop(pool.get_timeout(BOUND).unwrap()));
    holder.join().unwrap();
    let [("db.client.connection.wait", waited)] = found[..] else { panic!("{found:?}") };
    assert!(waited >= 0.02 && waited < BOUND.as_secs_f64(), "{waited}");
}

#[test]
fn whoever_has_waited_in_vain_finds_the_seconds_too() {
    let (_manager, pool) = pool_of(1);
    let _held = pool.get().unwrap();
    let found = recorded(true, || assert!(pool.get_timeout(20 * MS).is_err()));
    let [("db.client.connection.wait", waited)] = found[..] else { panic!("{found:?}") };
    assert!(waited >= Duration::from_millis(20).as_secs_f64(), "{waited}");
}

#[test]
fn a_span_without_the_field_is_left_alone() {
    let (_manager, pool) = pool_of(1);
    let held = pool.get().unwrap();
    let others = waiters(&pool, 1);
    assert_eq!(recorded(false, || assert!(pool.get_timeout(MS).is_err())), []);
    drop(held);
    assert!(others.into_iter().all(|other| other.join().unwrap().is_ok()));
}
