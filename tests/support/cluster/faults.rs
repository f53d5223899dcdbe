//! Faults of a running cluster: frozen processes, ended sessions.

use std::time::Duration;

use rustix::process::Signal;

use super::server::Cluster;
use crate::support::process::Process;
use crate::support::wait::{comes_true, eventually};

/// The kernel does what a signal says within microseconds; this is for a machine under load.
const OBEY: Duration = Duration::from_secs(5);

/// What is frozen, by what, and what ends it.
pub type Freeze = (&'static str, fn(&Cluster), fn(&Cluster));

/// The ways in which a server can be frozen.
pub const FREEZES: [Freeze; 3] = [
    ("backends", Cluster::freeze_backends, Cluster::thaw_backends),
    ("postmaster", Cluster::freeze_postmaster, Cluster::thaw_postmaster),
    ("everything", Cluster::freeze_all, Cluster::thaw_all),
];

impl Cluster {
    /// Freezes the whole server: sockets stay open, the kernel goes on acknowledging, nothing answers.
    ///
    /// # Panics
    ///
    /// When no server runs.
    #[track_caller]
    pub fn freeze_all(&self) {
        let postmaster = self.postmaster_process();
        // First, so that it starts no child meanwhile.
        stop(&[postmaster]);
        stop(&postmaster.children());
    }

    /// Ends [`Cluster::freeze_all`], and any other freeze.
    ///
    /// # Panics
    ///
    /// When no server runs.
    #[track_caller]
    pub fn thaw_all(&self) {
        self.thaw_backends();
        self.thaw_postmaster();
    }

    /// Freezes the present sessions. New ones can still be opened.
    ///
    /// # Panics
    ///
    /// When no server runs or it does not answer.
    #[track_caller]
    pub fn freeze_backends(&self) {
        let rows = self.admin().query(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
            &[],
        );
        let pids = rows.expect("pg_stat_activity can be read").into_iter().map(|row| row.get::<_, i32>(0));
        let ours = self.postmaster_process().children();
        stop(
            &ours.into_iter().filter(|child| pids.clone().any(|pid| pid == child.pid())).collect::<Vec<_>>(),
        );
    }

    /// Ends [`Cluster::freeze_backends`].
    ///
    /// # Panics
    ///
    /// When no server runs.
    #[track_caller]
    pub fn thaw_backends(&self) {
        // To those that were never frozen the signal means nothing.
        resume(&self.postmaster_process().children());
    }

    /// Freezes the postmaster: sessions go on, new connections are taken by the kernel and never answered.
    ///
    /// # Panics
    ///
    /// When no server runs.
    #[track_caller]
    pub fn freeze_postmaster(&self) {
        stop(&[self.postmaster_process()]);
    }

    /// Ends [`Cluster::freeze_postmaster`].
    ///
    /// # Panics
    ///
    /// When no server runs.
    #[track_caller]
    pub fn thaw_postmaster(&self) {
        resume(&[self.postmaster_process()]);
    }

    /// Ends all sessions of `app` with 57P01, and returns how many were told to end.
    ///
    /// Waits until they have; a frozen one does not, and is left after 5 s.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    #[track_caller]
    pub fn terminate_backends(&self) -> usize {
        let mut admin = self.admin();
        let rows = admin
            .query("SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'", &[])
            .expect("sessions can be ended");
        let told: Vec<i32> = rows.iter().filter(|row| row.get(1)).map(|row| row.get(0)).collect();
        comes_true(OBEY, || told.iter().all(|pid| Process::find(*pid).is_none()));
        told.len()
    }

    #[track_caller]
    fn postmaster_process(&self) -> Process {
        let postmaster = self.postmaster.lock();
        let running = postmaster.as_ref().and_then(|child| Process::find(child.id() as i32));
        running.expect("the server runs: it was started, and neither stopped nor killed since")
    }
}

#[track_caller]
fn stop(processes: &[Process]) {
    for process in processes {
        process.signal(Signal::STOP);
    }
    eventually(OBEY, "all processes are stopped", || {
        processes.iter().all(|process| process.is_stopped() || process.is_gone())
    });
}

#[track_caller]
fn resume(processes: &[Process]) {
    for process in processes {
        process.signal(Signal::CONT);
    }
    eventually(OBEY, "all processes are resumed", || processes.iter().all(|process| !process.is_stopped()));
}
