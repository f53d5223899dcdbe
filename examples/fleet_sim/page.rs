//! One page with the curves of a run, without outside assets.

use super::chart::{Chart, Line, count_tick, svg};
use super::check::{Report, Sample};
use super::plan::Scenario;

const STYLE: &str = "body{font:16px/1.5 sans-serif;margin:2em auto;max-width:72em;padding:0 1em;color:#222}\
svg{width:100%;height:auto}";
/// A line that says what was simulated, and what came of it.
pub fn said(scenario: &Scenario, report: &Report) -> String {
    let budget = scenario.budget;
    let mut faults: Vec<_> = report.faults.iter().map(|(_, fault)| fault.name()).collect();
    faults.sort_unstable();
    faults.dedup();
    format!(
        "{} processes{} that want {} connections each, on {} slots and {} places for askers; \
         {} s, seed {}; {} faults ({}). \
         At most {} worked at a time; {} attempts and {} openings in the busiest second; \
         {} people were turned away; {}.",
        scenario.processes,
        if scenario.heaviest > 1 { format!(" of weights 1 to {}", scenario.heaviest) } else { String::new() },
        scenario.wants,
        budget.slots(),
        budget.askers(),
        scenario.seconds,
        scenario.seed,
        report.faults.len(),
        if faults.is_empty() { "none".to_owned() } else { faults.join(", ") },
        report.samples.iter().map(|sample| sample.held).max().unwrap_or(0),
        report.asks.iter().max().unwrap_or(&0),
        report.opens.iter().max().unwrap_or(&0),
        report.turned_away,
        if scenario.all_fit() {
            format!(
                "nobody who could be served starved for longer than {} ms, and shares evened out within {} ms",
                report.worst, report.uneven
            )
        } else if scenario.other.is_some() {
            "with two budgets in one fleet nobody is promised a slot".to_owned()
        } else {
            "there are more processes than slots, so some get nothing".to_owned()
        },
    )
}

/// Writes the page.
///
/// # Errors
/// What the drawing library says.
pub fn page(scenario: &Scenario, report: &Report) -> Result<String, String> {
    let of = |name: &str, what: fn(&Sample) -> u32| Line {
        name: name.to_owned(),
        points: report.samples.iter().map(|s| (s.at as f64 / 1e3, f64::from(what(s)))).collect(),
    };
    let each_second = |name: &str, counts: &[u32]| Line {
        name: name.to_owned(),
        points: counts.iter().enumerate().map(|(at, count)| (at as f64, f64::from(*count))).collect(),
    };
    let charts = [
        over_time(
            "connections",
            "connections",
            vec![
                of("held", |s| s.held),
                of("sessions of automation", |s| s.sessions),
                of("people", |s| s.people),
            ],
        ),
        over_time(
            "processes",
            "processes",
            vec![of("wanting more", |s| s.wanting), of("starving", |s| s.starving)],
        ),
        over_time(
            "openings",
            "attempts a second",
            vec![each_second("with a slot", &report.opens), each_second("without a slot", &report.asks)],
        ),
    ];
    let drawn: Vec<_> =
        charts.iter().map(|chart| svg(std::slice::from_ref(chart), 1)).collect::<Result<_, _>>()?;
    let faults: String = (report.faults.iter())
        .map(|(at, fault)| format!("<li>{:.1} s: {}</li>\n", *at as f64 / 1e3, fault.name()))
        .collect();
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>A fleet</title>\n\
         <style>{STYLE}</style>\n<h1>A fleet</h1>\n<p>{}</p>\n{}\n<h2>Faults</h2>\n<ul>\n{faults}</ul>\n</html>\n",
        said(scenario, report),
        drawn.join("\n"),
    ))
}

fn over_time(title: &str, counted: &str, lines: Vec<Line>) -> Chart {
    Chart {
        title: title.to_owned(),
        x_label: "s".to_owned(),
        y_label: counted.to_owned(),
        lines,
        x_is_log: false,
        y_is_log: false,
        x_tick: count_tick,
        y_tick: count_tick,
    }
}

#[cfg(test)]
mod tests {
    use super::page;
    use crate::fleet_sim::args::{Request, parse};
    use crate::fleet_sim::world::run;

    #[test]
    fn a_page_has_its_curves_and_stands_alone() {
        let line = "--processes 5 --seconds 12 --seed 1";
        let Ok(Request::Run(scenario, _)) = parse(line.split_whitespace().map(Into::into)) else {
            panic!("a plain line")
        };
        let page = page(&scenario, &run(&scenario).unwrap()).unwrap();
        assert_eq!(page.matches("<svg").count(), 3);
        assert!(page.contains("5 processes that want 10 connections each, on 52 slots"), "{page}");
        for outside in ["src=", "href=", "url(", "@import"] {
            assert!(!page.contains(outside), "{outside} in {page}");
        }
    }
}
