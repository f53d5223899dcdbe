//! What all processes of this user tell by their admin sockets, as a server shows it.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::{Request, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::admin::AdminSocket;
use super::clients::gate::Place;
use super::merge::Merged;
use super::reply::{self, Reply};
use super::routes::{self, Given, Readers, health_status};
use crate::metrics::CONTENT_TYPE;
use crate::text::harmless;

/// How long the answers hold, however many ask.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// How long all sockets together are waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// What there is.
#[derive(Clone, Copy)]
enum Route {
    List,
    Health,
    Metrics,
    Everything,
}

const ROUTES: [(&str, Route, Given); 4] = [
    ("/", Route::List, Given::InTurn),
    ("/health/pool", Route::Health, Given::Always),
    ("/metrics", Route::Metrics, Given::InTurn),
    ("/admin/metrics/database", Route::Everything, Given::InTurn),
];

/// A pool of a process that answered.
#[derive(Clone)]
struct Told {
    app: String,
    process: u32,
    /// Its number in its process.
    id: u64,
    name: String,
    what: Value,
}

/// Answers to one question, the last ones. The lock is held while the next ones are asked for, so that one asks.
type Last = Mutex<Option<(Instant, Arc<Vec<Told>>)>>;

/// What a server of all processes shows.
pub(super) struct Processes {
    readers: Readers,
    health: Last,
    metrics: Last,
    everything: Last,
}

impl Processes {
    pub(super) fn new(readers: Readers) -> Self {
        let [health, metrics, everything] = [(); 3].map(|()| Last::default());
        Processes { readers, health, metrics, everything }
    }

    /// Answers a request.
    pub(super) async fn answer<B>(&self, request: Request<B>, place: Place) -> Reply {
        let route = match routes::route(&ROUTES, &request, place, &self.readers) {
            Ok(route) => route,
            Err(refusal) => return *refusal,
        };
        let may_read_all = self.readers.admit(&request).is_ok();
        let (last, target) = match route {
            Route::List | Route::Health => (&self.health, "/health"),
            Route::Metrics => (&self.metrics, "/metrics"),
            Route::Everything => (&self.everything, "/status"),
        };
        // The request is gone by now, and with it what is not to be kept while others answer.
        drop(request);
        match ask(last, target).await {
            Ok(told) => tell(route, &told, may_read_all),
            Err(error) => reply::text(StatusCode::SERVICE_UNAVAILABLE, cannot_ask(&error, may_read_all)),
        }
    }
}

/// The error may name a folder.
fn cannot_ask(error: &io::Error, may_read_all: bool) -> String {
    let told = if may_read_all { format!(": {}", harmless(error)) } else { String::new() };
    format!("admin sockets cannot be looked for{told}")
}

/// The last answers where they hold, else the next.
async fn ask(last: &Last, target: &str) -> io::Result<Arc<Vec<Told>>> {
    let mut last = last.lock().await;
    if let Some((at, told)) = &*last
        && at.elapsed() < FRESH_FOR
    {
        return Ok(Arc::clone(told));
    }
    let sockets = AdminSocket::listed()?;
    let answers = AdminSocket::ask_each(&sockets, target, PATIENCE).await;
    let each = sockets.iter().zip(answers);
    let told: Vec<_> = each.flat_map(|(socket, answer)| pools(socket, &answer.unwrap_or_default())).collect();
    let told = Arc::new(told);
    *last = Some((Instant::now(), Arc::clone(&told)));
    Ok(told)
}

/// The pools in an answer; none in what no process of this crate's says.
fn pools(socket: &AdminSocket, answer: &str) -> Vec<Told> {
    let mut answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let Some(Value::Array(pools)) = answer.get_mut("pools").map(Value::take) else { return Vec::new() };
    let told = pools.into_iter().filter_map(|mut pool| {
        let (id, name) = (pool["id"].as_u64()?, harmless(pool["name"].as_str()?));
        let (app, process) = (harmless(socket.app()), socket.process());
        Some(Told { app, process, id, name, what: pool.get_mut("told")?.take() })
    });
    told.collect()
}

fn tell(route: Route, all: &[Told], may_read_all: bool) -> Reply {
    match route {
        Route::List => {
            let line = |told: &Told| {
                let (health, _) = health(told, may_read_all);
                let message = harmless(health["message"].as_str().unwrap_or("says nothing of its health"));
                format!("{}, process {}, pool {}: {message}", told.app, told.process, told.name)
            };
            let lines: Vec<_> = all.iter().map(line).collect();
            let nobody = "no process of this user has an admin socket here";
            reply::text(StatusCode::OK, if all.is_empty() { nobody.to_owned() } else { lines.join("\n") })
        }
        Route::Health => {
            let judged: Vec<_> = all.iter().map(|told| health(told, may_read_all)).collect();
            let is_well = !all.is_empty() && judged.iter().all(|(_, is_well)| *is_well);
            let each = all.iter().zip(judged).map(|(told, (health, _))| of_pool(told, health));
            let pools: Vec<_> = each.collect();
            reply::json(health_status(is_well), &json!({ "healthy": is_well, "pools": pools }))
        }
        Route::Metrics => {
            let mut merged = Merged::default();
            for Told { process, id, what, .. } in all {
                merged.take(what.as_str().unwrap_or_default(), &format!("process=\"{process}\",id=\"{id}\""));
            }
            let processes: BTreeSet<_> = all.iter().map(|told| told.process).collect();
            merged.put("tierpool_processes", "Processes of this user that have answered.", processes.len());
            reply::of_type(StatusCode::OK, CONTENT_TYPE, merged.text())
        }
        Route::Everything => {
            let pools: Vec<_> = all.iter().map(|told| of_pool(told, told.what.clone())).collect();
            reply::json(StatusCode::OK, &json!({ "pools": pools }))
        }
    }
}

fn of_pool(told: &Told, what: Value) -> Value {
    let Told { app, process, id, name, .. } = told;
    json!({ "application": app, "process": process, "id": id, "pool": name, "told": what })
}

/// What a pool says of its health, to all or to who may read all, and whether that is good.
fn health(told: &Told, may_read_all: bool) -> (Value, bool) {
    let said = &told.what[if may_read_all { "full" } else { "brief" }];
    (said.clone(), told.what["status"] == 200)
}
