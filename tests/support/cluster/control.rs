//! Start and stop of a cluster.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::error::ClusterError;
use super::server::Cluster;
use crate::support::process::Process;
use crate::support::wait::comes_true;

/// The longest a start or stop may take; either is far below a second on an idle machine.
const START_STOP: Duration = Duration::from_secs(20);

/// The longest the end in `drop` may take before it is by SIGKILL.
pub(super) const LAST_STOP: Duration = Duration::from_secs(5);

impl Cluster {
    /// Starts the server again, on the same port and data. Does nothing while it runs.
    ///
    /// # Panics
    ///
    /// When it does not answer within 20 s.
    #[track_caller]
    pub fn start(&self) {
        if let Err(error) = self.try_start() {
            panic!("{error:?}");
        }
    }

    pub(super) fn try_start(&self) -> Result<(), ClusterError> {
        let mut postmaster = self.postmaster.lock();
        if postmaster.is_some() {
            return Ok(());
        }
        let mut child = self.place.spawn("postgres", |command| {
            command.arg("-D").arg(self.place.data()).arg("-k").arg(self.socket_dir());
            command.arg("-p").arg(self.port.to_string());
        })?;
        let mut ended = None;
        let answers = comes_true(START_STOP, || {
            ended = child.try_wait().ok().flatten();
            ended.is_some() || self.try_admin().is_ok()
        });
        if let Some(status) = ended {
            return Err(self.place.error(&format!("the server ended right after its start ({status})")));
        }
        *postmaster = Some(child);
        if answers {
            return Ok(());
        }
        Err(self.place.error(&format!("the server does not answer {START_STOP:?} after its start")))
    }

    /// Stops the server, thawed before, as an orderly restart does: sessions end with 57P01, data is kept.
    ///
    /// # Panics
    ///
    /// When it has not ended within 20 s.
    #[track_caller]
    pub fn stop_fast(&self) {
        assert!(self.stop_by(Signal::INT, START_STOP), "{:?}", self.place.error("the server did not stop"));
    }

    /// Stops the server as [`Cluster::stop_fast`] does and starts it again.
    ///
    /// # Panics
    ///
    /// When either is not done within 20 s.
    #[track_caller]
    pub fn restart_fast(&self) {
        self.stop_fast();
        self.start();
    }

    /// Kills the postmaster and all its children at once, as a crash of the machine does: no session gets a message.
    ///
    /// # Panics
    ///
    /// When one of them is still there 20 s later.
    #[track_caller]
    pub fn kill9(&self) {
        let mut postmaster = self.postmaster.lock();
        if let Some(child) = postmaster.take() {
            assert!(kill(child), "a killed server is still there after {START_STOP:?}");
        }
    }

    /// Sends the postmaster a signal and says whether it and all its children ended within `bound`.
    fn stop_by(&self, signal: Signal, bound: Duration) -> bool {
        let mut postmaster = self.postmaster.lock();
        let Some(mut child) = postmaster.take() else { return true };
        let Some(process) = Process::find(child.id() as i32) else {
            // Ended by itself. It is waited for all the same, so as to leave no zombie.
            return child.wait().is_ok();
        };
        let all = process.end_by(signal);
        let ended = comes_true(bound, || {
            // Waited for even if a child of it is still there: a zombie would be left otherwise.
            let waited_for = matches!(child.try_wait(), Ok(Some(_)));
            waited_for && all.iter().all(|process| process.is_gone())
        });
        if !ended {
            *postmaster = Some(child);
        }
        ended
    }
}

/// Kills the postmaster with its children and says whether all ended.
fn kill(mut child: Child) -> bool {
    let killed = Process::find(child.id() as i32).map(Process::kill_tree).unwrap_or_default();
    let ended = comes_true(START_STOP, || killed.iter().all(|process| process.is_gone()));
    ended && child.wait().is_ok()
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.stop_by(Signal::QUIT, LAST_STOP)
            && let Some(child) = self.postmaster.get_mut().take()
        {
            kill(child);
        }
        remove_shared_memory(&self.place.data());
    }
}

/// Removes what a killed server leaves outside its folder: a small System V segment, which a start on the same data
/// would remove, and which otherwise stays until the machine goes down.
pub(super) fn remove_shared_memory(data: &Path) {
    // Gone after an orderly end. Its seventh line is the key and the id of the segment.
    let Ok(noted) = fs::read_to_string(data.join("postmaster.pid")) else { return };
    if let Some(id) = noted.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
        // Where there is no ipcrm the segment of 56 bytes stays: no reason to fail.
        let _ = Command::new("ipcrm").args(["-m", id]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
