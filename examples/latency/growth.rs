//! How the 99th percentile grows with threads and with connections.

use std::time::Duration;

use super::args::{Database, Plan};
use super::chart::{Chart, Line, count_tick, nanos_tick};
use super::measure::Crowd;
use super::pools::Backend;

/// The part of the plan's time that one point gets, within bounds: a few turns at least.
const PART: f64 = 0.1;
const LEAST: f64 = 0.1;
const MOST: f64 = 0.5;

/// 1, 2, 4 … up to `most`.
fn doublings(most: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(1_u32), |n| n.checked_mul(2)).take_while(move |n| *n <= most)
}

/// Measures both curves around the plan: twice its threads, and twice its connections where they cost nothing.
///
/// # Errors
/// As [`Backend::pools`].
pub fn curves(plan: &Plan, backend: &Backend) -> Result<[Chart; 2], String> {
    let threads = doublings(plan.threads * 2).map(|threads| (threads, threads, plan.size));
    let most = if plan.database == Database::Memory { plan.size * 2 } else { plan.size };
    let sizes = doublings(most).map(|size| (size, plan.threads, size));
    Ok([
        curve(plan, backend, threads, ("threads", format!("by threads, {} connections", plan.size)))?,
        curve(plan, backend, sizes, ("connections", format!("by connections, {} threads", plan.threads)))?,
    ])
}

/// Points as (place on the axis, threads, connections).
fn curve(
    plan: &Plan,
    backend: &Backend,
    points: impl Iterator<Item = (u32, u32, u32)>,
    (axis, title): (&str, String),
) -> Result<Chart, String> {
    let time = Duration::from_secs_f64((plan.time.as_secs_f64() * PART).clamp(LEAST, MOST));
    let mut lines = ["tierpool", "r2d2"].map(|name| Line { name: name.to_owned(), points: Vec::new() });
    for (place, threads, size) in points {
        let measured = backend.pools(plan.tier, size)?.compare(Crowd { threads, hold: plan.hold }, time);
        for (line, measured) in lines.iter_mut().zip(measured) {
            let p99 = measured.waits.value_at_quantile(0.99).max(1);
            line.points.push((f64::from(place), p99 as f64));
        }
    }
    Ok(Chart {
        title: format!("99 of 100 checkouts, {title}"),
        x_label: axis.to_owned(),
        y_label: "wait".to_owned(),
        lines: lines.into(),
        x_is_log: true,
        y_is_log: true,
        x_tick: count_tick,
        y_tick: nanos_tick,
    })
}
