//! Processes by their id: who descends from whom, in what state, and signals to them.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// A process, told from a later one with the same id by the time of its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pid: i32,
    parent: i32,
    /// In clock ticks since boot.
    started: u64,
}

impl Process {
    /// Looks a process up. `None` when there is none, or only a zombie.
    pub fn find(pid: i32) -> Option<Self> {
        Some(look(pid)?.0)
    }

    /// Returns its id.
    pub fn pid(self) -> i32 {
        self.pid
    }

    /// Whether it has ended. A zombie that nobody has waited for counts as ended.
    pub fn is_gone(self) -> bool {
        self.state().is_none()
    }

    /// Whether it is stopped by SIGSTOP.
    pub fn is_stopped(self) -> bool {
        self.state() == Some('T')
    }

    /// Sends it a signal. One that has ended already gets none.
    pub fn signal(self, signal: Signal) {
        if self.is_gone() {
            return;
        }
        // Between the look and the kill it may end; that it is no longer there is then what was wanted.
        let _ = kill_process(Pid::from_raw(self.pid).expect("BUG: process 0"), signal);
    }

    /// Returns the processes it started that are still running.
    pub fn children(self) -> Vec<Process> {
        everything().into_iter().filter(|other| other.parent == self.pid).collect()
    }

    /// Returns its children, their children, and so on.
    pub fn descendants(self) -> Vec<Process> {
        let all = everything();
        let mut found = vec![self];
        let mut next = 0;
        while next < found.len() {
            let parent = found[next].pid;
            found.extend(all.iter().filter(|other| other.parent == parent));
            next += 1;
        }
        found.split_off(1)
    }

    /// Thaws it and all that descends from it, sends the signal to it alone, and returns them.
    pub fn end_by(self, signal: Signal) -> Vec<Process> {
        let mut all = self.descendants();
        all.push(self);
        for process in &all {
            process.signal(Signal::CONT);
        }
        self.signal(signal);
        all
    }

    /// Kills it with all that descends from it, and returns them.
    pub fn kill_tree(self) -> Vec<Process> {
        // Stopped first, or it could start one more while the list is made.
        self.signal(Signal::STOP);
        let mut all = self.descendants();
        all.push(self);
        for process in &all {
            process.signal(Signal::KILL);
        }
        all
    }

    fn state(self) -> Option<char> {
        look(self.pid).filter(|(found, _)| found.started == self.started).map(|(_, state)| state)
    }
}

fn everything() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(Process::find).collect()
}

/// Reads `/proc/<pid>/stat`. The name of the program, in brackets, may hold anything; all after it is numbered from 3.
fn look(pid: i32) -> Option<(Process, char)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let state = fields.first()?.chars().next()?;
    if matches!(state, 'Z' | 'X') {
        return None;
    }
    let (parent, started) = (fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?);
    Some((Process { pid, parent, started }, state))
}
