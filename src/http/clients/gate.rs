//! The bound on connections, and the places beyond it.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::AbortHandle;

/// Places beyond the bound.
///
/// Who holds connections open without a word keeps all ordinary places, until the time for a request's head is over. A
/// probe gets one of these; a newcomer takes that of the oldest, which a probe has left long before.
const RESERVE: usize = 16;

/// Who is let in.
pub(in crate::http) struct Gate {
    most: usize,
    /// No task is ended under it.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ordinary: usize,
    /// The oldest first.
    reserve: VecDeque<(u64, Option<AbortHandle>)>,
    entered: u64,
}

/// What a connection may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Place {
    Ordinary,
    /// Beyond the bound: for what has to get through, health or something to be done, alone. Its number.
    Reserve(u64),
}

/// The place of one connection, given back with it.
pub(in crate::http) struct Seat {
    gate: Arc<Gate>,
    pub(in crate::http) place: Place,
}

impl Gate {
    pub(in crate::http) fn new(most: usize) -> Arc<Self> {
        Arc::new(Gate { most, state: Mutex::default() })
    }

    /// Lets a connection in; where also the places beyond the bound are taken, the oldest of them has to go.
    pub(in crate::http) fn enter(self: &Arc<Self>) -> Seat {
        let mut state = self.state.lock();
        let (mut place, mut displaced) = (Place::Ordinary, None);
        if state.ordinary < self.most {
            state.ordinary += 1;
        } else {
            state.entered += 1;
            let number = state.entered;
            state.reserve.push_back((number, None));
            place = Place::Reserve(number);
            if state.reserve.len() > RESERVE {
                displaced = state.reserve.pop_front().and_then(|(_, task)| task);
            }
        }
        drop(state);
        if let Some(task) = displaced {
            task.abort();
        }
        Seat { gate: Arc::clone(self), place }
    }

    /// Says which task has a place, so that it can be ended.
    pub(in crate::http) fn has(&self, place: Place, task: AbortHandle) {
        let Place::Reserve(number) = place else { return };
        let mut state = self.state.lock();
        if let Some((_, holder)) = state.reserve.iter_mut().find(|(held, _)| *held == number) {
            *holder = Some(task);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.gate.state.lock();
        match self.place {
            Place::Ordinary => state.ordinary -= 1,
            Place::Reserve(number) => state.reserve.retain(|(held, _)| *held != number),
        }
    }
}
