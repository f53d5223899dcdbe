//! One page with the table and the curves, without outside assets.

use std::fmt::Write;

use super::chart::{Chart, Line, nanos_tick, svg};
use super::measure::Measured;
use super::percentiles::{self, percent_tick};
use super::table::rows;

const STYLE: &str = "body{font:16px/1.5 sans-serif;margin:2em auto;max-width:72em;padding:0 1em;color:#222}\
table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em 1em;text-align:right;border-bottom:1px solid #ccc}\
td:first-child{text-align:left}svg{max-width:100%;height:auto}";

/// Writes the page. `said` is the line that says what was measured.
///
/// # Errors
/// What the drawing library says.
pub fn page(said: &str, measured: &[Measured; 2], growth: &[Chart; 2]) -> Result<String, String> {
    let mut table = String::new();
    for row in rows(measured) {
        let cells: String = row.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
        let _ = writeln!(table, "<tr>{cells}</tr>");
    }
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Checkout latency</title>\n<style>{STYLE}</style>\n\
         <h1>Checkout latency</h1>\n<p>{}</p>\n<table>\n{table}</table>\n\
         <h2>Percentiles</h2>\n{}\n<h2>Growth</h2>\n{}\n</html>\n",
        escaped(said),
        svg(&[percentiles(measured)], 1)?,
        svg(growth, 2)?,
    ))
}

fn percentiles(measured: &[Measured; 2]) -> Chart {
    let line = |measured: &Measured| {
        let wait = |part| measured.waits.value_at_quantile(part).max(1) as f64;
        Line { name: measured.name.to_owned(), points: percentiles::points(measured.waits.len(), wait) }
    };
    Chart {
        title: "how many checkouts waited no longer".to_owned(),
        x_label: "part of all checkouts".to_owned(),
        y_label: "wait".to_owned(),
        lines: measured.iter().map(line).collect(),
        x_is_log: true,
        y_is_log: true,
        x_tick: percent_tick,
        y_tick: nanos_tick,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::page;
    use crate::latency::chart::{Chart, Line, count_tick, nanos_tick};
    use crate::latency::measure::{Crowd, Measured};

    #[test]
    fn a_page_stands_alone_also_with_next_to_no_data() {
        let mut measured = [Measured::new("tierpool"), Measured::new("r2d2")];
        let crowd = Crowd { threads: 1, hold: Duration::ZERO };
        measured[0].extend(crowd, Duration::from_millis(1), || Ok::<_, &str>(()));
        measured[1].extend(crowd, Duration::from_millis(1), || Err::<(), _>("no <connection>"));
        let growth = [vec![(1.0, 5.0)], vec![]].map(|points| Chart {
            title: "title".into(),
            x_label: "x".into(),
            y_label: "y".into(),
            lines: vec![Line { name: "tierpool".into(), points }],
            x_is_log: true,
            y_is_log: true,
            x_tick: count_tick,
            y_tick: nanos_tick,
        });
        let page = page("1 < 2", &measured, &growth).unwrap();
        assert!(page.contains("1 &lt; 2") && page.matches("<svg").count() == 2, "{page}");
        for outside in ["src=", "href=", "url(", "@import"] {
            assert!(!page.contains(outside), "{outside} in {page}");
        }
        assert!(measured[1].errors > 0);
    }
}
