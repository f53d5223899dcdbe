//! What a process knows of its part in a fleet: the machine, and what is under way for it.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::core::{Action, Asked, Event, Member, Moment, Plan, Reserved, View, Warning};
use super::keys::Key;
use super::want::Want;
use crate::event::FleetNews;

/// For how long a wish is taken to last after an opening came to nothing: more than the longest pause of a pool.
const WISH_FOR: Duration = Duration::from_secs(6);
/// A look without an answer for so long is given up: over a Unix socket nothing else ends it.
const LOOK_LIMIT: Duration = Duration::from_secs(30);

/// What an opener is to do for the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    Ask,
    Reserve { beyond_share: bool },
}

impl Job {
    fn is_question(&self) -> bool {
        *self == Job::Ask
    }
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
    Due {
        want: bool,
    },
    /// By its number; without an answer it ends then.
    UnderWay(u64, Instant),
}

/// An opening that has its job.
struct AtWork {
    job: Job,
    /// The machine waits for its answer.
    is_awaited: bool,
    until: Instant,
}

/// What a connection holds.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) slot: Key,
    pub(super) has_marks: bool,
}

pub(super) struct State {
    pub(super) member: Member,
    began: Instant,
    /// Openings that wait for a job, or are at one.
    pub(super) claims: u32,
    /// Those that wait.
    pub(super) waiting: u32,
    jobs: VecDeque<Job>,
    at_work: HashMap<u64, AtWork>,
    /// So long the last opening that came to nothing counts as a wish.
    wished_until: Option<Instant>,
    pub(super) call: Option<Call>,
    pub(super) look: Look,
    pub(super) held: HashMap<u64, Held>,
    /// Whether the mark of those who want is to be there.
    pub(super) wants_more: bool,
    /// That mark, once it was put.
    pub(super) want: Option<Want>,
    pub(super) ceiling: u32,
    /// What it is while nobody is short.
    most: u32,
    pub(super) view: View,
    /// When that was.
    pub(super) noted: Option<Instant>,
    /// What an operator is to be told; each kind of it is told once for a while, so there are few.
    pub(super) news: Vec<FleetNews>,
    /// That there is no slot was told.
    is_refusal_told: bool,
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
            at_work: HashMap::new(),
            wished_until: None,
            call: None,
            look: Look::None,
            held: HashMap::new(),
            wants_more: false,
            want: None,
            ceiling: plan.most,
            most: plan.most,
            view: View::default(),
            noted: None,
            news: Vec::new(),
            is_refusal_told: false,
            is_over: false,
            next: 0,
        }
    }

    /// Tells the machine of something. Returns what concerns the connection by which it was learned: a slot that it may
    /// keep, or has to let go of.
    pub(super) fn step(&mut self, event: Event) -> Vec<Action> {
        let moment = Moment { now: self.began.elapsed(), chance: fastrand::f64() };
        let is_refusal = matches!(
            event,
            Event::Asked(Asked::NoSlot(_) | Asked::NoPlace(_)) | Event::Reserved(Reserved::None(_))
        );
        if is_refusal && !std::mem::replace(&mut self.is_refusal_told, true) {
            self.news.push(FleetNews::NoSlot);
        }
        let mut own = Vec::new();
        for action in self.member.step(moment, event) {
            match action {
                Action::Ask => self.jobs.push_back(Job::Ask),
                Action::Reserve { beyond_share } => self.jobs.push_back(Job::Reserve { beyond_share }),
                Action::AskAgain => {
                    self.call = Some(Call::AskAgain);
                    // Its end is an answer from now on, also where it has not woken by then.
                    for asker in self.at_work.values_mut().filter(|at_work| at_work.job == Job::Ask) {
                        asker.is_awaited = true;
                    }
                }
                Action::LeaveOff => self.call = Some(Call::Leave),
                Action::Look { want } => self.look = Look::Due { want },
                Action::Ceiling(ceiling) => self.limit(ceiling),
                Action::Warn(Warning::OtherBudget { ours, theirs }) => {
                    let [ours, theirs] = [ours, theirs].map(|budget| (budget.total(), budget.reserve()));
                    self.news.push(FleetNews::OtherBudget { ours, theirs });
                }
                Action::Warn(Warning::MoreThanFit { members, slots }) => {
                    self.news.push(FleetNews::MoreThanFit { members, slots });
                }
                Action::Open(_) | Action::LetGo(_) => own.push(action),
            }
        }
        own
    }

    /// The pool has so many connections at the most from now on. Where it had what it likes, and has to give some back,
    /// that is news.
    fn limit(&mut self, ceiling: u32) {
        if self.ceiling == self.most && ceiling < self.member.held() {
            self.news.push(FleetNews::GivesBack { at_most: ceiling });
        }
        self.ceiling = ceiling;
    }

    /// Has the machine know how many connections the pool would have. One that has connections and found no slot for
    /// another is taken to want it while the pool pauses.
    pub(super) fn tell_wants(&mut self) {
        let held = self.member.held();
        let pauses =
            self.claims == 0 && held > 0 && self.wished_until.is_some_and(|end| Instant::now() < end);
        self.step(Event::Wants(held + self.claims + u32::from(pauses)));
        if self.waiting == 0 {
            self.withdraw(Job::is_question, Event::Asked(Asked::NotBegun));
            if !pauses {
                self.withdraw(|job| !job.is_question(), Event::Reserved(Reserved::NotBegun));
            }
        }
    }

    /// An opening is over. Where it was not let in, or got no job, those for whom it was made are likely to wait on.
    pub(super) fn end_claim(&mut self, is_let_in: bool) {
        self.claims -= 1;
        if !is_let_in {
            self.wished_until = Some(Instant::now() + WISH_FOR);
        }
        self.tell_wants();
    }

    /// Whether openings have found no slot since one was let in last, and somebody wants one.
    pub(super) fn is_held_up(&self) -> bool {
        self.is_refusal_told && (self.claims > 0 || self.is_wished())
    }

    /// The next job that is still to be done.
    pub(super) fn next_job(&mut self) -> Option<Job> {
        while let Some(job) = self.jobs.pop_front() {
            let is_first = self.member.held() == 0;
            match job {
                Job::Ask if is_first => return Some(job),
                Job::Reserve { .. } if !is_first => return Some(job),
                Job::Ask => self.step(Event::Asked(Asked::NotBegun)),
                Job::Reserve { .. } => self.step(Event::Reserved(Reserved::Failed)),
            };
        }
        None
    }

    /// An opening begins its job, for so long at the most.
    pub(super) fn begin(&mut self, job: Job, limit: Duration) -> u64 {
        let number = self.next_number();
        // One that ends by its limit answers by itself, a little later.
        let until = Instant::now() + limit + Duration::from_secs(1);
        self.at_work.insert(number, AtWork { job, is_awaited: true, until });
        number
    }

    /// Whether it was not given up.
    pub(super) fn is_at_work(&self, number: u64) -> bool {
        self.at_work.contains_key(&number)
    }

    /// It has an answer. Whether the machine waits for that, else it was given up, and must not be let in.
    pub(super) fn is_heard(&mut self, number: u64) -> bool {
        self.at_work.get_mut(&number).is_some_and(|at_work| std::mem::take(&mut at_work.is_awaited))
    }

    /// It came to nothing.
    pub(super) fn fail(&mut self, number: u64, refused: bool) {
        if self.is_heard(number) {
            let job = self.at_work[&number].job;
            self.step(match job {
                Job::Ask if refused => Event::Asked(Asked::Refused),
                Job::Ask => Event::Asked(Asked::Failed),
                Job::Reserve { .. } => Event::Reserved(Reserved::Failed),
            });
        }
    }

    /// It is at its end, or given up.
    pub(super) fn finish(&mut self, number: u64, is_let_in: bool) {
        self.fail(number, false);
        if self.at_work.remove(&number).is_some() {
            self.end_claim(is_let_in);
        }
    }

    /// A look begins, where one is due, and has this number.
    pub(super) fn begin_look(&mut self) -> Option<u64> {
        let Look::Due { want } = self.look else { return None };
        self.wants_more = want;
        let number = self.next_number();
        self.look = Look::UnderWay(number, Instant::now() + LOOK_LIMIT);
        Some(number)
    }

    /// A look has ended; without effect where it was given up.
    pub(super) fn end_look(&mut self, number: u64, view: Option<View>) {
        if matches!(self.look, Look::UnderWay(this, _) if this == number) {
            self.look = Look::None;
            if let Some(view) = view {
                self.note(view);
            }
            self.step(Event::Looked(view));
        }
    }

    /// The server has said how things are.
    pub(super) fn note(&mut self, view: View) {
        self.view = view;
        self.noted = Some(Instant::now());
    }

    fn next_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// With nobody there for a job the machine is told so: who comes next begins anew, by what holds then.
    fn withdraw(&mut self, is_meant: fn(&Job) -> bool, told: Event) {
        if let Some(at) = self.jobs.iter().position(is_meant) {
            self.jobs.remove(at);
            self.step(told);
        }
    }

    /// Whether there is a slot to be had for whoever comes, and nobody does: the pool pauses.
    pub(super) fn has_job_for_nobody(&self) -> bool {
        self.claims == 0 && !self.jobs.is_empty()
    }

    /// Whether an opening that came to nothing was wished for lately.
    pub(super) fn is_wished(&self) -> bool {
        self.wished_until.is_some()
    }

    /// When the machine has to be told something next.
    pub(super) fn due(&self) -> Option<Instant> {
        let machine = self.member.due().map(|due| self.began + due);
        let look = match self.look {
            Look::UnderWay(_, until) => Some(until),
            Look::None | Look::Due { .. } => None,
        };
        let openings = self.at_work.values().map(|at_work| at_work.until);
        openings.chain(machine).chain(self.wished_until).chain(look).min()
    }

    /// The machine is told the time where that is due.
    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        if self.wished_until.is_some_and(|end| end <= now) {
            self.wished_until = None;
            self.tell_wants();
        }
        if let Look::UnderWay(number, until) = self.look
            && until <= now
        {
            self.end_look(number, None);
        }
        while let Some(number) = self.overdue(now) {
            self.finish(number, false);
        }
        if self.member.due().is_some_and(|due| self.began + due <= now) {
            self.step(Event::Tick);
        }
    }

    fn overdue(&self, now: Instant) -> Option<u64> {
        self.at_work.iter().find(|(_, at_work)| at_work.until <= now).map(|(number, _)| *number)
    }

    /// How long until the machine has to be told the time, at most `limit`.
    pub(super) fn pause(&self, limit: Duration) -> Duration {
        self.due().map_or(limit, |due| due.saturating_duration_since(Instant::now()).min(limit))
    }

    /// Notes a connection that has a slot, and returns its number.
    pub(super) fn let_in(&mut self, slot: Key, has_marks: bool) -> u64 {
        if self.held.is_empty() {
            self.news.push(FleetNews::Joined);
        }
        self.is_refusal_told = false;
        let number = self.next_number();
        self.held.insert(number, Held { slot, has_marks });
        number
    }

    /// Whether no connection carries the process's marks.
    pub(super) fn needs_marks(&self) -> bool {
        !self.held.values().any(|held| held.has_marks)
    }

    /// Whether no connection carries a mark of those who want that is new enough.
    pub(super) fn needs_want(&self) -> bool {
        self.want.is_none_or(|want| want.is_old())
    }

    /// Whether there is something to be asked by way of this connection.
    pub(super) fn is_due(&self, number: u64) -> bool {
        matches!(self.look, Look::Due { .. })
            || (!self.wants_more && self.want.is_some_and(|want| want.is_on(number)))
    }

    /// Whether there is something to be asked by way of any connection.
    pub(super) fn is_any_due(&self) -> bool {
        matches!(self.look, Look::Due { .. })
            || (!self.wants_more && self.want.is_some_and(|want| want.counts()))
    }
}

#[cfg(test)]
mod tests;
