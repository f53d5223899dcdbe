//! A queue in a table: what is pushed, claimed, renewed, given back, failed, and refused.
#![cfg(feature = "postgres")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use support::pools::pool_of;
use support::proxy::{Direction, Proxy};
use support::queues::Place;
use support::wait::{LONG_BOUND, MS, SECOND, eventually};
use tierpool::batch::queue::{Claims, Fate, Feed, Item, Queue, QueueFeed, Room};
use tierpool::postgres::SessionOptions;
use tierpool::{PgError, PgPool, Tier};

const MIB: usize = 1024 * 1024;

/// A new queue named `jobs`.
fn queue(pool: &PgPool) -> Queue {
    Queue::create(pool, "jobs").unwrap()
}

/// Claims that a test need not wait for.
fn claims() -> Claims {
    Claims::new().backoff(MS, MS)
}

fn room(items: usize) -> Room {
    Room { items, bytes: MIB }
}

#[track_caller]
fn claim(feed: &QueueFeed, items: usize) -> Vec<Arc<Item>> {
    feed.claim(room(items)).unwrap().items().iter().map(|item| Arc::new(Item::clone(item))).collect()
}

fn texts(items: &[Arc<Item>]) -> Vec<&str> {
    items.iter().map(|item| item.text().unwrap()).collect()
}

/// Removes an item as a worker does, and says whether that was committed.
fn remove(pool: &PgPool, feed: &QueueFeed, item: &Item) -> Result<(), PgError> {
    let options = SessionOptions::new();
    pool.session_ending_with(Tier::Automation, &options, |tx| feed.remove(tx, item))
}

/// Waits until the lease of what was claimed by others has ended, and claims it.
#[track_caller]
fn claim_expired(feed: &QueueFeed) -> Vec<Arc<Item>> {
    let mut items = Vec::new();
    eventually(LONG_BOUND, "a lease ends", || {
        items = claim(feed, 10);
        !items.is_empty()
    });
    items
}

#[test]
fn what_is_pushed_is_claimed_in_its_order_with_what_it_says() {
    let place = Place::new();
    let pool = place.pool();
    let queue = queue(&pool);
    let first = queue.push("a").unwrap();
    assert!(queue.push([0_u8, 255]).unwrap() > first);
    assert_eq!(queue.push_many(["c", "", "e"]).unwrap(), 3);
    queue.push_after(Duration::from_secs(3600), "later").unwrap();
    let stats = queue.stats().unwrap();
    assert_eq!((stats.ready, stats.delayed, stats.leased, stats.dead, stats.items()), (5, 1, 0, 0, 6));
    assert!(stats.oldest_ready.is_some());

    let feed = queue.feed(claims()).unwrap();
    let items = claim(&feed, 2);
    let payloads: Vec<_> = items.iter().map(|item| item.payload()).collect();
    assert_eq!(payloads, [b"a".as_slice(), &[0, 255]]);
    assert_eq!((items[0].id(), items[0].attempt()), (first, 1));
    assert!(items[1].text().is_err());
    assert!(!format!("{:?}", items[0]).contains("[97]"), "a payload may be a secret");
    assert_eq!(texts(&claim(&feed, 9)), ["c", "", "e"]);
    assert!(claim(&feed, 9).is_empty(), "the delayed one is nobody's yet");
    let stats = queue.stats().unwrap();
    assert_eq!((stats.ready, stats.delayed, stats.leased), (0, 1, 5));
}

#[test]
fn a_push_within_a_session_is_there_with_what_else_the_session_did() {
    let place = Place::new();
    let pool = place.pool();
    let queue = queue(&pool);
    let undone = pool.session(|tx| {
        queue.push_in(tx, "a", Duration::ZERO)?;
        queue.push_many_in(tx, ["b", "c"], Duration::ZERO)?;
        tx.execute("SELECT 1 / 0", &[]).map(drop)
    });
    assert!(undone.is_err());
    assert_eq!(queue.stats().unwrap().items(), 0);
    pool.session(|tx| queue.push_many_in(tx, ["b", "c"], Duration::from_secs(3600))).unwrap();
    assert_eq!(queue.stats().unwrap().delayed, 2);
}

#[test]
fn a_queue_is_open_as_soon_as_it_has_been_looked_at() {
    let place = Place::new();
    Queue::create(&place.pool(), "jobs").unwrap();
    let proxy = Proxy::start(place.cluster.port()).unwrap();
    let pool = pool_of(1, "batch", place.url_through(proxy.port()), |builder| builder);
    drop(pool.get(Tier::Automation).unwrap());
    // Both ways, so that the answer comes long after it was left: one that comes meanwhile is read.
    proxy.delay(300 * MS);
    proxy.cut_at(Direction::ToClient, b"COMMIT");
    let queue = Queue::open(&pool, "jobs").unwrap();
    proxy.pass();
    assert!(!Queue::create_filled(&pool, "jobs", |_, _| panic!("it is there")).unwrap().1);
    assert_eq!(queue.stats().unwrap().items(), 0);
}

#[test]
fn two_who_claim_at_once_never_share_an_item() {
    let place = Place::new();
    let pool = place.pool();
    let queue = queue(&pool);
    queue.push_many((0..600).map(|n| n.to_string())).unwrap();
    let claimed: Vec<Vec<i64>> = thread::scope(|scope| {
        let claimers: Vec<_> = (0..4)
            .map(|_| {
                let feed = queue.feed(claims()).unwrap();
                scope.spawn(move || {
                    let mut ids = Vec::new();
                    loop {
                        let items = claim(&feed, 7);
                        // Others may have the rest locked; they claim it then.
                        if items.is_empty() {
                            return ids;
                        }
                        ids.extend(items.iter().map(|item| item.id()));
                    }
                })
            })
            .collect();
        claimers.into_iter().map(|claimer| claimer.join().unwrap()).collect()
    });
    let all: Vec<i64> = claimed.concat();
    assert_eq!(all.len(), 600, "{:?}", claimed.iter().map(Vec::len).collect::<Vec<_>>());
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 600);
}

#[test]
fn a_claim_that_is_not_renewed_comes_back_and_cannot_be_ended_by_who_had_it() {
    let place = Place::new();
    let pool = place.pool();
    let queue = queue(&pool);
    queue.push("a").unwrap();
    let lease = claims().lease(SECOND);
    let (dead, alive) = (queue.feed(lease).unwrap(), queue.feed(lease).unwrap());
    let before = claim(&dead, 1);
    let after = claim_expired(&alive);
    assert_eq!((after[0].id(), after[0].attempt()), (before[0].id(), 2));

    let error = remove(&pool, &dead, &before[0]).unwrap_err();
    assert_eq!(error.sqlstate(), Some("22012"), "{error}");
    assert_eq!(dead.failed(&before[0], "too late").unwrap(), Fate::TakenOver);
    dead.give_back(&before).unwrap();
    dead.renew(&before).unwrap();
    assert_eq!(queue.stats().unwrap().items(), 1);
    remove(&pool, &alive, &after[0]).unwrap();
    assert_eq!(alive.failed(&after[0], "COMMIT had no answer").unwrap(), Fate::Settled);
    assert!(remove(&pool, &alive, &after[0]).is_err(), "it was removed before");
}

#[test]
fn a_claim_that_is_renewed_holds() {
    let place = Place::new();
    let pool = place.pool();
    let queue = queue(&pool);
    queue.push_many(["a", "b"]).unwrap();
    let feed = queue.feed(claims().lease(60 * SECOND)).unwrap();
    let items = claim(&feed, 2);
    let due = || -> String {
        let text = "SELECT string_agg((due > now() + interval '30 s')::text, ' ' ORDER BY id) FROM jobs";
        place.client().query_one(text, &[]).unwrap().get(0)
    };
    place.execute("UPDATE jobs SET due = now() + interval '1 s'");
    assert_eq!(due(), "false false");
    // One that is being removed is not waited for.
    let mut other = place.client();
    let mut other = other.transaction().unwrap();
    other.execute("SELECT FROM jobs WHERE id = $1 FOR UPDATE", &[&items[0].id()]).unwrap();
    feed.renew(&items).unwrap();
    assert_eq!(due(), "false true");
}

#[test]
fn what_is_given_back_was_no_attempt_and_is_ready_at_once() {
    let place = Place::new();
    let pool = place.pool();
    let queue = queue(&pool);
    queue.push_many(["a", "b"]).unwrap();
    let feed = queue.feed(claims()).unwrap();
    let items = claim(&feed, 2);
    feed.give_back(&items).unwrap();
    feed.give_back(&items).unwrap();
    let again: Vec<u32> = claim(&feed, 2).iter().map(|item| item.attempt()).collect();
    assert_eq!(again, [1, 1]);
}

#[test]
fn an_item_that_fails_waits_and_is_a_dead_letter_in_the_end_which_can_be_tried_again() {
    let place = Place::new();
    let pool = place.pool();
    let queue = queue(&pool);
    queue.push("a").unwrap();
    let patient = queue.feed(claims().attempts(2).backoff(3600 * SECOND, 7200 * SECOND)).unwrap();
    let item = claim(&patient, 1);
    assert_eq!(patient.failed(&item[0], "first").unwrap(), Fate::PutOff);
    // Told again, as after an answer that was lost, it is the same.
    assert_eq!(patient.failed(&item[0], "first").unwrap(), Fate::PutOff);
    assert!(claim(&patient, 1).is_empty());
    assert_eq!(queue.stats().unwrap().delayed, 1);
    place.execute("UPDATE jobs SET due = now()");
    let item = claim(&patient, 1);
    assert_eq!(item[0].attempt(), 2);
    assert_eq!(patient.failed(&item[0], "it is\0 bad").unwrap(), Fate::Dead);
    assert!(claim(&patient, 1).is_empty());
    assert_eq!(queue.stats().unwrap().to_string(), "0 ready, 0 delayed, 0 leased, 1 dead");
    let letters = queue.dead_letters(10).unwrap();
    assert_eq!((letters.len(), letters[0].id, letters[0].attempts), (1, item[0].id(), 2));
    assert_eq!(letters[0].error, "it is\\0 bad");

    assert_eq!(queue.retry_dead().unwrap(), 1);
    assert_eq!(queue.retry_dead().unwrap(), 0);
    assert_eq!(claim(&patient, 1)[0].attempt(), 1);
}

#[test]
fn an_item_that_takes_its_hosts_with_it_is_a_dead_letter_too() {
    let place = Place::new();
    let pool = place.pool();
    let queue = queue(&pool);
    queue.push_many(["bad", "good"]).unwrap();
    let feed = queue.feed(claims().attempts(2)).unwrap();
    for _ in 0..2 {
        assert_eq!(texts(&claim(&feed, 1)), ["bad"]);
        place.execute("UPDATE jobs SET due = now() - interval '1 h' WHERE owner IS NOT NULL");
    }
    let claimed = feed.claim(room(10)).unwrap();
    assert_eq!((claimed.items().len(), claimed.dead()), (1, 1));
    let letters = queue.dead_letters(10).unwrap();
    assert!(letters[0].error.starts_with("given up: the lease of its last attempt ended"), "{letters:?}");
}

#[test]
fn claims_are_bounded_by_bytes_but_for_one_item() {
    let place = Place::new();
    let pool = place.pool();
    let queue = queue(&pool);
    queue.push_many([vec![b'x'; 300], vec![b'x'; 300], vec![b'x'; 300], vec![b'x'; 5_000]]).unwrap();
    let feed = queue.feed(claims()).unwrap();
    let mut counts = Vec::new();
    for _ in 0..3 {
        let claimed = feed.claim(Room { items: 10, bytes: 700 }).unwrap();
        counts.push(claimed.items().iter().map(|item| feed.size(item)).sum::<usize>());
    }
    assert_eq!(counts, [600, 300, 5_000]);
}

#[test]
fn a_feed_is_over_when_nothing_but_dead_letters_is_left_and_it_was_told_to_end_then() {
    let place = Place::new();
    let pool = place.pool();
    let queue = queue(&pool);
    queue.push("a").unwrap();
    let ends = queue.feed(claims().attempts(1).until_empty(true)).unwrap();
    let goes_on = queue.feed(claims()).unwrap();
    let item = claim(&ends, 1);
    assert!(!ends.claim(room(1)).unwrap().is_over(), "it may come back");
    assert_eq!(ends.failed(&item[0], "bad").unwrap(), Fate::Dead);
    assert!(ends.claim(room(1)).unwrap().is_over());
    assert!(!goes_on.claim(room(1)).unwrap().is_over());
}

#[test]
fn of_many_who_make_a_queue_one_fills_it() {
    let place = Place::new();
    let pool = place.pool();
    let made: usize = thread::scope(|scope| {
        let makers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let fill = |queue: &Queue, tx: &mut tierpool::postgres::Session<'_>| {
                        queue.push_many_in(tx, ["a", "b", "c"], Duration::ZERO).map(drop)
                    };
                    let (queue, is_new) = Queue::create_filled(&pool, "jobs", fill).unwrap();
                    assert_eq!(queue.stats().unwrap().items(), 3);
                    usize::from(is_new)
                })
            })
            .collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).sum()
    });
    assert_eq!(made, 1);

    let failed = Queue::create_filled(&pool, "more", |_, _| Err(std::io::Error::other("no input").into()));
    assert!(failed.is_err());
    assert!(Queue::open(&pool, "more").is_err(), "a queue that was not filled is not there");
}

#[test]
fn names_with_schema_and_upper_case_are_kept_and_key_words_are_names() {
    let place = Place::new();
    let pool = place.pool();
    place.execute("CREATE SCHEMA \"ETL\"");
    for name in ["ETL.Jobs", "select", "Jobs", "jobs"] {
        let queue = Queue::create(&pool, name).unwrap().on(Tier::Adhoc);
        assert_eq!(queue.name(), name);
        queue.push(name).unwrap();
        let again = Queue::create(&pool, name).unwrap();
        assert_eq!(again.stats().unwrap().ready, 1, "{name}");
        Queue::open(&pool, name).unwrap();
    }
}

/// The error of what had to fail, on one line.
#[track_caller]
fn refused<T>(outcome: Result<T, PgError>, told: &str) -> String {
    let error = outcome.err().expect("it was not refused").to_string();
    assert!(error.contains(told) && !error.contains('\n'), "{error}");
    error
}

#[test]
fn bad_input_is_refused_with_what_to_change() {
    let place = Place::new();
    let pool = place.pool();
    let queue = queue(&pool);
    for name in ["", "a\"; DROP TABLE jobs; --", "a'b", "a.b.c", "ä", &"x".repeat(64)] {
        refused(Queue::create(&pool, name), "cannot name a queue");
        refused(Queue::open(&pool, name), "cannot name a queue");
    }
    refused(
        Queue::open(&pool, "missing"),
        "there is no queue \"missing\" in this database: Queue::create or `tierpool queue push --create` makes one",
    );
    place.execute("CREATE TABLE other (id bigint)");
    refused(Queue::create(&pool, "other"), "\"other\" is there and no queue");
    refused(Queue::create(&pool, "nowhere.jobs"), "nowhere");

    let large = vec![0; 100 * MIB];
    let error = refused(queue.push(&large), "104857600 bytes");
    assert!(error.contains("at most 16777216 (16 MiB)"), "{error}");
    refused(queue.push_many([b"a".as_slice(), &large]), "the payload of item 2 has 104857600 bytes");
    refused(pool.session(|tx| queue.push_in(tx, &large, Duration::ZERO)), "104857600 bytes");
    refused(queue.push_after(Duration::MAX, "a"), "the delay is");
    assert_eq!(queue.stats().unwrap().items(), 0, "what was refused is not there, nor what came with it");
    queue.push(vec![0; 16 * MIB]).unwrap();

    let error = refused(queue.feed(Claims::new().lease(Duration::ZERO).attempts(0)), "the lease is 0 s");
    assert!(error.contains("attempts are 0"), "{error}");

    place.execute("DROP TABLE jobs");
    let gone = "there is no queue \"jobs\"";
    refused(queue.push("a"), gone);
    refused(queue.push_many(["a"]), gone);
    refused(queue.stats(), gone);
    refused(queue.retry_dead(), gone);
    let feed = queue.feed(claims()).unwrap();
    let error = feed.claim(room(1)).unwrap_err();
    assert!(!error.passes() && error.to_string().contains(gone), "{error}");
}

#[test]
fn no_transaction_is_open_between_calls() {
    let place = Place::new();
    let pool = place.pool();
    let queue = queue(&pool);
    queue.push("a").unwrap();
    let feed = queue.feed(claims()).unwrap();
    let items = claim(&feed, 1);
    feed.renew(&items).unwrap();
    let open = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    assert_eq!(place.number(open), 0);
}
