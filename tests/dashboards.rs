//! The dashboard and the alerts, by a real Prometheus: each expression has an answer, and says what the pool says.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;
use support::prometheus::{promtool, series};
use support::scraping::{DASHBOARDS, Prometheus, SCRAPED, is_of_fleet, of_alerts, of_dashboards, of_panels};
use support::wait::{MS, eventually};
use tierpool::{MemoryManager, Tier, TieredPool, http, metrics};

/// The names of metrics in an expression.
fn names(expr: &str) -> impl Iterator<Item = &str> {
    expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| word.starts_with("db_pool_"))
}

#[track_caller]
fn promtool_says(args: &[&str]) -> String {
    let output = promtool(args, "");
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{told}");
    told
}

#[test]
fn promtool_takes_rules_and_configuration_and_each_alert_fires_when_it_should() {
    promtool_says(&["check", "config", &format!("{DASHBOARDS}/prometheus.yml")]);
    let rules = promtool_says(&["check", "rules", &format!("{DASHBOARDS}/alerts.yml")]);
    assert!(rules.contains("11 rules found"), "{rules}");
    promtool_says(&["test", "rules", &format!("{DASHBOARDS}/alerts.test.yml")]);
}

#[test]
fn each_alert_is_tested_both_ways_on_series_that_a_pool_has() {
    let pool = TieredPool::builder().build(|_| MemoryManager).unwrap();
    let text = metrics::text(&pool);
    let has: BTreeSet<_> =
        series(&text).into_keys().map(|series| series.replace("tierpool", "shop")).collect();
    let tests = of_dashboards("alerts.test.yml");
    for line in tests.lines() {
        if let Some(series) = line.trim().strip_prefix("- series: '") {
            let is_there = is_of_fleet(series) || has.contains(series.trim_end_matches('\''));
            assert!(is_there, "no pool has {series}");
        }
    }
    for alert in of_dashboards("alerts.yml").lines().filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        for way in ["fires", "is silent"] {
            assert!(tests.contains(&format!("- name: {alert} {way}\n")), "{alert} {way}");
        }
    }
}

/// A series as the text of a scrape writes it.
fn written(metric: &Value) -> String {
    let label = |name: &str| Some(format!("{name}=\"{}\"", metric[name].as_str()?));
    let labels = ["pool", "tier", "state", "outcome", "cause", "class", "le"].into_iter().filter_map(label);
    format!("{}{{{}}}", metric["__name__"].as_str().unwrap(), labels.collect::<Vec<_>>().join(","))
}

/// Two of automation's connections for four threads, and now and then new ones.
fn work(pool: &TieredPool<MemoryManager>, is_over: &AtomicBool) {
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                // Relaxed: a flag on its own.
                while !is_over.load(Ordering::Relaxed) {
                    let tier = if thread == 0 { Tier::Adhoc } else { Tier::Automation };
                    let conn = pool.get(tier).unwrap();
                    thread::sleep(30 * MS);
                    drop(conn);
                    if thread == 0 {
                        pool.drain();
                    }
                }
            });
        }
    });
}

#[test]
fn a_real_prometheus_has_an_answer_to_each_expression_and_it_is_the_pools() {
    let builder = TieredPool::builder().total_connections(4).reserved(2);
    let pool = builder.automation(|tier| tier.base_size(1).max_overflow(1)).build(|_| MemoryManager).unwrap();
    let server = http::serve(&pool, "127.0.0.1:0").unwrap();
    let prometheus = Prometheus::scraping(server.addr().port());
    let is_over = Arc::new(AtomicBool::new(false));
    let worker = thread::spawn({
        let (pool, is_over) = (pool.clone(), Arc::clone(&is_over));
        move || work(&pool, &is_over)
    });
    // Those of fleets have theirs from a service (`service_seen`).
    let all: Vec<_> = of_panels().into_iter().chain(of_alerts()).collect();
    let exprs: Vec<_> = all.iter().filter(|expr| !is_of_fleet(expr)).collect();
    assert_eq!(all.len() - exprs.len(), 5);
    for expr in exprs.iter().copied() {
        // Not a number: a quantile of nothing.
        let is_told = || {
            let answers = prometheus.answers(expr);
            !answers.is_empty() && answers.iter().all(|(_, value)| value.is_finite())
        };
        eventually(SCRAPED, expr, is_told);
    }
    is_over.store(true, Ordering::Relaxed);
    worker.join().unwrap();
    // From here on all stands still but the peaks, which go by.
    let _out = (pool.get(Tier::Automation).unwrap(), pool.get(Tier::Adhoc).unwrap());
    let wanted: BTreeSet<_> =
        exprs.iter().flat_map(|expr| names(expr)).filter(|name| !name.ends_with("_peak")).collect();
    assert!(wanted.len() > 20, "{wanted:?}");
    for name in wanted {
        eventually(SCRAPED, name, || {
            let told = series(&metrics::text(&pool));
            let of_name = |series: &str| series.split('{').next() == Some(name);
            let has = told.iter().filter(|(series, _)| of_name(series)).count();
            let answers = prometheus.answers(name);
            let is_same = |(metric, value): &(Value, f64)| told.get(&written(metric)) == Some(value);
            answers.len() == has && has > 0 && answers.iter().all(is_same)
        });
    }
    let stats = pool.get_database_stats();
    let told = prometheus.answers("sum by (tier) (db_pool_checkouts_total{tier=\"automation\"})");
    let ended = stats.automation.checkouts;
    assert_eq!(told[0].1, (ended.direct + ended.waited + ended.timed_out + ended.rejected) as f64);
    eventually(SCRAPED, "each rule was evaluated without a fault", || {
        let data = prometheus.asked("/api/v1/rules", None).unwrap();
        let rules = data["groups"][0]["rules"].as_array().unwrap();
        rules.len() == of_alerts().len() && rules.iter().all(|rule| rule["health"] == "ok")
    });
}
