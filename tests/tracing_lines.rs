//! With the feature `tracing` the lines of the log are events, and none of them is lost or told twice.

mod support;

use std::sync::LazyLock;
use std::time::Duration;

use log::LevelFilter as LogLevel;
use support::logged;
use support::scripted::{Call, ScriptedDriver, ScriptedError, Step, built, still};
use support::traced::{Events, Told, Value};
use support::wait::{BOUND, MS, eventually};
use tierpool::{MemoryManager, NopErrorHandler, Pool, TieredPool};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::set_global_default;

/// The subscriber of this program, which has a logger too.
static EVENTS: LazyLock<Events> = LazyLock::new(|| {
    let events = Events::down_to(LevelFilter::TRACE).but_of("tierpool::unwanted");
    set_global_default(events.clone()).unwrap();
    logged::capture(LogLevel::Trace);
    events
});

fn pool(name: &str) -> Pool<MemoryManager> {
    LazyLock::force(&EVENTS);
    Pool::builder().name(name).max_size(1).build(MemoryManager).unwrap()
}

#[test]
fn a_line_is_an_event_with_its_level_target_text_and_typed_fields_and_no_line_of_the_log() {
    let pool = pool("typed");
    let target = "tierpool::typed";
    eventually(BOUND, "it is ready", || EVENTS.at(target, "ready: ").len() == 1);
    drop(pool.get().unwrap());
    // Written by a thread of the pool's, as the next is by the caller's.
    let opened = EVENTS.the(target, "opened connection ");
    assert!(opened.seconds("open_seconds") < BOUND.as_secs_f64());
    let id = opened.number("connection_id");
    let lent = EVENTS.the(target, &format!("connection {id} lent after "));
    assert_eq!((lent.level, lent.number("connection_id")), (Level::DEBUG, id));
    assert_eq!((lent.field("pool"), lent.field("tier")), (Some("typed"), None), "a pool without tiers");
    assert!(lent.seconds("checkout_seconds") < BOUND.as_secs_f64());
    assert_eq!(lent.fields.len(), 4, "{lent:?}");
    assert!(lent.file.ends_with("src/pool/tell/accounts.rs"), "{lent:?}");
    let returned = EVENTS.the(target, &format!("connection {id} returned after "));
    assert_eq!(returned.number("connection_id"), id);
    let ready = EVENTS.the(target, "ready: ");
    assert_eq!((ready.level, ready.number("ceiling"), ready.number("base_size")), (Level::INFO, 1, 1));
    pool.close(BOUND);
    eventually(BOUND, "it leaves", || !EVENTS.at(target, "leaves the pool (closed)").is_empty());
    assert_eq!(EVENTS.the(target, "leaves the pool").field("cause"), Some("closed"));
    assert_eq!(logged::of("typed"), [], "told twice");
}

#[test]
fn the_lines_of_a_tier_name_it() {
    LazyLock::force(&EVENTS);
    let pool = TieredPool::builder()
        .total_connections(2)
        .reserved(1)
        .automation(|tier| tier.base_size(1).max_overflow(0))
        .build(|_| MemoryManager)
        .unwrap();
    drop(pool.adhoc().get().unwrap());
    let told = &EVENTS.at("tierpool::adhoc", "returned after")[0];
    assert_eq!((told.field("pool"), told.field("tier")), (Some("adhoc"), Some("adhoc")));
    let told = &EVENTS.at("tierpool::automation", "starting with")[0];
    assert_eq!((told.level, told.field("tier")), (Level::INFO, Some("automation")));
}

#[test]
fn a_failure_is_told_once_with_its_class_code_and_text_and_those_of_others_forge_nothing() {
    LazyLock::force(&EVENTS);
    let (builder, _hand, manager) = still(|builder| {
        let builder = builder.name("failing").max_size(1).driver(Box::new(ScriptedDriver::new()));
        builder.error_handler(Box::new(NopErrorHandler))
    });
    let error = ScriptedError::transient("no\nroom").with_code("57P03");
    manager.always(Call::Connect, Step::err(error));
    let pool = builder.build_unchecked(manager);
    assert!(pool.get_timeout(20 * MS).is_err());
    let Told { level, fields, .. } = EVENTS.the("tierpool::failing", "could not open a connection: ");
    assert_eq!(level, Level::WARN);
    assert_eq!(fields["class"], Value::Text("transient".to_owned()));
    assert_eq!(fields["code"], Value::Text("57P03".to_owned()));
    let Value::Text(text) = &fields["error"] else { panic!("{fields:?}") };
    assert!(text.contains(r"no\nroom"), "{text}");
    assert_eq!(logged::of("failing"), []);
}

#[test]
fn a_warning_of_a_hold_names_its_holder_in_fields() {
    LazyLock::force(&EVENTS);
    let (manager, pool) = built(Pool::builder().name("held").max_size(1).leak_threshold(Some(20 * MS)));
    let mut conn = pool.get().unwrap();
    conn.tag("import");
    eventually(BOUND, "it is warned of", || !EVENTS.at("tierpool::held", " held by ").is_empty());
    let told = EVENTS.the("tierpool::held", " held by ");
    assert_eq!((told.level, told.field("tag")), (Level::WARN, Some("import")));
    assert!(told.field("location").unwrap().starts_with(file!()), "{told:?}");
    assert!(told.field("thread").is_some_and(|thread| thread.contains("names_its_holder")), "{told:?}");
    assert!(told.seconds("held_seconds") >= Duration::from_millis(20).as_secs_f64());
    drop((conn, manager));
}

#[test]
fn what_the_subscriber_refuses_is_not_told_to_the_log_either() {
    let pool = pool("unwanted");
    drop(pool.get().unwrap());
    assert!(EVENTS.at("tierpool::unwanted", "").is_empty());
    assert_eq!(logged::of("unwanted"), []);
}
