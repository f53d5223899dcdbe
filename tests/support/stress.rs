//! How long a test with random actions goes on, and by which choices.

use std::env;
use std::time::Duration;

/// Returns `TIERPOOL_STRESS_SECONDS`, or so many.
pub fn length(default_seconds: u64) -> Duration {
    Duration::from_secs(number("TIERPOOL_STRESS_SECONDS").unwrap_or(default_seconds))
}

/// Returns `TIERPOOL_STRESS_SEED`, or a new one, and prints it: a failure is repeated with it.
pub fn seed() -> u64 {
    let seed = number("TIERPOOL_STRESS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("TIERPOOL_STRESS_SEED={seed}");
    seed
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is {value:?}: must be a whole number")))
}
