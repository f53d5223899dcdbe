//! The rules of the breaker, told the time by hand.

use super::*;

fn at(ms: u64) -> Millis {
    Millis::new(ms)
}

fn failure(class: FailureClass) -> Arc<OpenFailure> {
    Arc::new(OpenFailure::from_text("refused".into(), class, 1))
}

fn transient(breaker: &mut Breaker, now: u64) -> Reaction {
    let probe = breaker.state() == BreakerState::Probing;
    breaker.failed(at(now), at(now), failure(FailureClass::Transient), 0.0, probe)
}

/// One that has opened at 0.
fn open() -> Breaker {
    let mut breaker = Breaker::new(&Settings { failure_threshold: 1, ..Settings::of_tier("batch") });
    assert_eq!(transient(&mut breaker, 0), Reaction::Opened);
    breaker
}

#[test]
fn failures_back_off_and_the_third_opens_the_breaker() {
    let mut breaker = Breaker::new(&Settings::of_tier("batch"));
    assert_eq!(breaker.advice(at(0)), Advice::Open(4));
    assert_eq!(transient(&mut breaker, 0), Reaction::None);
    assert_eq!(breaker.advice(at(199)), Advice::NotBefore(at(200)));
    assert_eq!(breaker.advice(at(200)), Advice::Open(1));
    assert_eq!(transient(&mut breaker, 200), Reaction::None);
    assert_eq!(breaker.advice(at(599)), Advice::NotBefore(at(600)));
    assert_eq!(transient(&mut breaker, 600), Reaction::Opened);
    assert_eq!((breaker.state(), breaker.openings()), (BreakerState::Open, 1));
    let outage = breaker.outage(at(700)).expect("it is open");
    assert_eq!(outage.since, Duration::from_millis(100));
    assert_eq!(outage.next_attempt_in, Duration::from_millis(400));
}

#[cfg(feature = "postgres")]
#[test]
fn the_pause_after_want_of_room_can_be_ended_and_no_other() {
    for (class, ends) in [(FailureClass::Exhausted, true), (FailureClass::Transient, false)] {
        let mut breaker = Breaker::new(&Settings::of_tier("batch"));
        breaker.failed(at(0), at(0), failure(class), 0.0, false);
        breaker.forget_fullness(at(10));
        assert_eq!(matches!(breaker.advice(at(10)), Advice::Open(_)), ends, "{class:?}");
    }
    let mut breaker = open();
    breaker.forget_fullness(at(10));
    assert_eq!(breaker.advice(at(10)), Advice::NotBefore(at(500)));
}

#[test]
fn one_probe_closes_it_and_opening_starts_slowly() {
    let mut breaker = open();
    assert_eq!(breaker.advice(at(499)), Advice::NotBefore(at(500)));
    assert_eq!(breaker.advice(at(500)), Advice::Probe);
    breaker.begin_probe();
    assert_eq!(breaker.advice(at(5000)), Advice::AwaitProbe);
    assert_eq!(transient(&mut breaker, 2000), Reaction::StillOpen);
    assert_eq!(breaker.advice(at(2000)), Advice::NotBefore(at(2500)));
    breaker.begin_probe();
    assert!(breaker.succeeded());
    assert_eq!(breaker.advice(at(2100)), Advice::Open(1));
    assert!(!breaker.succeeded());
    assert_eq!(breaker.advice(at(2100)), Advice::Open(2));
    breaker.succeeded();
    breaker.succeeded();
    assert_eq!(breaker.advice(at(2100)), Advice::Open(4), "the configured concurrency is the end of it");
}

#[test]
fn probes_are_an_eighth_of_the_outage_apart_and_never_more_than_open_for() {
    let mut breaker = open();
    for (now, next) in [(1_000, 1_500), (16_000, 18_000), (3_600_000, 3_610_000)] {
        breaker.begin_probe();
        transient(&mut breaker, now);
        assert_eq!(breaker.advice(at(now)), Advice::NotBefore(at(next)));
    }
}

#[test]
fn a_probe_that_got_no_answer_is_followed_by_the_next_at_once() {
    let mut breaker = open();
    breaker.begin_probe();
    breaker.failed(at(2_500), at(500), failure(FailureClass::Transient), 0.0, true);
    assert_eq!(breaker.advice(at(2_500)), Advice::Probe);
}

#[test]
fn attempts_that_fail_together_are_one_sign() {
    let mut breaker = Breaker::new(&Settings::of_tier("batch"));
    for _ in 0..4 {
        assert_eq!(
            breaker.failed(at(5), at(1), failure(FailureClass::Transient), 0.0, false),
            Reaction::None
        );
    }
    let mut full = Breaker::new(&Settings::of_tier("batch"));
    for _ in 0..4 {
        full.failed(at(5), at(1), failure(FailureClass::Exhausted), 0.0, false);
    }
    assert_eq!(full.advice(at(5)), Advice::NotBefore(at(205)), "nor where the server has no connections");
    // A refusal may come within the millisecond in which the attempt began.
    for _ in 0..4 {
        assert_eq!(
            breaker.failed(at(5), at(5), failure(FailureClass::Transient), 0.0, false),
            Reaction::None
        );
    }
    assert_eq!(breaker.advice(at(5)), Advice::NotBefore(at(205)), "the back-off has not grown");
    for ping in 0..8 {
        breaker.ping_timed_out(at(400 + ping), at(100), failure(FailureClass::Transient));
    }
    assert_eq!(breaker.state(), BreakerState::Closed, "one failure and one round of pings are two signs");
    assert_eq!(transient(&mut breaker, 500), Reaction::Opened);
}

#[test]
fn a_failure_is_remembered_for_those_who_waited_through_it() {
    let mut breaker = Breaker::new(&Settings::of_tier("batch"));
    transient(&mut breaker, 0);
    assert!(breaker.last_within(Duration::ZERO).is_some());
    breaker.succeeded();
    breaker.succeeded();
    assert!(breaker.last().is_none());
    assert!(breaker.last_within(Duration::from_secs(60)).is_some());
    assert!(breaker.last_within(Duration::ZERO).is_none(), "it is older than the caller");
}

#[test]
fn a_server_without_connections_never_opens_it() {
    let mut breaker = Breaker::new(&Settings::of_tier("batch"));
    for now in 0..50 {
        assert_eq!(
            breaker.failed(at(now), at(now), failure(FailureClass::Exhausted), 0.0, false),
            Reaction::None
        );
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert_eq!(breaker.advice(at(49)), Advice::NotBefore(at(49).plus(BACKOFF_LAST)));
}

#[test]
fn a_permanent_cause_refuses_at_once_and_is_tried_again_in_half_a_minute() {
    let mut breaker = Breaker::new(&Settings::of_tier("batch"));
    assert_eq!(breaker.failed(at(0), at(0), failure(FailureClass::Permanent), 1.0, false), Reaction::Refuse);
    assert_eq!(breaker.advice(at(29_999)), Advice::NotBefore(at(30_000)));
    assert!(breaker.is_locked(at(29_999)));
    assert!(!breaker.is_locked(at(30_000)));
    assert!(breaker.succeeded());
}

#[test]
fn a_threshold_of_zero_switches_it_off() {
    let settings = Settings { failure_threshold: 0, ..Settings::default() };
    let mut breaker = Breaker::new(&settings);
    for _ in 0..100 {
        assert_eq!(transient(&mut breaker, 0), Reaction::None);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn attempts_stay_below_five_a_second_whatever_the_spread() {
    let mut breaker = Breaker::new(&Settings::of_tier("batch"));
    for _ in 0..2 {
        breaker.failed(at(0), at(0), failure(FailureClass::Exhausted), 1.0, false);
    }
    let Advice::NotBefore(next) = breaker.advice(at(0)) else { panic!("no back-off") };
    assert!(next >= BACKOFF_FIRST);
}
