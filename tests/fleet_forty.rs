//! Forty programs of one fleet on one server, in processes of their own, of which some are killed, stopped and cut off
//! and whose server is started anew: what is promised of a fleet holds. The same forty without a fleet show what that
//! prevents.
//!
//! As long as CI has it: `TIERPOOL_FLEET_SECONDS=120 cargo test --all-features --test fleet_forty -- --nocapture`.
#![cfg(feature = "postgres")]

mod forty;
mod support;

use std::env;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use forty::pace::Pace;
use forty::person::Visits;
use forty::plan::{ALL, Plan};
use forty::programs::Programs;
use forty::sampler::Samples;
use forty::table::{Outcome, table};
use forty::{AUTOMATION, BATCH, Outages, STAYING, program, refusals, server};
use support::cluster::Cluster;
use support::proxy::Proxy;
use support::stress;
use support::wait::{LONG_BOUND, Over, eventually};

const USUAL_SECONDS: u64 = 40;
/// How long it is looked at what the forty do without a fleet.
const WITHOUT: Duration = Duration::from_secs(12);
const PROGRAM: &str = "is_one_of_the_forty_as_a_child";

fn length() -> Duration {
    let given = env::var("TIERPOOL_FLEET_SECONDS").ok();
    let seconds = given.map(|text| text.parse().expect("TIERPOOL_FLEET_SECONDS must be a whole number"));
    Duration::from_secs(seconds.unwrap_or(USUAL_SECONDS))
}

/// One of those that the other test starts.
#[test]
fn is_one_of_the_forty_as_a_child() {
    if let Ok(url) = env::var(program::URL) {
        program::run(&url);
    }
}

/// Has the forty run, with the person beside them, while `course` does something to them.
fn observed(
    cluster: &Cluster,
    pace: &Pace,
    seed: u64,
    has_fleet: bool,
    course: impl FnOnce(&mut Plan<'_, '_>),
) -> Outcome {
    let proxy = Proxy::start(cluster.port()).unwrap();
    let (samples, visits, outages) = (Samples::default(), Visits::default(), Outages::default());
    let mut programs = Programs::new(PROGRAM, [cluster.port(), proxy.port()], has_fleet);
    let is_over = AtomicBool::new(false);
    let (refused, began) = (refusals(cluster), Instant::now());
    thread::scope(|scope| {
        let _over = Over(&is_over);
        scope.spawn(|| pace.measure(cluster, &is_over));
        scope.spawn(|| samples.take(cluster, &is_over));
        scope.spawn(|| visits.make(cluster.port(), &is_over));
        let dice = fastrand::Rng::with_seed(seed);
        let (samples, outages) = (&samples, &outages);
        let mut plan = Plan {
            cluster,
            proxy: &proxy,
            programs: &mut programs,
            samples,
            outages,
            dice,
            changes: Vec::new(),
        };
        course(&mut plan);
        let (changes, length) = (plan.changes, began.elapsed());
        let gaps = programs.reckoning.gaps();
        let (served, failed, never) = programs.reckoning.counts();
        programs.kill(&ALL);
        let mut visits = visits.all();
        visits.retain(|visit| !outages.touches(visit.from, visit.to));
        let (samples, refusals) = (samples.all(), refusals(cluster) - refused);
        Outcome { length, samples, gaps, visits, changes, served, failed, never, refusals }
    })
}

#[test]
fn forty_programs_of_a_fleet_share_its_budget_whatever_becomes_of_them() {
    let (length, seed, cluster, pace) = (length(), stress::seed(), server(), Pace::default());
    let with = observed(&cluster, &pace, seed, true, |plan| {
        plan.begin();
        plan.carry_out(length);
    });
    // Each has its own limit, and nothing else keeps them from what the server has.
    let mut admin = cluster.admin();
    eventually(LONG_BOUND, "nobody left", || cluster.connections("forty-%") == 0);
    admin.batch_execute(&format!("ALTER ROLE {BATCH} CONNECTION LIMIT -1")).unwrap();
    drop(admin);
    let without = observed(&cluster, &pace, seed, false, |plan| {
        // Whoever comes first takes what there is.
        plan.programs.start(&ALL[..STAYING]);
        let is_full = || plan.samples.last().is_some_and(|sample| sample.automation > AUTOMATION);
        eventually(LONG_BOUND, "more sessions than there may be", is_full);
        plan.programs.start(&ALL[STAYING..]);
        thread::sleep(WITHOUT);
    });
    println!("{}", table(&with, &without, &pace));
    let (usual, slowest) = pace.told();
    println!(
        "a superuser's log-in took {usual:.1?}, and {slowest:.1?} at the worst: limits grow by ten of them"
    );
    let broken = with.broken(&pace);
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(without.most_sessions() > AUTOMATION, "{} sessions without a fleet", without.most_sessions());
    assert!(without.never > 0, "each was served without a fleet");
    assert!(
        without.refusals > 0 && !without.not_let_in(&pace).is_empty(),
        "nobody was refused without a fleet"
    );
}
