//! One process of a fleet: the machine.

use std::time::Duration;

use super::backoff::{ASK_FOR, Backoff, Why};
use super::budget::Budget;
use super::sight::Sight;
use super::words::{Action, Asked, Event, Moment, Reserved, View, Warning};

/// An asker tries again so often, half of it more or less.
pub const ASK_EVERY: Duration = Duration::from_millis(200);
/// A process looks so often, a quarter of it more or less.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The most connections that a process opens at a time.
pub const OPEN_AT_ONCE: u32 = 4;

/// Of so many other budgets an operator is told; by then the log is full of it.
const MOST_TOLD: usize = 8;

/// What a process is in its fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The fleet's budget, the same in all its processes.
    pub budget: Budget,
    /// Its part compared with that of others, at least 1: a process of weight 2 has twice the share of one of weight 1.
    pub weight: u32,
    /// The most connections that its pool may have, whatever the others do.
    pub most: u32,
}

/// One process of a fleet: it is told what happens, and says what is to be done.
///
/// It begins with no connection and with nobody wanting one. Whoever drives it carries out each action and tells its
/// answer, in whatever order they come; none may be left out, since the machine waits for it. Nothing here blocks.
#[derive(Clone, Debug)]
pub struct Member {
    plan: Plan,
    wants: u32,
    held: u32,
    opening: u32,
    is_reserving: bool,
    /// There was no slot for the last reservation, and no look has found one since.
    is_refused: bool,
    /// The last look had the mark of those who want put there.
    is_wanting: bool,
    asking: Asking,
    backoff: Backoff,
    /// The end of the last pause, which holds also where nobody wants a connection for a while.
    not_before: Duration,
    look: Look,
    sight: Sight,
    ceiling: u32,
    /// Each of the two warnings is given once, the second for each budget.
    is_crowd_told: bool,
    others_told: Vec<Budget>,
}

/// How far a process without a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    /// It needs none, or has one.
    No,
    /// It will try then.
    At(Duration),
    /// A question is under way; an asker that has been told that there is no slot leaves at the time named.
    UnderWay(Option<Duration>),
    /// There is an asker; it asks again at the first time, and leaves at the second.
    Waiting(Duration, Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Due(Duration),
    UnderWay,
}

impl Member {
    /// A process that has nothing yet.
    ///
    /// # Panics
    ///
    /// Where the plan has a weight of 0 or no connection at all: settings are checked before there is a machine.
    #[must_use]
    pub fn new(plan: Plan) -> Member {
        assert!(plan.weight > 0 && plan.most > 0, "a process without a part in its fleet: {plan:?}");
        Member {
            plan,
            wants: 0,
            held: 0,
            opening: 0,
            is_reserving: false,
            is_refused: false,
            is_wanting: false,
            asking: Asking::No,
            backoff: Backoff::default(),
            not_before: Duration::ZERO,
            look: Look::Due(Duration::ZERO),
            sight: Sight::default(),
            ceiling: plan.most,
            is_crowd_told: false,
            others_told: Vec::new(),
        }
    }

    /// Takes note of what happened, and says what is to be done, in this order.
    pub fn step(&mut self, moment: Moment, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Wants(wants) => self.wants = wants.min(self.plan.most),
            Event::Tick => {}
            Event::Asked(asked) => self.asked(moment, asked, &mut actions),
            Event::Reserved(reserved) => self.reserved(moment.now, reserved, &mut actions),
            Event::Opened(_) => {
                self.opening -= 1;
                self.gained(moment);
            }
            Event::NotOpened(slot) => {
                self.opening -= 1;
                // What hinders one hinders the next: until the next look.
                self.is_refused = true;
                actions.push(Action::LetGo(slot));
            }
            Event::Looked(view) => self.looked(moment, view, &mut actions),
            Event::Closed => {
                self.held -= 1;
                if self.held == 0 {
                    self.sight.lost_all();
                }
            }
        }
        self.ask(moment, &mut actions);
        self.fit(moment.now, &mut actions);
        self.look(moment.now, &mut actions);
        self.grow(moment.now, &mut actions);
        actions
    }

    /// When the next [`Event::Tick`] is due, if nothing happens before; `None` while there is nothing to wait for.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let look = match self.look {
            Look::Due(at) if self.held > 0 => Some(at),
            _ => None,
        };
        let ask = match self.asking {
            Asking::At(at) => Some(at),
            Asking::Waiting(again, until) => Some(again.min(until)),
            Asking::No | Asking::UnderWay(_) => None,
        };
        look.into_iter().chain(ask).min()
    }

    /// The share as of the last look: so many connections it may keep while others are short of theirs.
    #[must_use]
    pub fn share(&self) -> u32 {
        self.sight.share(self.plan.budget, self.plan.weight).min(self.plan.most)
    }

    /// Connections that it has, by the events told.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.held
    }

    fn asked(&mut self, moment: Moment, asked: Asked, actions: &mut Vec<Action>) {
        let Asking::UnderWay(until) = self.asking else {
            unreachable!("BUG: told {asked:?} while {:?}", self.asking)
        };
        let now = moment.now;
        match asked {
            Asked::Slot(_, view) => {
                self.note(now, view, actions);
                self.asking = Asking::No;
                self.gained(moment);
            }
            Asked::NoSlot(view) => {
                // Its own place is no reason to hold off, once it has been served.
                self.note(now, View { asking: view.asking.saturating_sub(1), ..view }, actions);
                let again = now + ASK_EVERY.mul_f64(0.5 + moment.chance);
                self.asking = Asking::Waiting(again, until.unwrap_or(now + ASK_FOR));
            }
            Asked::NoPlace(view) => {
                self.note(now, view, actions);
                self.asking = self.after_pause(moment, Why::Crowd);
            }
            Asked::Refused => self.asking = self.after_pause(moment, Why::Crowd),
            Asked::Failed => self.asking = self.after_pause(moment, Why::Trouble),
            Asked::NotBegun => self.asking = Asking::No,
        }
    }

    /// R3: it asks again after a pause, however often its wish goes and comes meanwhile.
    fn after_pause(&mut self, moment: Moment, why: Why) -> Asking {
        self.not_before = moment.now + self.backoff.failed(moment, why);
        Asking::At(self.not_before)
    }

    /// R1 to R3: a process that has no connection asks for one.
    fn ask(&mut self, moment: Moment, actions: &mut Vec<Action>) {
        let needs_none = self.wants == 0 || self.held + self.opening > 0;
        self.asking = match self.asking {
            Asking::At(_) if needs_none => Asking::No,
            Asking::Waiting(..) if needs_none => {
                actions.push(Action::LeaveOff);
                self.after_pause(moment, Why::NoSlot);
                Asking::No
            }
            Asking::No if !needs_none => {
                Asking::At((moment.now + Backoff::first(moment)).max(self.not_before))
            }
            Asking::Waiting(_, until) if until <= moment.now => {
                actions.push(Action::LeaveOff);
                self.after_pause(moment, Why::NoSlot)
            }
            other => other,
        };
        match self.asking {
            Asking::At(at) if at <= moment.now => {
                self.asking = Asking::UnderWay(None);
                actions.push(Action::Ask);
            }
            Asking::Waiting(again, until) if again <= moment.now => {
                self.asking = Asking::UnderWay(Some(until));
                actions.push(Action::AskAgain);
            }
            _ => {}
        }
    }

    /// R4: while somebody is short, a process has no more than its share.
    fn fit(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let is_short = self.sight.is_somebody_short(now);
        let ceiling = if is_short { self.sight.allowance(self.share()) } else { self.plan.most };
        if ceiling != self.ceiling {
            self.ceiling = ceiling;
            actions.push(Action::Ceiling(ceiling));
        }
    }

    fn look(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.held > 0 && matches!(self.look, Look::Due(at) if at <= now) {
            self.look = Look::UnderWay;
            // Who wants does so until the reservation has its answer: the slot that was seen may be gone by then.
            let is_waiting = self.is_reserving && self.is_wanting;
            let cannot_grow = self.is_refused || is_waiting || self.sight.is_somebody_asking(now);
            self.is_wanting = cannot_grow && self.is_growing_to(self.share());
            actions.push(Action::Look { want: self.is_wanting });
        }
    }

    /// R5: it reserves a slot for one more connection, on one that it has.
    fn grow(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let may = self.held > 0 && !self.is_reserving && !self.is_refused && self.opening < OPEN_AT_ONCE;
        let limit = if self.sight.is_settling(now) { self.share().min(self.ceiling) } else { self.ceiling };
        if may && !self.sight.is_somebody_asking(now) && self.is_growing_to(limit) {
            self.is_reserving = true;
            actions.push(Action::Reserve { beyond_share: self.held + self.opening >= self.share() });
        }
    }

    fn is_growing_to(&self, limit: u32) -> bool {
        self.held + self.opening < self.wants.min(limit)
    }

    fn reserved(&mut self, now: Duration, reserved: Reserved, actions: &mut Vec<Action>) {
        self.is_reserving = false;
        match reserved {
            Reserved::Slot(slot, view) => {
                self.note(now, view, actions);
                if self.is_growing_to(self.ceiling) {
                    self.opening += 1;
                    actions.push(Action::Open(slot));
                } else {
                    actions.push(Action::LetGo(slot));
                }
            }
            Reserved::None(view) => {
                self.note(now, view, actions);
                self.is_refused = true;
            }
            Reserved::Failed => self.is_refused = true,
            Reserved::NotBegun => {}
        }
    }

    fn looked(&mut self, moment: Moment, view: Option<View>, actions: &mut Vec<Action>) {
        self.look = Look::Due(moment.now + LOOK_EVERY.mul_f64(0.75 + moment.chance / 2.0));
        if let Some(view) = view {
            self.sight.look(moment.now, view);
            self.note(moment.now, view, actions);
            self.is_refused = view.slots_held >= self.plan.budget.slots();
        }
    }

    /// There is one connection more.
    fn gained(&mut self, moment: Moment) {
        if self.held == 0 {
            // Those that came together do not look together.
            self.look = Look::Due(moment.now + LOOK_EVERY.mul_f64(moment.chance));
            self.is_refused = false;
        }
        self.held += 1;
        self.backoff.succeeded();
    }

    fn note(&mut self, now: Duration, view: View, actions: &mut Vec<Action>) {
        let budget = self.plan.budget;
        let (slots, members) = (budget.slots(), view.members);
        self.sight.note(now, view);
        self.backoff.told(now, members <= slots);
        if members > slots && !std::mem::replace(&mut self.is_crowd_told, true) {
            actions.push(Action::Warn(Warning::MoreThanFit { members, slots }));
        }
        if let Some(theirs) = view.other_budget
            && self.others_told.len() < MOST_TOLD
            && !self.others_told.contains(&theirs)
        {
            self.others_told.push(theirs);
            actions.push(Action::Warn(Warning::OtherBudget { ours: budget, theirs }));
        }
    }
}

#[cfg(test)]
mod tests;
