//! The forty as their starter sees them: started, killed, stopped, told to go on.

use std::process::Stdio;
use std::time::Instant;

use rustix::process::Signal;

use super::program::{FLEET, NUMBER, SOCKET, START, URL};
use super::reckoning::Reckoning;
use super::{BATCH, BEHIND_PROXY, PROGRAMS, url};
use crate::support::child::{Program, as_child};
use crate::support::process::Process;
use crate::support::wait::{BOUND, eventually};

/// All of them end when this is dropped, stopped ones too.
pub struct Programs<'a> {
    /// The test that becomes the program.
    test: &'a str,
    /// Of the server, and of the proxy to it.
    ports: [u16; 2],
    has_fleet: bool,
    pub reckoning: Reckoning,
    running: [Option<Program>; PROGRAMS],
}

impl<'a> Programs<'a> {
    pub fn new(test: &'a str, ports: [u16; 2], has_fleet: bool) -> Self {
        let running = [const { None }; PROGRAMS];
        Programs { test, ports, has_fleet, reckoning: Reckoning::begin(), running }
    }

    /// Starts those of these numbers.
    pub fn start(&mut self, programs: &[usize]) {
        for &number in programs {
            let is_behind = number >= PROGRAMS - BEHIND_PROXY;
            let mut command = as_child(self.test);
            command.env(URL, url(BATCH, self.ports[usize::from(is_behind)]));
            command.env(SOCKET, self.reckoning.socket()).env(NUMBER, number.to_string());
            command.env(START, self.reckoning.start(number).to_string());
            if self.has_fleet {
                command.env(FLEET, "forty");
            }
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            self.running[number] = Some(Program(command.spawn().unwrap()));
        }
    }

    /// Kills them by SIGKILL.
    pub fn kill(&mut self, programs: &[usize]) {
        for &number in programs {
            self.reckoning.leave_out(number);
            self.running[number] = None;
        }
    }

    /// Stops them by SIGSTOP.
    pub fn stop(&self, programs: &[usize]) {
        for &number in programs {
            self.reckoning.leave_out(number);
            self.process(number).signal(Signal::STOP);
        }
        eventually(BOUND, "all of these stopped", || {
            programs.iter().all(|&number| self.process(number).is_stopped())
        });
    }

    /// Has stopped ones go on; they are reckoned with from now on.
    pub fn go_on(&self, programs: &[usize]) {
        for &number in programs {
            self.reckoning.take_in(number, Instant::now());
            self.process(number).signal(Signal::CONT);
        }
    }

    fn process(&self, number: usize) -> Process {
        let program = self.running[number].as_ref().expect("BUG: it is not started");
        Process::find(program.0.id() as i32).unwrap_or_else(|| panic!("program {number} has ended by itself"))
    }
}
