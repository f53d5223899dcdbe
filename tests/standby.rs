//! Validations of a plain manager: the helper that is there for them, its hand-over, and what is validated ahead.

mod support;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use support::scripted::{Call, Gate, ScriptedError, Step, built, met_at_rest, still, use_together};
use support::stress;
use support::wait::{A_MOMENT, AT_ONCE, BOUND, LONG_BOUND, MS, SECOND, comes_true, eventually, took};
use tierpool::config::PrePing;
use tierpool::{MemoryManager, Pool};

/// The threads of this process whose names begin so, by their folders.
fn threads_named(name: &str) -> Vec<std::path::PathBuf> {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc/self/task can be read").flatten();
    let is_named = |path: &std::path::PathBuf| {
        fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.starts_with(name))
    };
    tasks.map(|task| task.path()).filter(is_named).collect()
}

/// The number behind a word in the `status` of a thread.
fn status(thread: &std::path::Path, word: &str) -> u64 {
    let status = fs::read_to_string(thread.join("status")).expect("the thread lives");
    let line = status.lines().find_map(|line| line.strip_prefix(word)).expect("it is told");
    line.trim_start_matches(':').trim().parse().expect("a number")
}

/// What a validation of the stress test does.
fn any_step(rng: &mut fastrand::Rng, gate: &Gate) -> Step {
    match rng.u8(..100) {
        0..60 => Step::ok(),
        60..85 => Step::ok().after(Duration::from_micros(rng.u64(..200))),
        85..92 => Step::err(ScriptedError::transient("not valid")),
        92..97 => Step::panic(),
        _ => Step::ok().behind(gate),
    }
}

#[test]
fn no_connection_is_lost_whatever_a_validation_does_and_whenever_its_caller_leaves() {
    const SIZE: u32 = 4;
    let seed = stress::seed();
    let mut rng = fastrand::Rng::with_seed(seed);
    let (manager, pool) = built(
        Pool::builder()
            .max_size(SIZE)
            .test_on_check_out(true)
            .validation_timeout(20 * MS)
            .failure_threshold(0)
            .max_zombies(Some(2)),
    );
    let end = Instant::now() + stress::length(3);
    while Instant::now() < end {
        let gate = Gate::new();
        manager.script(Call::IsValid, (0..200).map(|_| any_step(&mut rng, &gate)));
        thread::scope(|scope| {
            for _ in 0..3 {
                let (pool, mut rng) = (&pool, rng.fork());
                scope.spawn(move || {
                    for _ in 0..30 {
                        // From before the hand-over to long after it.
                        let limit = Duration::from_micros(1 << rng.u32(..14));
                        let (conn, time) = took(|| pool.get_timeout(limit));
                        assert!(time < limit + BOUND, "{time:?} instead of {limit:?}");
                        drop(conn);
                    }
                });
            }
        });
        gate.open();
        eventually(LONG_BOUND, "nothing is under way", || {
            let gauges = pool.gauges();
            let rests = (gauges.in_use, gauges.opening, gauges.waiting, gauges.zombies) == (0, 0, 0, 0);
            rests && manager.live() == gauges.idle as usize
        });
    }
    // What is left of the script is for these.
    manager.always(Call::IsValid, Step::ok());
    let all: Vec<_> =
        (0..SIZE).map(|_| pool.get_timeout(LONG_BOUND).expect("all capacity is there")).collect();
    assert_eq!((pool.gauges().size(), manager.live()), (SIZE, SIZE as usize));
    assert!(manager.most_live() <= SIZE as usize + 2, "{} at once", manager.most_live());
    drop(all);
}

#[test]
fn one_that_hangs_right_after_others_were_quick_holds_up_no_other_caller() {
    let (manager, pool) = built(Pool::builder().max_size(2).test_on_check_out(true).failure_threshold(0));
    for _ in 0..100 {
        drop(pool.get().unwrap());
    }
    let gate = Gate::new();
    manager.script(Call::IsValid, [Step::ok().behind(&gate)]);
    thread::scope(|scope| {
        scope.spawn(|| drop(pool.get_timeout(A_MOMENT).map(drop)));
        eventually(BOUND, "one hangs", || gate.waiting() == 1);
        for _ in 0..10 {
            let (conn, time) = took(|| pool.get_timeout(BOUND));
            assert!(conn.is_ok() && time < SECOND, "{time:?}");
        }
        gate.open();
    });
    eventually(BOUND, "both are back", || pool.gauges().idle == 2);
}

#[test]
fn the_helper_stays_for_ten_seconds_after_a_validated_checkout() {
    let (builder, hand, manager) = still(|builder| builder.name("stays").max_size(1));
    let pool = builder.test_on_check_out(true).build(manager).unwrap();
    let helpers = || threads_named("stays-close").len();
    // It is opened for this one, and good as it is.
    drop(pool.get().unwrap());
    for _ in 0..2 {
        drop(pool.get().unwrap());
        assert!(helpers() > 0);
        hand.advance(9 * SECOND);
        // Twice the time after which one goes that has nothing to do.
        assert!(!comes_true(SECOND, || helpers() == 0), "it went");
        drop(pool.get().unwrap());
        hand.advance(9 * SECOND);
        assert!(!comes_true(SECOND, || helpers() == 0), "it went although it was asked again");
        eventually(BOUND, "no more than one stays", || helpers() == 1);
        hand.advance(SECOND);
        eventually(BOUND, "it goes", || helpers() == 0);
    }
    drop(pool.get().unwrap());
    drop(pool);
    eventually(BOUND, "it goes with its pool", || helpers() == 0);
}

#[test]
fn an_idle_pool_uses_no_processor_time() {
    let pool =
        Pool::builder().name("quiet").max_size(4).test_on_check_out(true).build(MemoryManager).unwrap();
    for _ in 0..10_000 {
        drop(pool.get().unwrap());
    }
    let helpers = threads_named("quiet-close");
    assert!(!helpers.is_empty());
    // Those beside the one that stays go.
    eventually(BOUND, "one is left", || threads_named("quiet-close").len() == 1);
    let helper = threads_named("quiet-close").pop().expect("one stays");
    let runs = || status(&helper, "voluntary_ctxt_switches") + status(&helper, "nonvoluntary_ctxt_switches");
    let before = runs();
    thread::sleep(2 * SECOND);
    assert!(runs() <= before + 1, "{} times it ran", runs() - before);
}

#[test]
fn connections_that_rest_are_validated_ahead_once_checkouts_have_met_such_ones() {
    let (builder, hand, manager) = still(|builder| builder.max_size(2).pre_ping(PrePing::IfIdleFor(SECOND)));
    let pool = builder.build(manager.clone()).unwrap();
    let use_both = || use_together(&pool, 2);
    let pings = || manager.calls(Call::IsValid);
    use_both();
    hand.advance(700 * MS);
    assert!(!comes_true(10 * A_MOMENT, || pings() > 0), "nobody has met one yet");
    hand.advance(300 * MS);
    use_both();
    assert_eq!(pings(), 2);
    for round in 2..14 {
        hand.advance(700 * MS);
        eventually(BOUND, "both are validated", || pings() == 2 * round && pool.gauges().idle == 2);
        // Together longer than they are trusted, and less since they were validated. All rounds together last longer
        // than one such checkout is remembered.
        hand.advance(600 * MS);
        use_both();
        assert_eq!(pings(), 2 * round, "a caller had to wait for it");
    }
}

#[test]
fn an_idle_pool_ceases_to_validate_ahead() {
    let (pool, hand, manager) = met_at_rest(2, 2);
    let pings = || manager.calls(Call::IsValid);
    for _ in 0..20 {
        hand.advance(700 * MS);
        comes_true(2 * A_MOMENT, || false);
    }
    let before = pings();
    assert!((6..=30).contains(&before), "{before} in ten seconds");
    for _ in 0..20 {
        hand.advance(700 * MS);
        comes_true(A_MOMENT, || false);
    }
    assert_eq!(pings(), before);
    // As after any long rest.
    drop(pool.get().unwrap());
    assert_eq!(pings(), before + 1);
}

#[test]
fn one_that_nobody_uses_ceases_to_be_validated_ahead_while_others_are() {
    let (pool, hand, manager) = met_at_rest(2, 2);
    let pings = || manager.calls(Call::IsValid);
    // A thread takes the connection that it had last, so the other one rests.
    let validated_in_a_round = || {
        let before = pings();
        hand.advance(700 * MS);
        eventually(BOUND, "the one in use is validated", || pings() > before && pool.gauges().idle == 2);
        comes_true(2 * A_MOMENT, || pings() > before + 1);
        hand.advance(600 * MS);
        drop(pool.get().unwrap());
        pings() - before
    };
    assert_eq!(validated_in_a_round(), 2);
    // Ten seconds are over after this.
    (0..8).for_each(|_| _ = validated_in_a_round());
    for _ in 0..3 {
        assert_eq!(validated_in_a_round(), 1);
    }
}

#[test]
fn the_helper_goes_although_checkouts_go_on_that_find_none_too_old() {
    let (builder, hand, manager) =
        still(|builder| builder.name("none-old").max_size(1).pre_ping(PrePing::IfIdleFor(SECOND)));
    let pool = builder.build(manager).unwrap();
    let helpers = || threads_named("none-old-close").len();
    drop(pool.get().unwrap());
    hand.advance(SECOND);
    drop(pool.get().unwrap());
    assert!(helpers() > 0);
    for _ in 0..30 {
        hand.advance(500 * MS);
        drop(pool.get().unwrap());
        comes_true(A_MOMENT, || false);
    }
    eventually(BOUND, "it goes", || helpers() == 0);
}

#[test]
fn one_that_hangs_ahead_is_given_up_and_no_caller_waits_for_it() {
    let (builder, hand, manager) =
        still(|builder| builder.max_size(2).pre_ping(PrePing::IfIdleFor(SECOND)).failure_threshold(0));
    let pool = builder.validation_timeout(2 * SECOND).build(manager.clone()).unwrap();
    let use_both = || use_together(&pool, 2);
    use_both();
    hand.advance(SECOND);
    use_both();
    let gate = Gate::new();
    manager.script(Call::IsValid, [Step::ok().behind(&gate)]);
    hand.advance(700 * MS);
    eventually(BOUND, "it hangs", || gate.waiting() == 1);
    let (conn, time) = took(|| pool.get_timeout(BOUND));
    assert!(conn.is_ok() && time < AT_ONCE, "{time:?}");
    drop(conn);
    eventually(BOUND, "it is given up", || pool.gauges().zombies == 1);
    gate.open();
    eventually(BOUND, "it is gone", || pool.gauges().zombies == 0);
    use_both();
}
