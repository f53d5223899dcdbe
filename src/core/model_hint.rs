//! Model checks of the hint beside the verdict under loom, as in `model.rs`.

use loom::thread;

use super::model::{Line, Value, explore, lent, put, spawn};
use super::sync::Arc;
use super::waiter::{Waiter, Watched};
use super::{Joined, Lingered, Outcome, Waited};

type One = Waiter<u32, ()>;

/// How often a model looks at the hint before it sleeps: each look may see an old value or the new one.
const LOOKS: usize = 2;

/// The ways in which a waiter is served and told of it; whether it took the value.
const WAYS: [fn(&One) -> bool; 2] = [
    |waiter| {
        let took = waiter.serve(Box::new(1)).is_ok();
        waiter.wake();
        took
    },
    |waiter| waiter.answer(Box::new(1)).is_ok(),
];

/// A wait as the pool's: it lingers, sleeps until it is near, lingers once more, and sleeps until it has its verdict.
fn wait<T, R>(waiter: &Waiter<T, R>) -> Outcome<T, R> {
    linger(waiter);
    if waiter.watch_until_near(None) == Watched::Near {
        linger(waiter);
    }
    waiter.wait(None)
}

fn linger<T, R>(waiter: &Waiter<T, R>) -> bool {
    let mut looks = 0;
    // Without a yield: under loom that lets the others run to their end first, so that nobody would ever sleep.
    waiter.linger(|_| {
        looks += 1;
        looks < LOOKS
    })
}

#[test]
fn a_hint_that_is_seen_at_any_moment_leads_to_the_verdict() {
    for serve in WAYS {
        explore(move || {
            let waiter = Arc::new(One::new());
            let server = {
                let waiter = Arc::clone(&waiter);
                thread::spawn(move || assert!(serve(&waiter)))
            };
            assert!(matches!(wait(&waiter), Outcome::Served(value) if *value == 1));
            server.join().unwrap();
        });
    }
}

#[test]
fn an_alert_that_comes_late_takes_nothing_from_the_verdict() {
    for serve in WAYS {
        explore(move || {
            let waiter = Arc::new(One::new());
            let [alerting, serving] = [(); 2].map(|()| Arc::clone(&waiter));
            let alerter = thread::spawn(move || alerting.alert());
            let server = thread::spawn(move || assert!(serve(&serving)));
            assert!(matches!(wait(&waiter), Outcome::Served(_)));
            alerter.join().unwrap();
            server.join().unwrap();
            assert!(waiter.is_settled(), "the alert has taken back that the waiter is settled");
        });
    }
}

#[test]
fn a_hint_against_a_give_up_leaves_the_value_with_one_of_the_two() {
    for serve in WAYS {
        explore(move || {
            let waiter = Arc::new(One::new());
            let server = {
                let waiter = Arc::clone(&waiter);
                thread::spawn(move || serve(&waiter))
            };
            linger(&waiter);
            let served = matches!(waiter.leave(), Outcome::Served(_));
            assert_eq!(server.join().unwrap(), served);
        });
    }
}

/// A line that is known to be brisk, with its value out on loan and its cell marked.
fn brisk() -> (Arc<Line>, Box<Value>) {
    let (line, value) = lent();
    let Joined::InLine { waiter, .. } = line.join(None, None, ()) else { panic!("the slot is empty") };
    assert!(put(&line, value));
    let Outcome::Served(value) = waiter.leave() else { panic!("the value was put") };
    line.recycle_served(waiter, Waited { turn_ns: Some(0), lingered: Lingered::InVain });
    (line, value)
}

/// Two who stand in line one behind the other.
fn two(line: &Line) -> [Arc<Waiter<Value, &'static str>>; 2] {
    [(); 2].map(|()| match line.join(None, None, ()) {
        Joined::InLine { waiter, hope_ns: Some(0), .. } => waiter,
        _ => panic!("the slot is not empty, or the line not brisk"),
    })
}

/// Two in line: the hand-off to the first alerts the second, who is served by the first's own put.
#[test]
fn a_hand_off_that_alerts_the_next_serves_both_in_their_order() {
    explore(|| {
        let (line, value) = brisk();
        let [first, second] = two(&line);
        let last = spawn(&line, move |line| {
            let Outcome::Served(value) = wait(&second) else { panic!("nobody refuses here") };
            line.recycle(second);
            value.touch();
            assert!(put(line, value));
        });
        let putter = spawn(&line, |line| assert!(put(line, value)));
        let Outcome::Served(value) = wait(&first) else { panic!("nobody refuses here") };
        line.recycle(first);
        assert!(put(&line, value));
        putter.join().unwrap();
        last.join().unwrap();
        assert_eq!(line.counts().waiting, 0);
    });
}
