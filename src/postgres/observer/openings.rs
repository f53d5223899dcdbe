//! Openings under way, which end with the pool that they are for.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::state::{Abandoned, WireState};

/// The openings of one pool. It knows them without keeping them: one that is over leaves nothing but a reference, which
/// goes when the next one begins.
#[derive(Default)]
pub(crate) struct Openings {
    /// Held for a look or a note, never over I/O or while an opening is ended.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_over: bool,
    under_way: Vec<Weak<Opening>>,
}

impl Openings {
    /// Begins one; one that ends at once where the pool is closed.
    pub fn begin(&self) -> Arc<Opening> {
        let opening = Arc::new(Opening::default());
        let is_over = {
            let mut state = self.state.lock();
            state.under_way.retain(|other| other.strong_count() > 0);
            state.under_way.push(Arc::downgrade(&opening));
            state.is_over
        };
        if is_over {
            opening.end();
        }
        opening
    }

    /// Ends those under way, and each that begins from now on.
    pub fn end(&self) {
        let under_way = {
            let mut state = self.state.lock();
            state.is_over = true;
            std::mem::take(&mut state.under_way)
        };
        under_way.iter().filter_map(Weak::upgrade).for_each(|opening| opening.end());
    }
}

/// One opening, from its begin until its connection is set up. `Default`: one that no pool waits for.
#[derive(Default)]
pub(crate) struct Opening {
    /// Held for a look or a note, never over I/O or a wake.
    state: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    is_over: bool,
    /// The stream that is being tried: each address has one of its own, and so has each way to secure it.
    stream: Weak<WireState>,
}

impl Opening {
    /// Whether its pool is closed, so that nothing more is to be begun for it.
    pub fn is_over(&self) -> bool {
        self.state.lock().is_over
    }

    /// Has it wait on this stream from now on, before there is a socket.
    pub(super) fn tries(&self, stream: &Arc<WireState>) {
        let is_over = {
            let mut state = self.state.lock();
            state.stream = Arc::downgrade(stream);
            state.is_over
        };
        if is_over {
            stream.abandon(Abandoned::PoolClosed);
        }
    }

    fn end(&self) {
        let stream = {
            let mut state = self.state.lock();
            state.is_over = true;
            state.stream.upgrade()
        };
        if let Some(stream) = stream {
            stream.abandon(Abandoned::PoolClosed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Arc<WireState> {
        Arc::new(WireState::new(None))
    }

    #[test]
    fn those_of_one_pool_end_whenever_they_began_and_those_of_others_go_on() {
        let (openings, others) = (Openings::default(), Openings::default());
        let (ours, theirs) = (openings.begin(), others.begin());
        let [first, second, third] = [(); 3].map(|()| stream());
        ours.tries(&first);
        theirs.tries(&second);
        openings.end();
        assert!(first.is_abandoned() && first.is_ended_by_pool() && ours.is_over());
        assert!(!second.is_abandoned() && !theirs.is_over());
        // As the next address after a failure of the first.
        ours.tries(&third);
        assert!(third.is_abandoned());
        assert!(openings.begin().is_over());
    }

    #[test]
    fn those_that_are_over_leave_nothing() {
        let openings = Openings::default();
        let stream = stream();
        for _ in 0..100 {
            openings.begin().tries(&stream);
        }
        assert_eq!(openings.state.lock().under_way.len(), 1);
        openings.end();
        assert!(!stream.is_abandoned(), "its connection is somebody's by now");
    }
}
