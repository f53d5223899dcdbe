//! The picture as text and as JSON.

use serde_json::{Value, json};

use super::picture::{Picture, Process};
use crate::seen::join::Count;
use crate::seen::live::{Person, TierStats};
use crate::table::{Table, seconds, time};

/// People listed before the rest is only counted.
const LISTED: usize = 20;

/// The box and the tables below it.
pub fn text(picture: &Picture) -> String {
    let mut parts = vec![picture.stats.for_stdout(), format!("Server: {}", picture.server)];
    parts.extend(table(&tiers(picture)));
    parts.extend(people(picture, "held", |process| {
        [&process.pool.told.holders.automation, &process.pool.told.holders.adhoc]
    }));
    parts.extend(people(picture, "waits", |process| {
        [&process.pool.told.queues.automation, &process.pool.told.queues.adhoc]
    }));
    parts.extend(table(&sessions(picture)));
    parts.extend(picture.reasons.iter().map(|reason| format!("degraded: {reason}")));
    parts.extend(picture.notes.iter().map(|note| format!("note: {note}")));
    parts.join("\n\n")
}

fn table(table: &Table) -> Option<String> {
    (!table.is_empty()).then(|| table.to_string())
}

/// A row for each tier of each process.
fn tiers(picture: &Picture) -> Table {
    let mut table = Table::new(&[
        "pool",
        "process",
        "tier",
        "in use",
        "idle",
        "opening",
        "waiting",
        "oldest",
        "p99",
        "timeouts",
        "on server",
    ]);
    for process in &picture.processes {
        for (name, stats, on_server) in of_tiers(process) {
            table.row(vec![
                process.pool.name.clone(),
                process.pool.process.to_string(),
                name.to_owned(),
                format!("{}/{}", stats.lent, stats.ceiling),
                stats.gauges.idle.to_string(),
                stats.gauges.opening.to_string(),
                stats.gauges.waiting.to_string(),
                time(stats.oldest_waiter),
                time(stats.wait_p99()),
                stats.checkouts.timed_out.to_string(),
                on_server.map_or_else(|| "?".to_owned(), |number| number.to_string()),
            ]);
        }
    }
    table
}

fn of_tiers(process: &Process) -> [(&'static str, &TierStats, Option<usize>); 2] {
    let (tiers, on_server) = (&process.pool.told.tiers, process.on_server.as_ref());
    [
        ("automation", &tiers.automation, on_server.map(|both| both.automation)),
        ("adhoc", &tiers.adhoc, on_server.map(|both| both.adhoc)),
    ]
}

/// Those who have connections, or who wait, the longest first.
fn people(
    picture: &Picture,
    what: &'static str,
    of: impl Fn(&Process) -> [&Vec<Person>; 2],
) -> Option<String> {
    let mut all: Vec<(u32, &str, &Person)> = Vec::new();
    for process in &picture.processes {
        for (tier, people) in ["automation", "adhoc"].into_iter().zip(of(process)) {
            all.extend(people.iter().map(|person| (process.pool.process, tier, person)));
        }
    }
    all.sort_by(|(.., a), (.., b)| b.seconds.total_cmp(&a.seconds));
    let mut table = Table::new(&[what, "process", "tier", "thread", "line", "tag"]);
    for (process, tier, person) in all.iter().take(LISTED) {
        table.row(vec![
            seconds(person.seconds),
            process.to_string(),
            (*tier).to_owned(),
            person.thread.clone(),
            person.location.clone(),
            person.tag.clone().unwrap_or_default(),
        ]);
    }
    let more = all.len().saturating_sub(LISTED);
    let rest = if more > 0 { format!("\nand {more} more") } else { String::new() };
    (!table.is_empty()).then(|| format!("{table}{rest}"))
}

/// Sessions that no process here told of.
fn sessions(picture: &Picture) -> Table {
    let mut table = Table::new(&["application", "without a socket, on", "tier", "open", "not idle"]);
    for here in &picture.elsewhere {
        for (tier, count) in [("automation", &here.sessions.automation), ("adhoc", &here.sessions.adhoc)] {
            let Count { open, busy, hidden } = count;
            if *open > 0 {
                let busy = if *hidden > 0 { "?".to_owned() } else { busy.to_string() };
                let cells = [&here.app, &here.host, tier, &open.to_string(), &busy];
                table.row(cells.map(str::to_owned).to_vec());
            }
        }
    }
    table
}

/// The same for scripts.
pub fn json(picture: &Picture) -> Value {
    let stats = &picture.stats;
    json!({
        "application": picture.app,
        "code": picture.code as u8,
        "verdict": picture.verdict,
        "message": stats.message,
        "degraded": picture.reasons,
        "server": picture.server,
        "total": {
            "total_connections": stats.total_connections,
            "reserved": stats.reserved,
            "guaranteed": stats.guaranteed,
            "in_use": stats.in_use,
            "ceiling": stats.total_possible,
            "available": stats.available,
            "overflow": stats.overflow,
        },
        "processes": picture.processes.iter().map(of_process).collect::<Value>(),
        "elsewhere": picture.elsewhere.iter().map(|here| json!({
            "application": here.app,
            "host": here.host,
            "automation": of_count(&here.sessions.automation),
            "adhoc": of_count(&here.sessions.adhoc),
        })).collect::<Value>(),
        "missing": picture.notes,
    })
}

fn of_count(count: &Count) -> Value {
    json!({ "open": count.open, "not_idle": count.busy, "hidden": count.hidden })
}

fn of_process(process: &Process) -> Value {
    let told = &process.pool.told;
    let [automation, adhoc] = of_tiers(process);
    let (holders, waiters, pids) = (&told.holders, &told.queues, &told.backend_pids);
    json!({
        "process": process.pool.process,
        "pool": process.pool.name,
        "healthy": told.is_healthy,
        "message": told.message,
        "automation": of_tier(automation, &holders.automation, &waiters.automation, &pids.automation),
        "adhoc": of_tier(adhoc, &holders.adhoc, &waiters.adhoc, &pids.adhoc),
    })
}

fn of_tier(
    (_, stats, on_server): (&str, &TierStats, Option<usize>),
    holders: &[Person],
    waiters: &[Person],
    pids: &[i32],
) -> Value {
    json!({
        "in_use": stats.lent,
        "ceiling": stats.ceiling,
        "idle": stats.gauges.idle,
        "opening": stats.gauges.opening,
        "waiting": stats.gauges.waiting,
        "oldest_waiter_seconds": stats.oldest_waiter.map(|time| time.as_secs_f64()),
        "wait_p99_seconds": stats.wait_p99().map(|time| time.as_secs_f64()),
        "timeouts": stats.checkouts.timed_out,
        "on_server": on_server,
        "backend_pids": pids,
        "holders": holders.iter().map(of_person).collect::<Value>(),
        "waiters": waiters.iter().map(of_person).collect::<Value>(),
    })
}

fn of_person(person: &Person) -> Value {
    json!({
        "thread": person.thread,
        "location": person.location,
        "tag": person.tag,
        "seconds": person.seconds,
    })
}
