//! The run: a clock that moves from event to event, the processes, the server, and the network between them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use fastrand::Rng;
use tierpool::fleet::core::{Action, Event, Member, Moment, Slot};

use super::check::{Checks, Report};
use super::drive::unanswered;
use super::plan::Scenario;
use super::process::{Message, Process};
use super::server::{Client, Denied, Server, SessionId};

/// All times here are milliseconds since the beginning of the run.
pub type Millis = u64;

/// A log-in takes so long where nothing is slow.
const LOG_IN: Millis = 27;
/// A question and its answer.
pub const ROUND_TRIP: Millis = 2;
/// Who gets no answer gives up after this.
const SILENCE: Millis = 5_000;
/// The server ends sessions of hosts that it cannot reach after so long: 30 s and three times 5 s.
pub const KEEPALIVES: Millis = 45_000;
const SAMPLE_EVERY: Millis = 100;
/// Each person connects so often,
const PERSON_EVERY: Millis = 1_000;
/// and stays so long at the most.
const LONGEST_STAY: Millis = 900;

/// What a process asks of the server.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    Ask,
    /// The log-in is done; now the question.
    AskFirst(SessionId),
    AskAgain(SessionId),
    /// A connection for a slot, and its anchor.
    Open(Slot, SessionId),
    Welcome(SessionId, Slot, SessionId),
    Reserve(SessionId, bool),
    Look(SessionId, Option<u32>, Option<bool>),
}

#[derive(Clone, Copy, Debug)]
pub enum What {
    /// Arrives at a process.
    Arrive(Client, Message),
    /// Comes to the notice of a process, without the network.
    Notice(Client, Message),
    /// Arrives at the server.
    Request(Client, Request),
    EndSession(SessionId),
    LetGo(SessionId, Slot),
    /// A process is started in this place.
    Start(usize),
    PersonComes,
    PersonLeaves(SessionId),
    Strike,
    Resume(Client),
    Heal(Client),
    /// The server has not heard of this host for long.
    GiveUp(Client, Millis),
    ServerUp,
    OpensAreFast,
    Sample,
}

/// Everything that there is.
pub struct World {
    pub scenario: Scenario,
    pub now: Millis,
    pub dice: Rng,
    pub server: Server,
    pub processes: Vec<Process>,
    pub checks: Checks,
    pub slow: bool,
    /// No more faults, and nobody wants anything.
    pub is_dissolving: bool,
    queue: BinaryHeap<Reverse<(Millis, u64, usize)>>,
    events: Vec<Option<What>>,
    vacant: Vec<usize>,
    pushed: u64,
}

/// Carries out a run.
///
/// # Errors
/// The first promise that was broken, and when.
pub fn run(scenario: &Scenario) -> Result<Report, String> {
    let mut world = World::new(scenario.clone());
    world.run_until(scenario.seconds * 1_000)?;
    world.checks.end(scenario.seconds * 1_000, &world.processes)?;
    world.dissolve();
    world.run_until(scenario.seconds * 1_000 + 2 * KEEPALIVES)?;
    if !world.server.is_empty() {
        return Err(format!("a fleet that is over leaves something: {:?}", world.server));
    }
    Ok(world.checks.report())
}

impl World {
    fn new(scenario: Scenario) -> World {
        let processes = (0..scenario.processes).map(|index| Process::new(scenario.plan(index), 0)).collect();
        let mut world = World {
            now: 0,
            dice: Rng::with_seed(scenario.seed),
            server: Server::new(&scenario),
            processes,
            checks: Checks::new(&scenario),
            slow: false,
            is_dissolving: false,
            queue: BinaryHeap::new(),
            events: Vec::new(),
            vacant: Vec::new(),
            pushed: 0,
            scenario,
        };
        // Half of the runs begin with one process that has all there is.
        let early = world.dice.bool();
        for index in 0..world.processes.len() {
            let at = if index == 0 || !early { 0 } else { 3_000 };
            world.wish(index, at);
        }
        for _ in 0..world.scenario.budget.reserve() {
            let at = world.dice.u64(..PERSON_EVERY);
            world.after(at, What::PersonComes);
        }
        world.after(0, What::Sample);
        if !world.scenario.faults.is_empty() {
            world.after(4_000, What::Strike);
        }
        world
    }

    /// Has the callers of a process want connections, `after` from now.
    pub fn wish(&mut self, index: usize, after: Millis) {
        let wants = self.scenario.wants;
        self.after(after, What::Notice(self.client(index), Message::Demand(wants)));
    }

    /// Ends all faults; nobody wants anything any more.
    fn dissolve(&mut self) {
        self.is_dissolving = true;
        for index in 0..self.processes.len() {
            let client = self.client(index);
            self.after(0, What::Heal(client));
            self.after(0, What::Resume(client));
            self.after(1, What::Notice(client, Message::Demand(0)));
        }
    }

    fn run_until(&mut self, end: Millis) -> Result<(), String> {
        while let Some(Reverse((at, _, index))) = self.queue.peek().copied()
            && at <= end
        {
            self.queue.pop();
            self.now = at;
            let what = self.events[index].take().expect("pushed once, popped once");
            self.vacant.push(index);
            self.happens(what);
            self.server.check();
            if let Some(broken) = self.server.broken.take().or_else(|| self.checks.broken.take()) {
                return Err(format!("at {} ms: {broken} ({what:?})", self.now));
            }
        }
        Ok(())
    }

    pub fn after(&mut self, delay: Millis, what: What) {
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[index] = Some(what);
        self.pushed += 1;
        self.queue.push(Reverse((self.now + delay, self.pushed, index)));
    }

    pub fn client(&self, index: usize) -> Client {
        (index, self.processes[index].generation)
    }

    /// The process, if it is still the one that is meant.
    pub fn process(&mut self, client: Client) -> Option<&mut Process> {
        self.processes.get_mut(client.0).filter(|process| process.is_alive && process.generation == client.1)
    }

    fn happens(&mut self, what: What) {
        match what {
            What::Arrive(client, message) => self.arrive(client, message),
            What::Notice(client, message) => self.notice(client, message),
            What::Request(client, request) => self.request(client, request),
            What::EndSession(session) => self.server.end(session),
            What::LetGo(anchor, slot) => self.server.let_go(anchor, slot),
            What::Start(index) => self.start(index),
            What::Strike => self.strike(),
            What::Resume(client) => self.resume(client),
            What::Heal(client) => self.heal(client),
            What::GiveUp(client, since) => self.give_up(client, since),
            What::PersonComes => self.person_comes(),
            What::PersonLeaves(session) => self.server.see_off(session),
            What::ServerUp => {
                self.server.is_up = true;
                self.checks.changed(self.now);
            }
            What::OpensAreFast => {
                self.slow = false;
                self.checks.changed(self.now);
            }
            What::Sample => {
                self.checks.sample(self.now, &self.processes, &self.server, self.is_dissolving);
                self.after(SAMPLE_EVERY, What::Sample);
            }
        }
    }

    fn start(&mut self, index: usize) {
        let generation = self.processes[index].generation + 1;
        self.processes[index] = Process::new(self.scenario.plan(index), generation);
        if !self.is_dissolving {
            self.wish(index, 0);
        }
    }

    /// A person works for a while, and comes again.
    fn person_comes(&mut self) {
        if self.is_dissolving {
            return;
        }
        match self.server.let_in() {
            Ok(session) => {
                let stay = self.dice.u64(1..LONGEST_STAY);
                self.after(stay, What::PersonLeaves(session));
            }
            Err(Denied::Full) => self.checks.turned_away(),
            Err(Denied::Down) => {}
        }
        self.after(PERSON_EVERY, What::PersonComes);
    }

    /// Something comes over the network: a host that is cut off learns of it by silence alone.
    fn arrive(&mut self, client: Client, message: Message) {
        let Some(process) = self.process(client) else { return };
        if process.is_cut {
            self.after(SILENCE, What::Notice(client, message.lost()));
        } else {
            self.notice(client, message);
        }
    }

    /// Something comes to the notice of a process, unless it is stopped.
    fn notice(&mut self, client: Client, message: Message) {
        let Some(process) = self.process(client) else { return };
        if process.is_stopped {
            process.backlog.push(message);
        } else {
            self.receive(client, message);
        }
    }

    /// Half of a log-in, in milliseconds.
    pub fn log_in_time(&mut self) -> Millis {
        if self.slow { self.dice.u64(150..500) } else { self.dice.u64(LOG_IN / 2..LOG_IN) }
    }

    /// Sends a request; a log-in takes longer than a question.
    pub fn send(&mut self, client: Client, request: Request) {
        let is_log_in = matches!(request, Request::Ask | Request::Open(..));
        let time = if is_log_in { self.log_in_time() } else { ROUND_TRIP / 2 };
        match request {
            Request::Ask => self.checks.asks(self.now),
            Request::Open(..) => self.checks.opens(self.now),
            _ => {}
        }
        self.after(time, What::Request(client, request));
    }

    fn request(&mut self, client: Client, request: Request) {
        let Some(process) = self.process(client) else { return };
        if process.is_cut {
            self.after(SILENCE, What::Notice(client, unanswered(request)));
            return;
        }
        self.serve(client, request, ROUND_TRIP / 2);
    }

    /// Tells the machine of a process what happened; what it wants done comes back.
    pub fn step(&mut self, client: Client, event: Event) -> Vec<Action> {
        let chance = self.dice.f64();
        let now = Duration::from_millis(self.now);
        let process = self.process(client).expect("only a living process is told");
        process.member.step(Moment { now, chance }, event)
    }
}

/// When a machine is to be woken, in whole milliseconds and never too early.
pub fn due(member: &Member) -> Option<Millis> {
    member.due().map(|due| due.as_nanos().div_ceil(1_000_000) as Millis)
}
