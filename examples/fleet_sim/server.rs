//! A model of the server: sessions, and the locks that they hold.

use std::collections::{BTreeMap, BTreeSet};

use tierpool::fleet::core::{Asked, Budget, Reserved, Slot, View};

/// A number that no other session of the run has; later ones have greater numbers.
pub type SessionId = u64;
/// Which process: its place, and how often one has been started there.
pub type Client = (usize, u32);

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Denied {
    /// The role has as many as it may.
    Full,
    Down,
}

#[derive(Debug, Default)]
struct Session {
    client: Client,
    /// The slot by which it works.
    slot: Option<u32>,
    /// Slots that it holds for others.
    anchors: BTreeSet<u32>,
    has_place: bool,
    weight: u32,
    wants: bool,
}

/// The server.
#[derive(Debug)]
pub struct Server {
    budget: Budget,
    /// The limit of the role, where there is one.
    role_limit: Option<u32>,
    pub is_up: bool,
    sessions: BTreeMap<SessionId, Session>,
    /// Who has which slot, in shared mode.
    holders: Vec<BTreeSet<SessionId>>,
    free: BTreeSet<u32>,
    next: SessionId,
    working: u32,
    view: View,
    /// The first of the promises that was broken.
    pub broken: Option<String>,
}

impl Server {
    pub fn new(budget: Budget, has_role_limit: bool) -> Server {
        Server {
            budget,
            role_limit: has_role_limit.then(|| budget.automation()),
            is_up: true,
            sessions: BTreeMap::new(),
            holders: vec![BTreeSet::new(); budget.slots() as usize],
            free: (0..budget.slots()).collect(),
            next: 0,
            working: 0,
            view: View::default(),
            broken: None,
        }
    }

    pub fn working(&self) -> u32 {
        self.working
    }

    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Sessions from now on have this number or a greater one.
    pub fn next(&self) -> SessionId {
        self.next
    }

    pub fn has(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    pub fn sessions_of(&self, client: Client) -> Vec<SessionId> {
        self.sessions.iter().filter(|(_, session)| session.client == client).map(|(id, _)| *id).collect()
    }

    /// Slots that clients of this kind hold.
    pub fn slots_of(&self, is_meant: impl Fn(Client) -> bool) -> u32 {
        let of = |session: &Session| usize::from(session.slot.is_some()) + session.anchors.len();
        self.sessions.values().filter(|session| is_meant(session.client)).map(of).sum::<usize>() as u32
    }

    /// Whether nothing is left: no session, no lock, no mark.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.view == View::default() && self.free.len() == self.holders.len()
    }

    pub fn log_in(&mut self, client: Client) -> Result<SessionId, Denied> {
        if !self.is_up {
            return Err(Denied::Down);
        }
        if self.role_limit.is_some_and(|limit| self.sessions.len() >= limit as usize) {
            return Err(Denied::Full);
        }
        let id = self.next;
        self.next += 1;
        self.sessions.insert(id, Session { client, ..Session::default() });
        Ok(id)
    }

    /// All sessions end, and with them all locks.
    pub fn crash(&mut self) {
        self.is_up = false;
        for id in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.end(id);
        }
    }

    /// Ends a session, if it is there, and frees what it holds.
    pub fn end(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        self.working -= u32::from(session.slot.is_some());
        for slot in session.slot.into_iter().chain(session.anchors) {
            self.free_of(slot, id);
        }
        self.view.asking -= u32::from(session.has_place);
        self.view.wanting -= u32::from(session.wants);
        self.view.weights -= session.weight;
        self.view.members -= u32::from(session.weight > 0);
    }

    fn free_of(&mut self, slot: u32, id: SessionId) {
        let holders = &mut self.holders[slot as usize];
        holders.remove(&id);
        if holders.is_empty() && self.free.insert(slot) {
            self.view.slots_held -= 1;
        }
    }

    /// Takes a slot that nobody holds.
    fn take_free(&mut self, id: SessionId) -> Option<u32> {
        let slot = self.free.pop_first()?;
        self.holders[slot as usize].insert(id);
        self.view.slots_held += 1;
        Some(slot)
    }

    fn works(&mut self, id: SessionId, slot: u32) {
        let others = self.holders[slot as usize].iter().filter(|other| **other != id);
        if let Some(other) = others.copied().find(|other| self.sessions[other].slot == Some(slot)) {
            self.broken.get_or_insert(format!("slot {slot} is session {id}'s and session {other}'s"));
        }
        self.sessions.get_mut(&id).expect("it asked").slot = Some(slot);
        self.working += 1;
    }

    /// The first question of an asker; `None` where there is no such session.
    pub fn ask(&mut self, id: SessionId, weight: u32) -> Option<Asked> {
        self.look(id, Some(weight), None)?;
        match self.ask_again(id)? {
            Asked::NoSlot(view) if view.asking >= self.budget.askers() => {
                self.end(id);
                Some(Asked::NoPlace(self.view))
            }
            Asked::NoSlot(_) => {
                self.view.asking += 1;
                self.sessions.get_mut(&id)?.has_place = true;
                Some(Asked::NoSlot(self.view))
            }
            other => Some(other),
        }
    }

    pub fn ask_again(&mut self, id: SessionId) -> Option<Asked> {
        self.sessions.get(&id)?;
        let Some(slot) = self.take_free(id) else { return Some(Asked::NoSlot(self.view)) };
        self.works(id, slot);
        let had_place = std::mem::take(&mut self.sessions.get_mut(&id)?.has_place);
        self.view.asking -= u32::from(had_place);
        Some(Asked::Slot(Slot(slot), self.view))
    }

    pub fn reserve(&mut self, id: SessionId, beyond_share: bool) -> Option<Reserved> {
        self.sessions.get(&id)?;
        let others_first = self.view.asking > 0 || (beyond_share && self.view.wanting > 0);
        let Some(slot) = (!others_first).then(|| self.take_free(id)).flatten() else {
            return Some(Reserved::None(self.view));
        };
        self.sessions.get_mut(&id)?.anchors.insert(slot);
        Some(Reserved::Slot(Slot(slot), self.view))
    }

    /// A new connection takes its slot in shared mode; whether its anchor bears witness that it may keep it.
    pub fn welcome(&mut self, id: SessionId, slot: Slot, anchor: SessionId) -> bool {
        if !self.has(id) {
            return false;
        }
        if !self.holders[slot.0 as usize].contains(&anchor) {
            return false;
        }
        self.holders[slot.0 as usize].insert(id);
        self.works(id, slot.0);
        true
    }

    pub fn let_go(&mut self, anchor: SessionId, slot: Slot) {
        if self.sessions.get_mut(&anchor).is_some_and(|session| session.anchors.remove(&slot.0)) {
            self.free_of(slot.0, anchor);
        }
    }

    /// Puts marks on a session, and counts. `weight` and `wants` say what the session is to have, if not what it has.
    pub fn look(&mut self, id: SessionId, weight: Option<u32>, wants: Option<bool>) -> Option<View> {
        let session = self.sessions.get_mut(&id)?;
        if let Some(weight) = weight
            && session.weight == 0
        {
            session.weight = weight;
            self.view.weights += weight;
            self.view.members += 1;
        }
        match wants {
            Some(true) if !session.wants => self.view.wanting += 1,
            Some(false) if session.wants => self.view.wanting -= 1,
            _ => {}
        }
        session.wants = wants.unwrap_or(session.wants);
        Some(self.view)
    }

    /// I2 and I5, after every event.
    pub fn check(&mut self) {
        let slots = self.budget.slots();
        if self.working > slots || self.view.slots_held > slots {
            let (working, held) = (self.working, self.view.slots_held);
            self.broken.get_or_insert(format!("{working} work and {held} are held, of {slots} slots"));
        }
        if self.role_limit.is_some_and(|limit| self.sessions.len() > limit as usize) {
            self.broken.get_or_insert(format!("{} sessions of automation", self.sessions.len()));
        }
    }
}
