//! What is looked at during a run: who starves, how many attempts there are, and the curves.

use super::plan::{Fault, Scenario};
use super::process::Process;
use super::server::Server;
use super::settled::Settled;
use super::world::Millis;

/// Nobody starves for longer where there is a slot for each process.
const MOST_STARVING: Millis = 5_000;

/// Processes that were cut off are left out of the reckoning for so long after, as they may wait for answers that were
/// lost; and all are, where those that were cut off left too few slots, as they may be in the longest of their pauses.
pub const AFTER_A_PARTITION: Millis = 45_000;

/// The curves at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    pub at: Millis,
    /// Connections that work.
    pub held: u32,
    /// Processes that have less than they want.
    pub wanting: u32,
    /// Processes that have none and want one.
    pub starving: u32,
    pub sessions: u32,
    /// Connections of people.
    pub people: u32,
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub samples: Vec<Sample>,
    /// Attempts without a slot in each second.
    pub asks: Vec<u32>,
    /// Attempts with a slot in each second.
    pub opens: Vec<u32>,
    /// The longest that somebody starved while that was reckoned.
    pub worst: Millis,
    /// The longest that it took after a change until each had its share.
    pub uneven: Millis,
    /// How often a person was turned away, which cannot be where automation's role has a limit.
    pub turned_away: u32,
    pub faults: Vec<(Millis, Fault)>,
}

/// The checks of one run, and what they have seen.
pub struct Checks {
    pub broken: Option<String>,
    report: Report,
    settled: Settled,
    all_fit: bool,
    processes: u32,
    slots: u32,
    askers: u32,
    /// Since when there is a slot for everybody; in the future after a partition that left too few.
    fair_since: Option<Millis>,
    left_out_until: Millis,
}

impl Checks {
    pub fn new(scenario: &Scenario) -> Checks {
        Checks {
            broken: None,
            report: Report::default(),
            settled: Settled::new(scenario),
            all_fit: scenario.all_fit(),
            processes: scenario.processes as u32,
            slots: scenario.budget.slots(),
            askers: scenario.budget.askers(),
            fair_since: None,
            left_out_until: 0,
        }
    }

    pub fn report(self) -> Report {
        Report { uneven: self.settled.longest(), ..self.report }
    }

    /// Something has changed, so that shares have to even out anew.
    pub fn changed(&mut self, now: Millis) {
        self.settled.changed(now);
    }

    pub fn turned_away(&mut self) {
        self.report.turned_away += 1;
    }

    /// A process has told its operator something.
    pub fn warned(&mut self, process: &Process) {
        if let Err(why) = self.settled.warned(process) {
            self.break_off(why);
        }
    }

    /// The run is over, and what it has seen is as it should be.
    ///
    /// # Errors
    /// What is not.
    pub fn end(&self, now: Millis, processes: &[Process]) -> Result<(), String> {
        self.settled.all_warned(now, processes)
    }

    pub fn asks(&mut self, now: Millis) {
        count(&mut self.report.asks, now);
        self.bound(now);
    }

    pub fn opens(&mut self, now: Millis) {
        count(&mut self.report.opens, now);
        self.bound(now);
    }

    pub fn strikes(&mut self, now: Millis, fault: Fault) {
        self.report.faults.push((now, fault));
    }

    /// The bounds that `src/fleet/README.md` derives.
    fn bound(&mut self, now: Millis) {
        let second = (now / 1_000) as usize;
        let last = |counts: &[u32], seconds: usize| -> u32 {
            let end = counts.len().min(second + 1);
            counts[(second + 1).saturating_sub(seconds).min(end)..end].iter().sum()
        };
        let (one, ten) = (last(&self.report.asks, 1), last(&self.report.asks, 10));
        let opens = last(&self.report.opens, 1);
        if one > at_most(5 * self.processes) || ten > at_most(16 * self.processes) || opens > 2 * self.slots {
            self.break_off(format!("{one} attempts in a second, {ten} in ten, {opens} with a slot"));
        }
    }

    fn break_off(&mut self, why: String) {
        self.broken.get_or_insert(why);
    }

    /// Notes whether a process starves, and for how long it did.
    pub fn served_or_not(&mut self, now: Millis, process: &mut Process) {
        if process.is_starving() {
            process.starves_since.get_or_insert(now);
        } else if let Some(since) = process.starves_since.take() {
            self.reckon(now, since.max(process.left_out_until));
        }
    }

    fn reckon(&mut self, now: Millis, since: Millis) {
        let Some(fair_since) = self.fair_since else { return };
        let starved = now.saturating_sub(since.max(fair_since));
        self.report.worst = self.report.worst.max(starved);
        if starved > MOST_STARVING {
            self.break_off(format!("a process starved for {starved} ms"));
        }
    }

    /// Looks at everybody.
    pub fn sample(&mut self, now: Millis, processes: &[Process], server: &Server, is_over: bool) {
        let living = processes.iter().filter(|process| process.is_reckoned()).count() as u32;
        let is_of = |(index, generation): (usize, u32), is_meant: fn(&Process) -> bool| {
            let process = &processes[index];
            process.generation != generation || is_meant(process)
        };
        let stuck = server.slots_of(|client| is_of(client, |process| !process.is_reckoned()));
        // Nobody sees them, and with a limit of the role no other asker can log in beside them.
        let unseen = server.askers_of(|client| is_of(client, |process| !process.is_alive || process.is_cut));
        let is_fair = self.all_fit && server.is_up && living + stuck <= self.slots && unseen < self.askers;
        if !is_fair && processes.iter().any(|process| process.is_cut) {
            self.left_out_until = now + AFTER_A_PARTITION;
        }
        self.fair_since = if is_fair { self.fair_since.or(Some(now.max(self.left_out_until))) } else { None };
        if !is_over && let Err(why) = self.settled.look(now, processes, server) {
            self.break_off(why);
        }
        for process in processes.iter().filter(|process| process.is_starving()) {
            if let Some(since) = process.starves_since {
                self.reckon(now, since.max(process.left_out_until));
            }
        }
        if !is_over {
            let lacks = |p: &&Process| p.is_reckoned() && p.demand as usize > p.conns.len();
            self.report.samples.push(Sample {
                at: now,
                held: server.working(),
                wanting: processes.iter().filter(lacks).count() as u32,
                starving: processes.iter().filter(|p| p.is_starving()).count() as u32,
                sessions: server.sessions() as u32,
                people: server.people() as u32,
            });
        }
    }
}

/// What a random number with this mean stays below but for once in a billion: six standard deviations more.
fn at_most(mean: u32) -> u32 {
    mean + (6.0 * f64::from(mean).sqrt()) as u32
}

fn count(counts: &mut Vec<u32>, now: Millis) {
    let second = (now / 1_000) as usize;
    if counts.len() <= second {
        counts.resize(second + 1, 0);
    }
    counts[second] += 1;
}
