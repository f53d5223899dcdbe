//! Whether a bench measures or only shows that it runs.

use std::time::Duration;

use criterion::Criterion;

/// What the command line asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Measure, and judge.
    Full,
    /// Run everything once, as quickly as it goes.
    Smoke,
}

impl Mode {
    /// Reads the arguments as criterion does: cargo says `--bench` for a measurement, and `--test` wins over it.
    pub fn from_args() -> Mode {
        let given = |flag: &str| std::env::args().any(|arg| arg == flag);
        if given("--bench") && !given("--test") { Mode::Full } else { Mode::Smoke }
    }

    /// One of two values: the first for a measurement.
    pub fn pick<T>(self, full: T, smoke: T) -> T {
        match self {
            Mode::Full => full,
            Mode::Smoke => smoke,
        }
    }

    /// Criterion with the arguments of the command line, and times for a shared machine: the ratios of the table come
    /// from interleaved rounds of their own.
    pub fn criterion(self) -> Criterion {
        Criterion::default()
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(1))
            .sample_size(20)
            .configure_from_args()
    }
}
