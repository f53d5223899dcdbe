//! The rules of the breaker, told the time by hand.

use super::*;

fn failure(class: FailureClass) -> Arc<OpenFailure> {
    Arc::new(OpenFailure::from_text("refused".into(), class, 1))
}

fn transient(breaker: &mut Breaker, now: u64) -> Reaction {
    let probe = breaker.state() == BreakerState::Probing;
    breaker.failed(now, now, failure(FailureClass::Transient), 0.0, probe)
}

/// One that has opened at 0.
fn open() -> Breaker {
    let mut breaker = Breaker::new(&Settings { failure_threshold: 1, ..Settings::default() });
    assert_eq!(transient(&mut breaker, 0), Reaction::Opened);
    breaker
}

#[test]
fn failures_back_off_and_the_third_opens_the_breaker() {
    let mut breaker = Breaker::new(&Settings::default());
    assert_eq!(breaker.advice(0), Advice::Open(4));
    assert_eq!(transient(&mut breaker, 0), Reaction::None);
    assert_eq!(breaker.advice(199), Advice::NotBefore(200));
    assert_eq!(breaker.advice(200), Advice::Open(1));
    assert_eq!(transient(&mut breaker, 200), Reaction::None);
    assert_eq!(breaker.advice(599), Advice::NotBefore(600));
    assert_eq!(transient(&mut breaker, 600), Reaction::Opened);
    assert_eq!((breaker.state(), breaker.openings()), (BreakerState::Open, 1));
    assert_eq!(breaker.outage(700), Some((100, 400)));
}

#[test]
fn one_probe_closes_it_and_opening_starts_slowly() {
    let mut breaker = open();
    assert_eq!(breaker.advice(499), Advice::NotBefore(500));
    assert_eq!(breaker.advice(500), Advice::Probe);
    breaker.begin_probe();
    assert_eq!(breaker.advice(5000), Advice::AwaitProbe);
    assert_eq!(transient(&mut breaker, 2000), Reaction::StillOpen);
    assert_eq!(breaker.advice(2000), Advice::NotBefore(2500));
    breaker.begin_probe();
    assert!(breaker.succeeded());
    assert_eq!(breaker.advice(2100), Advice::Open(1));
    assert!(!breaker.succeeded());
    assert_eq!(breaker.advice(2100), Advice::Open(2));
    breaker.succeeded();
    breaker.succeeded();
    assert_eq!(breaker.advice(2100), Advice::Open(4), "the configured concurrency is the end of it");
}

#[test]
fn probes_are_an_eighth_of_the_outage_apart_and_never_more_than_open_for() {
    let mut breaker = open();
    for (now, next) in [(1_000, 1_500), (16_000, 18_000), (3_600_000, 3_610_000)] {
        breaker.begin_probe();
        transient(&mut breaker, now);
        assert_eq!(breaker.advice(now), Advice::NotBefore(next));
    }
}

#[test]
fn a_probe_that_got_no_answer_is_followed_by_the_next_at_once() {
    let mut breaker = open();
    breaker.begin_probe();
    breaker.failed(2_500, 500, failure(FailureClass::Transient), 0.0, true);
    assert_eq!(breaker.advice(2_500), Advice::Probe);
}

#[test]
fn attempts_that_fail_together_are_one_sign() {
    let mut breaker = Breaker::new(&Settings::default());
    for _ in 0..4 {
        assert_eq!(breaker.failed(5, 1, failure(FailureClass::Transient), 0.0, false), Reaction::None);
    }
    let mut full = Breaker::new(&Settings::default());
    for _ in 0..4 {
        full.failed(5, 1, failure(FailureClass::Exhausted), 0.0, false);
    }
    assert_eq!(full.advice(5), Advice::NotBefore(205), "nor where the server has no connections");
    // A refusal may come within the millisecond in which the attempt began.
    for _ in 0..4 {
        assert_eq!(breaker.failed(5, 5, failure(FailureClass::Transient), 0.0, false), Reaction::None);
    }
    assert_eq!(breaker.advice(5), Advice::NotBefore(205), "the back-off has not grown");
    for ping in 0..8 {
        breaker.ping_timed_out(400 + ping, 100, failure(FailureClass::Transient));
    }
    assert_eq!(breaker.state(), BreakerState::Closed, "one failure and one round of pings are two signs");
    assert_eq!(transient(&mut breaker, 500), Reaction::Opened);
}

#[test]
fn a_failure_is_remembered_for_those_who_waited_through_it() {
    let mut breaker = Breaker::new(&Settings::default());
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
    let mut breaker = Breaker::new(&Settings::default());
    for now in 0..50 {
        assert_eq!(breaker.failed(now, now, failure(FailureClass::Exhausted), 0.0, false), Reaction::None);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert_eq!(breaker.advice(49), Advice::NotBefore(49 + BACKOFF_LAST_MS));
}

#[test]
fn a_permanent_cause_refuses_at_once_and_is_tried_again_in_half_a_minute() {
    let mut breaker = Breaker::new(&Settings::default());
    assert_eq!(breaker.failed(0, 0, failure(FailureClass::Permanent), 1.0, false), Reaction::Refuse);
    assert_eq!(breaker.advice(29_999), Advice::NotBefore(30_000));
    assert!(breaker.is_locked(29_999));
    assert!(!breaker.is_locked(30_000));
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
    let mut breaker = Breaker::new(&Settings::default());
    for _ in 0..2 {
        breaker.failed(0, 0, failure(FailureClass::Exhausted), 1.0, false);
    }
    let Advice::NotBefore(at) = breaker.advice(0) else { panic!("no back-off") };
    assert!(at >= BACKOFF_FIRST_MS);
}
