//! The socket's start, and what a program says of it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use log::Level;
use r2d2::ManageConnection;
use tokio::net::unix::UCred;
use tokio::net::{UnixListener, UnixStream};

use super::desk;
use super::place::{self, File};
use super::registry::{self, Listed};
use crate::config::Faults;
use crate::error::Error;
use crate::http::clients::connection::Times;
use crate::http::clients::door::{Door, Doorkeeper, Work};
use crate::lines::say;
use crate::text::harmless;
use crate::tiers::TieredPool;

/// Clients at a time: tools of one user.
const MOST: usize = 16;

const TIMES: Times = Times { head: Duration::from_secs(5), total: Duration::from_secs(10) };

/// Opens the admin socket for a pool: for tools of the same user on the same machine.
///
/// There is one in a process, at `$XDG_RUNTIME_DIR/tierpool/<app>.<pid>.sock`, or in a folder of the user's own among
/// the temporary files; all pools that are opened to it stand behind it. It speaks HTTP to whoever is the process's
/// user or root. It is there until the last of these pools goes.
///
/// | request | answer, of each pool or that of `?pool=ID` |
/// | --- | --- |
/// | `GET /status` | everything: [`DatabaseStats`](crate::DatabaseStats), holders, queues, backend pids, timeouts; of a `PgPool` that opened it by its settings, its servers |
/// | `GET /holders`, `GET /waiters` | by tier |
/// | `GET /stats` | [`Stats`](crate::Stats) of each tier |
/// | `GET /health` | [`Health`](crate::report::Health) with the status of an endpoint: in full, and as all may read it |
/// | `GET /metrics` | the text for Prometheus |
/// | `GET /events?seconds=1` | what happens within 5 s at the most, of each tier the last 1,000; only while it is asked for |
/// | `POST /drain`, `/suspend`, `/resume` | of a tier by `?tier=`, else of both |
/// | `POST /reconfigure` | with `total_connections`, `reserved`, `base_size`, `max_overflow`, the last two of automation |
/// | `POST /cancel?connection=ID` | asks the server to cancel what a checkout runs, as after `cancel_stuck_after` |
///
/// What is posted is done where [`AdminOptions::write`] allows it, and logged at warn, as is what is refused there.
///
/// ```no_run
/// use tierpool::{MemoryManager, TieredPool, http::AdminOptions};
///
/// let pool = TieredPool::builder().build(|_| MemoryManager)?;
/// let path = AdminOptions::new("scraper").open(&pool)?;
/// println!("curl --unix-socket {} http://admin/status", path.display());
/// # Ok::<(), tierpool::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AdminOptions {
    app: String,
    may_write: bool,
    /// Where the pool leads, as its settings say.
    servers: Vec<String>,
}

impl AdminOptions {
    /// Starts with the name of the program, which becomes part of the socket's name where this pool opens it, and is
    /// the pool's name in answers and log lines: escaped, and cut at 1 KiB.
    pub fn new(app: impl Into<String>) -> Self {
        AdminOptions { app: harmless(app.into()), may_write: false, servers: Vec::new() }
    }

    /// Sets whether a client may do something to the pool, and not only look. Default: no.
    pub fn write(mut self, may: bool) -> Self {
        self.may_write = may;
        self
    }

    /// Opens the socket, or joins the one of this process. Returns where it stands. A pool that is opened twice is
    /// there twice.
    ///
    /// # Blocking
    ///
    /// For some calls into the file system.
    ///
    /// # Errors
    ///
    /// `InvalidConfig`: a folder that is another user's, open to others or a link; a path above 107 bytes; a socket
    /// that cannot be made.
    pub fn open<M: ManageConnection>(&self, pool: &TieredPool<M>) -> Result<PathBuf, Error> {
        let listed = |id| Listed {
            id,
            name: self.app.clone(),
            may_write: self.may_write,
            servers: self.servers.clone(),
            view: Arc::new(pool.downgrade()),
        };
        let joined = registry::join(listed, || start(&self.app));
        let (path, at_end) = joined.map_err(|error| {
            let mut faults = Faults::new();
            faults.push("admin", "true", format!("cannot be had: {error}"));
            Error::invalid(faults)
        })?;
        pool.at_end(&at_end);
        Ok(path)
    }
}

#[cfg(feature = "postgres")]
impl crate::postgres::Watched for crate::postgres::PgPool {
    fn open_admin(&self, app: &str, may_write: bool, servers: Vec<String>) -> Result<(), Error> {
        let options = AdminOptions { servers, ..AdminOptions::new(app).write(may_write) };
        options.open(self).map(|_| ())
    }
}

fn start(app: &str) -> io::Result<(PathBuf, Doorkeeper)> {
    let mut path = PathBuf::new();
    let open = || {
        let user = place::user()?;
        let (listener, file) = place::listen(app, user)?;
        file.path().clone_into(&mut path);
        Ok(Socket { listener: UnixListener::from_std(listener)?, user, _file: file })
    };
    let work = Work { answer: Arc::new(desk::answer), most: MOST, times: TIMES };
    let doorkeeper = Doorkeeper::start("tierpool-admin", open, work, async {})?;
    Ok((path, doorkeeper))
}

struct Socket {
    listener: UnixListener,
    user: u32,
    _file: File,
}

impl Door for Socket {
    type Stream = UnixStream;
    type Client = UCred;

    async fn next(&self) -> io::Result<Option<(UnixStream, UCred)>> {
        let (stream, _) = self.listener.accept().await?;
        let client = stream.peer_cred()?;
        let peer = client.uid();
        if peer == self.user || peer == 0 {
            return Ok(Some((stream, client)));
        }
        say!(Level::Warn, "tierpool", [uid = peer], "the admin socket refuses user {peer}");
        Ok(None)
    }
}
