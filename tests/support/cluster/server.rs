//! A cluster: where it is and how to reach it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use parking_lot::Mutex;
use postgres::{Client, Config, NoTls};
use tempfile::TempDir;

use super::account::Account;
use super::builder::Builder;
use super::error::ClusterError;
use super::registry::Entry;

/// The password of the user `app`, unlike any other text, so a test can look for it where it must not be.
pub const APP_PASSWORD: &str = "hush-4711-app";

/// How much of the server's log goes into an error.
const TAIL_LINES: usize = 20;

/// A PostgreSQL of one's own on loopback, gone with its data when it is dropped.
///
/// The user `app` owns the database `app` and comes in over TCP with [`APP_PASSWORD`]; over the Unix socket no password
/// is asked, neither of `app` nor of the superuser `postgres`. It is cleared away on drop, also while a panic unwinds,
/// and on Ctrl-C and SIGTERM, after which the process ends with 130. Soon after an end of any other kind, such as by
/// SIGKILL or `exit`, it is cleared away as well.
///
/// # Panics
///
/// All that tells the server to do something panics, with the end of the server's log, when the server does not do it:
/// a test has then nothing left to go on with.
pub struct Cluster {
    /// The postmaster, when one was started. Locked as long as a start or stop takes, so that these take turns.
    pub(super) postmaster: Mutex<Option<Child>>,
    pub(super) port: u16,
    pub(super) place: Place,
}

/// The folder of a cluster and who runs programs in it. The folder goes before the entry that lists it.
pub(super) struct Place {
    pub(super) bin: PathBuf,
    pub(super) account: Account,
    pub(super) folder: TempDir,
    pub(super) entry: Entry,
}

impl Place {
    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// Starts one of PostgreSQL's programs; all it says goes to the log.
    pub(super) fn spawn(
        &self,
        program: &str,
        arguments: impl FnOnce(&mut Command),
    ) -> Result<Child, ClusterError> {
        let told =
            |error| ClusterError::io(format!("cannot start {program} from {}", self.bin.display()), error);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).map_err(told)?;
        let mut command = Command::new(self.bin.join(program));
        arguments(&mut command);
        // A folder the account can enter, unlike perhaps the present one; a group of its own, so that Ctrl-C at a
        // terminal reaches this process only, which then clears up.
        command.current_dir(self.folder.path()).process_group(0);
        command.stdin(Stdio::null()).stdout(log.try_clone().map_err(told)?).stderr(log);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C");
        self.account.run_as(&mut command);
        self.entry.spawn(&mut command).map_err(told)
    }

    /// Runs one of PostgreSQL's programs until it ends.
    pub(super) fn run_to_end(
        &self,
        program: &str,
        arguments: impl FnOnce(&mut Command),
    ) -> Result<(), ClusterError> {
        let status = self
            .spawn(program, arguments)?
            .wait()
            .map_err(|error| ClusterError::io(format!("cannot wait for {program}"), error))?;
        if status.success() {
            return Ok(());
        }
        Err(self.error(&format!("{program} failed ({status})")))
    }

    /// An error with the end of the log.
    pub(super) fn error(&self, what: &str) -> ClusterError {
        let log = self.log_text();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        ClusterError::new(format!("{what}; the end of the server's log:\n{}", tail.join("\n")))
    }

    fn log_text(&self) -> String {
        let bytes = fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Cluster {
    /// Starts a cluster with the defaults of [`Builder`].
    ///
    /// # Errors
    ///
    /// As [`Builder::start`].
    pub fn start_new() -> Result<Cluster, ClusterError> {
        Cluster::builder().start()
    }

    /// Returns a builder.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(super) fn new(place: Place) -> Cluster {
        Cluster { postmaster: Mutex::new(None), port: 0, place }
    }

    pub(super) fn move_to(&mut self, port: u16) {
        self.port = port;
    }

    /// Returns the port on 127.0.0.1. It stays the same over stops and starts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns how to call one of PostgreSQL's programs: from the folder of the server's, else from `PATH`.
    pub fn program(&self, name: &str) -> PathBuf {
        let beside = self.place.bin.join(name);
        if beside.is_file() { beside } else { PathBuf::from(name) }
    }

    /// Returns the folder with the Unix socket; all of the cluster is within it.
    pub fn socket_dir(&self) -> &Path {
        self.place.folder.path()
    }

    /// Returns a URL for `app` over TCP, with its password.
    pub fn url(&self) -> String {
        self.url_through(self.port)
    }

    /// Returns a URL for `app` over another port of 127.0.0.1, such as a proxy's.
    pub fn url_through(&self, port: u16) -> String {
        format!("postgresql://app:{APP_PASSWORD}@127.0.0.1:{port}/app")
    }

    /// Returns a URL for `app` over TCP that asks for plain text, as a client without TLS has it in any case: for
    /// comparisons of two clients.
    pub fn plain_url(&self) -> String {
        self.plain_url_through(self.port)
    }

    /// Returns the same over another port of 127.0.0.1.
    pub fn plain_url_through(&self, port: u16) -> String {
        format!("{}?sslmode=disable", self.url_through(port))
    }

    /// Returns a URL for `app` over the Unix socket.
    pub fn url_unix(&self) -> String {
        self.url_over_socket("app", "app")
    }

    /// Returns a URL for the superuser `postgres` over the Unix socket, in the database `app`.
    pub fn superuser_url(&self) -> String {
        self.url_over_socket("postgres", "app")
    }

    fn url_over_socket(&self, user: &str, database: &str) -> String {
        format!("postgresql://{user}@/{database}?host={}&port={}", self.socket_dir().display(), self.port)
    }

    /// Returns the settings of a connection for `app` over TCP.
    pub fn config(&self) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user("app").password(APP_PASSWORD).dbname("app");
        config
    }

    /// Returns a connection for `app` over TCP.
    ///
    /// # Panics
    ///
    /// When the server does not let it in.
    #[track_caller]
    pub fn client(&self) -> Client {
        self.config()
            .connect(NoTls)
            .unwrap_or_else(|error| panic!("{:?}", self.place.error(&format!("no app: {error}"))))
    }

    /// Returns a superuser's connection over the Unix socket, in the database `postgres`.
    ///
    /// # Panics
    ///
    /// When the server does not let it in.
    #[track_caller]
    pub fn admin(&self) -> Client {
        self.try_admin()
            .unwrap_or_else(|error| panic!("{:?}", self.place.error(&format!("no admin: {error}"))))
    }

    pub(super) fn try_admin(&self) -> Result<Client, postgres::Error> {
        let mut config = Config::new();
        config.host_path(self.socket_dir()).port(self.port).user("postgres").dbname("postgres");
        config.application_name("tierpool-admin").connect(NoTls)
    }

    /// Counts the sessions whose `application_name` is like the pattern (`%` for all), this one's and the server's own
    /// left out.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    #[track_caller]
    pub fn connections(&self, application_name_like: &str) -> usize {
        let row = self.admin().query_one(
            "SELECT count(*) FROM pg_stat_activity \
             WHERE application_name LIKE $1 AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
            &[&application_name_like],
        );
        let count: i64 = row.expect("pg_stat_activity can be read").get(0);
        usize::try_from(count).expect("BUG: a negative count")
    }

    /// Whether the session of this process is in `pg_sleep`.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    #[track_caller]
    pub fn sleeps(&self, pid: i32) -> bool {
        let query = "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'";
        self.admin().query_opt(query, &[&pid]).expect("pg_stat_activity can be read").is_some()
    }

    /// Returns all the server has written to its log.
    pub fn server_log(&self) -> String {
        self.place.log_text()
    }
}
