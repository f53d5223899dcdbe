//! What goes wrong, when and for how long.

use super::check::AFTER_A_PARTITION;
use super::plan::Fault;
use super::process::Message;
use super::server::Client;
use super::world::{KEEPALIVES, Millis, What, World};

impl World {
    /// One of the faults strikes, and the next one is on its way.
    pub fn strike(&mut self) {
        if self.is_dissolving {
            return;
        }
        let faults = self.scenario.faults.clone();
        let fault = faults[self.dice.usize(..faults.len())];
        self.checks.strikes(self.now, fault);
        self.checks.changed(self.now);
        match fault {
            Fault::Crash => self.some(|world, client| world.kill(client)),
            Fault::Stop => self.some(|world, client| world.stop(client)),
            Fault::Partition => self.some(|world, client| world.cut(client)),
            Fault::Demand => self.some(|world, client| {
                let wants = [0, 1, world.scenario.wants][world.dice.usize(..3)];
                world.after(0, What::Notice(client, Message::Demand(wants)));
            }),
            Fault::SlowOpens => {
                self.slow = true;
                let time = self.dice.u64(2_000..10_000);
                self.after(time, What::OpensAreFast);
            }
            Fault::Terminate => self.terminate(),
            Fault::Restart => self.lose_server(6_000, 100),
            Fault::Failover => self.lose_server(3_000, 5_000),
        }
        let next = self.dice.u64(2_000..10_000);
        self.after(next, What::Strike);
    }

    /// One process, or a tenth of them, or half.
    fn some(&mut self, what: impl Fn(&mut World, Client)) {
        let all = self.processes.len();
        let count = [1, all.div_ceil(10), all.div_ceil(2)][self.dice.usize(..3)];
        for index in self.dice.choose_multiple(0..all, count) {
            let client = self.client(index);
            if self.processes[index].is_reckoned() {
                what(self, client);
            }
        }
    }

    /// `kill -9`: sessions that are busy end with their query or by a check of the server's, others at once.
    fn kill(&mut self, client: Client) {
        for session in self.server.sessions_of(client) {
            let time = self.dice.u64(0..2_000);
            self.after(time, What::EndSession(session));
        }
        self.processes[client.0].is_alive = false;
        let again = self.dice.u64(100..5_000);
        self.after(again, What::Start(client.0));
    }

    fn stop(&mut self, client: Client) {
        let process = &mut self.processes[client.0];
        (process.is_stopped, process.starves_since) = (true, None);
        let time = self.dice.u64(500..20_000);
        self.after(time, What::Resume(client));
    }

    pub fn resume(&mut self, client: Client) {
        let now = self.now;
        let Some(process) = self.process(client) else { return };
        process.is_stopped = false;
        self.checks.changed(now);
        let process = &mut self.processes[client.0];
        process.starves_since = process.is_starving().then_some(now);
        for message in std::mem::take(&mut process.backlog) {
            self.after(0, What::Notice(client, message));
        }
    }

    fn cut(&mut self, client: Client) {
        let since = self.now;
        let process = &mut self.processes[client.0];
        (process.is_cut, process.starves_since) = (true, None);
        let time = self.dice.u64(1_000..70_000);
        self.after(time, What::Heal(client));
        self.after(KEEPALIVES, What::GiveUp(client, since));
    }

    /// The host is back: sessions that its process has given up end now, for it answers for none of them.
    pub fn heal(&mut self, client: Client) {
        let now = self.now;
        let Some(process) = self.process(client) else { return };
        process.is_cut = false;
        self.checks.changed(now);
        let process = &mut self.processes[client.0];
        process.starves_since = process.is_starving().then_some(now);
        process.left_out_until = now + AFTER_A_PARTITION;
        let known: Vec<_> = process.conns.iter().map(|conn| conn.session).chain(process.asker).collect();
        for session in self.server.sessions_of(client) {
            if !known.contains(&session) {
                self.server.end(session);
            }
        }
    }

    pub fn give_up(&mut self, client: Client, since: Millis) {
        let is_same = self.now - since == KEEPALIVES;
        if is_same && self.process(client).is_some_and(|process| process.is_cut) {
            for session in self.server.sessions_of(client) {
                self.server.end(session);
            }
        }
    }

    /// A tenth of the sessions end, or half; their processes learn of it within a second.
    fn terminate(&mut self) {
        let all = self.server.all();
        let count = [all.len().div_ceil(10), all.len().div_ceil(2)][self.dice.usize(..2)];
        for (session, client) in self.dice.choose_multiple(all, count) {
            self.server.end(session);
            let time = self.dice.u64(0..1_000);
            self.after(time, What::Arrive(client, Message::Ended(session)));
        }
    }

    /// All sessions end; processes learn of it within `learnt` at the latest.
    fn lose_server(&mut self, longest: Millis, learnt: Millis) {
        if !self.server.is_up {
            return;
        }
        self.server.crash();
        let down = self.dice.u64(500..longest);
        self.after(down, What::ServerUp);
        let before = self.server.next();
        for index in 0..self.processes.len() {
            let (client, time) = (self.client(index), self.dice.u64(0..learnt));
            self.after(time, What::Notice(client, Message::Lost(before)));
        }
    }
}
