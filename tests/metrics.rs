//! The metrics: valid by Prometheus' own tool, and of the same mind as the statistics.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus_client::encoding::prometheus_text;
use prometheus_client::registry::Registry;
use support::prometheus::{assert_valid, complaints, series};
use support::scripted::{Call, ScriptedError, Step, still, waiters};
use support::wait::{BOUND, MS, SECOND, eventually};
use tierpool::metrics::{self, Collector, Names};
use tierpool::stats::{CloseCause, Histogram};
use tierpool::{MemoryManager, NopErrorHandler, Pool, Stats, Tier, TieredPool};

fn names(text: &str) -> Vec<&str> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|line| line.split(' ').next().expect("a name")).collect()
}

/// A pool of two tiers in the middle of its work: two of automation's three are out, a person has one.
fn at_work<T>(look: impl FnOnce(&TieredPool<MemoryManager>) -> T) -> T {
    let builder = TieredPool::builder().total_connections(5).reserved(2);
    let pool = builder.automation(|tier| tier.base_size(1).max_overflow(2)).build(|_| MemoryManager).unwrap();
    let _out = (pool.get(Tier::Automation).unwrap(), pool.get(Tier::Automation).unwrap());
    let _person = pool.get(Tier::Adhoc).unwrap();
    drop(pool.get(Tier::Automation).unwrap());
    eventually(BOUND, "all are open", || pool.automation().gauges().opening == 0);
    look(&pool)
}

#[test]
fn promtool_finds_no_fault_with_any_kind_of_pool() {
    at_work(|pool| assert_valid(&metrics::text(pool)));
    assert_valid(&metrics::text(&Pool::new(MemoryManager).unwrap()));
}

#[test]
fn every_name_is_there_once() {
    let mut wanted = [
        "size checked_out overflow available utilization_percent max connections waiting",
        "oldest_waiter_seconds reserved reserved_free zombies breaker_open in_use_peak waiting_peak",
        "checkouts_total opened_total closed_total open_failures_total busy_seconds_total",
        "breaker_openings_total returned_dirty_total slow_checkouts_total long_holds_total",
        "stuck_cancelled_total stuck_terminated_total slow_queries_total statement_timeouts_total",
        "events_lost_total batch_items_total wait_seconds open_seconds hold_seconds",
        "config_total_connections config_max_overflow config_min_idle config_connection_timeout_seconds",
        "config_max_lifetime_seconds config_idle_timeout_seconds",
    ]
    .iter()
    .flat_map(|names| names.split(' '))
    .map(|name| format!("db_pool_{name}"))
    .collect::<Vec<_>>();
    wanted.sort();
    let text = at_work(metrics::text);
    let mut found = names(&text);
    found.sort();
    assert_eq!(found, wanted);
}

/// Of what a histogram's series say against its snapshot.
fn assert_times(found: &BTreeMap<String, f64>, name: &str, labels: &str, first_ms: u64, told: &Histogram) {
    assert_eq!(found[&format!("{name}_count{{{labels}}}")], told.count() as f64);
    let sum = found[&format!("{name}_sum{{{labels}}}")];
    assert!((sum - told.sum.as_secs_f64()).abs() < 1e-9, "{sum} for {:?}", told.sum);
    let bounds = found.keys().filter(|series| series.starts_with(&format!("{name}_bucket{{{labels},le=")));
    let longer = tierpool::stats::BOUNDS_MS.iter().filter(|bound| **bound >= first_ms).count();
    assert_eq!(bounds.count(), longer + 1, "and one without end");
    let mut below = 0;
    for (bound, count) in tierpool::stats::BOUNDS_MS.iter().zip(told.counts) {
        below += count;
        let mut bounds = found.iter().filter_map(|(series, value)| {
            let le = series.strip_prefix(&format!("{name}_bucket{{"))?.strip_suffix("\"}")?;
            let (of, le) =
                le.rsplit_once(",le=\"").or_else(|| le.split_once("le=\"").map(|(_, le)| ("", le)))?;
            (of == labels && le.parse() == Ok(*bound as f64 / 1000.0)).then_some(*value)
        });
        assert_eq!(bounds.next(), (*bound >= first_ms).then_some(below as f64), "{name} up to {bound} ms");
    }
    assert_eq!(found[&format!("{name}_bucket{{{labels},le=\"+Inf\"}}")], told.count() as f64);
}

#[test]
fn every_series_says_what_the_statistics_say() {
    at_work(|pool| {
        let found = series(&metrics::text(pool));
        let told = pool.get_database_stats();
        for (tier, stats) in [(Tier::Automation, &told.automation), (Tier::Adhoc, &told.adhoc)] {
            let labels = format!("pool=\"tierpool\",tier=\"{tier}\"");
            let of = |name: &str| found[&format!("db_pool_{name}{{{labels}}}")];
            let by = |name: &str, label: &str| found[&format!("db_pool_{name}{{{labels},{label}}}")];
            let status = pool.get_pool_status(tier);
            assert_eq!(of("size"), f64::from(status.size));
            assert_eq!(of("max"), f64::from(stats.ceiling));
            assert_eq!(of("checked_out"), f64::from(status.checked_out));
            assert_eq!(of("overflow"), f64::from(status.overflow));
            assert_eq!(of("available"), f64::from(status.available));
            assert!((of("utilization_percent") - status.utilization_percent).abs() < 1e-9);
            assert_eq!(by("connections", "state=\"idle\""), f64::from(stats.gauges.idle));
            assert_eq!(by("connections", "state=\"in_use\""), f64::from(stats.gauges.in_use));
            assert_eq!(by("connections", "state=\"opening\""), 0.0);
            assert_eq!(by("checkouts_total", "outcome=\"direct\""), stats.checkouts.direct as f64);
            assert_eq!(by("checkouts_total", "outcome=\"waited\""), stats.checkouts.waited as f64);
            assert_eq!(of("opened_total"), stats.opened as f64);
            assert_eq!(of("in_use_peak"), f64::from(stats.recent_peak_in_use));
            assert_eq!(of("breaker_open"), 0.0);
            assert_eq!(of("config_connection_timeout_seconds"), 60.0);
            for cause in CloseCause::ALL {
                let told = stats.closed.count(cause) as f64;
                assert_eq!(by("closed_total", &format!("cause=\"{cause}\"")), told);
            }
            assert_times(&found, "db_pool_wait_seconds", &labels, 0, &stats.wait);
            assert_times(&found, "db_pool_open_seconds", &labels, 0, &stats.open);
            assert_times(&found, "db_pool_hold_seconds", &labels, 25, &stats.hold);
        }
        let adhoc = |name: &str| found[&format!("db_pool_{name}{{pool=\"tierpool\",tier=\"adhoc\"}}")];
        assert_eq!((adhoc("reserved"), adhoc("reserved_free")), (2.0, 1.0));
        assert_eq!(adhoc("config_total_connections"), 5.0);
        assert_eq!(found.keys().filter(|series| series.starts_with("db_pool_reserved{")).count(), 1);
    });
}

#[test]
fn what_goes_wrong_is_counted_by_its_kind() {
    let (builder, _hand, manager) = still(|builder| {
        builder.max_size(1).failure_threshold(1).error_handler(Box::new(NopErrorHandler)).name("alone")
    });
    let pool = builder.build(manager.clone()).unwrap();
    let mut out = pool.get().unwrap();
    assert!(pool.get_timeout(MS).is_err());
    let refused = waiters(&pool, 1);
    manager.always(Call::Connect, Step::err(ScriptedError::transient("down")));
    out.mark_broken();
    drop(out);
    for waiter in refused {
        assert!(waiter.join().unwrap().is_err());
    }
    eventually(BOUND, "the breaker has opened", || pool.stats().breaker_openings == 1);
    let stats: Stats = pool.stats();
    let found = series(&metrics::text(&pool));
    let of = |series: &str| found[&format!("db_pool_{series}")];
    assert_eq!(of("breaker_open{pool=\"alone\"}"), 1.0);
    assert_eq!(of("breaker_openings_total{pool=\"alone\"}"), 1.0);
    assert_eq!(of("available{pool=\"alone\"}"), 0.0);
    assert_eq!(of("checkouts_total{pool=\"alone\",outcome=\"timed_out\"}"), stats.checkouts.timed_out as f64);
    assert_eq!(of("checkouts_total{pool=\"alone\",outcome=\"rejected\"}"), stats.checkouts.rejected as f64);
    assert_eq!(of("closed_total{pool=\"alone\",cause=\"broken\"}"), 1.0);
    assert!(of("open_failures_total{pool=\"alone\",class=\"transient\"}") >= 1.0);
    assert!(!found.keys().any(|series| series.contains("reserved") || series.contains("tier=")));
}

#[test]
fn a_name_with_marks_in_it_forges_no_label_and_no_line() {
    let name = "a\"} 1\nforged{x=\"\\";
    let pool = Pool::builder().name(name).max_size(1).build(MemoryManager).unwrap();
    let text = metrics::text(&pool);
    assert_valid(&text);
    assert!(!text.lines().any(|line| line.starts_with("forged")), "{text}");
}

#[test]
fn several_pools_are_told_in_one_text() {
    let (first, second) = (Pool::builder().name("first"), Pool::builder().name("second"));
    let (first, second) = (first.build(MemoryManager).unwrap(), second.build(MemoryManager).unwrap());
    let text = Collector::new().with(&first).with(&second).text();
    assert_valid(&text);
    let found = series(&text);
    assert!(
        ["first", "second"]
            .iter()
            .all(|pool| found.contains_key(&format!("db_pool_size{{pool=\"{pool}\"}}")))
    );
}

#[test]
fn a_registry_of_the_programs_own_tells_the_same_and_keeps_no_pool_open() {
    let pool = Pool::builder().max_size(1).build(MemoryManager).unwrap();
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Collector::new().with(&pool)));
    let text = || {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).unwrap();
        text
    };
    assert_eq!(text(), metrics::text(&pool));
    let events = pool.subscribe(16);
    drop(pool);
    assert!(events.recv_timeout(10 * SECOND).is_ok(), "it was closed");
    assert_eq!(text(), "");
}

#[test]
fn one_that_waits_for_ever_has_no_timeout_to_tell() {
    let builder = Pool::builder().wait_mode(tierpool::WaitMode::Forever).max_lifetime(None);
    let text = metrics::text(&builder.idle_timeout(Some(90 * SECOND)).build(MemoryManager).unwrap());
    let found = series(&text);
    assert!(!text.contains("connection_timeout") && !text.contains("max_lifetime"), "{text}");
    assert_eq!(
        found["db_pool_config_idle_timeout_seconds{pool=\"pool\"}"],
        Duration::from_secs(90).as_secs_f64()
    );
}

/// What a pool at work tells under these names, and what the statistics say of its automation tier.
fn told_as(names: Names) -> (String, BTreeMap<String, f64>, Stats) {
    at_work(|pool| {
        let text = Collector::new().with(pool).names(names).text();
        let found = series(&text);
        (text, found, pool.automation().stats())
    })
}

#[test]
fn opentelemetrys_names_say_the_same() {
    let (text, found, stats) = told_as(Names::OpenTelemetry);
    let complaints = complaints(&text);
    let unusual = complaints.lines().filter(|line| !line.starts_with("db_client_connection_count "));
    assert_eq!(unusual.collect::<Vec<_>>(), [""; 0]);
    let tier = "db_client_connection_pool_name=\"automation\"";
    let of = |name: &str| found[&format!("db_client_connection_{name}{{{tier}}}")];
    let count = |state: &str| {
        found[&format!("db_client_connection_count{{{tier},db_client_connection_state=\"{state}\"}}")]
    };
    assert_eq!(
        (count("used"), count("idle")),
        (f64::from(stats.gauges.in_use), f64::from(stats.gauges.idle))
    );
    assert_eq!((of("max"), of("pending_requests"), of("timeouts_total")), (3.0, 0.0, 0.0));
    for (name, first_ms, told) in
        [("wait_time", 0, &stats.wait), ("use_time", 25, &stats.hold), ("create_time", 0, &stats.open)]
    {
        assert_times(&found, &format!("db_client_connection_{name}_seconds"), tier, first_ms, told);
    }
    assert_eq!(names(&text).len(), 7, "{text}");
}

#[test]
fn hikaris_names_say_the_same() {
    let (text, found, stats) = told_as(Names::Hikari);
    assert_valid(&text);
    let of = |name: &str| found[&format!("hikaricp_connections{name}{{pool=\"automation\"}}")];
    assert_eq!((of("_active"), of("_idle")), (f64::from(stats.gauges.in_use), f64::from(stats.gauges.idle)));
    assert_eq!((of(""), of("_pending"), of("_max"), of("_min")), (3.0, 0.0, 3.0, 0.0));
    assert_eq!(of("_timeout_total"), 0.0);
    for (name, first_ms, told) in
        [("acquire", 0, &stats.wait), ("usage", 25, &stats.hold), ("creation", 0, &stats.open)]
    {
        let name = format!("hikaricp_connections_{name}_seconds");
        assert_times(&found, &name, "pool=\"automation\"", first_ms, told);
    }
    assert_eq!(names(&text).len(), 10, "{text}");
}

#[test]
fn pools_of_one_name_are_told_apart_by_a_number() {
    let new = || TieredPool::builder().build(|_| MemoryManager).unwrap();
    let (first, second) = (new(), new());
    let _held = second.get(Tier::Adhoc).unwrap();
    let both = Collector::new().with(&first).with(&second);
    let told = series(&both.text());
    let of = |pool: &str| told[&format!("db_pool_checked_out{{pool=\"{pool}\",tier=\"adhoc\"}}")];
    assert_eq!((of("tierpool"), of("tierpool-2")), (0.0, 1.0));
    let told = series(&both.names(Names::Hikari).text());
    let of = |pool: &str| told[&format!("hikaricp_connections_active{{pool=\"{pool}\"}}")];
    assert_eq!((of("adhoc"), of("adhoc-2")), (0.0, 1.0));
}
