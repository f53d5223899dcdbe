//! Threads of a group, looked at from within: who is started, who stays, who takes the place of another.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{sleep, yield_now};
use std::time::Instant;

use super::*;

const BOUND: Duration = Duration::from_secs(10);

/// A job that tells that it has begun, and is done when it is told to end or `Sender` is gone.
fn stuck() -> (Job, Receiver<()>, Sender<()>) {
    let ((begun, has_begun), (end, ends)) = (channel(), channel::<()>());
    let job = Job::call(move || {
        begun.send(()).unwrap();
        let _ = ends.recv();
    });
    (job, has_begun, end)
}

#[test]
fn a_job_whose_caller_is_awake_waits_for_the_one_before_unless_that_is_stuck() {
    let workers = Workers::new("test".into(), 2);
    let ((first, first_begun, end), (second, second_begun, _end)) = (stuck(), stuck());
    workers.submit_awake(first);
    first_begun.recv_timeout(BOUND).unwrap();
    workers.submit_awake(second);
    assert!(second_begun.recv_timeout(Duration::from_millis(50)).is_err(), "a thread was started for it");
    workers.staff_now();
    second_begun.recv_timeout(BOUND).expect("another thread takes it");
    drop(end);
}

#[test]
fn a_job_in_the_mailbox_of_a_thread_that_does_not_look_is_done_by_another() {
    let workers = Workers::new("test".into(), 2);
    let (job, has_begun, _end) = stuck();
    // Of a thread that has lost its core to others.
    workers.0.mailbox.open();
    workers.submit_awake(job);
    assert!(workers.are_wanted());
    assert_eq!(workers.0.state.lock().threads, 0, "a thread was started for it");
    workers.staff_now();
    has_begun.recv_timeout(BOUND).expect("another thread takes it");
    assert!(!workers.are_wanted());
}

#[test]
fn a_thread_that_ends_its_wait_awake_takes_what_is_in_its_mailbox() {
    let workers = Workers::new("test".into(), 1);
    let (tell, told) = channel();
    let job = |number: u32| -> Job {
        let tell = tell.clone();
        Job::call(move || tell.send((number, std::thread::current().id())).unwrap())
    };
    workers.keep_one();
    workers.submit(job(0));
    let (_, thread) = told.recv_timeout(BOUND).unwrap();
    for number in 1..2_000 {
        workers.submit_awake(job(number));
        if number % 3 == 0 {
            workers.staff_now();
        }
        let told = told.recv_timeout(BOUND).unwrap_or_else(|_| panic!("job {number} was lost"));
        assert_eq!(told, (number, thread));
    }
    workers.let_go();
}

#[test]
fn no_thread_is_started_in_place_of_one_that_starts() {
    let workers = Workers::new("test".into(), 8);
    let (job, has_begun, _end) = stuck();
    let mut state = workers.0.state.lock();
    state.jobs.push_back((job, Met::Asleep));
    workers.staff_for(state);
    (0..5).for_each(|_| workers.staff());
    has_begun.recv_timeout(BOUND).unwrap();
    workers.staff();
    assert_eq!(workers.0.state.lock().threads, 1);
}

#[test]
fn a_thread_that_was_replaced_ends_with_its_job_and_its_successor_is_awake() {
    let workers = Workers::new("test".into(), 2);
    let group = &workers.0;
    let (tell, told) = channel();
    let job = || {
        let tell = tell.clone();
        Job::call(move || tell.send(std::thread::current().id()).unwrap())
    };
    // What it leaves to another is the last thing that it sees to.
    let mut state = group.state.lock();
    (state.threads, state.awake) = (1, 1);
    state.jobs.push_back((job(), Met::Awake));
    assert!(group.start(state, Met::Awake));
    let successor = told.recv_timeout(BOUND).unwrap();
    assert!(group.next(Met::Replaced).is_none());
    assert_eq!(group.state.lock().threads, 1, "the successor");
    // While that is awake, or sleeps later on, it is the one to whom work comes.
    for _ in 0..3 {
        workers.submit_awake(job());
        assert_eq!(told.recv_timeout(BOUND).unwrap(), successor);
    }
}

#[test]
fn one_thread_stays_for_as_long_as_it_is_kept() {
    let workers = Workers::new("test".into(), 4);
    workers.keep_one();
    for _ in 0..3 {
        let (job, has_begun, end) = stuck();
        workers.submit(job);
        has_begun.recv_timeout(BOUND).unwrap();
        drop(end);
    }
    let threads = || workers.0.state.lock().threads;
    let begun = Instant::now();
    while begun.elapsed() < BOUND && threads() > 1 {
        yield_now();
    }
    sleep(LINGER * 2);
    assert_eq!(threads(), 1);
    workers.let_go();
    while begun.elapsed() < BOUND && threads() > 0 {
        yield_now();
    }
    assert_eq!(threads(), 0);
}
