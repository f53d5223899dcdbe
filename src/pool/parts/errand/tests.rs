//! The states of an errand: given up before, while and after a helper has it in hand.

use super::*;

const LIMIT: Duration = Duration::from_secs(1);

struct Rig {
    zombies: Gauge,
    workers: Workers,
    errand: Errand<&'static str, &'static str>,
}

impl Rig {
    fn new(task: Task) -> Self {
        Rig::of(Errand::new("seat", task, LIMIT))
    }

    /// With the check of a connection.
    fn check(since: Instant) -> Self {
        let subject =
            Subject { id: 7, seen: crate::pool::parts::generations::AtomicGeneration::first().load() };
        let task = Task::Check(Check::Validate { suspect: false }, subject);
        let to_check = ToCheck { seat: "seat", conn: Box::new("conn"), task, limit: LIMIT, run: |_| () };
        Rig::of(Errand::check(to_check, since, None))
    }

    fn of(errand: Errand<&'static str, &'static str>) -> Self {
        Rig { zombies: Gauge::default(), workers: Workers::new("test".into(), 1), errand }
    }

    /// Gives up with room for so many zombies. Returns what came of it and what was noted.
    fn give_up(&self, most: u32) -> (Option<GivenUp<&'static str>>, Option<Fate>) {
        let mut noted = None;
        let note = |_: &mut &str, fate| noted = Some(fate);
        (self.errand.give_up(LIMIT, &self.zombies, most, &self.workers, note), noted)
    }
}

#[test]
fn one_that_ends_in_time_keeps_its_seat() {
    let rig = Rig::new(Task::Open(Purpose::Demand));
    assert!(rig.errand.begin().has_seat);
    let ended = rig.errand.finish();
    assert_eq!((ended.seat, ended.zombie.is_some(), ended.thread_is_lost), (Some("seat"), false, false));
    assert!(rig.errand.is_over());
    assert!(rig.give_up(1).0.is_none(), "it ended in the same moment");
}

#[test]
fn one_freed_in_a_helpers_hands_takes_the_thread_with_it() {
    let rig = Rig::new(Task::Open(Purpose::Demand));
    rig.errand.begin();
    let (given_up, noted) = rig.give_up(1);
    assert_eq!((given_up.and_then(|it| it.seat), noted), (Some("seat"), Some(Fate::Freed)));
    assert!(rig.errand.is_over());
    assert_eq!(rig.zombies.get(), 1);
    let ended = rig.errand.finish();
    assert_eq!((ended.seat, ended.thread_is_lost), (None, true));
    drop(ended.zombie);
    assert_eq!(rig.zombies.get(), 0);
}

#[test]
fn one_freed_in_the_queue_has_its_thread_watched_afterwards() {
    let rig = Rig::new(Task::Open(Purpose::Demand));
    assert_eq!(rig.give_up(1).0.and_then(|it| it.seat), Some("seat"));
    assert!(rig.errand.is_over(), "no helper has it");
    assert!(!rig.errand.begin().has_seat, "its seat is gone");
    assert!(!rig.errand.is_over(), "the thread is to be watched");
    assert!(rig.give_up(1).0.is_none());
    assert!(rig.errand.is_over());
    assert!(rig.errand.finish().thread_is_lost);
    assert_eq!(rig.zombies.get(), 0);
}

#[test]
fn one_kept_for_want_of_room_is_freed_when_there_is_some() {
    let rig = Rig::check(Instant::now());
    rig.errand.begin();
    let (given_up, noted) = rig.give_up(0);
    let given_up = given_up.expect("something came of it");
    assert_eq!((given_up.seat, noted), (None, Some(Fate::Kept)));
    assert_eq!(given_up.silent.map(|subject| subject.id), Some(7));
    let (given_up, noted) = rig.give_up(0);
    assert_eq!(noted, None, "noted once");
    assert!(given_up.is_some_and(|it| it.seat.is_none() && it.silent.is_none()), "told once");
    assert_eq!(rig.give_up(1).0.and_then(|it| it.seat), Some("seat"));
    assert!(rig.errand.finish().thread_is_lost);
}

#[test]
fn a_connection_to_be_checked_goes_to_whoever_takes_it_up_with_its_seat_or_without() {
    for (most, gives_up, has_seat) in [(0, false, true), (0, true, true), (1, true, false)] {
        let rig = Rig::check(Instant::now());
        if gives_up {
            assert_eq!(rig.give_up(most).1, Some(if has_seat { Fate::Kept } else { Fate::Freed }));
        }
        let begun = rig.errand.begin();
        assert_eq!((begun.has_seat, begun.conn), (has_seat, Some(Box::new("conn"))));
    }
}

#[test]
fn a_check_waits_twice_as_long_for_a_helper_as_it_may_take() {
    let since = Instant::now();
    let rig = Rig::check(since);
    assert_eq!(rig.errand.give_up_at().instant(), since + 2 * LIMIT);
    rig.errand.begin();
    let (from_now, left) = (Instant::now(), rig.errand.give_up_at().instant());
    assert!(left <= from_now + LIMIT, "{:?}", left - from_now);
}

#[test]
fn a_close_that_hangs_counts_also_where_it_keeps_its_seat() {
    let rig = Rig::new(Task::Close);
    let others = [rig.zombies.enter(), rig.zombies.enter()];
    assert!(rig.give_up(2).0.is_some_and(|it| it.seat.is_none()));
    assert_eq!(rig.zombies.get(), 3);
    assert!(rig.errand.begin().has_seat, "kept in the queue, and the seat with it");
    drop(others);
    assert_eq!(rig.give_up(2).0.and_then(|it| it.seat), Some("seat"));
    let ended = rig.errand.finish();
    assert!(ended.thread_is_lost && ended.zombie.is_some());
    drop(ended);
    assert_eq!(rig.zombies.get(), 0);
}
