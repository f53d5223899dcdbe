//! What holds once nothing has changed for a while: each process has its share, and has been told what it should know.

use std::mem::discriminant;

use tierpool::fleet::core::{Budget, Warning};

use super::plan::Scenario;
use super::process::Process;
use super::server::Server;
use super::world::Millis;

/// Shares have evened out so long after a change: `src/fleet/README.md` says why it takes so long.
const EVEN_WITHIN: Millis = 10_000;

/// What is known of it.
pub struct Settled {
    budgets: Vec<Budget>,
    all_fit: bool,
    changed_at: Millis,
    longest: Millis,
}

impl Settled {
    pub fn new(scenario: &Scenario) -> Settled {
        Settled { budgets: scenario.budgets(), all_fit: scenario.all_fit(), changed_at: 0, longest: 0 }
    }

    pub fn changed(&mut self, now: Millis) {
        self.changed_at = now;
    }

    /// The longest that shares took to even out.
    pub fn longest(&self) -> Millis {
        self.longest
    }

    /// Looks whether each process has its share, or all that it wants.
    ///
    /// # Errors
    /// Who has less, where that has been so for too long.
    pub fn look(&mut self, now: Millis, processes: &[Process], server: &Server) -> Result<(), String> {
        let [budget] = self.budgets[..] else { return Ok(()) };
        let is_quiet = self.all_fit && server.is_up && processes.iter().all(Process::is_reckoned);
        // Sessions of those that were killed are slots that nobody else has.
        let is_gone = |(index, generation): (usize, u32)| processes[index].generation != generation;
        if !is_quiet || server.slots_of(is_gone) > 0 {
            self.changed_at = now;
            return Ok(());
        }
        let is_member = |process: &&Process| process.demand > 0 || !process.conns.is_empty();
        let weights = processes.iter().filter(is_member).map(|process| process.plan.weight).sum();
        let lacks = |process: &&Process| {
            let share = budget.share(process.plan.weight, weights);
            (process.conns.len() as u32) < share.min(process.demand)
        };
        let Some(one) = processes.iter().find(lacks) else { return Ok(()) };
        let uneven = now - self.changed_at;
        self.longest = self.longest.max(uneven);
        if uneven <= EVEN_WITHIN {
            return Ok(());
        }
        let (has, share) = (one.conns.len(), budget.share(one.plan.weight, weights));
        Err(format!("{uneven} ms after the last change a process has {has} and a share of {share}"))
    }

    /// Whether a process may have said this to its operator.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn warned(&self, process: &Process) -> Result<(), String> {
        let Some((last, before)) = process.warnings.split_last() else { return Ok(()) };
        let is_true = match last {
            Warning::OtherBudget { ours, theirs } => {
                *ours == process.plan.budget && ours != theirs && self.budgets.contains(theirs)
            }
            Warning::MoreThanFit { members, slots } => {
                members > slots && *slots == process.plan.budget.slots()
            }
        };
        let is_repeated = before.iter().any(|one| discriminant(one) == discriminant(last));
        if is_true && !is_repeated { Ok(()) } else { Err(format!("told after {before:?}: {last:?}")) }
    }

    /// Whether all that are connected were told of another budget, where there is one and nothing has changed lately.
    ///
    /// # Errors
    /// That some were not.
    pub fn all_warned(&self, now: Millis, processes: &[Process]) -> Result<(), String> {
        if self.budgets.len() == 1 || now - self.changed_at < EVEN_WITHIN {
            return Ok(());
        }
        let is_told = |process: &Process| {
            process.warnings.iter().any(|warning| matches!(warning, Warning::OtherBudget { .. }))
        };
        let knows = |process: &&Process| process.is_reckoned() && !process.conns.is_empty();
        match processes.iter().filter(knows).filter(|process| !is_told(process)).count() {
            0 => Ok(()),
            count => Err(format!("{count} processes were not told of another budget")),
        }
    }
}
