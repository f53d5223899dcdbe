//! The clusters of this process, so that Ctrl-C and SIGTERM leave nothing of them behind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Once;
use std::{fs, io, process, thread};

use parking_lot::Mutex;
use rustix::process::Signal;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::control::LAST_STOP;
use super::guard::Guard;
use crate::support::process::Process;
use crate::support::wait::comes_true;

struct Live {
    folder: PathBuf,
    running: Option<Process>,
}

/// Guards which processes and folders there are. A process is started under it, so none is unknown to the thread that
/// clears up; that thread keeps it until the end, so none can be started afterwards.
static LIVE: Mutex<BTreeMap<u64, Live>> = Mutex::new(BTreeMap::new());

static LISTEN: Once = Once::new();

/// A cluster's place in the registry, given up on drop.
pub(in crate::support) struct Entry {
    id: u64,
    _guard: Guard,
}

impl Entry {
    /// Takes the folder to clear away, the file in it with the id of the process, and the folder in which that works.
    pub(in crate::support) fn new(folder: &Path, pid_file: &Path, works_in: &Path) -> io::Result<Entry> {
        let _guard = Guard::new(folder, pid_file, works_in)?;
        LISTEN.call_once(|| {
            let signals = Signals::new([SIGINT, SIGTERM]).expect("SIGINT and SIGTERM can be listened for");
            thread::Builder::new()
                .name("cluster-signals".into())
                .spawn(move || clear_up_on(signals))
                .expect("a thread to listen for Ctrl-C can be started");
        });
        let mut live = LIVE.lock();
        let id = live.last_key_value().map_or(0, |(last, _)| last + 1);
        live.insert(id, Live { folder: folder.to_path_buf(), running: None });
        Ok(Entry { id, _guard })
    }

    /// Starts a process that is killed with all its children should this one be told to end.
    pub(in crate::support) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let mut live = LIVE.lock();
        let child = command.spawn()?;
        let entry = live.get_mut(&self.id).expect("BUG: a cluster's entry went before the cluster");
        entry.running = Process::find(child.id() as i32);
        Ok(child)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        LIVE.lock().remove(&self.id);
    }
}

fn clear_up_on(mut signals: Signals) {
    if signals.forever().next().is_none() {
        return;
    }
    let live = LIVE.lock();
    let running = || live.values().filter_map(|entry| entry.running);
    let told: Vec<Process> = running().flat_map(|process| process.end_by(Signal::QUIT)).collect();
    if !comes_true(LAST_STOP, || told.iter().all(|process| process.is_gone())) {
        let killed: Vec<Process> = running().flat_map(Process::kill_tree).chain(told).collect();
        comes_true(LAST_STOP, || killed.iter().all(|process| process.is_gone()));
    }
    for entry in live.values() {
        // Nobody is left to be told of an error.
        let _ = fs::remove_dir_all(&entry.folder);
    }
    // What a shell reports for a program that Ctrl-C ended.
    process::exit(130);
}
