//! What an operator of a fleet is told as it happens.
#![cfg(feature = "postgres")]

mod fleets;
mod support;

use std::sync::{Arc, OnceLock};
use std::thread;

use fleets::{SLOTS, builder};
use parking_lot::Mutex;
use support::cluster::{Cluster, cluster};
use support::wait::{BOUND, LONG_BOUND, SECOND, eventually};
use tierpool::event::{FleetEvent, FleetNews, HandleEvent};
use tierpool::{PgBuilder, PgPool, Tier};

/// What a program was told, of both tiers; with its pool, which the handler asks: no lock is held meanwhile.
#[derive(Clone, Debug, Default)]
struct Told(Arc<Mutex<Vec<FleetNews>>>, Arc<OnceLock<PgPool>>);

impl HandleEvent for Told {
    fn handle_fleet(&self, event: FleetEvent) {
        assert_eq!(event.fleet(), "news");
        if let Some(pool) = self.1.get() {
            assert!(pool.fleet_status().is_some());
        }
        self.0.lock().push(event.news());
    }
}

impl Told {
    fn has(&self, news: impl Fn(&FleetNews) -> bool) -> bool {
        self.0.lock().iter().any(news)
    }

    fn count(&self, news: FleetNews) -> usize {
        self.0.lock().iter().filter(|told| **told == news).count()
    }
}

/// A program of the fleet that listens.
fn listening(cluster: &Cluster, name: &str, change: impl FnOnce(PgBuilder) -> PgBuilder) -> (PgPool, Told) {
    let told = Told::default();
    let [automation, adhoc] = [(); 2].map(|()| Box::new(told.clone()));
    let builder = change(builder(&cluster.url(), name))
        .automation(|tier| tier.event_handler(automation))
        .adhoc(|tier| tier.event_handler(adhoc));
    let pool = builder.build_unchecked().unwrap_or_else(|error| panic!("{error:#}"));
    told.1.set(pool.clone()).unwrap();
    (pool, told)
}

#[test]
fn a_program_is_told_that_it_joined_found_no_slot_and_gives_back_once_each() {
    let cluster = cluster();
    let (first, told_first) = listening(&cluster, "one", |builder| builder);
    let mut held: Vec<_> = (0..SLOTS).map(|_| first.get(Tier::Automation).unwrap()).collect();
    eventually(BOUND, "joined", || told_first.has(|news| *news == FleetNews::Joined));
    let (second, told_second) = listening(&cluster, "two", |builder| builder);
    let waiting = thread::spawn(move || second.get(Tier::Automation).map(drop));
    eventually(LONG_BOUND, "no slot", || told_second.count(FleetNews::NoSlot) == 1);
    // By this it looks, and sees that somebody asks.
    held.pop();
    waiting.join().unwrap().unwrap();
    let gives_back =
        |news: &FleetNews| matches!(news, FleetNews::GivesBack { at_most } if *at_most < SLOTS as u32);
    eventually(LONG_BOUND, "giving back", || told_first.has(gives_back));
    eventually(BOUND, "joined", || told_second.has(|news| *news == FleetNews::Joined));
    assert_eq!((told_first.count(FleetNews::Joined), told_second.count(FleetNews::NoSlot)), (1, 1));
}

#[test]
fn people_are_told_that_there_is_no_slot_for_them() {
    let cluster = cluster();
    let [(first, _), (second, told)] =
        ["one", "two"].map(|name| listening(&cluster, name, |builder| builder));
    let held = [0, 1].map(|_| first.get(Tier::Adhoc).unwrap());
    let waiting = thread::spawn(move || second.get(Tier::Adhoc).map(drop));
    eventually(LONG_BOUND, "no slot", || told.count(FleetNews::NoSlot) == 1);
    drop(held);
    waiting.join().unwrap().unwrap();
    assert_eq!(told.count(FleetNews::NoSlot), 1);
}

#[test]
fn other_budgets_and_more_programs_than_slots_are_told_with_their_numbers() {
    let cluster = cluster();
    // Two slots.
    let few = |builder: PgBuilder| builder.total_connections(6).base_size(2).max_overflow(0);
    let members = ["one", "two", "three"].map(|name| listening(&cluster, name, few));
    let callers = members.each_ref().map(|(pool, _)| {
        let pool = pool.clone();
        thread::spawn(move || {
            // Two of them keep their first connection, and the third gets none.
            let conn = pool.automation().get_timeout(6 * SECOND);
            thread::sleep(2 * SECOND);
            drop(conn);
        })
    });
    let crowd = FleetNews::MoreThanFit { members: 3, slots: 2 };
    eventually(LONG_BOUND, "a crowd", || members.iter().any(|(_, told)| told.count(crowd) == 1));
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    let (other, told) = listening(&cluster, "four", |builder| builder);
    let news = FleetNews::OtherBudget { ours: (12, 2), theirs: (6, 2) };
    eventually(LONG_BOUND, "another budget", || {
        drop(other.get(Tier::Automation).unwrap());
        told.count(news) == 1
    });
}
