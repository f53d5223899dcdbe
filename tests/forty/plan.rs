//! What is done to the forty, one after the other, and how soon shares are even again after it.

use std::thread;
use std::time::{Duration, Instant};

use super::programs::Programs;
use super::sampler::Samples;
use super::{AFTER_PARTITION, BEHIND_PROXY, EVEN, Outages, PROGRAMS, SLOTS, STAYING};
use crate::support::cluster::Cluster;
use crate::support::proxy::Proxy;
use crate::support::wait::{LONG_BOUND, SECOND, comes_true, eventually};

/// How long programs are stopped.
const STOPPED: Duration = Duration::from_secs(6);
/// How long a partition lasts at least: longer than the programs' keepalives take to tell them of it.
const CUT_OFF: Duration = Duration::from_secs(12);
/// So long the server's keepalives take, and that it notices what they have told.
const NOTICED: Duration = Duration::from_secs(5 + 3 + 1);

/// Something that changed who is there, and when all had their share again.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    pub what: &'static str,
    pub from: Instant,
    pub to: Instant,
    /// What is promised of it.
    pub limit: Duration,
}

/// What is done, and to what.
pub struct Plan<'a, 'p> {
    pub cluster: &'a Cluster,
    pub proxy: &'a Proxy,
    pub programs: &'a mut Programs<'p>,
    pub samples: &'a Samples,
    pub outages: &'a Outages,
    pub dice: fastrand::Rng,
    pub changes: Vec<Change>,
}

pub const ALL: [usize; PROGRAMS] = {
    let mut all = [0; PROGRAMS];
    let mut next = 0;
    while next < PROGRAMS {
        all[next] = next;
        next += 1;
    }
    all
};

impl Plan<'_, '_> {
    /// Each fault once, and then kills and stops until the time is up.
    pub fn carry_out(&mut self, length: Duration) {
        let end = Instant::now() + length;
        self.kill_some(&ALL, 5);
        self.stop_some();
        self.kill_most();
        self.cut_off();
        self.restart();
        while Instant::now() < end {
            if self.dice.bool() { self.kill_some(&ALL, 5) } else { self.stop_some() }
        }
    }

    /// Starts all forty, and waits until each has been served.
    pub fn begin(&mut self) {
        self.start("40 programs started at once", &ALL, &ALL);
        let reckoning = &self.programs.reckoning;
        eventually(3 * LONG_BOUND, "all programs served", || reckoning.are_served(&ALL));
    }

    /// Some are killed and others started in their place.
    fn kill_some(&mut self, of: &[usize], count: usize) {
        let some = self.some(of, count);
        self.programs.kill(&some);
        self.start("some killed, and others started", &some, of);
    }

    /// Some stop for a while, in which others are killed.
    fn stop_some(&mut self) {
        let stopped = self.some(&ALL, 5);
        let others: Vec<_> = ALL.into_iter().filter(|number| !stopped.contains(number)).collect();
        let began = Instant::now();
        self.programs.stop(&stopped);
        self.kill_some(&others, 3);
        thread::sleep(STOPPED.saturating_sub(began.elapsed()));
        self.programs.go_on(&stopped);
        self.wait_until_even("some stopped, and told to go on", Instant::now(), &ALL);
    }

    /// All but some are killed, which come to a greater share, and started again.
    fn kill_most(&mut self) {
        let (staying, killed) = ALL.split_at(STAYING);
        self.programs.kill(killed);
        self.wait_until_even("30 of 40 killed", Instant::now(), staying);
        self.start("30 more started at once", killed, &ALL);
    }

    /// Those behind the proxy are cut off for a while, in which others are killed.
    fn cut_off(&mut self) {
        let (others, behind) = ALL.split_at(PROGRAMS - BEHIND_PROXY);
        let began = Instant::now();
        behind.iter().for_each(|&number| self.programs.reckoning.leave_out(number));
        self.proxy.lose_packets();
        self.kill_some(others, 3);
        self.wait_for_slots("some cut off, and their slots free", began, NOTICED, |slots| {
            behind.iter().all(|&number| slots[number] == 0)
        });
        thread::sleep(CUT_OFF.saturating_sub(began.elapsed()));
        self.proxy.pass();
        let healed = Instant::now();
        for &number in behind {
            self.programs.reckoning.take_in(number, healed + AFTER_PARTITION);
        }
        let reckoning = &self.programs.reckoning;
        comes_true(2 * AFTER_PARTITION, || reckoning.are_served(behind));
        self.changed("those cut off served again", healed, AFTER_PARTITION);
    }

    /// The server is started anew.
    fn restart(&mut self) {
        let down = Instant::now();
        let reckoned = self.programs.reckoning.leave_out_all();
        self.cluster.restart_fast();
        let up = Instant::now();
        self.outages.add(down, up);
        for (number, since) in reckoned {
            self.programs.reckoning.take_in(number, since.max(up));
        }
        self.wait_until_even("the server started anew", up, &ALL);
    }

    fn start(&mut self, what: &'static str, programs: &[usize], all: &[usize]) {
        self.programs.start(programs);
        let reckoning = &self.programs.reckoning;
        eventually(3 * LONG_BOUND, "all programs started", || reckoning.are_there(programs));
        self.wait_until_even(what, Instant::now(), all);
    }

    /// Waits until each of these has its share: as many slots, rounded down, as there are for each of them. What is
    /// left over is anybody's.
    fn wait_until_even(&mut self, what: &'static str, from: Instant, programs: &[usize]) {
        let share = SLOTS / programs.len();
        self.wait_for_slots(what, from, EVEN, |slots| programs.iter().all(|&number| slots[number] >= share));
    }

    fn wait_for_slots(
        &mut self,
        what: &'static str,
        from: Instant,
        limit: Duration,
        is_so: impl Fn(&[usize; PROGRAMS]) -> bool,
    ) {
        let samples = self.samples;
        // Longer than is promised, so that it can be told how long it took.
        comes_true(2 * LONG_BOUND, || samples.last_after(from).is_some_and(|sample| is_so(&sample.slots)));
        self.changed(what, from, limit);
    }

    fn changed(&mut self, what: &'static str, from: Instant, limit: Duration) {
        self.changes.push(Change { what, from, to: Instant::now(), limit });
        // So that the next change is not that of this one.
        thread::sleep(SECOND);
    }

    fn some(&mut self, of: &[usize], count: usize) -> Vec<usize> {
        self.dice.choose_multiple(of.iter().copied(), count)
    }
}
