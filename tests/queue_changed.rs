//! Queues whose table, role or database are not as they were made: nothing is worked on in vain, and nothing panics.
#![cfg(feature = "postgres")]

mod support;

use std::sync::Arc;
use std::thread;

use support::queues::{Place, assert_sum, claims, numbers, options, work};
use support::wait::{LONG_BOUND, eventually};
use tierpool::batch::Ended;
use tierpool::batch::queue::{self, Fate, Feed, Item, Queue, QueueFeed, Report, Room};

/// What ended a batch that could not go on.
#[track_caller]
fn unusable(report: Report) -> String {
    assert_sum(&report);
    match report.ended {
        Ended::Unusable(why) => why.to_string(),
        _ => panic!("{report}"),
    }
}

#[track_caller]
fn claim(feed: &QueueFeed) -> Arc<Item> {
    let claimed = feed.claim(Room { items: 1, bytes: 100 }).unwrap();
    Arc::new(claimed.items()[0].clone())
}

#[test]
fn a_role_that_lacks_a_right_ends_the_batch_and_costs_no_item_an_attempt() {
    let place = Place::new();
    let pool = place.pool();
    let queue = numbers(&pool, 3);
    for (right, told) in [
        ("DELETE", "the role app may not remove items of the queue \"jobs\", so nothing is claimed"),
        ("UPDATE", "permission denied for table jobs"),
        ("SELECT", "permission denied for table jobs"),
    ] {
        place.execute(&format!("REVOKE {right} ON jobs FROM app"));
        let why = unusable(queue.run(claims(), options(), work).unwrap());
        assert!(why.contains(told), "{right}: {why}");
        place.execute(&format!("GRANT {right} ON jobs TO app"));
        assert_eq!(place.number("SELECT sum(attempt) FROM jobs"), 0, "{right}");
    }
    place.execute("REVOKE INSERT ON jobs FROM app");
    assert!(queue.push("4").unwrap_err().to_string().contains("permission denied for table jobs"));
    assert_eq!(queue.run(claims(), options(), work).unwrap().committed, 3);
    place.assert_once(3);
}

#[test]
fn work_in_another_database_than_the_queues_is_not_begun() {
    let (place, other) = (Place::new(), Place::new());
    let queue = numbers(&place.pool(), 3);
    let feed = queue.feed(claims()).unwrap();
    let why = unusable(queue::run(&other.pool(), &feed, options(), work));
    assert!(why.contains("there is no queue \"jobs\" in this database"), "{why}");
    assert_eq!(queue.stats().unwrap().ready, 3);
}

#[test]
fn a_table_that_somebody_has_changed_ends_the_batch_with_what_is_wrong_and_does_not_panic() {
    for change in [
        "ALTER COLUMN id DROP IDENTITY, ALTER COLUMN id TYPE integer",
        "ALTER COLUMN payload TYPE text USING encode(payload, 'hex')",
        "ALTER COLUMN attempt DROP DEFAULT, ALTER COLUMN attempt TYPE text",
        "DROP COLUMN owner",
        "RENAME COLUMN due TO later",
    ] {
        let place = Place::new();
        let pool = place.pool();
        let queue = numbers(&pool, 3);
        place.execute(&format!("ALTER TABLE jobs {change}"));
        let why = unusable(queue.run(claims(), options(), work).unwrap());
        assert!(!why.is_empty() && !why.contains('\n'), "{change}: {why}");
        place.assert_once(0);
    }
}

#[test]
fn a_database_whose_transactions_keep_their_snapshot_changes_nothing() {
    let place = Place::new();
    for level in ["repeatable read", "serializable"] {
        place.execute(&format!(
            "ALTER DATABASE {} SET default_transaction_isolation = '{level}'",
            place.name()
        ));
        let pool = place.pool();
        // They wait for each other, and then see what the first has made.
        let mut first = place.client();
        let mut first = first.transaction().unwrap();
        let turn = "SELECT pg_advisory_xact_lock(hashtextextended('tierpool queue ' || '\"jobs\"', 0))";
        first.execute(turn, &[]).unwrap();
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let made = thread::scope(|scope| {
            let maker = scope.spawn(|| Queue::create(&pool, "jobs").map(drop));
            eventually(LONG_BOUND, "it waits for its turn", || place.number(waiting) == 1);
            Queue::create(&pool, "model").unwrap();
            first.batch_execute("ALTER TABLE model RENAME TO jobs").unwrap();
            first.commit().unwrap();
            maker.join().unwrap()
        });
        made.unwrap();
        place.execute("DROP TABLE jobs");
    }
}

#[test]
fn a_program_that_seeds_its_random_numbers_has_owners_of_its_own_all_the_same() {
    let place = Place::new();
    let pool = place.pool();
    let queue = numbers(&pool, 0);
    let owners = [(); 2].map(|()| {
        fastrand::seed(7);
        queue.feed(claims()).unwrap().owner().to_owned()
    });
    assert_ne!(owners[0], owners[1]);
}

#[test]
fn a_failure_told_while_the_removal_is_being_committed_waits_for_that_and_is_settled() {
    let place = Place::new();
    let pool = place.pool();
    let queue = numbers(&pool, 1);
    let feed = queue.feed(claims()).unwrap();
    let item = claim(&feed);
    let mut session = place.client();
    let mut removal = session.transaction().unwrap();
    removal.execute("DELETE FROM jobs", &[]).unwrap();
    let fate = thread::scope(|scope| {
        let told = scope.spawn(|| feed.failed(&item, "COMMIT had no answer"));
        eventually(LONG_BOUND, "it waits for the row", || {
            place.number(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                 AND wait_event_type = 'Lock'",
            ) == 1
        });
        removal.commit().unwrap();
        told.join().unwrap()
    });
    assert_eq!(fate.unwrap(), Fate::Settled);
}

#[test]
fn a_host_that_is_late_does_not_put_off_what_another_has_given_back() {
    let place = Place::new();
    let pool = place.pool();
    let queue = numbers(&pool, 1);
    let late = queue.feed(claims().backoff(LONG_BOUND, LONG_BOUND)).unwrap();
    let other = queue.feed(claims()).unwrap();
    let item = claim(&late);
    // As if its lease had ended: the other claims it, and gives it back as its batch ends.
    place.execute("UPDATE jobs SET due = now()");
    let again = claim(&other);
    assert_eq!((again.id(), again.attempt()), (item.id(), item.attempt() + 1));
    assert_eq!(late.failed(&item, "too late").unwrap(), Fate::TakenOver);
    other.give_back(&[again]).unwrap();
    assert_eq!(late.failed(&item, "too late").unwrap(), Fate::TakenOver);
    assert_eq!(queue.stats().unwrap().ready, 1);
}
