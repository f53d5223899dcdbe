//! Whatever others have written, who reads it here neither panics nor reads it differently in other pieces: what servers
//! and clients send, and connection strings.
//!
//! `TIERPOOL_FUZZ_SECONDS` in the environment says how long it tries (default 2 s). Each run has a seed; one that finds
//! something is printed, and belongs into `fuzz_seeds.txt`, whose seeds are tried each time.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};

use super::observer::splits::{is_read_as_one, is_sent_as_one, server_message, statement_message};
use crate::config::{Overrides, PgSettings};

const SEEDS: &str = include_str!("fuzz_seeds.txt");

/// The cases of one seed.
const CASES: u32 = 200;

#[derive(Clone, Debug)]
enum Input {
    Server(Vec<u8>, Vec<usize>),
    Client(Vec<u8>, Vec<usize>),
    ConnectionString(String),
}

/// Messages of which some are not what they were: bytes changed, left out, or put in.
fn damaged(messages: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = (Vec<u8>, Vec<usize>)> {
    let edits = vec((any::<usize>(), 0..3_u8, any::<u8>()), 0..6);
    (vec(messages, 0..12), edits, vec(any::<usize>(), 0..20)).prop_map(|(messages, edits, cuts)| {
        let mut bytes = messages.concat();
        for (place, kind, byte) in edits {
            let place = place % (bytes.len() + 1);
            match kind {
                0 => bytes.insert(place, byte),
                _ if place == bytes.len() => {}
                1 => bytes[place] = byte,
                _ => drop(bytes.remove(place)),
            }
        }
        (bytes, cuts)
    })
}

/// What connection strings are made of, and what they must not be.
#[rustfmt::skip]
const PARTS: &[&str] = &[
    "postgres://", "postgresql://", "u", ":", "hush", "@", "/", "?", "&", "=", ",", "[::1]", "[", "]", "%", "%2F",
    "%00", "%C3", "localhost", "127.0.0.1", "/run/pg", "5432", "65536", "-1", "0", "sslmode", "require", "host",
    "hostaddr", "port", "user", "password", "dbname", "options", "-c a=b", "connect_timeout", "keepalives",
    "target_session_attrs", "read-write", "application_name", "load_balance_hosts", "random", " ", "'", "\\", "\"",
    "#", "\u{0}", "\u{e9}", "\u{202e}", "jdbc:", "?sslmode=", "service", "channel_binding",
];

fn connection_string() -> impl Strategy<Value = String> {
    let part =
        prop_oneof![8 => proptest::sample::select(PARTS).prop_map(str::to_owned), 1 => any::<String>()];
    vec(part, 0..16).prop_map(|parts| parts.concat())
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        damaged(server_message()).prop_map(|(bytes, cuts)| Input::Server(bytes, cuts)),
        damaged(statement_message()).prop_map(|(bytes, cuts)| Input::Client(bytes, cuts)),
        connection_string().prop_map(Input::ConnectionString),
    ]
}

fn check(input: Input) -> Result<(), TestCaseError> {
    match input {
        Input::Server(bytes, cuts) => prop_assert!(is_read_as_one(&bytes, cuts)),
        Input::Client(bytes, cuts) => prop_assert!(is_sent_as_one(&bytes, cuts)),
        Input::ConnectionString(text) => {
            let load = |name: &str| (name == "DATABASE_URL").then(|| text.clone());
            // Shown in full, which may panic too.
            let _ = PgSettings::load(&Overrides::default(), load).map_or_else(
                |faults| faults.to_string(),
                |settings| format!("{settings:?} {:?}", settings.effective()),
            );
        }
    }
    Ok(())
}

fn run(seed: u64) {
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    match TestRunner::new_with_rng(config, rng).run(&input(), check) {
        Ok(()) => {}
        Err(TestError::Fail(why, input)) => panic!("seed {seed}: {why} for {input:?}"),
        Err(TestError::Abort(why)) => panic!("seed {seed}: {why}"),
    }
}

#[test]
fn nothing_that_others_have_written_makes_a_reader_fail() {
    let seconds =
        std::env::var("TIERPOOL_FUZZ_SECONDS").map_or(2, |text| text.parse().expect("a number of seconds"));
    let end = Instant::now() + Duration::from_secs(seconds);
    let kept = SEEDS.lines().filter(|line| !line.starts_with('#'));
    let mut runs = 0_u64;
    for seed in kept.map(|line| line.parse().expect("a seed in fuzz_seeds.txt")) {
        run(seed);
        runs += 1;
    }
    let mut fresh = fastrand::Rng::new();
    while Instant::now() < end {
        run(fresh.u64(..));
        runs += 1;
    }
    println!("{} cases in {runs} runs", runs * u64::from(CASES));
}
