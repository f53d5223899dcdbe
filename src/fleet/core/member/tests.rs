//! A test for each rule of the protocol, by its number in `README.md`.

use std::time::Duration;

use super::{ASK_EVERY, LOOK_EVERY, Member, OPEN_AT_ONCE, Plan};
use crate::fleet::core::Budget;
use crate::fleet::core::backoff::{ASK_FOR, MOST_PAUSE_WHERE_ALL_FIT, SPREAD};
use crate::fleet::core::sight::HOLD_OFF;
use crate::fleet::core::words::{Action, Asked, Event, Moment, Reserved, Slot, View, Warning};

/// Nobody else is there.
const ALONE: View = View { slots_held: 1, members: 1, weights: 1, wanting: 0, asking: 0, other_budget: None };
/// Ten processes have all 52 slots, and one more asks.
const CROWD: View =
    View { slots_held: 52, members: 11, weights: 11, wanting: 0, asking: 1, other_budget: None };
const ROOM: Action = Action::Reserve { beyond_share: false };

/// A machine and its clock.
struct Driven {
    member: Member,
    now: Duration,
}

impl Driven {
    fn new() -> Driven {
        let budget = Budget::new(60, 5).unwrap();
        Driven { member: Member::new(Plan { budget, weight: 1, most: 10 }), now: Duration::ZERO }
    }

    /// With one connection, and all the others that it wants to be asked for.
    fn with_one(wants: u32) -> (Driven, Vec<Action>) {
        let mut driven = Driven::new();
        driven.tell(Event::Wants(wants));
        driven.wait(SPREAD);
        let actions = driven.tell(Event::Asked(Asked::Slot(Slot(0), ALONE)));
        (driven, actions)
    }

    /// With so many connections, of as many that it wants.
    fn with(connections: u32) -> Driven {
        let (mut driven, _) = Driven::with_one(connections);
        for slot in (1..connections).map(Slot) {
            driven.tell(Event::Reserved(Reserved::Slot(slot, ALONE)));
            driven.tell(Event::Opened(slot));
        }
        assert_eq!(driven.member.held(), connections);
        driven
    }

    fn tell(&mut self, event: Event) -> Vec<Action> {
        self.member.step(Moment { now: self.now, chance: 0.5 }, event)
    }

    fn wait(&mut self, time: Duration) -> Vec<Action> {
        self.now += time;
        self.tell(Event::Tick)
    }

    /// Waits for the next look, and answers it.
    fn look(&mut self, view: View) -> Vec<Action> {
        let due = self.member.due().expect("a look is due");
        let actions = self.wait(due - self.now);
        assert!(matches!(actions[..], [Action::Look { .. }, ..]), "{actions:?}");
        self.tell(Event::Looked(Some(view)))
    }
}

#[test]
fn r1_a_first_attempt_is_spread_and_nobody_asks_twice_at_a_time() {
    let mut driven = Driven::new();
    assert_eq!(driven.member.due(), None, "nobody wants anything");
    assert!(driven.tell(Event::Wants(3)).is_empty());
    assert_eq!(driven.member.due(), Some(SPREAD / 2), "by chance half of it");
    assert!(driven.wait(SPREAD / 4).is_empty(), "too early");
    assert_eq!(driven.wait(SPREAD / 4), [Action::Ask]);
    assert!(driven.wait(Duration::from_secs(60)).is_empty() && driven.tell(Event::Wants(5)).is_empty());
}

#[test]
fn r1_a_wish_that_passes_leaves_nothing_behind() {
    let mut driven = Driven::new();
    driven.tell(Event::Wants(1));
    driven.tell(Event::Wants(0));
    assert_eq!(driven.member.due(), None);
    driven.tell(Event::Wants(1));
    driven.wait(SPREAD);
    driven.tell(Event::Asked(Asked::NoSlot(CROWD)));
    assert_eq!(driven.tell(Event::Wants(0)), [Action::LeaveOff]);
    assert_eq!(driven.member.due(), None);
}

#[test]
fn r3_a_pause_holds_however_often_the_wish_goes_and_comes() {
    let mut driven = Driven::new();
    for attempts in 0..6 {
        driven.tell(Event::Wants(1));
        let due = driven.member.due().expect("it will ask");
        assert!(
            attempts == 0 || due > driven.now + MOST_PAUSE_WHERE_ALL_FIT / 2,
            "attempt {attempts}: at {due:?}"
        );
        assert_eq!(driven.wait(due - driven.now), [Action::Ask]);
        driven.tell(Event::Asked(Asked::NoPlace(CROWD)));
        // As a pool does, whose openings end with each attempt.
        driven.tell(Event::Wants(0));
    }
    driven.tell(Event::Wants(1));
    driven.wait(MOST_PAUSE_WHERE_ALL_FIT);
    driven.tell(Event::Asked(Asked::Slot(Slot(0), ALONE)));
    driven.tell(Event::Closed);
    assert_eq!(driven.member.due(), Some(driven.now + SPREAD / 2), "it had a connection");
}

#[test]
fn r3_who_gives_up_asking_before_its_time_pauses_as_well() {
    let mut driven = Driven::new();
    let mut pauses = Vec::new();
    for _ in 0..6 {
        driven.tell(Event::Wants(1));
        let due = driven.member.due().expect("it will ask");
        pauses.push(due - driven.now);
        assert_eq!(driven.wait(due - driven.now), [Action::Ask]);
        assert_eq!(driven.tell(Event::Asked(Asked::NoSlot(CROWD))), []);
        assert_eq!(driven.tell(Event::Wants(0)), [Action::LeaveOff]);
    }
    assert!(pauses.is_sorted() && pauses[5] > MOST_PAUSE_WHERE_ALL_FIT / 2, "{pauses:?}");
}

#[test]
fn r1_a_question_that_nobody_put_is_put_later() {
    let mut driven = Driven::new();
    driven.tell(Event::Wants(1));
    assert_eq!(driven.wait(SPREAD), [Action::Ask]);
    driven.tell(Event::Wants(0));
    assert!(driven.tell(Event::Asked(Asked::NotBegun)).is_empty());
    driven.tell(Event::Wants(1));
    assert_eq!(driven.wait(SPREAD / 2), [Action::Ask]);
}

#[test]
fn r2_an_asker_tries_again_and_leaves_after_two_seconds_at_the_most() {
    let mut driven = Driven::new();
    driven.tell(Event::Wants(1));
    driven.wait(SPREAD);
    let from = driven.now;
    driven.tell(Event::Asked(Asked::NoSlot(CROWD)));
    while driven.now < from + ASK_FOR - ASK_EVERY {
        assert_eq!(driven.wait(ASK_EVERY), [Action::AskAgain], "at {:?}", driven.now - from);
        driven.tell(Event::Asked(Asked::NoSlot(CROWD)));
    }
    assert_eq!(driven.wait(ASK_EVERY), [Action::LeaveOff]);
    let due = driven.member.due().expect("it comes back");
    assert!(due > driven.now && due < driven.now + MOST_PAUSE_WHERE_ALL_FIT);
}

#[test]
fn r3_who_finds_no_place_or_no_server_backs_off() {
    let crowd = [Asked::NoPlace(CROWD), Asked::Refused];
    for (asked, pause) in crowd.map(|asked| (asked, 800)).into_iter().chain([(Asked::Failed, 150)]) {
        let mut driven = Driven::new();
        driven.tell(Event::Wants(1));
        driven.wait(SPREAD);
        let actions = driven.tell(Event::Asked(asked));
        assert!(actions.iter().all(|action| matches!(action, Action::Ceiling(_))), "{actions:?}");
        assert_eq!(driven.member.due(), Some(driven.now + Duration::from_millis(pause)), "{asked:?}");
        assert_eq!(driven.wait(Duration::from_millis(pause)), [Action::Ask]);
    }
}

#[test]
fn r4_while_somebody_asks_a_process_goes_down_to_its_share_and_up_again_when_it_is_calm() {
    let mut driven = Driven::with(10);
    assert_eq!(driven.look(CROWD), [Action::Ceiling(4)], "52 slots, 11 members");
    for _ in 0..6 {
        assert!(driven.tell(Event::Closed).is_empty(), "what was given up is not taken back");
    }
    let calm = View { asking: 0, slots_held: 47, ..CROWD };
    assert!(driven.look(calm).is_empty(), "others may be about to ask again");
    let (look, reserve) = (Action::Look { want: false }, Action::Reserve { beyond_share: true });
    assert_eq!(driven.wait(HOLD_OFF), [Action::Ceiling(10), look, reserve]);
}

#[test]
fn r4_nobody_gives_up_its_last_connection() {
    let mut driven = Driven::with(2);
    let view = View { members: 1000, weights: 1000, asking: 3, ..CROWD };
    let warning = Action::Warn(Warning::MoreThanFit { members: 1000, slots: 52 });
    assert_eq!(driven.look(view), [warning, Action::Ceiling(1)]);
}

#[test]
fn r4_idle_budget_is_anybodys() {
    let mut driven = Driven::with(10);
    let many = View { slots_held: 52, members: 40, weights: 40, ..ALONE };
    assert!(driven.look(many).is_empty(), "it has ten times its share, and nobody minds");
}

#[test]
fn r5_a_slot_is_reserved_before_each_connection_and_not_more_are_opened_than_at_once() {
    let (mut driven, mut actions) = Driven::with_one(10);
    for slot in (1..=OPEN_AT_ONCE).map(Slot) {
        assert_eq!(actions, [ROOM]);
        assert_eq!(driven.tell(Event::Tick), [], "one reservation at a time");
        actions = driven.tell(Event::Reserved(Reserved::Slot(slot, ALONE)));
        assert_eq!(actions.remove(0), Action::Open(slot));
    }
    assert_eq!(actions, []);
    assert_eq!(driven.tell(Event::Opened(Slot(1))), [ROOM]);
}

#[test]
fn r5_a_refused_reservation_is_not_repeated_before_a_look_and_makes_a_mark() {
    let (mut driven, _) = Driven::with_one(2);
    let full = View { slots_held: 52, members: 10, weights: 10, ..ALONE };
    assert!(driven.tell(Event::Reserved(Reserved::None(full))).is_empty());
    assert_eq!(driven.wait(LOOK_EVERY), [Action::Look { want: true }]);
    assert_eq!(driven.tell(Event::Looked(Some(full))), []);
    assert_eq!(driven.look(View { slots_held: 51, ..full }), [ROOM]);
    driven.tell(Event::Reserved(Reserved::Slot(Slot(1), full)));
    driven.tell(Event::Opened(Slot(1)));
    assert_eq!(driven.wait(2 * LOOK_EVERY), [Action::Look { want: false }], "it has what it wants");
}

#[test]
fn r5_who_wants_keeps_its_mark_until_the_slot_that_was_seen_is_its_own() {
    let (mut driven, _) = Driven::with_one(2);
    let full = members(10, 52);
    driven.tell(Event::Reserved(Reserved::None(full)));
    assert_eq!(driven.wait(LOOK_EVERY), [Action::Look { want: true }]);
    let actions = driven.tell(Event::Looked(Some(members(10, 51))));
    assert_eq!(actions, [ROOM]);
    assert_eq!(driven.wait(2 * LOOK_EVERY), [Action::Look { want: true }], "nobody has begun it");
    driven.tell(Event::Looked(Some(full)));
    driven.tell(Event::Reserved(Reserved::Slot(Slot(1), full)));
    driven.tell(Event::Opened(Slot(1)));
    assert_eq!(driven.wait(2 * LOOK_EVERY), [Action::Look { want: false }]);
}

#[test]
fn r5_a_reservation_that_nobody_has_begun_is_taken_back_and_made_anew_by_what_holds_then() {
    let (mut driven, _) = Driven::with_one(2);
    driven.tell(Event::Wants(1));
    assert_eq!(driven.tell(Event::Reserved(Reserved::NotBegun)), []);
    assert_eq!(driven.tell(Event::Wants(2)), [ROOM]);
}

#[test]
fn r5_who_has_its_share_does_not_make_others_give_up() {
    let mut driven = Driven::with(5);
    driven.tell(Event::Wants(10));
    let full = View { slots_held: 52, members: 10, weights: 10, ..ALONE };
    driven.tell(Event::Reserved(Reserved::None(full)));
    assert_eq!(driven.wait(LOOK_EVERY), [Action::Look { want: false }]);
}

#[test]
fn r5_who_may_grow_makes_no_mark() {
    let (mut driven, actions) = Driven::with_one(2);
    assert_eq!(actions, [ROOM]);
    assert_eq!(driven.wait(LOOK_EVERY), [Action::Look { want: false }]);
}

#[test]
fn r5_nobody_grows_while_somebody_asks_or_very_lately_did_also_within_its_share() {
    let mut driven = Driven::with(1);
    let asks = View { slots_held: 51, asking: 1, ..members(10, 51) };
    driven.look(asks);
    assert!(!reserves(&driven.tell(Event::Wants(3))));
    let seen = driven.now;
    let look = driven.wait(LOOK_EVERY);
    assert!(matches!(look[..], [Action::Look { want: true }]), "{look:?}");
    assert!(!reserves(&driven.tell(Event::Looked(Some(View { asking: 0, ..asks })))));
    assert!(reserves(&driven.wait(seen + HOLD_OFF - driven.now)));
}

/// So many processes of weight 1 have so many slots.
fn members(members: u32, slots_held: u32) -> View {
    View { slots_held, members, weights: members, ..ALONE }
}

fn reserves(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Reserve { .. }))
}

#[test]
fn r5_who_sees_the_members_become_fewer_grows_to_its_share_and_beyond_it_once_the_others_have_looked() {
    let mut driven = Driven::with(1);
    driven.look(members(40, 52));
    driven.tell(Event::Wants(10));
    let mut actions = driven.look(members(10, 12));
    for slot in (1..5).map(Slot) {
        assert!(reserves(&actions), "{slot:?}: {actions:?}");
        actions = driven.tell(Event::Reserved(Reserved::Slot(slot, members(10, 12))));
        driven.tell(Event::Opened(slot));
    }
    assert!(!reserves(&actions) && driven.member.share() == 5, "{actions:?}");
    assert!(reserves(&driven.wait(HOLD_OFF)));
}

#[test]
fn r5_a_reservation_that_nobody_needs_any_more_is_given_back() {
    let (mut driven, _) = Driven::with_one(2);
    driven.tell(Event::Wants(1));
    let actions = driven.tell(Event::Reserved(Reserved::Slot(Slot(7), ALONE)));
    assert_eq!(actions, [Action::LetGo(Slot(7))]);
}

#[test]
fn r6_a_slot_that_could_not_be_used_is_given_back_and_tried_for_after_the_next_look() {
    let (mut driven, _) = Driven::with_one(2);
    driven.tell(Event::Reserved(Reserved::Slot(Slot(1), ALONE)));
    assert_eq!(driven.tell(Event::NotOpened(Slot(1))), [Action::LetGo(Slot(1))]);
    assert_eq!(driven.look(ALONE), [ROOM]);
    driven.tell(Event::Reserved(Reserved::Failed));
    assert_eq!(driven.wait(LOOK_EVERY), [Action::Look { want: true }]);
    assert!(driven.tell(Event::Looked(None)).is_empty(), "it knows nothing new");
}

#[test]
fn r7_a_process_that_lost_all_asks_again_spread_as_at_first() {
    let mut driven = Driven::with(2);
    driven.tell(Event::Closed);
    driven.tell(Event::Closed);
    assert_eq!(driven.member.due(), Some(driven.now + SPREAD / 2));
    assert_eq!(driven.wait(SPREAD), [Action::Ask]);
}

#[test]
fn r7_who_lost_all_reckons_for_a_while_with_all_that_were_there() {
    let mut driven = Driven::with(1);
    driven.look(members(40, 52));
    driven.tell(Event::Closed);
    driven.wait(SPREAD);
    driven.tell(Event::Asked(Asked::Slot(Slot(0), members(3, 3))));
    let actions = driven.tell(Event::Wants(10));
    assert!(!reserves(&actions) && driven.member.share() == 1, "{actions:?}");
    assert!(reserves(&driven.wait(HOLD_OFF)));
    driven.tell(Event::Looked(Some(members(20, 20))));
    assert_eq!(driven.member.share(), 2);
}

#[test]
fn r8_an_operator_is_told_once_of_each() {
    let mut driven = Driven::with(1);
    let theirs = Budget::new(80, 5).unwrap();
    let view = View { other_budget: Some(theirs), ..ALONE };
    let ours = Budget::new(60, 5).unwrap();
    assert_eq!(driven.look(view), [Action::Warn(Warning::OtherBudget { ours, theirs })]);
    assert!(driven.look(view).is_empty() && driven.look(ALONE).is_empty() && driven.look(view).is_empty());
}

#[test]
fn the_weight_of_a_process_is_its_part() {
    let budget = Budget::new(60, 5).unwrap();
    let mut member = Member::new(Plan { budget, weight: 3, most: 50 });
    let moment = |seconds| Moment { now: Duration::from_secs(seconds), chance: 0.5 };
    member.step(moment(0), Event::Wants(50));
    member.step(moment(1), Event::Tick);
    let view = View { slots_held: 9, members: 11, weights: 13, ..ALONE };
    member.step(moment(1), Event::Asked(Asked::Slot(Slot(0), view)));
    assert_eq!(member.share(), 12);
}
