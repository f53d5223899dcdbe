//! Where a scenario takes place: a cluster of its own, and the way by which the pool reaches it.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use postgres::Client;

use crate::support::bouncer::Bouncer;
use crate::support::cluster::Cluster;
use crate::support::proxy::Proxy;
use crate::support::wait::comes_true;

/// How the pool reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Tcp,
    /// Over TCP through a proxy, whose network can be made to fail.
    Proxy,
    Unix,
    /// Over TCP through a PgBouncer in session mode, which has a connection to the server for each of its clients.
    Session,
    /// Over TCP through a PgBouncer in transaction mode, which has fewer than it has clients.
    Transaction,
}

impl Way {
    /// Tells it from the other ways by which the same fault is done.
    pub fn word(self) -> &'static str {
        match self {
            Way::Tcp | Way::Proxy => "tcp",
            Way::Unix => "unix",
            Way::Session => "session",
            Way::Transaction => "transaction",
        }
    }

    /// How many connections to the server a PgBouncer on this way has at the most. The clients are nineteen: the pool
    /// under test and the two of the program that leaves.
    fn bouncer_size(self) -> Option<u32> {
        match self {
            Way::Tcp | Way::Proxy | Way::Unix => None,
            Way::Session => Some(30),
            Way::Transaction => Some(6),
        }
    }
}

/// The server, the network, and a superuser's connection opened before anything goes wrong.
pub struct Stage {
    pub cluster: Cluster,
    proxy: Option<Proxy>,
    bouncer: Option<Bouncer>,
    way: Way,
    admin: Mutex<Client>,
}

/// The longest that sessions told to end may take over it.
const SESSIONS_END: Duration = Duration::from_secs(5);

impl Stage {
    /// Starts a server that keeps what it has acknowledged.
    pub fn start(way: Way) -> Stage {
        let builder = Cluster::builder().setting("synchronous_commit", "on");
        let cluster = builder.start().unwrap_or_else(|error| panic!("{error}"));
        let proxy =
            (way == Way::Proxy).then(|| Proxy::start(cluster.port()).expect("a proxy can be started"));
        let bouncer = way.bouncer_size().map(|size| {
            // What the guide `pgbouncer` advises for a pool with these timeouts.
            Bouncer::over(&cluster, way.word())
                .setting("default_pool_size", size.to_string())
                .setting("server_login_retry", "0.2")
                .setting("query_wait_timeout", "1")
                .setting("server_connect_timeout", "2")
                .start()
        });
        let admin = Mutex::new(cluster.admin());
        super::ledger::create(&cluster);
        Stage { cluster, proxy, bouncer, way, admin }
    }

    /// The URL by which the pool comes in.
    pub fn url(&self) -> String {
        match self.way {
            Way::Tcp => self.cluster.url(),
            Way::Proxy => self.cluster.url_through(self.proxy().port()),
            Way::Unix => self.cluster.url_unix(),
            Way::Session | Way::Transaction => {
                format!("{}?pgbouncer={}", self.bouncer().url(), self.way.word())
            }
        }
    }

    /// The network.
    #[track_caller]
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("BUG: a scenario of the network without a proxy")
    }

    /// The PgBouncer.
    #[track_caller]
    pub fn bouncer(&self) -> &Bouncer {
        self.bouncer.as_ref().expect("BUG: a scenario of a PgBouncer without one")
    }

    /// The descriptors that the proxy's connections have.
    pub fn proxy_fds(&self) -> usize {
        self.proxy.as_ref().map_or(0, Proxy::sockets)
    }

    /// The superuser's connection, opened anew where a fault has ended it.
    #[track_caller]
    fn admin(&self) -> MutexGuard<'_, Client> {
        let mut admin = self.admin.lock();
        if admin.is_closed() || admin.is_valid(SESSIONS_END).is_err() {
            *admin = self.cluster.admin();
        }
        admin
    }

    /// Has the superuser run a statement.
    #[track_caller]
    pub fn sql(&self, text: &str) {
        let mut admin = self.admin();
        admin.batch_execute(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    }

    /// Ends `most` sessions of `app` at the most, those of the pool under test first, over the superuser's own
    /// connection: it works where no new one can be opened.
    #[track_caller]
    pub fn end_sessions(&self, most: i64) {
        let mut admin = self.admin();
        let left = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1)";
        let told = admin.query_one(
            "SELECT coalesce(array_agg(pid), '{}') FROM (SELECT pid, pg_terminate_backend(pid) \
             FROM (SELECT pid FROM pg_stat_activity WHERE usename = 'app' \
             ORDER BY application_name <> 'lab/automation' LIMIT $1) AS chosen) AS told",
            &[&most],
        );
        let told: Vec<i32> = told.expect("sessions can be ended").get(0);
        comes_true(SESSIONS_END, || {
            admin.query_one(left, &[&told]).expect("sessions can be counted").get::<_, i64>(0) == 0
        });
    }

    /// Counts the sessions of the pool built under a name: those of a PgBouncer where there is one, whose connections
    /// to the server serve now this client and now that.
    pub fn sessions(&self, name: &str) -> usize {
        let name = format!("{name}/automation");
        match &self.bouncer {
            Some(bouncer) => bouncer.clients(&name),
            None => self.cluster.connections(&name),
        }
    }
}
