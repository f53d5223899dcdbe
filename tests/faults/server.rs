//! Faults of the server, over TCP.

use crate::lab::catalog;
use crate::lab::process::run_apart;
use crate::lab::scenario::Scenario;
use crate::lab::subject::Kind;
use crate::lab::verdict;

/// How often a scenario is run until its bars hold. Work and workers must be right in every run; see
/// [`verdict::is_sound`].
const RUNS: usize = 3;

/// Runs a scenario and holds tierpool to its bars.
#[track_caller]
pub fn assert_holds(scenario: &Scenario) {
    for run in 1..=RUNS {
        let report = run_apart(scenario, Kind::Tierpool);
        let output = report.output.join("\n");
        // Shown with `--show-output`, and when the test fails.
        println!("{output}");
        if report.missed.is_empty() {
            return;
        }
        let name = format!("{}, {}, run {run} of at most {RUNS}", scenario.name, scenario.title);
        assert!(
            run < RUNS && verdict::is_sound(&report.figures),
            "{name}: {:#?}\n{:#?}",
            report.missed,
            report.figures
        );
        println!("{name}: {:#?}", report.missed);
    }
}

#[test]
fn f1_all_backends_terminated() {
    assert_holds(&catalog::TERMINATED);
}

#[test]
fn f2_server_restarted() {
    assert_holds(&catalog::RESTARTED);
}

#[test]
fn f3_server_killed() {
    assert_holds(&catalog::KILLED);
}

#[test]
fn f4_server_frozen() {
    assert_holds(&catalog::FROZEN);
}

#[test]
fn f5_backends_frozen() {
    assert_holds(&catalog::BACKENDS_FROZEN);
}

#[test]
fn f6_handshake_never_answered() {
    assert_holds(&catalog::POSTMASTER_FROZEN);
}
