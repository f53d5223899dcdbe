//! What processes tell and what the server shows, joined by backend pid.

use std::collections::{BTreeMap, BTreeSet};

use tierpool::Tier;

use super::live::{ByTier, LivePool};
use super::server::{OWN_NAME, Server, Session};

/// What is seen of the application that is meant, or of all.
#[derive(Clone, Debug)]
pub struct Joined {
    pub pools: Vec<LivePool>,
    /// The sessions that the server shows, by their number.
    pub sessions: BTreeMap<i32, Session>,
    /// Why the server does not list them.
    pub unlisted: Option<String>,
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
}

impl Joined {
    /// Joins what is meant: the application of this name, or all but this program.
    pub fn of(app: Option<&str>, pools: Vec<LivePool>, server: &Server) -> Self {
        let is_meant = |name: &str| app.map_or(name != OWN_NAME, |app| app == name);
        let (all, unlisted) = match &server.sessions {
            Some(Ok(sessions)) => (&sessions[..], None),
            Some(Err(error)) => (&[][..], Some(error.clone())),
            None => (&[][..], None),
        };
        let meant = all.iter().filter(|session| is_meant(&session.app));
        let sessions: BTreeMap<_, _> = meant.map(|session| (session.pid, session.clone())).collect();
        // A pool may stand behind its socket by another name than its sessions have.
        let is_of_app =
            |pool: &LivePool| is_meant(&pool.name) || pool.pids().any(|pid| sessions.contains_key(&pid));
        let pools: Vec<_> = pools.into_iter().filter(is_of_app).collect();
        let claimed = pools.iter().flat_map(LivePool::pids).collect();
        Joined { pools, sessions, unlisted, claimed }
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
    }
    let each = counts.into_iter();
    each.map(|((app, host), sessions)| Group { app: app.to_owned(), host: host.to_owned(), sessions })
        .collect()
}
