//! Threads held on a core of their own.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// One core alone, by its number among those that this thread may use. `None` where there are not so many, or where the
/// system does not tell.
pub fn core(number: usize) -> Option<CpuSet> {
    let open = sched_getaffinity(None).ok()?;
    let number = (0..CpuSet::MAX_CPU).filter(|core| open.is_set(*core)).nth(number)?;
    let mut set = CpuSet::new();
    set.set(number);
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
