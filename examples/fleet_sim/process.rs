//! One process of the simulation: a pool reduced to what matters here, and the machine that decides for it.

use std::collections::VecDeque;

use tierpool::fleet::core::{Action, Event, Member, Plan, Slot, Warning};

use super::server::SessionId;

/// A connection as the process knows it.
#[derive(Clone, Copy, Debug)]
pub struct Conn {
    pub session: SessionId,
    /// Lent to a caller, or used for a question of the pool's.
    pub is_busy: bool,
    /// When it was last given back; a later look tells by it whether it was used in between.
    pub idle_since: u64,
}

/// What happens in a process when something arrives there or its time has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Message {
    Tick,
    /// Its callers want so many connections.
    Demand(u32),
    HoldEnds(SessionId),
    /// It has been idle since then, unless it was used.
    IdleFor(SessionId, u64),
    /// The answer to a question that was put on a connection.
    Answer(SessionId, Event),
    /// The connection of an opening: there, or not.
    Opening(Option<SessionId>, Slot),
    /// What became of the asker's session.
    Asker(Option<SessionId>, Event),
    /// The session has ended.
    Ended(SessionId),
    /// Sessions with smaller numbers have ended.
    Lost(SessionId),
}

/// A process.
#[derive(Debug)]
pub struct Process {
    /// How often one has been started in this place.
    pub generation: u32,
    pub is_alive: bool,
    pub is_stopped: bool,
    pub is_cut: bool,
    pub plan: Plan,
    pub member: Member,
    pub conns: Vec<Conn>,
    pub asker: Option<SessionId>,
    /// How many connections its callers want.
    pub demand: u32,
    pub ceiling: u32,
    /// Questions that wait for a connection to put them on.
    pub chores: VecDeque<Action>,
    /// Slots reserved, and on which session.
    pub anchors: Vec<(Slot, SessionId)>,
    pub marked: Option<SessionId>,
    pub want_marked: Option<SessionId>,
    /// What its operator was told.
    pub warnings: Vec<Warning>,
    /// What arrived while it was stopped.
    pub backlog: Vec<Message>,
    pub ticks_at: Option<u64>,
    pub starves_since: Option<u64>,
    /// What it starved before this is not reckoned.
    pub left_out_until: u64,
}

impl Process {
    pub fn new(plan: Plan, generation: u32) -> Process {
        Process {
            generation,
            is_alive: true,
            is_stopped: false,
            is_cut: false,
            plan,
            member: Member::new(plan),
            conns: Vec::new(),
            asker: None,
            demand: 0,
            ceiling: plan.most,
            chores: VecDeque::new(),
            anchors: Vec::new(),
            marked: None,
            want_marked: None,
            warnings: Vec::new(),
            backlog: Vec::new(),
            ticks_at: None,
            starves_since: None,
            left_out_until: 0,
        }
    }

    /// Whether it can do something and be reached.
    pub fn is_reckoned(&self) -> bool {
        self.is_alive && !self.is_stopped && !self.is_cut
    }

    pub fn is_starving(&self) -> bool {
        self.is_reckoned() && self.demand > 0 && self.conns.is_empty()
    }

    pub fn conn(&mut self, session: SessionId) -> Option<&mut Conn> {
        self.conns.iter_mut().find(|conn| conn.session == session)
    }

    /// Forgets a connection; whether it was there.
    pub fn forget(&mut self, session: SessionId) -> bool {
        let before = self.conns.len();
        self.conns.retain(|conn| conn.session != session);
        self.anchors.retain(|(_, anchor)| *anchor != session);
        for mark in [&mut self.marked, &mut self.want_marked] {
            *mark = mark.filter(|on| *on != session);
        }
        self.conns.len() < before
    }

    /// An idle connection above the ceiling, which nobody needs as an anchor.
    pub fn superfluous(&self) -> Option<SessionId> {
        let may_close = |conn: &&Conn| !conn.is_busy && !self.is_anchor(conn.session);
        (self.conns.len() > self.ceiling as usize)
            .then(|| self.conns.iter().find(may_close))?
            .map(|c| c.session)
    }

    pub fn is_anchor(&self, session: SessionId) -> bool {
        self.anchors.iter().any(|(_, anchor)| *anchor == session)
    }
}
