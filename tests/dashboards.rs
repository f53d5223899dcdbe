//! The dashboard and the alerts, by a real Prometheus: each expression has an answer, and says what the pool says.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;
use support::port::free_port;
use support::prometheus::{program, promtool, series};
use support::wait::{LONG_BOUND, MS, eventually};
use tierpool::{MemoryManager, Tier, TieredPool, http, metrics};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/dashboards");

/// The longest that something is waited for that Prometheus comes by with its scrapes, one a second.
const SCRAPED: std::time::Duration = LONG_BOUND.saturating_mul(3);

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(FOLDER).join(name)).unwrap()
}

/// The expressions of the dashboard, with its variables filled in.
fn of_dashboard() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read("grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let filled = |expr: &str| expr.replace("$__rate_interval", "5s").replace("$pool", ".*");
    targets.map(|target| filled(target["expr"].as_str().unwrap())).collect()
}

/// The expressions of the alerts, without the comparison by which they are mostly empty.
fn of_alerts() -> Vec<String> {
    let rules = read("alerts.yml");
    let exprs = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let found: Vec<_> = exprs
        .map(|expr| {
            let mut words: Vec<_> = expr.split(' ').collect();
            let (bound, comparison) = (words.pop(), words.pop());
            assert!(bound.is_some_and(|bound| bound.parse::<f64>().is_ok()), "{expr}");
            assert!(matches!(comparison, Some(">" | "<" | "==")), "{expr}");
            words.join(" ")
        })
        .collect();
    assert_eq!(found.len(), rules.matches("- alert: ").count());
    found
}

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
    promtool_says(&["check", "config", &format!("{FOLDER}/prometheus.yml")]);
    let rules = promtool_says(&["check", "rules", &format!("{FOLDER}/alerts.yml")]);
    assert!(rules.contains("10 rules found"), "{rules}");
    promtool_says(&["test", "rules", &format!("{FOLDER}/alerts.test.yml")]);
}

#[test]
fn each_alert_is_tested_both_ways_on_series_that_a_pool_has() {
    let pool = TieredPool::builder().build(|_| MemoryManager).unwrap();
    let text = metrics::text(&pool);
    let has: BTreeSet<_> =
        series(&text).into_keys().map(|series| series.replace("tierpool", "shop")).collect();
    let tests = read("alerts.test.yml");
    for line in tests.lines() {
        if let Some(series) = line.trim().strip_prefix("- series: '") {
            assert!(has.contains(series.trim_end_matches('\'')), "no pool has {series}");
        }
    }
    for alert in read("alerts.yml").lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        for way in ["fires", "is silent"] {
            assert!(tests.contains(&format!("- name: {alert} {way}\n")), "{alert} {way}");
        }
    }
}

/// A Prometheus on loopback that is ended with this.
struct Prometheus {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts one by the configuration of the example, with another target and a scrape a second.
    fn scraping(target: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = read("prometheus.yml");
        assert!(config.contains("127.0.0.1:9464") && config.contains("_interval: 5s"));
        let config = config.replace("127.0.0.1:9464", &format!("127.0.0.1:{target}"));
        fs::write(folder.path().join("prometheus.yml"), config.replace("_interval: 5s", "_interval: 1s"))
            .unwrap();
        fs::write(folder.path().join("alerts.yml"), read("alerts.yml")).unwrap();
        let port = free_port().unwrap();
        let child = Command::new(program("prometheus"))
            .current_dir(folder.path())
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Prometheus { child, port, _folder: folder }
    }

    /// What it answers on a path, once it does.
    fn asked(&self, path: &str, query: Option<&str>) -> Option<Value> {
        let mut request = ureq::get(format!("http://127.0.0.1:{}{path}", self.port));
        if let Some(query) = query {
            request = request.query("query", query);
        }
        let answer = request.call().ok()?.into_body().read_to_string().ok()?;
        serde_json::from_str::<Value>(&answer).ok().map(|answer| answer["data"].clone())
    }

    /// The series of an expression's answer, each with its labels and its value.
    fn answers(&self, expr: &str) -> Vec<(Value, f64)> {
        let Some(data) = self.asked("/api/v1/query", Some(expr)) else { return Vec::new() };
        let series = data["result"].as_array().unwrap_or_else(|| panic!("{expr}: {data}"));
        let value = |of: &Value| of["value"][1].as_str().unwrap().parse().unwrap();
        series.iter().map(|of| (of["metric"].clone(), value(of))).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
    let exprs: Vec<_> = of_dashboard().into_iter().chain(of_alerts()).collect();
    for expr in &exprs {
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
