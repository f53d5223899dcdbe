//! How a cluster is made: its settings, its folder, its first start.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::account::Account;
use super::registry::Entry;
use super::server::{APP_PASSWORD, Cluster, Place};
use super::{ClusterError, binaries};
use crate::support::port::free_port;

/// Another process may take the port between the look and the start.
const PORTS_TRIED: u32 = 5;

/// Who may come in how. Superusers have no password, so only the socket, in a folder of its own, lets them in.
const HBA_SOCKET: &str = "local all all trust\nlocal replication all trust";
const HBA_TCP: &str = "host all all 127.0.0.1/32 scram-sha-256";

/// For speed (nothing here outlives the test) and so that a killed server leaves nothing outside its folder.
const BASE_SETTINGS: [(&str, &str); 11] = [
    ("listen_addresses", "127.0.0.1"),
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("shared_buffers", "16MB"),
    ("autovacuum", "off"),
    ("dynamic_shared_memory_type", "mmap"),
    ("password_encryption", "scram-sha-256"),
    ("log_line_prefix", "%m [%p] %a "),
];

/// Starts a cluster with the defaults.
///
/// # Panics
///
/// When the programs are missing or the server does not come up.
#[track_caller]
pub fn cluster() -> Cluster {
    Cluster::start_new().unwrap()
}

/// What a cluster is to be like.
#[derive(Clone, Debug)]
pub struct Builder {
    settings: Vec<(String, String)>,
    max_connections: u32,
    hba: String,
    files: Vec<(String, String)>,
    bin_folder: Option<PathBuf>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Builder {
            settings: Vec::new(),
            max_connections: 100,
            hba: HBA_TCP.to_owned(),
            files: Vec::new(),
            bin_folder: None,
        }
    }

    /// Sets a server setting, as in `postgresql.conf`. The last of several wins.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Lets standbys follow the server, and has a COMMIT wait for the disk again, and so for a synchronous standby if
    /// there is one.
    #[must_use]
    pub fn replicates(self) -> Self {
        self.setting("wal_level", "replica")
            .setting("max_wal_senders", "8")
            .setting("synchronous_commit", "on")
    }

    /// Sets how many sessions the server takes. Default: 100.
    ///
    /// Three of them are kept for superusers unless `superuser_reserved_connections` says otherwise.
    #[must_use]
    pub fn max_connections(mut self, count: u32) -> Self {
        self.max_connections = count;
        self
    }

    /// Sets who may come in over TCP, as lines of `pg_hba.conf`. Default: everybody from 127.0.0.1, with a password.
    #[must_use]
    pub fn hba(mut self, lines: impl Into<String>) -> Self {
        self.hba = lines.into();
        self
    }

    /// Puts a file into the data folder, which nobody but the server may read; settings name it without a folder.
    #[must_use]
    pub fn file(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.files.push((name.into(), text.into()));
        self
    }

    /// Names the folder with `initdb` and `postgres`. Default: `PG_BIN` of the environment, else they are looked for.
    #[must_use]
    pub fn bin_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.bin_folder = Some(folder.into());
        self
    }

    /// Makes the cluster and starts it.
    ///
    /// # Blocking
    ///
    /// One to two seconds; 20 s at the most for the server to answer.
    ///
    /// # Errors
    ///
    /// When the programs are missing (the text says what to install), or when the server does not come up (the text
    /// ends with the end of its log).
    pub fn start(self) -> Result<Cluster, ClusterError> {
        let bin = binaries::find(self.bin_folder.as_deref())?;
        let account = Account::choose()?;
        let place = new_place(bin, account)?;
        place.run_to_end("initdb", |command| {
            command.args(["-N", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-D"]);
            command.arg(place.data());
        })?;
        self.write_settings(&place.data())
            .and_then(|()| self.write_files(&place.data(), account))
            .map_err(|error| ClusterError::io("cannot write the settings of the server", error))?;
        let cluster = start_on_a_free_port(place)?;
        create_app(&cluster)?;
        Ok(cluster)
    }

    fn write_settings(&self, data: &Path) -> std::io::Result<()> {
        fs::write(data.join("pg_hba.conf"), format!("{HBA_SOCKET}\n{}\n", self.hba))?;
        let mut file = OpenOptions::new().append(true).open(data.join("postgresql.conf"))?;
        let own = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in BASE_SETTINGS.into_iter().chain(own) {
            writeln!(file, "{name} = '{}'", value.replace('\'', "''"))?;
        }
        writeln!(file, "max_connections = {}", self.max_connections)
    }

    fn write_files(&self, data: &Path, account: Account) -> std::io::Result<()> {
        for (name, text) in &self.files {
            let path = data.join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            account.own(&path)?;
        }
        Ok(())
    }
}

/// An empty folder with all that a cluster in it needs.
pub(super) fn new_place(bin: PathBuf, account: Account) -> Result<Place, ClusterError> {
    let folder = make_folder(account)?;
    let data = folder.path().join("data");
    let entry = Entry::new(folder.path(), &data.join("postmaster.pid"), &data)
        .map_err(|error| ClusterError::io("cannot start `sh` to watch over the cluster", error))?;
    Ok(Place { bin, account, folder, entry })
}

fn make_folder(account: Account) -> Result<TempDir, ClusterError> {
    let told = |error| ClusterError::io("cannot make a temporary folder for the cluster", error);
    let folder = TempDir::with_prefix("tierpool-pg-").map_err(told)?;
    account.own(folder.path()).map_err(told)?;
    Ok(folder)
}

pub(super) fn start_on_a_free_port(place: Place) -> Result<Cluster, ClusterError> {
    let mut cluster = Cluster::new(place);
    for attempt in 1.. {
        cluster
            .move_to(free_port().map_err(|error| ClusterError::io("no port is free on 127.0.0.1", error))?);
        match cluster.try_start() {
            Err(_) if attempt < PORTS_TRIED && cluster.server_log().contains("Address already in use") => {}
            outcome => return outcome.map(|()| cluster),
        }
    }
    unreachable!("BUG: more than {PORTS_TRIED} ports tried");
}

fn create_app(cluster: &Cluster) -> Result<(), ClusterError> {
    let told = |error| ClusterError::new(format!("cannot make the user and database `app`: {error}"));
    let mut admin = cluster.try_admin().map_err(told)?;
    admin.batch_execute(&format!("CREATE ROLE app LOGIN PASSWORD '{APP_PASSWORD}'")).map_err(told)?;
    // In a message of its own: a database cannot be made inside a transaction.
    admin.batch_execute("CREATE DATABASE app OWNER app").map_err(told)
}
