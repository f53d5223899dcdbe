//! One page with the report and its plots, without outside assets.

use std::time::Duration;

use super::scenario::Plan;
use super::spread::{NEVER, Spread};
use super::verdict::Judged;
use crate::chart::{Chart, Line, count_tick, nanos_tick, svg};
use crate::outcome::Failure;
use crate::percentiles::{self, percent_tick};

const STYLE: &str = "body{font:16px/1.5 sans-serif;margin:2em auto;max-width:72em;padding:0 1em;color:#222}\
pre{overflow-x:auto}svg{max-width:100%;height:auto}";

/// Writes the page around the report as it is printed.
pub fn page(plan: &Plan, report: &str, judged: &[Judged]) -> Result<String, Failure> {
    let charts = [
        arrivals(judged),
        over_time(judged),
        curves("latency, as far as requests were answered", judged, |judged| &judged.ran.record.latency),
        curves("wait for a connection", judged, |judged| &judged.ran.record.wait),
        curves("service", judged, |judged| &judged.ran.record.service),
        curves("lag of the generator", judged, |judged| &judged.ran.record.generator),
    ];
    let drawn =
        svg(&charts, 2).map_err(|error| Failure::new(format_args!("nothing can be drawn: {error}")))?;
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>tierpool loadtest</title>\n\
         <style>{STYLE}</style>\n<h1>tierpool loadtest {}</h1>\n<pre>{}</pre>\n{drawn}\n</html>\n",
        plan.name.as_str(),
        escaped(report),
    ))
}

/// The name of a line, with its pool.
fn name(judged: &Judged, what: &str) -> String {
    format!("{}, {what}", judged.ran.pool)
}

/// How many a second were answered in time, by when they were due, and how many were not.
fn arrivals(judged: &[Judged]) -> Chart {
    let lines = |judged: &Judged| {
        let series = &judged.ran.record.series;
        let done = series.points().map(|(at, slice)| (at, series.rate(slice.done))).collect();
        let errors = series.points().map(|(at, slice)| (at, series.rate(slice.errors()))).collect();
        [
            Line { name: name(judged, "in time"), points: done },
            Line { name: name(judged, "not"), points: errors },
        ]
    };
    Chart {
        title: "requests a second".to_owned(),
        x_label: "due at, in seconds".to_owned(),
        y_label: "a second".to_owned(),
        lines: judged.iter().flat_map(lines).collect(),
        x_is_log: false,
        y_is_log: false,
        x_tick: count_tick,
        y_tick: count_tick,
    }
}

fn over_time(judged: &[Judged]) -> Chart {
    let lines = |judged: &Judged| {
        [("p50", 0.5), ("p95", 0.95)].map(|(what, part)| Line {
            name: name(judged, what),
            points: judged
                .ran
                .record
                .series
                .points()
                .filter_map(|(at, slice)| Some((at, nanos(slice.latency.quantile(part)?)?)))
                .collect(),
        })
    };
    Chart {
        title: "latency".to_owned(),
        x_label: "due at, in seconds".to_owned(),
        y_label: "latency".to_owned(),
        lines: judged.iter().flat_map(lines).collect(),
        x_is_log: false,
        y_is_log: false,
        x_tick: count_tick,
        y_tick: nanos_tick,
    }
}

fn curves(title: &str, judged: &[Judged], of: impl Fn(&Judged) -> &Spread) -> Chart {
    let line = |judged: &Judged| {
        let spread = of(judged);
        let at = |part| spread.quantile(part).and_then(nanos).unwrap_or(f64::INFINITY);
        let mut points = percentiles::points(spread.count(), at);
        points.retain(|(_, nanos)| nanos.is_finite());
        Line { name: judged.ran.pool.to_owned(), points }
    };
    Chart {
        title: title.to_owned(),
        x_label: "part of them that took no longer".to_owned(),
        y_label: "time".to_owned(),
        lines: judged.iter().filter(|judged| of(judged).count() > 0).map(line).collect(),
        x_is_log: true,
        y_is_log: true,
        x_tick: percent_tick,
        y_tick: nanos_tick,
    }
}

/// For a logarithmic axis, which has no zero; `None` of what never ended, which has no place on one.
fn nanos(time: Duration) -> Option<f64> {
    (time != NEVER).then_some((time.as_nanos() as f64).max(1_000.0))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loadtest::record::Times;
    use crate::loadtest::scenario::tests::plan;
    use crate::loadtest::spread::Outcome;
    use crate::loadtest::verdict::tests::ran;

    #[test]
    fn a_page_stands_alone_also_with_next_to_no_data() {
        let plan = plan("peak");
        for requests in [0, 1, 3] {
            let some = ran(0, 50, |ran| {
                for second in 0..requests {
                    let due = Duration::from_secs(second);
                    ran.record.add(Outcome::Done, Times { due, ..Times::default() }, None);
                }
            });
            let page = page(&plan, "errors < 1 % & <script>", &[Judged::of(&plan, some)]).unwrap();
            assert!(page.contains("errors &lt; 1 % &amp; &lt;script&gt;"), "{page}");
            for outside in ["src=", "href=", "url(", "@import", "<script"] {
                assert!(!page.contains(outside), "{outside} in {page}");
            }
        }
    }
}
