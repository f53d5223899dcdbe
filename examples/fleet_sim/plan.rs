//! What is simulated, and what can go wrong in it.

use tierpool::fleet::core::{Budget, Plan};

/// A thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Processes are killed, and started again a little later.
    Crash,
    /// Processes stop, and go on later.
    Stop,
    /// Hosts are cut off from the server, for a time shorter or longer than its keepalives take.
    Partition,
    /// Log-ins take up to a second.
    SlowOpens,
    /// The server restarts.
    Restart,
    /// Another server takes over; processes learn of it within five seconds.
    Failover,
    /// The server ends single sessions, as an administrator does.
    Terminate,
    /// What the callers of processes want changes, to nothing too.
    Demand,
}

impl Fault {
    pub const ALL: [Fault; 8] = [
        Fault::Crash,
        Fault::Stop,
        Fault::Partition,
        Fault::SlowOpens,
        Fault::Restart,
        Fault::Failover,
        Fault::Terminate,
        Fault::Demand,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Fault::Crash => "crash",
            Fault::Stop => "stop",
            Fault::Partition => "partition",
            Fault::SlowOpens => "slow",
            Fault::Restart => "restart",
            Fault::Failover => "failover",
            Fault::Terminate => "terminate",
            Fault::Demand => "demand",
        }
    }
}

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    pub processes: usize,
    pub budget: Budget,
    /// What every second process reckons with instead, by mistake.
    pub other: Option<Budget>,
    /// How many connections each process wants.
    pub wants: u32,
    /// Processes have weights of 1, 2 and so on up to this one, in turns.
    pub heaviest: u32,
    pub seconds: u64,
    /// Whether the role has a limit of A (L0).
    pub has_role_limit: bool,
    pub faults: Vec<Fault>,
    pub seed: u64,
}

impl Scenario {
    /// Whether there is a slot for each process, so that nobody may starve. With two budgets nobody is promised one.
    pub fn all_fit(&self) -> bool {
        self.other.is_none() && self.processes <= self.budget.slots() as usize
    }

    /// All budgets that are reckoned with, in the turns in which processes do.
    pub fn budgets(&self) -> Vec<Budget> {
        [Some(self.budget), self.other].into_iter().flatten().collect()
    }

    /// What the process in this place is in the fleet.
    pub fn plan(&self, index: usize) -> Plan {
        let budgets = self.budgets();
        let weight = 1 + index as u32 % self.heaviest;
        Plan { budget: budgets[index % budgets.len()], weight, most: self.wants }
    }
}
