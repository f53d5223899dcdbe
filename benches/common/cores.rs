//! Threads held on a core of their own.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// One core alone, by its number among those that this thread may use; the first where there are not so many. `None`
/// where the system does not tell.
pub fn core(number: usize) -> Option<CpuSet> {
    let open = sched_getaffinity(None).ok()?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| open.is_set(*core));
    let first = cores.next()?;
    let mut set = CpuSet::new();
    set.set(if number == 0 { first } else { cores.nth(number - 1).unwrap_or(first) });
    Some(set)
}

/// This thread on these cores until it is dropped, by the same thread. Where the system does not allow that, it stays
/// where it is.
pub struct Held(Option<CpuSet>);

impl Held {
    pub fn on(cores: &CpuSet) -> Held {
        let before = sched_getaffinity(None).ok();
        let _ = sched_setaffinity(None, cores);
        Held(before)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = sched_setaffinity(None, before);
        }
    }
}
