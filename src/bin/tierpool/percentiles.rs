//! Curves of percentiles, for charts. The example `latency` has them, too.

/// Points for each tenfold of their axis.
const STEPS: i32 = 8;

/// The points of a curve of percentiles: at `one_in` the value that all but one in as many do not exceed, as far as
/// `count` values tell. The axis of [`percent_tick`] is logarithmic.
pub fn points(count: u64, value_at: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    let most = count.max(2) as f64;
    let places = (0..).map(|step| 10_f64.powf(f64::from(step) / f64::from(STEPS)));
    places.take_while(|one_in| *one_in <= most).map(|one_in| (one_in, value_at(1.0 - 1.0 / one_in))).collect()
}

/// The percentile of which one in `one_in` lies above.
pub fn percent_tick(one_in: f64) -> String {
    let digits = (one_in.log10().ceil() as usize).saturating_sub(2);
    format!("{:.digits$} %", 100.0 - 100.0 / one_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_have_the_digits_they_need_and_end_where_values_tell_no_more() {
        let shown = [1.0, 10.0, 100.0, 1000.0, 10_000.0].map(percent_tick);
        assert_eq!(shown, ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        let found = points(100, |part| part);
        assert_eq!((found.len(), found[0], found[8].1), (17, (1.0, 0.0), 0.9));
    }
}
