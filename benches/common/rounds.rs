//! Measurements in interleaved rounds: what else the machine does meets all subjects alike.

/// What each round measured of each subject.
pub struct Rounds(Vec<Vec<f64>>);

impl Rounds {
    /// Measures `subjects` subjects in turn, `rounds` times over; `measure` is given a subject's number.
    pub fn run(rounds: usize, subjects: usize, mut measure: impl FnMut(usize) -> f64) -> Rounds {
        Rounds((0..rounds).map(|_| (0..subjects).map(&mut measure).collect()).collect())
    }

    /// The median of a subject over all rounds.
    pub fn median(&self, subject: usize) -> f64 {
        median(self.0.iter().map(|round| round[subject]))
    }

    /// The median of one subject divided by another of the same round. A disturbance that lasts for a round cancels
    /// out, unlike in the quotient of the medians.
    pub fn ratio(&self, dividend: usize, divisor: usize) -> f64 {
        median(self.0.iter().map(|round| round[dividend] / round[divisor]))
    }

    /// The median of one subject less another of the same round.
    pub fn difference(&self, of: usize, less: usize) -> f64 {
        median(self.0.iter().map(|round| round[of] - round[less]))
    }
}

/// The median; the upper one of two.
///
/// # Panics
///
/// If there is no value.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    quantile(values, 0.5)
}

/// The value that a part of all values, from 0 to 1, does not exceed.
///
/// # Panics
///
/// If there is no value.
pub fn quantile(values: impl IntoIterator<Item = f64>, part: f64) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1).expect("a quantile of no values");
    values[(last as f64 * part).ceil() as usize]
}
