//! Faults one after the other, drawn by a seed that is printed.

use std::fmt::Debug;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use super::catalog;
use super::scenario::{BARS, Bars, Scenario};
use super::stage::{Stage, Way};

/// The variables for the length in seconds and for the seed.
const SECONDS: &str = "FAULTS_SECONDS";
const SEED: &str = "FAULTS_SEED";
const DEFAULT_SECONDS: u64 = 20;

/// The longest that one fault lasts, in milliseconds, and the longest pause after it.
const LASTS_MS: u64 = 3_500;
const PAUSE_MS: u64 = 1_000;

/// Those that end without leaving the pool locked out for half a minute, as a wrong password does.
const FAULTS: [Scenario; 13] = [
    catalog::TERMINATED,
    catalog::RESTARTED,
    catalog::KILLED,
    catalog::FROZEN,
    catalog::BACKENDS_FROZEN,
    catalog::POSTMASTER_FROZEN,
    catalog::STALLED,
    catalog::STALLED_THEN_RESET,
    catalog::FLOWS_LOST,
    catalog::HANDSHAKES_SWALLOWED,
    catalog::PACKETS_LOST,
    catalog::OUT_OF_CONNECTIONS,
    catalog::READ_ONLY,
];

pub const MIXTURE: Scenario = Scenario {
    name: "all",
    title: "faults at random",
    way: Way::Proxy,
    begin: draw_and_do,
    lasts: Duration::ZERO,
    end: |_| (),
    bars: Bars {
        // After the last fault the back-off of a server without connections may be at its longest.
        first: Duration::from_secs(6),
        full: Duration::from_secs(6),
        cause: |_| true,
        evicted: None,
        says: &[],
        log_lines: None,
        ..BARS
    },
    ..catalog::TERMINATED
};

fn draw_and_do(stage: &Stage) {
    let seed = from_environment(SEED).unwrap_or_else(|| fastrand::u64(..));
    let length = Duration::from_secs(from_environment(SECONDS).unwrap_or(DEFAULT_SECONDS));
    println!("{SEED}={seed} {SECONDS}={}", length.as_secs());
    let mut random = fastrand::Rng::with_seed(seed);
    let begun = Instant::now();
    while begun.elapsed() < length {
        let fault = random.choice(&FAULTS).expect("BUG: no faults");
        let lasts = Duration::from_millis(random.u64(200..LASTS_MS));
        let pause = Duration::from_millis(random.u64(0..PAUSE_MS));
        println!("at {:.1?}: {} for {lasts:?}, then {pause:?}", begun.elapsed(), fault.name);
        (fault.begin)(stage);
        // The fault's own length, and the time between two of them; nothing is waited for.
        thread::sleep(lasts);
        (fault.end)(stage);
        thread::sleep(pause);
    }
    stage.proxy().forget();
}

fn from_environment<T: FromStr<Err: Debug>>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name} is {text:?}: must be a number ({error:?})")))
}
