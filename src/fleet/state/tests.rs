//! What the state does where openings end in odd ways, or nobody comes for a job.

use super::*;
use crate::fleet::core::{Budget, Slot};
use crate::fleet::keys::Keys;

const FULL: View =
    View { slots_held: 52, members: 10, weights: 10, wanting: 0, asking: 0, other_budget: None };

/// An opening that is to ask.
fn asking() -> State {
    let mut state = State::new(Plan { budget: budget(), weight: 1, most: 10 });
    (state.claims, state.waiting) = (1, 1);
    state.tell_wants();
    std::thread::sleep(state.pause(WISH_FOR));
    state.tick();
    assert_eq!(state.next_job(), Some(Job::Ask));
    state
}

fn budget() -> Budget {
    Budget::new(60, 5).unwrap()
}

/// Alone with one connection, and another that found no slot a moment ago.
fn refused_a_second() -> State {
    let mut state = asking();
    state.step(Event::Asked(Asked::Slot(Slot(0), FULL)));
    state.let_in(Keys::new("news", budget()).slot(0), true);
    state.tell_wants();
    assert_eq!(state.next_job(), Some(Job::Reserve { beyond_share: false }));
    state.waiting = 0;
    state.step(Event::Reserved(Reserved::None(FULL)));
    state.end_claim(false);
    state
}

/// Whether it would have another connection once a look has found a free slot.
fn would_have_another(state: &mut State) -> bool {
    state.step(Event::Looked(Some(View { slots_held: 51, ..FULL })));
    state.next_job().is_some()
}

/// What it is held up by passes.
fn forget_the_wish(state: &mut State) {
    state.wished_until = Some(Instant::now());
    state.tick();
}

#[test]
fn an_opening_that_found_no_slot_leaves_a_wish_that_outlasts_the_pauses_of_a_pool_and_then_passes() {
    assert!(would_have_another(&mut refused_a_second()));
    let mut state = refused_a_second();
    assert!(state.is_held_up());
    forget_the_wish(&mut state);
    assert!(!would_have_another(&mut state) && !state.is_held_up());
}

#[test]
fn a_reservation_that_nobody_comes_for_is_taken_back_when_the_wish_has_passed() {
    let mut state = refused_a_second();
    state.step(Event::Looked(Some(View { slots_held: 51, ..FULL })));
    assert!(state.has_job_for_nobody());
    forget_the_wish(&mut state);
    assert!(!state.has_job_for_nobody() && state.next_job().is_none());
    // Another one begins anew.
    state.claims = 1;
    state.waiting = 1;
    state.tell_wants();
    assert_eq!(state.next_job(), Some(Job::Reserve { beyond_share: false }));
}

#[test]
fn an_asker_that_ends_before_it_heard_its_call_is_an_answer() {
    let mut state = asking();
    state.waiting = 0;
    let number = state.begin(Job::Ask, WISH_FOR);
    assert!(state.is_heard(number));
    state.step(Event::Asked(Asked::NoSlot(View { asking: 1, ..FULL })));
    std::thread::sleep(state.pause(WISH_FOR));
    state.tick();
    assert_eq!(state.call, Some(Call::AskAgain));
    state.finish(number, false);
    (state.claims, state.waiting) = (1, 1);
    state.tell_wants();
    assert!(state.member.due().is_some(), "it will ask again");
}
