//! Whatever fails, a fleet has no more than its slots, and nobody starves where there is one for each.
//!
//! Each test runs scenarios with seeds of their own. `TIERPOOL_FLEET_SEEDS=1000` runs so many of each instead of a few,
//! which is for a release build; `TIERPOOL_FLEET_SEED` repeats one.
#![cfg(feature = "postgres")]

#[path = "../examples/fleet_sim/mod.rs"]
#[allow(dead_code)] // What only the page of the example uses.
mod fleet_sim;

use fleet_sim::check::Report;
use fleet_sim::plan::{Fault, Scenario};
use fleet_sim::world::run;
use tierpool::fleet::core::Budget;

/// The time simulated in each run.
const SECONDS: u64 = 60;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// A scenario for each seed, alternately with and without a limit of the role; the longest that somebody starved.
fn each_seed(usual: u64, processes: usize, total: u32, faults: &[Fault], look: impl Fn(&Report)) {
    let seeds = match number("TIERPOOL_FLEET_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TIERPOOL_FLEET_SEEDS").unwrap_or(usual),
    };
    let mut worst = 0;
    for seed in seeds {
        let scenario = Scenario {
            processes,
            budget: Budget::new(total, 5).expect("a budget that leaves slots"),
            wants: 10,
            seconds: SECONDS,
            has_role_limit: seed % 2 == 0,
            faults: faults.to_vec(),
            seed,
        };
        let report = run(&scenario)
            .unwrap_or_else(|broken| panic!("TIERPOOL_FLEET_SEED={seed}, {processes} processes: {broken}"));
        worst = worst.max(report.worst);
        look(&report);
    }
    println!("{processes} processes, {total} connections: {worst} ms without any at the worst");
}

#[test]
fn ten_processes_on_52_slots_are_all_served() {
    each_seed(20, 10, 60, &Fault::ALL, |_| {});
}

#[test]
fn forty_processes_on_52_slots_are_all_served() {
    each_seed(10, 40, 60, &Fault::ALL, |_| {});
}

#[test]
fn a_thousand_processes_on_1950_slots_are_all_served() {
    each_seed(1, 1_000, 2_058, &Fault::ALL, |_| {});
}

#[test]
fn a_thousand_processes_on_52_slots_keep_what_they_have_whatever_fails() {
    each_seed(1, 1_000, 60, &Fault::ALL, |_| {});
}

#[test]
fn a_thousand_processes_on_52_slots_leave_the_server_alone_after_a_while() {
    each_seed(1, 1_000, 60, &[], |report| {
        let first = SECONDS as usize - 20;
        let asks: u32 = report.asks[first..SECONDS as usize].iter().sum();
        // 948 ask after 15 s on the mean, of which 20 s see 1,264 on the mean; and six standard deviations.
        assert!(asks <= 1_480, "{asks} attempts in 20 s");
    });
}
