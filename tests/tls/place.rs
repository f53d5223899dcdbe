//! A server with TLS, the files of its clients, and connections to it.

use std::error::Error;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;
use tierpool::config::{TlsMode, TlsOptions};
use tierpool::postgres::{PgConnection, PgError, PgManager, PgOptions};

use crate::support::authority::Identity;
use crate::support::cluster::{APP_PASSWORD, Builder, Cluster};
use crate::support::wait::LONG_BOUND;

/// The name in the servers' certificates. It stands for 127.0.0.1 by `hostaddr`, so that nothing is looked up.
pub const HOST: &str = "db.tierpool.test";

/// A server that has a certificate.
pub fn server(identity: &Identity) -> Builder {
    Cluster::builder()
        .setting("ssl", "on")
        .setting("ssl_cert_file", "own.crt")
        .setting("ssl_key_file", "own.key")
        .file("own.crt", &identity.cert)
        .file("own.key", &identity.key)
}

pub fn start(builder: Builder) -> Cluster {
    builder.start().unwrap()
}

/// A folder for what a client has on disk.
pub struct Files(TempDir);

impl Files {
    pub fn new() -> Files {
        Files(TempDir::with_prefix("tierpool-tls-").unwrap())
    }

    /// Writes a file that nobody else may read.
    pub fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub fn missing(&self) -> PathBuf {
        self.0.path().join("missing.pem")
    }
}

pub fn options(mode: TlsMode, root_cert: Option<PathBuf>) -> TlsOptions {
    let mut tls = TlsOptions::default();
    tls.mode = mode;
    tls.root_cert = root_cert;
    tls
}

/// The address of a server under a name.
pub fn address(port: u16, host: &str) -> String {
    format!("host={host} hostaddr=127.0.0.1 port={port} user=app password={APP_PASSWORD} dbname=app")
}

pub fn manager(address: &str, tls: &TlsOptions) -> PgManager {
    PgManager::with_tls(address.parse().unwrap(), PgOptions::default(), tls).unwrap()
}

pub fn open(address: &str, tls: &TlsOptions) -> Result<PgConnection, PgError> {
    manager(address, tls).connect_within(LONG_BOUND)
}

/// Whether the server says that the connection is encrypted.
pub fn is_encrypted(conn: &mut PgConnection) -> bool {
    conn.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).unwrap().get(0)
}

/// The end of the chain of causes, which is what the pool shows in one line.
pub fn root(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => root(cause),
        None => error.to_string(),
    }
}
