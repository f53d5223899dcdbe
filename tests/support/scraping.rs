//! A Prometheus that scrapes by the configuration of the examples.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::port::free_port;
use super::prometheus::program;
use super::wait::LONG_BOUND;

/// Where dashboard, alerts and configuration are.
pub const DASHBOARDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/dashboards");

/// Reads one of the files there.
///
/// # Panics
///
/// When it cannot be read.
pub fn of_dashboards(name: &str) -> String {
    fs::read_to_string(Path::new(DASHBOARDS).join(name)).expect("the file is in the repository")
}

/// The longest that something is waited for that Prometheus comes by with its scrapes, one a second.
pub const SCRAPED: Duration = LONG_BOUND.saturating_mul(3);

/// A Prometheus on loopback that is ended with this.
pub struct Prometheus {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts one by the configuration of the example, with another target and a scrape a second.
    pub fn scraping(target: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = of_dashboards("prometheus.yml");
        assert!(config.contains("127.0.0.1:9464") && config.contains("_interval: 5s"));
        let config = config.replace("127.0.0.1:9464", &format!("127.0.0.1:{target}"));
        fs::write(folder.path().join("prometheus.yml"), config.replace("_interval: 5s", "_interval: 1s"))
            .unwrap();
        fs::write(folder.path().join("alerts.yml"), of_dashboards("alerts.yml")).unwrap();
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
    pub fn asked(&self, path: &str, query: Option<&str>) -> Option<Value> {
        let mut request = ureq::get(format!("http://127.0.0.1:{}{path}", self.port));
        if let Some(query) = query {
            request = request.query("query", query);
        }
        let answer = request.call().ok()?.into_body().read_to_string().ok()?;
        serde_json::from_str::<Value>(&answer).ok().map(|answer| answer["data"].clone())
    }

    /// The series of an expression's answer, each with its labels and its value.
    pub fn answers(&self, expr: &str) -> Vec<(Value, f64)> {
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

/// Whether only a pool that is part of a fleet, and so has a PostgreSQL, has an answer to this.
pub fn is_of_fleet(expr: &str) -> bool {
    expr.contains("db_pool_fleet_")
}

/// The expressions of the dashboard, with its variables filled in.
///
/// # Panics
///
/// When the dashboard is none.
pub fn of_panels() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&of_dashboards("grafana.json")).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("it has panels").iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().expect("each has targets"));
    let filled = |expr: &str| expr.replace("$__rate_interval", "5s").replace("$pool", ".*");
    targets.map(|target| filled(target["expr"].as_str().expect("each has an expression"))).collect()
}

/// The expressions of the alerts, without the comparison by which they are mostly empty.
///
/// # Panics
///
/// When one does not end in a comparison with a number.
pub fn of_alerts() -> Vec<String> {
    let rules = of_dashboards("alerts.yml");
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
