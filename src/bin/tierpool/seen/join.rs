//! What processes tell and what the server shows, joined by backend pid, application and tier.

use std::collections::{BTreeMap, BTreeSet};

use tierpool::Tier;

use super::live::{ByTier, LivePool};
use super::server::{Meant, Server, Session};

/// What is seen of the application that is meant, or of all.
#[derive(Clone, Debug)]
pub struct Joined {
    pub pools: Vec<LivePool>,
    /// The sessions that the server shows, by their number.
    pub sessions: BTreeMap<i32, Session>,
    /// Why the server does not list them.
    pub unlisted: Option<String>,
    /// Pools of the application that are no pools of this server, in words.
    pub left_out: Vec<String>,
    /// The numbers that a process of this machine has told of.
    claimed: BTreeSet<i32>,
}

/// Sessions of an application on a host.
#[derive(Debug)]
pub struct Group {
    pub app: String,
    pub host: String,
    pub sessions: ByTier<Count>,
}

/// A number of sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub open: usize,
    /// Those of them that are known not to be idle.
    pub busy: usize,
    /// Those of which the role may not see what they do.
    pub hidden: usize,
}

impl Joined {
    /// Joins what is meant.
    pub fn of(meant: &Meant, pools: Vec<LivePool>, server: &Server) -> Self {
        let (all, unlisted) = match &server.sessions {
            Some(Ok(sessions)) => (&sessions[..], None),
            Some(Err(error)) => (&[][..], Some(error.clone())),
            None => (&[][..], None),
        };
        let of_app = all.iter().filter(|session| meant.has(&session.app));
        let sessions: BTreeMap<_, _> = of_app.map(|session| (session.pid, session.clone())).collect();
        let of_app = pools.into_iter().filter(|pool| meant.has(&pool.name));
        let (pools, others): (Vec<_>, Vec<_>) = of_app.partition(|pool| meant.may_be_at(&pool.servers));
        let left_out = others.iter().map(|LivePool { process, name, servers, .. }| {
            let (theirs, ours) = (servers.join(", "), meant.servers.join(", "));
            format!("process {process}, pool {name}: left out, since it is at {theirs}, and asked is {ours}")
        });
        let mut joined = Joined {
            left_out: left_out.collect(),
            pools: Vec::new(),
            sessions,
            unlisted,
            claimed: BTreeSet::new(),
        };
        let told = pools.iter().flat_map(|pool| pool.pids().map(move |(tier, pid)| (pool, tier, pid)));
        let claimed = told.filter(|(pool, tier, pid)| joined.session(pool, *tier, *pid).is_some());
        joined.claimed = claimed.map(|(.., pid)| pid).collect();
        joined.pools = pools;
        joined
    }

    /// The session that a pool has told of. A number alone says little: a pool that does not tell its server may have
    /// its sessions elsewhere.
    pub fn session(&self, pool: &LivePool, tier: Tier, pid: i32) -> Option<&Session> {
        self.sessions.get(&pid).filter(|session| session.tier == tier && session.app == pool.name)
    }

    /// The sessions that no process of this machine has told of.
    pub fn elsewhere(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values().filter(|session| !self.claimed.contains(&session.pid))
    }
}

/// Counts sessions by application and host.
pub fn groups<'a>(sessions: impl Iterator<Item = &'a Session>) -> Vec<Group> {
    let mut counts: BTreeMap<(&str, &str), ByTier<Count>> = BTreeMap::new();
    for session in sessions {
        let both = counts.entry((&session.app, &session.host)).or_default();
        let count = match session.tier {
            Tier::Automation => &mut both.automation,
            Tier::Adhoc => &mut both.adhoc,
        };
        count.open += 1;
        count.busy += usize::from(session.is_busy());
        count.hidden += usize::from(session.is_hidden());
    }
    let each = counts.into_iter();
    each.map(|((app, host), sessions)| Group { app: app.to_owned(), host: host.to_owned(), sessions })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seen::live::tests::pool;
    use crate::seen::server::tests::session;

    fn joined(pools: Vec<LivePool>, sessions: Vec<Session>) -> Joined {
        let meant = Meant { app: None, servers: vec!["localhost:5432/news".to_owned()] };
        let server =
            Server { healthy: true, message: String::new(), sessions: Some(Ok(sessions)), room: None };
        Joined::of(&meant, pools, &server)
    }

    #[test]
    fn a_number_of_another_application_or_tier_is_another_session() {
        let (mut other_app, mut other_tier) = (session(42, 1, "active"), session(43, 1, "active"));
        other_app.app = "billing".to_owned();
        other_tier.tier = Tier::Adhoc;
        let pools = vec![pool(900, &[41, 42, 43], |_| {})];
        let joined = joined(pools, vec![session(41, 1, "active"), other_app, other_tier]);
        let found = [41, 42, 43].map(|pid| joined.session(&joined.pools[0], Tier::Automation, pid).is_some());
        assert_eq!(found, [true, false, false]);
        assert_eq!(joined.elsewhere().map(|session| session.pid).collect::<Vec<_>>(), [42, 43]);
    }

    #[test]
    fn a_pool_of_another_server_is_left_out_and_that_is_said() {
        let at = |server: &str| {
            let mut pool = pool(900, &[41], |_| {});
            pool.servers = vec!["db2:5432/news".to_owned(), server.to_owned()];
            pool
        };
        let here = joined(vec![at("localhost:5432/news")], vec![session(41, 1, "active")]);
        assert_eq!((here.pools.len(), here.left_out.len(), here.elsewhere().count()), (1, 0, 0));
        let staging = joined(vec![at("localhost:5432/staging")], vec![session(41, 1, "active")]);
        assert_eq!((staging.pools.len(), staging.elsewhere().count()), (0, 1));
        assert_eq!(
            staging.left_out,
            [
                "process 900, pool scraper: left out, since it is at db2:5432/news, localhost:5432/staging, and \
              asked is localhost:5432/news"
            ]
        );
    }
}
