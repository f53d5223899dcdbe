//! The rules of the moment: refusing, suspending, closing.

use super::{Desk, Lending};
use crate::core::sync::Arc;
use crate::core::waiter::Waiter;

impl<T, S: Default, R: Clone, W: Copy> Lending<T, S, R, W> {
    /// Refuses everybody who waits. Returns how many it refused.
    pub(crate) fn refuse(&self, reason: &R) -> usize {
        let waiters = self.dismiss(&mut self.desk.lock(), reason);
        wake_all(&waiters);
        waiters.len()
    }

    /// Refuses everybody who waits, and whoever would have to wait from now on until `stop_refusing`.
    pub(crate) fn refuse_until_further_notice(&self, reason: &R) {
        let mut desk = self.desk.lock();
        let former = desk.refusal.replace(reason.clone());
        let waiters = self.dismiss(&mut desk, reason);
        drop(desk);
        drop(former);
        wake_all(&waiters);
    }

    /// Ends a standing refusal.
    pub(crate) fn stop_refusing(&self) {
        // Taken out here and dropped after the statement, when the desk is free again.
        let former = self.desk.lock().refusal.take();
        drop(former);
    }

    /// Stops lending for good: refuses all waiters and returns every idle value. Values put from now on come back
    /// to their putters. A second call finds nobody and, but for a put that is under way, nothing.
    pub(crate) fn close(&self, reason: &R) -> Vec<Box<T>> {
        let mut desk = self.desk.lock();
        self.gate.close();
        let waiters = self.dismiss(&mut desk, reason);
        // I5: a put that misses the sweep finds its mark, and then the gate closed.
        let idle = self.slots.iter().filter_map(|slot| slot.cell.take_marking()).collect();
        drop(desk);
        wake_all(&waiters);
        idle
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.gate.is_closed()
    }

    /// Stops lending until `resume`; returned values stay in their slots and callers wait. False if it was so.
    pub(crate) fn suspend(&self) -> bool {
        let _desk = self.desk.lock();
        self.gate.suspend()
    }

    /// Lends again and serves those who waited. False if it was not suspended.
    pub(crate) fn resume(&self) -> bool {
        let mut desk = self.desk.lock();
        if !self.gate.resume() {
            return false;
        }
        let served = self.serve_from_slots(&mut desk);
        drop(desk);
        wake_all(&served);
        true
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.gate.is_suspended()
    }

    /// Serves the line from the slots for as long as both last, which restores I5. Returns whom to wake.
    fn serve_from_slots(&self, desk: &mut Desk<T, R, W>) -> Vec<Arc<Waiter<T, R>>> {
        let mut served = Vec::new();
        for slot in self.slots.iter() {
            if desk.queue.len() == 0 {
                break;
            }
            // Marked even where a value was found: whoever is served with it may return it before this sweep ends.
            let Some(value) = slot.cell.take_marking() else { continue };
            match self.hand_over(desk, value) {
                Ok(waiter) => served.push(waiter),
                // All who stood in line had left.
                Err(value) => slot.cell.place(value),
            }
        }
        served
    }

    fn dismiss(&self, desk: &mut Desk<T, R, W>, reason: &R) -> Vec<Arc<Waiter<T, R>>> {
        let mut waiters = Vec::with_capacity(desk.queue.len());
        while let Some(waiter) = self.pop(desk) {
            waiter.refuse(reason.clone());
            waiters.push(waiter);
        }
        waiters
    }
}

/// Called with the desk unlocked: waking is a system call a thread.
fn wake_all<T, R>(waiters: &[Arc<Waiter<T, R>>]) {
    for waiter in waiters {
        waiter.wake();
    }
}

#[cfg(all(test, not(tierpool_loom)))]
mod tests {
    use std::sync::Weak;

    use crate::core::sync::Arc;
    use crate::core::{Joined, Lending, Outcome};

    #[test]
    fn a_suspended_line_is_served_at_resume_in_its_order() {
        let line = Lending::<u32, (), ()>::new(1);
        assert_eq!(line.claim(), Some(0));
        assert!(line.suspend() && !line.suspend());
        let Joined::InLine { waiter: first, .. } = line.join(None, None, ()) else {
            panic!("served while suspended")
        };
        let Joined::InLine { waiter: second, ticket, ahead: 1, .. } = line.join(None, None, ()) else {
            panic!("not second in line")
        };
        line.put(0, Box::new(7)).unwrap();
        assert!(line.slot(0).cell.is_full(), "handed over while suspended");
        assert!(line.resume() && !line.resume());
        assert!(matches!(first.leave(), Outcome::Served(value) if *value == 7));
        assert!(matches!(second.leave(), Outcome::Nothing));
        line.forget(second, ticket);
        line.put(0, Box::new(8)).unwrap();
        assert_eq!(line.try_take(0).as_deref(), Some(&8));
    }

    /// A reason whose end runs foreign code, which may come back to the pool.
    #[derive(Clone)]
    struct Reason(Weak<Lending<u32, (), Reason>>);

    impl Drop for Reason {
        fn drop(&mut self) {
            if let Some(line) = self.0.upgrade() {
                assert!(line.desk.try_lock().is_some(), "a reason ends under the desk's lock");
            }
        }
    }

    #[test]
    fn a_former_reason_ends_with_the_desk_unlocked() {
        let line = Arc::new(Lending::<u32, (), Reason>::new(1));
        let reason = Reason(Arc::downgrade(&line));
        line.refuse_until_further_notice(&reason);
        line.refuse_until_further_notice(&reason);
        line.stop_refusing();
    }
}
