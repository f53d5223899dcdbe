//! One look at everything, as the views have it.

use std::time::Duration;

use tierpool::postgres::{ClientSessions, ServerActivity};

use crate::seen::join::Joined;

/// One look at everything.
#[derive(Clone, Debug)]
pub struct Seen {
    pub joined: Joined,
    /// Whether the server answered, and what is said of that.
    pub answers: bool,
    pub message: String,
    pub server: Option<Result<Clients, String>>,
    /// What is missing, and why.
    pub notes: Vec<String>,
}

/// The server's connections.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    /// Lines on its limits.
    pub limits: Vec<String>,
    pub groups: Vec<Client>,
}

/// The sessions of a role under a name.
#[derive(Clone, Debug)]
pub struct Client {
    pub user: String,
    pub name: String,
    pub open: u32,
    /// Active, idle, in a transaction, in a failed one, hidden, waiting for a lock.
    pub states: [u32; 6],
    pub longest: Option<Duration>,
}

impl From<(&ServerActivity, Vec<ClientSessions>)> for Clients {
    fn from((activity, groups): (&ServerActivity, Vec<ClientSessions>)) -> Self {
        let limits = &activity.limits;
        let reserved = limits.superuser_reserved + limits.reserved.unwrap_or(0);
        let database = &limits.database;
        let most = database.limit.map_or_else(String::new, |limit| format!(" of at most {limit}"));
        let waiting: u32 = groups.iter().map(|group| group.waiting_for_locks).sum();
        let lines = vec![
            format!(
                "PostgreSQL {}: {} of {} connections open, {reserved} kept for superusers and members, room for {}",
                activity.server_version.split(' ').next().unwrap_or_default(),
                limits.in_use,
                limits.max_connections,
                limits.room_for_strangers()
            ),
            format!("database {}: {} open{most}; {waiting} wait for locks", database.name, database.in_use),
        ];
        Clients { limits: lines, groups: groups.into_iter().map(Client::from).collect() }
    }
}

impl From<ClientSessions> for Client {
    fn from(told: ClientSessions) -> Self {
        let of = &told.sessions;
        let states =
            [of.active, of.idle, of.idle_in_transaction, of.aborted, of.hidden, told.waiting_for_locks];
        Client {
            open: of.open,
            states,
            longest: of.longest_transaction.max(of.longest_query),
            user: told.user,
            name: told.application_name,
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::seen::live::{LivePool, Person};
    use crate::seen::server::tests::session;
    use crate::seen::server::{Meant, Server, Session};

    /// A session whose statement has been running for so long.
    pub fn running(pid: i32, seconds: u64) -> Session {
        session(pid, seconds, "active")
    }

    /// One that has a transaction open.
    pub fn idle(pid: i32, seconds: u64) -> Session {
        session(pid, seconds, "idle in transaction")
    }

    /// A look at sessions without a socket.
    pub fn seen(sessions: Vec<Session>) -> Seen {
        with_pools(Vec::new(), sessions)
    }

    /// A look at pools and sessions.
    pub fn with_pools(pools: Vec<LivePool>, sessions: Vec<Session>) -> Seen {
        let message = "the server answered".to_owned();
        let server =
            Server { healthy: true, message: message.clone(), sessions: Some(Ok(sessions)), room: None };
        let joined = Joined::of(&Meant::default(), pools, &server);
        let clients = Clients { limits: vec!["9 of 100 connections open".to_owned()], groups: Vec::new() };
        Seen { joined, answers: true, message, server: Some(Ok(clients)), notes: Vec::new() }
    }

    /// Somebody who has a connection, or waits.
    pub fn person(thread: &str, backend_pid: Option<i32>) -> Person {
        Person {
            thread: thread.to_owned(),
            location: "src/bin/scraper.rs:7:9".to_owned(),
            tag: Some("page 1".to_owned()),
            seconds: 1.5,
            connection_id: 3,
            backend_pid,
            seconds_left: Some(0.5),
        }
    }
}
