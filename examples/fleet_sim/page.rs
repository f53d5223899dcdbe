//! One page with the curves of a run, without outside assets.

use plotters::prelude::*;

use super::check::{Report, Sample};
use super::plan::Scenario;

const STYLE: &str = "body{font:16px/1.5 sans-serif;margin:2em auto;max-width:72em;padding:0 1em;color:#222}\
svg{max-width:100%;height:auto}";
/// The width and height of one chart, in pixels.
const SIZE: (u32, u32) = (1100, 300);

/// One curve, each point a second and a count.
struct Curve {
    name: &'static str,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

/// A line that says what was simulated, and what came of it.
pub fn said(scenario: &Scenario, report: &Report) -> String {
    let budget = scenario.budget;
    let mut faults: Vec<_> = report.faults.iter().map(|(_, fault)| fault.name()).collect();
    faults.sort_unstable();
    faults.dedup();
    format!(
        "{} processes that want {} connections each, on {} slots and {} places for askers; \
         {} s, seed {}; {} faults ({}). \
         At most {} worked at a time; {} attempts and {} openings in the busiest second; {}.",
        scenario.processes,
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
        if scenario.all_fit() {
            format!("nobody who could be served starved for longer than {} ms", report.worst)
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
    let of = |name, colour, what: fn(&Sample) -> u32| Curve {
        name,
        colour,
        points: report.samples.iter().map(|s| (s.at as f64 / 1e3, f64::from(what(s)))).collect(),
    };
    let each_second = |name, colour, counts: &[u32]| Curve {
        name,
        colour,
        points: counts.iter().enumerate().map(|(at, count)| (at as f64, f64::from(*count))).collect(),
    };
    let (blue, red, grey) = (RGBColor(0, 90, 181), RGBColor(220, 50, 32), RGBColor(90, 90, 90));
    let charts = [
        ("connections", vec![of("held", blue, |s| s.held), of("sessions in all", grey, |s| s.sessions)]),
        ("processes", vec![of("wanting more", grey, |s| s.wanting), of("starving", red, |s| s.starving)]),
        (
            "attempts a second",
            vec![
                each_second("without a slot", red, &report.asks),
                each_second("with a slot", blue, &report.opens),
            ],
        ),
    ];
    let drawn: Vec<_> =
        charts.iter().map(|(title, curves)| svg(title, curves)).collect::<Result<_, String>>()?;
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

fn svg(title: &str, curves: &[Curve]) -> Result<String, String> {
    let mut text = String::new();
    draw(title, curves, &mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

fn draw(title: &str, curves: &[Curve], text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let right = points().map(|point| point.0).fold(1.0, f64::max);
    let top = points().map(|point| point.1).fold(1.0, f64::max);
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(|error| error.to_string())?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 20))
        .margin(10)
        .x_label_area_size(35)
        .y_label_area_size(55)
        .build_cartesian_2d(0.0..right, 0.0..top * 1.05)
        .map_err(|error| error.to_string())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("s")
        .draw()
        .map_err(|error| error.to_string())?;
    for Curve { name, colour, points } in curves {
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(1)))
            .map_err(|error| error.to_string())?
            .label(*name)
            .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .draw()
        .map_err(|error| error.to_string())?;
    drop(chart);
    root.present().map_err(|error| error.to_string())?;
    Ok(())
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
