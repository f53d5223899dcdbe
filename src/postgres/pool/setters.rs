//! The builder's setters of what stands in the table of settings, and so may come from elsewhere too.

use std::fmt;
use std::time::Duration;

use super::builder::PgBuilder;
use crate::config::{ConnectionString, PgBouncer, PrePing, WaitMode};

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        $($(#[$doc])*
        pub fn $name(mut self, $name: $type) -> Self {
            self.overrides.$name = Some($name);
            self
        })*
    };
}

impl PgBuilder {
    /// Sets the server, as a URL or libpq's `key=value` string, with pool parameters.
    pub fn url(mut self, url: impl Into<ConnectionString>) -> Self {
        self.overrides.url = Some(url.into());
        self
    }

    /// Sets the profile, the defaults for a kind of use; [`config::profiles`](crate::config::profiles) lists them.
    pub fn profile(mut self, name: impl Into<String>) -> Self {
        self.overrides.profile = Some(name.into());
        self
    }

    /// Sets the name of the service: its pools are `"<name>.automation"` and `"<name>.adhoc"`, in log and errors. It is
    /// the first part of `application_name` as well, unless [`PgBuilder::app_name`] says another.
    ///
    /// ```
    /// # use tierpool::PgPool;
    /// let builder = PgPool::builder().url("postgresql://db.example/news").name("billing");
    /// let pool = builder.build_unchecked()?; // opens nothing yet
    /// assert_eq!(pool.automation().settings().name, "billing.automation");
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    #[doc(alias("poolName"))]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.overrides.name = Some(name.into());
        self
    }

    /// Sets the first part of `application_name`: connections show as `"<name>/automation"` and `"<name>/adhoc"`.
    /// Default: the name of the service, else that of the program's file.
    pub fn app_name(mut self, name: impl Into<String>) -> Self {
        self.overrides.app_name = Some(name.into());
        self
    }

    /// Makes the pool part of a fleet: the programs that share one budget of connections to one database, by this name.
    /// All of them say the same budget and the same reserve. [The guide](crate::guide::fleet) says what is promised.
    /// Default: none.
    pub fn fleet(mut self, name: impl Into<String>) -> Self {
        self.overrides.fleet = Some(name.into());
        self
    }

    /// Has the budget be what the server allows the tiers' roles: the sum of their limits (`CONNECTION LIMIT`), of
    /// which the ad-hoc role's is the reserve unless one is set; or the one limit where both tiers have one role.
    /// `build` asks for them, on a connection of each role. It is a fault where a role has no limit, or is a
    /// superuser, and where a PgBouncer is in between. As `DB_TOTAL_CONNECTIONS=role`.
    pub fn total_from_role(mut self) -> Self {
        self.overrides.total_from_role = true;
        self.overrides.total_connections = None;
        self
    }

    /// Leaves the pool out of the fleet that the environment names: for a program that looks at a fleet, or at a server
    /// that cannot hold one.
    pub fn outside_fleet(mut self) -> Self {
        self.is_outside_fleet = true;
        self
    }

    setters! {
        /// Sets the budget of both tiers. Default: what their sizes come to, which is 60.
        total_connections: u32,
        /// Sets the ad-hoc tier's part of it. Default 5.
        reserved: u32,
        /// Sets how many automation connections are kept open. Default 0.
        min_size: u32,
        /// Sets the automation tier's base size. Default 50, or what reserve and overflow leave of a budget.
        base_size: u32,
        /// Sets the automation tier's overflow. Default 5.
        max_overflow: u32,
        /// Sets the automation tier's ceiling, instead of base size and overflow.
        max_size: u32,
        /// Sets the deadline of a checkout. Default 60 s.
        connection_timeout: Duration,
        /// Sets how a checkout waits, in both tiers. Default: up to `connection_timeout`.
        wait_mode: WaitMode,
        /// Sets how many callers may queue. Default: no bound.
        max_waiting: u32,
        /// Sets the age at which a connection is replaced; zero: never. Default 30 min.
        max_lifetime: Duration,
        /// Sets the idle time after which a connection is closed, in both tiers; zero: never. Default 10 min for
        /// automation, and 10 s for ad-hoc connections, which people outside this process may need.
        idle_timeout: Duration,
        /// Sets when a connection is validated before it is lent. Default: over TCP at each checkout, which costs no
        /// round trip while the server was heard of within the last second; else if idle for 500 ms.
        pre_ping: PrePing,
        /// Sets the limit of a statement, in both tiers; zero: none. Default 30 s.
        statement_timeout: Duration,
        /// Sets the time from which on a statement is logged with its text, over TCP; zero: none is. Default: none.
        /// [`PgOptions::slow_query`](crate::postgres::PgOptions::slow_query) says what the text may hold.
        slow_query: Duration,
        /// Sets whether the time of each statement is recorded, over TCP. Default: no.
        /// [`PgOptions::query_times`](crate::postgres::PgOptions::query_times) says what of.
        query_times: bool,
        /// Sets the limit of opening a connection, handshake included; zero: none. Default 10 s.
        connect_timeout: Duration,
        /// Sets how many failures to connect in a row open the circuit breaker of a tier; zero: none do. Default 3.
        failure_threshold: u32,
        /// Sets how long the circuit breaker stays open before it lets a probe through at the latest. Default 10 s.
        open_for: Duration,
        /// Sets the time after which a checkout is logged with its holder, in both tiers; zero: none is. Default: none.
        leak_threshold: Duration,
        /// Sets how many prepared statements a connection keeps; zero for none. Default 100.
        statement_cache_size: u32,
        /// Sets the pool's part in its fleet compared with that of others, from 1 to 100. Default 1.
        fleet_weight: u32,
        /// Sets whether the pool stands behind the admin socket of its process, for tools of the same user
        /// (`http::AdminOptions`); with the feature `http`, on Unix, and elsewhere a fault. Default: no.
        admin: bool,
    }

    /// Says whether a PgBouncer is in between, and in which mode; `true` stands for transaction mode, which is safe
    /// for both. Default: detected by the port, by the host of Supabase's pooler, or on the first connection.
    pub fn pgbouncer(mut self, mode: impl Into<PgBouncer>) -> Self {
        self.overrides.pgbouncer = Some(mode.into());
        self
    }
}

impl fmt::Debug for PgBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgBuilder").field("overrides", &self.overrides).finish_non_exhaustive()
    }
}
