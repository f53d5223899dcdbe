//! Which path has which answer, and what may be done.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header;
use hyper::{Method, Request, StatusCode};
use log::Level;
use serde_json::{Value, json};
use tokio::net::unix::UCred;

use super::query::Query;
use super::registry::{self, Listed};
use crate::event::EventReceiver;
use crate::http::acts::{Act, Sizes};
use crate::http::clients::gate::Place;
use crate::http::reply::{self, Reply};
use crate::http::view::{EVENTS_KEPT, Everything};
use crate::lines::{Origin, say};
use crate::text::harmless;

/// The longest that events are listened for in one request.
const LONGEST_LISTEN: u64 = 5;

const READS: [&str; 7] = ["/status", "/holders", "/waiters", "/stats", "/health", "/metrics", "/events"];
const WRITES: [&str; 5] = ["/drain", "/suspend", "/resume", "/reconfigure", "/cancel"];

/// Answers for all pools of the process.
pub(super) async fn answer(request: Request<Incoming>, place: Place) -> Reply {
    let (path, query) = (request.uri().path(), Query::of(request.uri().query()));
    let (method, reads) = (request.method(), READS.contains(&path));
    if !reads && !WRITES.contains(&path) {
        let known = [&READS[..], &WRITES[..]].concat().join(" ");
        return reply::text(StatusCode::NOT_FOUND, format!("there is only: {known}"));
    }
    let allowed = if reads { "GET" } else { "POST" };
    if method != (if reads { Method::GET } else { Method::POST }) {
        let refusal = reply::text(StatusCode::METHOD_NOT_ALLOWED, format!("only {allowed}"));
        return reply::with(refusal, header::ALLOW, allowed);
    }
    // Who looks on, or says nothing, is not to keep out who resumes.
    if place != Place::Ordinary && reads {
        return reply::text(StatusCode::SERVICE_UNAVAILABLE, "too many connections");
    }
    if path == "/events" {
        return events(&query).await;
    }
    let answer = catch_unwind(AssertUnwindSafe(|| {
        if reads { read(path, &query) } else { write(path, &query, &client(&request)) }
    }));
    answer.unwrap_or_else(|_| {
        say!(Level::Error, "tierpool", [path = path], "a handler of the admin socket panicked: {path}");
        reply::text(StatusCode::INTERNAL_SERVER_ERROR, "the handler panicked")
    })
}

fn bad(what: impl std::fmt::Display) -> Reply {
    reply::text(StatusCode::BAD_REQUEST, what)
}

/// What is told of each pool, with its number and its name.
fn of_each(pools: &[Arc<Listed>], tell: impl Fn(&Listed) -> Option<Value>) -> Reply {
    let told = pools.iter().filter_map(|listed| {
        let Listed { id, name, may_write, servers, .. } = &**listed;
        let told = tell(listed)?;
        Some(json!({ "id": id, "name": name, "admin_write": may_write, "servers": servers, "told": told }))
    });
    let pools: Vec<Value> = told.collect();
    reply::json(StatusCode::OK, &json!({ "process": std::process::id(), "pools": pools }))
}

fn read(path: &str, query: &Query<'_>) -> Reply {
    if let Err(refusal) = query.has_only(&["pool"]) {
        return bad(refusal);
    }
    let pools = match meant(query) {
        Ok(pools) => pools,
        Err(refusal) => return *refusal,
    };
    of_each(&pools, |listed| {
        match path {
            "/health" => return health(listed),
            "/metrics" => return listed.view.metrics().map(Value::from),
            _ => {}
        }
        let everything = listed.view.everything()?;
        let Everything { stats, holders, queues, .. } = &everything;
        let told = match path {
            "/holders" => json!(holders),
            "/waiters" => json!(queues),
            "/stats" => json!({ "automation": stats.automation, "adhoc": stats.adhoc }),
            _ => json!(everything),
        };
        Some(told)
    })
}

/// What an endpoint tells of a pool's health: its status, and what it says to all, and to who may read all.
fn health(listed: &Listed) -> Option<Value> {
    let health = listed.view.health()?;
    let (status, full) = (health.http_status(), json!(health));
    Some(json!({ "status": status, "brief": health.in_brief(), "full": full }))
}

/// The pool that is named, or all.
fn meant(query: &Query<'_>) -> Result<Vec<Arc<Listed>>, Box<Reply>> {
    let mut pools = registry::pools();
    if let Some(id) = query.number::<u64>("pool").map_err(|refusal| Box::new(bad(refusal)))? {
        pools.retain(|listed| listed.id == id);
        if pools.is_empty() {
            return Err(Box::new(reply::text(StatusCode::NOT_FOUND, "there is no pool of that number")));
        }
    }
    Ok(pools)
}

async fn events(query: &Query<'_>) -> Reply {
    let known = query.has_only(&["pool", "seconds"]).and_then(|()| query.number::<u64>("seconds"));
    let seconds = match known {
        Ok(seconds) => seconds.unwrap_or(1),
        Err(refusal) => return bad(refusal),
    };
    if seconds > LONGEST_LISTEN {
        return bad(format!("seconds has to be at most {LONGEST_LISTEN}"));
    }
    let pools = match meant(query) {
        Ok(pools) => pools,
        Err(refusal) => return *refusal,
    };
    let heard: Vec<_> = pools.iter().map(|listed| (listed.id, listed.view.subscribe())).collect();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    of_each(&pools, |listed| {
        let (_, tiers) = heard.iter().find(|(id, _)| *id == listed.id)?;
        // Bounded here too: under load more come while these are taken.
        let told = |events: &EventReceiver| -> Vec<Value> {
            events.try_iter().take(EVENTS_KEPT).map(|event| json!(event)).collect()
        };
        let tiers = tiers.as_ref()?;
        Some(json!({ "automation": told(&tiers.automation), "adhoc": told(&tiers.adhoc) }))
    })
}

/// Who has sent a request, as a log line has it.
fn client<B>(request: &Request<B>) -> String {
    let Some(client) = request.extensions().get::<UCred>() else { return "unknown".to_owned() };
    let process = client.pid().map_or_else(|| "?".to_owned(), |pid| pid.to_string());
    format!("process {process} of user {}", client.uid())
}

/// Logs what was asked for, and what came of it.
fn record(listed: &Listed, act: &Act, client: &str, outcome: &str) {
    say!(
        Level::Warn,
        Origin::pool(&listed.name, None).at("tierpool"),
        [act = act.to_string(), client = client, outcome = outcome],
        "by the admin socket: {act}, of pool {}, asked for by {client}: {outcome}",
        listed.name
    );
}

fn write(path: &str, query: &Query<'_>, client: &str) -> Reply {
    let act = match act(path, query) {
        Ok(act) => act,
        Err(refusal) => return bad(refusal),
    };
    let pools = match meant(query) {
        Ok(pools) => pools,
        Err(refusal) => return *refusal,
    };
    let [listed] = &pools[..] else {
        return bad("there are several pools: say which, by `pool=` and its number in /status");
    };
    if !listed.may_write {
        record(listed, &act, client, "refused: admin_write is not set");
        return reply::text(
            StatusCode::FORBIDDEN,
            "nothing may be done here: the program has not set admin_write",
        );
    }
    match listed.view.act(&act) {
        Some(Ok(done)) => {
            record(listed, &act, client, if done { "done" } else { "nothing to do" });
            reply::json(StatusCode::OK, &json!({ "done": done }))
        }
        Some(Err(refusal)) => {
            record(listed, &act, client, &format!("refused: {}", harmless(&refusal)));
            reply::text(StatusCode::CONFLICT, refusal)
        }
        None => reply::text(StatusCode::NOT_FOUND, "the pool is gone"),
    }
}

fn act(path: &str, query: &Query<'_>) -> Result<Act, String> {
    let of_tier = || query.has_only(&["pool", "tier"]).and_then(|()| query.tier());
    match path {
        "/drain" => of_tier().map(Act::Drain),
        "/suspend" => of_tier().map(Act::Suspend),
        "/resume" => of_tier().map(Act::Resume),
        "/cancel" => {
            query.has_only(&["pool", "connection"])?;
            let id = query.number("connection")?;
            id.map(Act::Cancel).ok_or_else(|| "connection has to be given, as /holders has it".to_owned())
        }
        _ => {
            query.has_only(&["pool", "total_connections", "reserved", "base_size", "max_overflow"])?;
            let sizes = Sizes {
                total_connections: query.number("total_connections")?,
                reserved: query.number("reserved")?,
                base_size: query.number("base_size")?,
                max_overflow: query.number("max_overflow")?,
            };
            if sizes == Sizes::default() {
                return Err("a size has to be given".to_owned());
            }
            Ok(Act::Reconfigure(sizes))
        }
    }
}
