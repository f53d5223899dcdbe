//! A run as text and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::drive::Ran;
use super::figures::{self, millis};
use super::ramp::Ramp;
use super::scenario::{Model, Plan, Shape};
use super::spread::Spread;
use super::target::Opened;
use super::verdict::Judged;
use crate::table::Table;

/// The quantiles that are told.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)];

/// What is asked for, in one line.
pub fn asked(plan: &Plan) -> String {
    let (name, seconds, threads) = (plan.name.as_str(), plan.time.as_secs(), plan.threads);
    match plan.model {
        Model::Open { rate, shape, seed } => {
            let rate = match shape {
                Shape::Even => format!("{rate} arrivals a second"),
                Shape::Spike => format!("0 to {rate} arrivals a second and back"),
            };
            format!(
                "{name}: open model, {rate} (Poisson, seed {seed}), {seconds} s, at most {threads} at a time"
            )
        }
        Model::Closed { users, think, .. } => format!(
            "{name}: closed model, {users} users who rest {} after each answer, {seconds} s; their rate follows the \
             answers",
            figures::time(think)
        ),
    }
}

/// The tables, a row for each pool; behind them what a ramp has found.
pub fn text(plan: &Plan, ramp: Option<&Ramp>, judged: &[Judged]) -> String {
    let mut parts = vec![asked(plan), format!("each request: {}", requested(plan))];
    parts.push(counts(judged).to_string());
    parts.push(times(judged).to_string());
    parts.push(thresholds(judged).to_string());
    for Judged { ran, verdict } in judged {
        let pool = ran.pool;
        let errors = [("error", &ran.record.last_error), ("error of the probe", &ran.probed.last_error)];
        for (what, error) in errors {
            parts.extend(error.as_ref().map(|error| format!("{pool}, last {what}: {error}")));
        }
        parts.extend(verdict.invalid.iter().map(|reason| format!("{pool}, invalid: {reason}")));
    }
    parts.extend(ramp.map(Ramp::text));
    parts.push(format!("VERDICT: {}", verdicts(judged)));
    parts.join("\n\n")
}

fn requested(plan: &Plan) -> String {
    let statements: Vec<_> = plan.work.statements.iter().map(|sql| sql.escape_debug().to_string()).collect();
    let frame = if plan.work.in_transaction { " in one transaction" } else { "" };
    format!("{}{frame}", statements.join("; "))
}

fn verdicts(judged: &[Judged]) -> String {
    let upper = |judged: &Judged| judged.verdict.grade().as_str().to_uppercase();
    match judged {
        [one] => upper(one),
        all => {
            all.iter().map(|one| format!("{} {}", one.ran.pool, upper(one))).collect::<Vec<_>>().join(", ")
        }
    }
}

fn counts(judged: &[Judged]) -> Table {
    let head =
        ["pool", "connections", "offered", "done", "late", "dropped", "timeouts", "failed", "unstarted"];
    let mut table = Table::new(&head);
    for Judged { ran, .. } in judged {
        let counts = &ran.record.counts;
        let figures = [
            u64::from(ran.ceiling),
            counts.offered(),
            counts.done,
            counts.late,
            counts.dropped,
            counts.timed_out,
            counts.failed,
            counts.unstarted,
        ];
        let cells = figures.iter().map(u64::to_string);
        table.row([ran.pool.to_owned()].into_iter().chain(cells).collect());
    }
    table
}

fn times(judged: &[Judged]) -> Table {
    let mut table = Table::new(&["pool", "time", "count", "p50", "p95", "p99", "max"]);
    let shown = |time: Option<Duration>| time.map_or_else(|| "-".to_owned(), figures::time);
    for Judged { ran, .. } in judged {
        for (name, spread) in spreads(ran) {
            let quantiles = QUANTILES.map(|(_, part)| shown(spread.quantile(part)));
            let first = [ran.pool.to_owned(), name.replace('_', " "), spread.count().to_string()];
            table.row(first.into_iter().chain(quantiles).collect());
        }
        if let Some(Opened { count, p50, p95, p99 }) = ran.opened {
            let bounds = [p50, p95, p99].map(|time| {
                time.map_or_else(|| "-".to_owned(), |time| format!("<= {}", figures::time(time)))
            });
            let first = [ran.pool.to_owned(), "open".to_owned(), count.to_string()];
            table.row(first.into_iter().chain(bounds).chain(["-".to_owned()]).collect());
        }
    }
    table
}

fn spreads(ran: &Ran) -> [(&'static str, &Spread); 6] {
    let record = &ran.record;
    [
        ("latency", &record.latency),
        ("schedule_lag", &record.lag),
        ("generator_lag", &record.generator),
        ("wait", &record.wait),
        ("service", &record.service),
        ("probe", &ran.probed.latency),
    ]
}

fn thresholds(judged: &[Judged]) -> Table {
    let mut table = Table::new(&["pool", "threshold", "found", "holds"]);
    for Judged { ran, verdict } in judged {
        for threshold in &verdict.thresholds {
            table.row(vec![
                ran.pool.to_owned(),
                format!("{} {}", threshold.name, threshold.limit),
                threshold.found.clone(),
                if threshold.holds { "yes" } else { "NO" }.to_owned(),
            ]);
        }
    }
    table
}

/// The same for scripts.
pub fn json(plan: &Plan, ramp: Option<&Ramp>, judged: &[Judged]) -> Value {
    let model = match plan.model {
        Model::Open { rate, shape, seed } => json!({
            "kind": "open",
            "arrivals": "poisson",
            "rate_per_second": rate,
            "shape": if shape == Shape::Even { "even" } else { "spike" },
            "seed": seed,
        }),
        Model::Closed { users, think, seed } => json!({
            "kind": "closed",
            "users": users,
            "think_seconds": think.as_secs_f64(),
            "seed": seed,
        }),
    };
    json!({
        "scenario": plan.name.as_str(),
        "model": model,
        "seconds": plan.time.as_secs(),
        "threads": plan.threads,
        "statements": plan.work.statements,
        "in_transaction": plan.work.in_transaction,
        "ramp": ramp.map(Ramp::json),
        "runs": judged.iter().map(of_run).collect::<Value>(),
    })
}

fn of_run(Judged { ran, verdict }: &Judged) -> Value {
    let counts = &ran.record.counts;
    let times: serde_json::Map<_, _> =
        spreads(ran).into_iter().map(|(name, spread)| (name.to_owned(), of_spread(spread))).collect();
    let grade = verdict.grade();
    json!({
        "pool": ran.pool,
        "connections": ran.ceiling,
        "verdict": grade.as_str(),
        "code": grade.code() as u8,
        "invalid": verdict.invalid,
        "thresholds": verdict.thresholds.iter().map(|threshold| json!({
            "name": threshold.name,
            "limit": threshold.limit,
            "found": threshold.found,
            "holds": threshold.holds,
        })).collect::<Value>(),
        "requests": {
            "offered": counts.offered(),
            "done": counts.done,
            "late": counts.late,
            "dropped": counts.dropped,
            "timeouts": counts.timed_out,
            "failed": counts.failed,
            "unstarted": counts.unstarted,
        },
        "times": times,
        "opened": ran.opened.map(|opened| json!({
            "count": opened.count,
            "p50_ms_at_most": opened.p50.and_then(millis),
            "p95_ms_at_most": opened.p95.and_then(millis),
            "p99_ms_at_most": opened.p99.and_then(millis),
        })),
        "probe": { "asked": ran.probed.asked, "served": ran.probed.served },
        "wait_for_a_core_ms": millis(ran.record.mean_queued()),
        "last_error": ran.record.last_error,
        "last_error_of_the_probe": ran.probed.last_error,
    })
}

fn of_spread(spread: &Spread) -> Value {
    let quantiles =
        QUANTILES.map(|(name, part)| (format!("{name}_ms"), json!(spread.quantile(part).and_then(millis))));
    [("count".to_owned(), json!(spread.count()))].into_iter().chain(quantiles).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loadtest::scenario::tests::plan;
    use crate::loadtest::spread::Outcome;
    use crate::loadtest::verdict::tests::ran;

    #[test]
    fn text_and_json_say_the_same() {
        let plan = plan("peak --seed 7");
        let failed = ran(1_000, 20, |ran| {
            ran.record.add_many(Outcome::Unstarted, 7, Duration::from_secs(1));
            ran.record.last_error = Some("no connection".to_owned());
        });
        let judged = [Judged::of(&plan, failed)];
        let (text, json) = (text(&plan, None, &judged), json(&plan, None, &judged));
        for line in [
            "peak: open model, 900 arrivals a second (Poisson, seed 7), 30 s, at most 500 at a time",
            "each request: SELECT pg_sleep(0.04)",
            "tierpool  20           1007     1000  0     0        0         0       7",
            "tierpool  utilisation < 80 %   180 %    NO",
            "tierpool, last error: no connection",
            "VERDICT: FAIL",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
        let run = &json["runs"][0];
        assert_eq!((&run["verdict"], &run["code"]), (&"fail".into(), &1.into()));
        assert_eq!((&run["requests"]["offered"], &run["requests"]["unstarted"]), (&1007.into(), &7.into()));
        assert_eq!(
            (&run["times"]["latency"]["count"], &run["times"]["wait"]["count"]),
            (&1007.into(), &1000.into())
        );
        assert_eq!(json["model"]["kind"], "open");
    }

    #[test]
    fn the_closed_model_is_labelled_so_and_two_pools_stand_beside_each_other() {
        let plan = plan("peak --users 9 --think 0.5");
        let theirs = ran(1_000, 50, |ran| (ran.pool, ran.probed.asked) = ("r2d2", 10));
        let judged = [Judged::of(&plan, ran(1_000, 50, |_| {})), Judged::of(&plan, theirs)];
        let text = text(&plan, None, &judged);
        assert!(text.starts_with("peak: closed model, 9 users who rest 500 ms"), "{text}");
        assert!(text.ends_with("VERDICT: tierpool PASS, r2d2 FAIL"), "{text}");
        assert_eq!(json(&plan, None, &judged)["model"]["kind"], "closed");
    }
}
