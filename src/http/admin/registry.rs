//! The pools of this process, behind one socket.
//!
//! The first one opens it, and the last one to go closes it, on the thread that lets go of that pool: a process that
//! ends right after leaves no file behind.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::http::clients::door::Doorkeeper;
use crate::http::view::View;
use crate::tiers::AtEnd;

/// A pool behind the socket.
pub(super) struct Listed {
    /// Its number among those of this process.
    pub(super) id: u64,
    pub(super) name: String,
    /// Whether something may be done to it.
    pub(super) may_write: bool,
    /// The servers that it leads to, where that is known.
    pub(super) servers: Vec<String>,
    pub(super) view: Arc<dyn View>,
}

struct Open {
    pools: Vec<(Arc<Listed>, AtEnd)>,
    path: PathBuf,
    doorkeeper: Doorkeeper,
}

enum State {
    Closed,
    /// A thread is opening or closing it, with nothing locked.
    Changing,
    Open(Open),
}

/// Neither is a file touched under the lock nor a thread waited for.
static STATE: Mutex<(State, u64)> = Mutex::new((State::Closed, 0));
static CHANGED: Condvar = Condvar::new();

/// The state, once nobody is changing it: that takes a few calls into the file system.
fn settled() -> MutexGuard<'static, (State, u64)> {
    let mut state = STATE.lock();
    while matches!(state.0, State::Changing) {
        CHANGED.wait(&mut state);
    }
    state
}

fn settle(new: State) {
    STATE.lock().0 = new;
    CHANGED.notify_all();
}

/// Takes a pool in, under a number; the first one has the socket opened. Returns where that stands, and what the pool
/// is to call at its end.
pub(super) fn join(
    listed: impl FnOnce(u64) -> Listed,
    open: impl FnOnce() -> io::Result<(PathBuf, Doorkeeper)>,
) -> io::Result<(PathBuf, AtEnd)> {
    let mut state = settled();
    state.1 += 1;
    let id = state.1;
    let at_end: AtEnd = Arc::new(move || leave(id));
    let joining = (Arc::new(listed(id)), Arc::clone(&at_end));
    if let State::Open(opened) = &mut state.0 {
        opened.pools.push(joining);
        return Ok((opened.path.clone(), at_end));
    }
    state.0 = State::Changing;
    drop(state);
    let opened = open();
    let told =
        opened.as_ref().map(|(path, _)| path.clone()).map_err(|error| io::Error::other(error.to_string()));
    settle(opened.map_or(State::Closed, |(path, doorkeeper)| {
        State::Open(Open { pools: vec![joining], path, doorkeeper })
    }));
    told.map(|path| (path, at_end))
}

/// Lets a pool go; the last one closes the socket.
fn leave(id: u64) {
    let mut state = settled();
    let State::Open(opened) = &mut state.0 else { return };
    let Some(index) = opened.pools.iter().position(|(listed, _)| listed.id == id) else { return };
    let gone = opened.pools.swap_remove(index);
    if !opened.pools.is_empty() {
        drop(state);
        return drop(gone);
    }
    let State::Open(last) = std::mem::replace(&mut state.0, State::Changing) else { return };
    drop(state);
    drop(last.doorkeeper);
    settle(State::Closed);
}

/// The pools just now, in the order in which they came.
pub(super) fn pools() -> Vec<Arc<Listed>> {
    let state = STATE.lock();
    let State::Open(opened) = &state.0 else { return Vec::new() };
    let mut pools: Vec<_> = opened.pools.iter().map(|(listed, _)| Arc::clone(listed)).collect();
    pools.sort_by_key(|listed| listed.id);
    pools
}
