//! A second server that follows a first one, and takes its place.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::ClusterError;
use super::builder::{new_place, start_on_a_free_port};
use super::control::remove_shared_memory;
use super::server::{Cluster, Place};
use crate::support::wait::eventually;

/// The longest that a promotion or the way to the newest row may take.
const FOLLOW: Duration = Duration::from_secs(20);

impl Cluster {
    /// Makes a cluster that follows this one as a hot standby, and starts it on a port of its own.
    ///
    /// The primary must have been built with [`Builder::replicates`](super::Builder::replicates). What it sets by
    /// `ALTER SYSTEM` before this call holds for the standby too.
    ///
    /// # Errors
    ///
    /// When the base backup fails or the standby does not come up; the text ends with the end of its log.
    pub fn standby(&self) -> Result<Cluster, ClusterError> {
        let place = new_place(self.place.bin.clone(), self.place.account)?;
        self.back_up_into(&place)?;
        start_on_a_free_port(place)
    }

    /// Throws this cluster's data away and has it follow another, on the same port as before.
    ///
    /// # Panics
    ///
    /// When it does not come up as a standby.
    #[track_caller]
    pub fn rejoin(&self, primary: &Cluster) {
        self.kill9();
        remove_shared_memory(&self.place.data());
        fs::remove_dir_all(self.place.data()).expect("the old data can be removed");
        primary.back_up_into(&self.place).unwrap_or_else(|error| panic!("{error:?}"));
        self.start();
    }

    fn back_up_into(&self, place: &Place) -> Result<(), ClusterError> {
        place.run_to_end(&base_backup(&place.bin)?, |command| {
            command.arg("-h").arg(self.socket_dir()).arg("-p").arg(self.port().to_string());
            // -R: with standby.signal and the way to the primary. No wait for a checkpoint, none for the disk.
            command
                .args(["-U", "postgres", "-X", "stream", "-c", "fast", "-N", "-R", "-D"])
                .arg(place.data());
        })
    }

    /// Makes a primary of a standby, and waits until it takes writes.
    ///
    /// # Panics
    ///
    /// When it has not within 20 s.
    #[track_caller]
    pub fn promote(&self) {
        let mut admin = self.admin();
        admin.execute("SELECT pg_promote(false)", &[]).expect("a standby can be promoted");
        eventually(FOLLOW, "the standby is promoted", || {
            let row = admin.query_one("SELECT NOT pg_is_in_recovery()", &[]);
            row.is_ok_and(|row| row.get(0))
        });
    }

    /// Waits until a standby has all that its primary has written by now.
    ///
    /// # Panics
    ///
    /// When it has not within 20 s.
    #[track_caller]
    pub fn catch_up(&self, primary: &Cluster) {
        let row = primary.admin().query_one("SELECT pg_current_wal_lsn()::text", &[]);
        let position: String = row.expect("a primary tells its position").get(0);
        let mut admin = self.admin();
        eventually(FOLLOW, "the standby has caught up", || {
            let row = admin.query_one("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", &[&position]);
            row.is_ok_and(|row| row.get::<_, Option<bool>>(0) == Some(true))
        });
    }
}

/// Where `pg_basebackup` is. The folder of `postgres` may hold links to some programs only; then it is where they lead.
fn base_backup(bin: &Path) -> Result<String, ClusterError> {
    let home =
        fs::canonicalize(bin.join("postgres")).ok().and_then(|file| Some(file.parent()?.to_path_buf()));
    let folders = [Some(bin.to_path_buf()), home];
    let found =
        folders.iter().flatten().map(|folder| folder.join("pg_basebackup")).find(|file| file.is_file());
    found.map(|file| file.display().to_string()).ok_or_else(|| {
        ClusterError::new(format!(
            "pg_basebackup was not found beside {}, and a standby is made by the one of its primary's version: install \
             it with `apt-get install -y postgresql`, or name a folder in PG_BIN that has it too. Tests that make no \
             standby do without",
            bin.join("postgres").display()
        ))
    })
}
