//! A throw-away PgBouncer in front of a cluster, with the faults a test wants of it.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use parking_lot::Mutex;
use postgres::{Client, Config, NoTls, SimpleQueryMessage, SimpleQueryRow};
use rustix::process::Signal;
use tempfile::TempDir;

use super::cluster::account::Account;
use super::cluster::registry::Entry;
use super::cluster::{APP_PASSWORD, Cluster, ClusterError};
use super::port::free_port;
use super::process::Process;
use super::wait::comes_true;

mod files;
mod program;

use files::write_settings;
use program::{find, version_of};

/// The longest a start or stop may take; either takes some milliseconds on an idle machine.
const START_STOP: Duration = Duration::from_secs(20);

/// Another process may take the port between the look and the start.
const PORTS_TRIED: u32 = 5;

/// From this version on it can have statements that its clients prepared follow them from one server to the next; from
/// 1.24 on it does unless told otherwise.
pub const TRACKS_STATEMENTS: (u32, u32) = (1, 21);

/// What a PgBouncer is to be like.
pub struct Builder {
    server_port: u16,
    settings: Vec<(String, String)>,
    /// A whole `pgbouncer.ini` in place of one's own, and its users with their passwords.
    given: Option<(String, Vec<(String, String)>)>,
    port: Option<u16>,
    program: Option<PathBuf>,
}

impl Builder {
    /// Names the program. Default: `PGBOUNCER_BIN` of the environment, else it is looked for.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// Has it keep no track of the statements that its clients prepare. Before 1.21 it never did.
    #[must_use]
    #[track_caller]
    pub fn forgets_statements(self) -> Self {
        self.kept_statements("0")
    }

    /// Has it keep track of those statements, where its version can.
    #[must_use]
    #[track_caller]
    pub fn tracks_statements(self) -> Self {
        self.kept_statements("200")
    }

    /// Before 1.21 the setting is unknown, and a fault.
    #[track_caller]
    fn kept_statements(self, count: &str) -> Self {
        let version = find(self.program.as_deref()).and_then(|program| version_of(&program));
        let version = version.unwrap_or_else(|error| panic!("{error:?}"));
        if version < TRACKS_STATEMENTS { self } else { self.setting("max_prepared_statements", count) }
    }

    /// Sets a setting, as in `pgbouncer.ini`. The last of several wins.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Has it go by this `pgbouncer.ini`, which names `userlist.txt`, with these users and `app`, each with a password;
    /// but for where it listens, who may look at its console, and what [`Builder::setting`] says.
    #[must_use]
    pub fn ini(mut self, text: impl Into<String>, users: &[(&str, &str)]) -> Self {
        let users = users.iter().map(|(user, password)| ((*user).to_owned(), (*password).to_owned()));
        self.given = Some((text.into(), users.collect()));
        self
    }

    /// Has it listen on this port of the address. Default: any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Has it reach the server by this port.
    #[must_use]
    pub fn through(mut self, server_port: u16) -> Self {
        self.server_port = server_port;
        self
    }

    /// Starts it.
    ///
    /// # Panics
    ///
    /// When the program is missing (the text says what to install), or does not come up (the text has its log).
    #[track_caller]
    pub fn start(self) -> Bouncer {
        self.try_start().unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Starts it, as [`Builder::start`] does.
    ///
    /// # Errors
    ///
    /// Where that panics.
    pub fn try_start(self) -> Result<Bouncer, ClusterError> {
        let told = |error| ClusterError::io("cannot make the folder of a PgBouncer", error);
        let program = find(self.program.as_deref())?;
        let version = version_of(&program)?;
        let account = Account::choose()?;
        let folder = TempDir::with_prefix("tierpool-bouncer-").map_err(told)?;
        account.own(folder.path()).map_err(told)?;
        let entry =
            Entry::new(folder.path(), &folder.path().join("pgbouncer.pid"), folder.path()).map_err(told)?;
        // An address of its own: at 127.0.0.1 the usual ports may be those of an installed PgBouncer.
        let [_, a, b, c] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, a.max(1), b, c.max(2));
        for attempt in 1.. {
            let free = |error| ClusterError::io("no port is free", error);
            let port = self.port.map_or_else(|| free_port().map_err(free), Ok)?;
            write_settings(folder.path(), account, address, port, &self).map_err(told)?;
            let (child, outcome) = launch(&program, folder.path(), account, &entry, address, port)?;
            match outcome {
                Ok(()) => {
                    let child = Mutex::new(Some(child));
                    return Ok(Bouncer { child, program, version, account, address, port, folder, entry });
                }
                Err(_) if attempt < PORTS_TRIED && self.port.is_none() => {}
                Err(error) => return Err(error),
            }
        }
        unreachable!("BUG: more than {PORTS_TRIED} ports tried");
    }
}

/// A PgBouncer of one's own on loopback, which takes the user `app` and is gone when it is dropped, also while a panic
/// unwinds. Soon after an end of the process of any other kind it is cleared away as well.
///
/// # Panics
///
/// All that tells it to do something panics when it does not do it.
pub struct Bouncer {
    child: Mutex<Option<Child>>,
    program: PathBuf,
    version: (u32, u32),
    account: Account,
    address: Ipv4Addr,
    port: u16,
    /// Goes before the entry that lists it.
    folder: TempDir,
    entry: Entry,
}

impl Bouncer {
    /// Returns a builder for one in front of this cluster, in the given `pool_mode`.
    pub fn over(cluster: &Cluster, mode: &str) -> Builder {
        Builder { server_port: cluster.port(), settings: vec![], given: None, port: None, program: None }
            .setting("pool_mode", mode)
    }

    /// Returns its version, as in 1.25.
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.address, self.port))
    }

    /// Returns a URL for `app`.
    pub fn url(&self) -> String {
        format!("postgresql://app:{APP_PASSWORD}@{}:{}/app", self.address, self.port)
    }

    /// Returns a URL for `app` over its Unix socket.
    pub fn url_unix(&self) -> String {
        let folder = self.folder.path().display();
        format!("postgresql://app:{APP_PASSWORD}@/app?host={folder}&port={}", self.port)
    }

    /// Returns the settings of a connection for `app`.
    pub fn config(&self) -> Config {
        self.url().parse().expect("BUG: its own URL")
    }

    /// Returns a connection of the plain driver, which counts as another client.
    #[track_caller]
    pub fn client(&self) -> Client {
        self.config().connect(NoTls).unwrap_or_else(|error| panic!("{error:?}\n{}", self.log()))
    }

    /// Counts its clients that call themselves so.
    #[track_caller]
    pub fn clients(&self, application_name: &str) -> usize {
        let rows = self.ask("SHOW CLIENTS");
        rows.iter().filter(|row| row.get("application_name") == Some(application_name)).count()
    }

    /// Counts its clients that wait for a connection to the server.
    #[track_caller]
    pub fn waiting(&self) -> u32 {
        let rows = self.ask("SHOW POOLS");
        rows.iter().filter_map(|row| row.get("cl_waiting")?.parse::<u32>().ok()).sum()
    }

    /// Runs one of the commands of its console, and returns a column of the first row.
    ///
    /// # Panics
    ///
    /// When it fails, or returns no such column.
    #[track_caller]
    pub fn console(&self, command: &str, column: &str) -> String {
        let rows = self.ask(command);
        let row = rows.first().unwrap_or_else(|| panic!("{command} returned no row"));
        row.get(column).expect("the column has a value").to_owned()
    }

    #[track_caller]
    fn ask(&self, command: &str) -> Vec<SimpleQueryRow> {
        let mut client = self.config().dbname("pgbouncer").connect(NoTls).expect("its console lets app in");
        let answer = client.simple_query(command).expect("its console takes the command");
        let rows = answer.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        rows.collect()
    }

    /// Starts it again, on the same port. Does nothing while it runs.
    #[track_caller]
    pub fn start(&self) {
        let mut running = self.child.lock();
        if running.is_none() {
            let (account, folder) = (self.account, self.folder.path());
            match launch(&self.program, folder, account, &self.entry, self.address, self.port) {
                Ok((child, Ok(()))) => *running = Some(child),
                Ok((_, Err(error))) | Err(error) => panic!("{error:?}"),
            }
        }
    }

    /// Ends it at once, all connections with it, and waits until it is gone.
    #[track_caller]
    pub fn stop(&self) {
        // From 1.23 on it waits for its clients at SIGTERM.
        self.end(if self.version < (1, 23) { Signal::TERM } else { Signal::QUIT });
    }

    /// Kills it, and waits until it is gone.
    #[track_caller]
    pub fn kill(&self) {
        self.end(Signal::KILL);
    }

    /// Ends it and starts it again.
    #[track_caller]
    pub fn restart(&self) {
        self.stop();
        self.start();
    }

    /// Stops it from running until [`Bouncer::thaw`]; connections to it stay up.
    #[track_caller]
    pub fn freeze(&self) {
        let process = self.process();
        process.signal(Signal::STOP);
        assert!(comes_true(START_STOP, || process.is_stopped()), "the PgBouncer does not freeze");
    }

    /// Lets it run on.
    #[track_caller]
    pub fn thaw(&self) {
        self.process().signal(Signal::CONT);
    }

    /// Returns the folder with all that is its own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns all it has written to its log.
    pub fn log(&self) -> String {
        log_of(self.folder.path())
    }

    #[track_caller]
    fn process(&self) -> Process {
        let child = self.child.lock();
        let pid = child.as_ref().expect("the PgBouncer runs").id();
        Process::find(pid as i32).expect("the PgBouncer runs")
    }

    #[track_caller]
    fn end(&self, signal: Signal) {
        if let Some(child) = self.child.lock().take() {
            assert!(end(child, signal), "the PgBouncer is still there after {START_STOP:?}");
        }
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        if let Some(child) = self.child.get_mut().take() {
            end(child, Signal::KILL);
        }
    }
}

/// Thaws it, signals it, and says whether it ended.
fn end(mut child: Child, signal: Signal) -> bool {
    if let Some(process) = Process::find(child.id() as i32) {
        process.end_by(signal);
    }
    comes_true(START_STOP, || matches!(child.try_wait(), Ok(Some(_))))
}

/// Starts the program and waits until it takes connections; the process is gone where it does not.
fn launch(
    program: &Path,
    folder: &Path,
    account: Account,
    entry: &Entry,
    address: Ipv4Addr,
    port: u16,
) -> Result<(Child, Result<(), ClusterError>), ClusterError> {
    let told = |error| ClusterError::io(format!("cannot start {}", program.display()), error);
    let log = OpenOptions::new().create(true).append(true).open(folder.join("log")).map_err(told)?;
    let mut command = Command::new(program);
    // A group of its own, so that Ctrl-C at a terminal reaches this process only, which then clears up.
    command.arg("pgbouncer.ini").current_dir(folder).process_group(0).stdin(Stdio::null());
    command.stdout(log.try_clone().map_err(told)?).stderr(log);
    account.run_as(&mut command);
    let mut child = entry.spawn(&mut command).map_err(told)?;
    // It listens to TCP first, and has the other one in the folder before it listens to that.
    let socket = folder.join(format!(".s.PGSQL.{port}"));
    let listens = || TcpStream::connect((address, port)).is_ok() && UnixStream::connect(&socket).is_ok();
    let mut ended = None;
    let answers = comes_true(START_STOP, || {
        ended = child.try_wait().ok().flatten();
        ended.is_some() || listens()
    });
    if answers && ended.is_none() {
        return Ok((child, Ok(())));
    }
    let text = format!("the PgBouncer did not come up ({ended:?}); its log:\n{}", log_of(folder));
    let _ = child.kill();
    let _ = child.wait();
    Ok((child, Err(ClusterError::new(text))))
}

fn log_of(folder: &Path) -> String {
    String::from_utf8_lossy(&fs::read(folder.join("log")).unwrap_or_default()).into_owned()
}
