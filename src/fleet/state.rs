//! What a process knows of its part in a fleet: the machine, and what is under way for it.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::core::{Action, Event, Member, Moment, Plan, View, Warning};
use super::keys::Key;

/// What an opener is to do for the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    Ask,
    Reserve { beyond_share: bool },
}

/// What the asker that waits is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    AskAgain,
    Leave,
}

/// How far the look is that the machine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    None,
    Due { want: bool },
    UnderWay,
}

/// What a connection holds.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) slot: Key,
    pub(super) has_marks: bool,
    pub(super) has_want: bool,
}

pub(super) struct State {
    pub(super) member: Member,
    began: Instant,
    /// Openings that wait for a job, or are at one.
    pub(super) claims: u32,
    /// Those that wait.
    pub(super) waiting: u32,
    pub(super) jobs: VecDeque<Job>,
    pub(super) call: Option<Call>,
    pub(super) look: Look,
    pub(super) held: HashMap<u64, Held>,
    /// Whether the mark of those who want is to be there.
    pub(super) wants_more: bool,
    pub(super) ceiling: u32,
    pub(super) view: View,
    pub(super) warnings: Vec<Warning>,
    pub(super) is_over: bool,
    next: u64,
}

impl State {
    pub(super) fn new(plan: Plan) -> Self {
        State {
            member: Member::new(plan),
            began: Instant::now(),
            claims: 0,
            waiting: 0,
            jobs: VecDeque::new(),
            call: None,
            look: Look::None,
            held: HashMap::new(),
            wants_more: false,
            ceiling: plan.most,
            view: View::default(),
            warnings: Vec::new(),
            is_over: false,
            next: 0,
        }
    }

    /// Tells the machine of something. Returns what concerns the connection by which it was learned: a slot that it may
    /// keep, or has to let go of.
    pub(super) fn step(&mut self, event: Event) -> Vec<Action> {
        let moment = Moment { now: self.began.elapsed(), chance: fastrand::f64() };
        let mut own = Vec::new();
        for action in self.member.step(moment, event) {
            match action {
                Action::Ask => self.jobs.push_back(Job::Ask),
                Action::Reserve { beyond_share } => self.jobs.push_back(Job::Reserve { beyond_share }),
                Action::AskAgain => self.call = Some(Call::AskAgain),
                Action::LeaveOff => self.call = Some(Call::Leave),
                Action::Look { want } => self.look = Look::Due { want },
                Action::Ceiling(ceiling) => self.ceiling = ceiling,
                Action::Warn(warning) => self.warnings.push(warning),
                Action::Open(_) | Action::LetGo(_) => own.push(action),
            }
        }
        own
    }

    /// Has the machine know how many connections the pool would have.
    pub(super) fn tell_wants(&mut self) {
        let wants = self.member.held() + self.claims;
        self.step(Event::Wants(wants));
    }

    /// When the machine has to be told the time next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.member.due().map(|due| self.began + due)
    }

    /// The machine is told the time where that is due.
    pub(super) fn tick(&mut self) {
        if self.due().is_some_and(|due| due <= Instant::now()) {
            self.step(Event::Tick);
        }
    }

    /// How long until the machine has to be told the time, at most `limit`.
    pub(super) fn pause(&self, limit: Duration) -> Duration {
        self.due().map_or(limit, |due| due.saturating_duration_since(Instant::now()).min(limit))
    }

    /// Notes a connection that has a slot, and returns its number.
    pub(super) fn let_in(&mut self, slot: Key, has_marks: bool) -> u64 {
        let number = self.next;
        self.next += 1;
        self.held.insert(number, Held { slot, has_marks, has_want: false });
        number
    }

    /// Whether no connection carries the process's marks.
    pub(super) fn needs_marks(&self) -> bool {
        !self.held.values().any(|held| held.has_marks)
    }

    /// Whether no connection carries the mark of those who want.
    pub(super) fn needs_want(&self) -> bool {
        !self.held.values().any(|held| held.has_want)
    }

    /// Whether there is something to be asked by way of this connection.
    pub(super) fn is_due(&self, number: u64) -> bool {
        matches!(self.look, Look::Due { .. })
            || (!self.wants_more && self.held.get(&number).is_some_and(|held| held.has_want))
    }

    /// Whether there is something to be asked by way of any connection.
    pub(super) fn is_any_due(&self) -> bool {
        matches!(self.look, Look::Due { .. })
            || (!self.wants_more && self.held.values().any(|held| held.has_want))
    }
}
