//! Line charts, as one SVG text without outside assets. The examples `latency` and `fleet_sim` and the bench
//! `scale` draw by them, too.

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

/// The colours of the lines, in their order: told apart also by those who see few colours.
const COLOURS: [RGBColor; 5] = [
    RGBColor(0, 90, 181),
    RGBColor(220, 50, 32),
    RGBColor(120, 94, 160),
    RGBColor(90, 90, 90),
    RGBColor(0, 130, 90),
];

/// The width and height of one chart, in pixels.
const SIZE: (u32, u32) = (560, 380);
/// Lines of more points than this are drawn without them: they would run into each other.
const MOST_DOTTED: usize = 200;
const FONT: &str = "sans-serif";

/// A named line through its points.
#[derive(Clone, Debug)]
pub struct Line {
    pub name: String,
    /// A coordinate along a logarithmic axis is above zero.
    pub points: Vec<(f64, f64)>,
}

/// One chart.
#[derive(Clone, Debug)]
pub struct Chart {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    pub lines: Vec<Line>,
    /// Logarithmic, else from zero.
    pub x_is_log: bool,
    pub y_is_log: bool,
    /// How a value of the horizontal axis is written.
    pub x_tick: fn(f64) -> String,
    /// How a value of the vertical axis is written.
    pub y_tick: fn(f64) -> String,
}

/// The least and greatest of some values, at least a factor of two apart.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
    if low.is_finite() { (low, high.max(low * 2.0)) } else { (1.0, 10.0) }
}

/// Draws charts side by side, `columns` in a row.
///
/// # Errors
///
/// What the drawing library says.
pub fn svg(charts: &[Chart], columns: usize) -> Result<String, String> {
    let rows = charts.len().div_ceil(columns);
    let size = (SIZE.0 * columns as u32, SIZE.1 * rows as u32);
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        root.fill(&WHITE).map_err(|error| error.to_string())?;
        for (chart, area) in charts.iter().zip(root.split_evenly((rows, columns))) {
            draw(chart, &area).map_err(|error| error.to_string())?;
        }
        root.present().map_err(|error| error.to_string())?;
    }
    Ok(text)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn draw<'a>(chart: &Chart, area: &Area<'a>) -> Drawn<'a> {
    let points = || chart.lines.iter().flat_map(|line| line.points.iter().copied());
    let (left, right) = range(points().map(|point| point.0));
    let (low, high) = range(points().map(|point| point.1));
    let (to_right, upward) = ((left..right).log_scale(), (low * 0.8..high * 1.25).log_scale());
    match (chart.x_is_log, chart.y_is_log) {
        (true, true) => draw_along(chart, area, to_right, upward),
        (true, false) => draw_along(chart, area, to_right, 0.0..high * 1.05),
        (false, true) => draw_along(chart, area, 0.0..right, upward),
        (false, false) => draw_along(chart, area, 0.0..right, 0.0..high * 1.05),
    }
}

/// Draws a chart along two axes.
fn draw_along<'a, X, Y>(chart: &Chart, area: &Area<'a>, x: X, y: Y) -> Drawn<'a>
where
    X: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
    Y: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
{
    let mut context = ChartBuilder::on(area)
        .caption(&chart.title, (FONT, 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(x, y)?;
    context
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_desc(&chart.x_label)
        .y_desc(&chart.y_label)
        .x_label_formatter(&|value| (chart.x_tick)(*value))
        .y_label_formatter(&|value| (chart.y_tick)(*value))
        .label_style((FONT, 16))
        .draw()?;
    for (line, colour) in chart.lines.iter().zip(COLOURS.into_iter().cycle()) {
        let dot = if line.points.len() > MOST_DOTTED { 0 } else { 2 };
        let series = LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)).point_size(dot);
        let drawn = context.draw_series(series)?;
        drawn
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    context
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .label_font((FONT, 16))
        .draw()
}

/// A number of nanoseconds for an axis.
pub fn nanos_tick(value: f64) -> String {
    match value {
        v if v < 1e3 => format!("{v:.0} ns"),
        v if v < 1e6 => format!("{:.0} µs", v / 1e3),
        v if v < 1e9 => format!("{:.0} ms", v / 1e6),
        v => format!("{:.0} s", v / 1e9),
    }
}

/// A count for an axis.
pub fn count_tick(value: f64) -> String {
    format!("{value:.0}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_pair_of_axes_can_be_drawn_also_without_points() {
        // Here, since a bench without a harness has this module without its tests.
        use super::{Chart, Line, count_tick, nanos_tick, svg};

        for (x_is_log, y_is_log) in [(true, true), (true, false), (false, true), (false, false)] {
            for points in [vec![], vec![(1.0, 5.0)], vec![(1.0, 5.0), (7.0, 900.0)]] {
                let chart = Chart {
                    title: "a < b".into(),
                    x_label: "x".into(),
                    y_label: "y".into(),
                    lines: vec![Line { name: "line".into(), points }],
                    x_is_log,
                    y_is_log,
                    x_tick: count_tick,
                    y_tick: nanos_tick,
                };
                let drawn = svg(&[chart], 1).unwrap();
                assert!(drawn.contains("a &lt; b") && drawn.starts_with("<svg"), "{drawn}");
            }
        }
    }
}
