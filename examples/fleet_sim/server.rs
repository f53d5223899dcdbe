//! A model of the server: sessions, and the locks that they hold.

use std::collections::{BTreeMap, BTreeSet};

use tierpool::fleet::core::{Asked, Budget, Reserved, Slot, View};

use super::plan::Scenario;

/// A number that no other session of the run has; later ones have greater numbers.
pub type SessionId = u64;
/// Which process: its place, and how often one has been started there.
pub type Client = (usize, u32);

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Denied {
    /// The role has as many as it may, or the server.
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

/// The server. It has room for the budget and no more, so that one session too many of automation's is one too few for
/// a person.
#[derive(Debug)]
pub struct Server {
    /// What processes reckon with, in turns.
    budgets: Vec<Budget>,
    room: usize,
    /// The limit of automation's role, where there is one.
    role_limit: Option<u32>,
    pub is_up: bool,
    sessions: BTreeMap<SessionId, Session>,
    people: BTreeSet<SessionId>,
    /// Who has which slot, in shared mode.
    holders: Vec<BTreeSet<SessionId>>,
    free: BTreeSet<u32>,
    next: SessionId,
    working: u32,
    /// As a process with the greatest of the budgets sees it.
    view: View,
    /// The marks that carry each of the budgets.
    marks: Vec<u32>,
    /// The first of the promises that was broken.
    pub broken: Option<String>,
}

impl Server {
    pub fn new(scenario: &Scenario) -> Server {
        let budgets = scenario.budgets();
        let most = |part: fn(&Budget) -> u32| budgets.iter().map(part).max().expect("at least one");
        let slots = most(|budget| budget.slots());
        Server {
            room: most(|budget| budget.total()) as usize,
            role_limit: scenario.has_role_limit.then(|| most(|budget| budget.automation())),
            marks: vec![0; budgets.len()],
            budgets,
            is_up: true,
            sessions: BTreeMap::new(),
            people: BTreeSet::new(),
            holders: vec![BTreeSet::new(); slots as usize],
            free: (0..slots).collect(),
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

    /// All sessions of processes.
    pub fn all(&self) -> Vec<(SessionId, Client)> {
        self.sessions.iter().map(|(id, session)| (*id, session.client)).collect()
    }

    /// Slots that clients of this kind hold.
    pub fn slots_of(&self, is_meant: impl Fn(Client) -> bool) -> u32 {
        let of = |session: &Session| usize::from(session.slot.is_some()) + session.anchors.len();
        self.sessions.values().filter(|session| is_meant(session.client)).map(of).sum::<usize>() as u32
    }

    /// Connections of people.
    pub fn people(&self) -> usize {
        self.people.len()
    }

    /// Which of the budgets a client reckons with.
    fn kind(&self, client: Client) -> usize {
        client.0 % self.budgets.len()
    }

    /// What is counted for a session, which counts slots by its own budget.
    fn seen_by(&self, id: SessionId) -> View {
        if self.budgets.len() == 1 {
            return self.view;
        }
        let kind = self.kind(self.sessions[&id].client);
        let slots = self.budgets[kind].slots();
        let other = (0..self.budgets.len()).find(|of| *of != kind && self.marks[*of] > 0);
        View {
            slots_held: slots - self.free.range(..slots).count() as u32,
            other_budget: other.map(|of| self.budgets[of]),
            ..self.view
        }
    }

    /// Sessions of clients of this kind that hold no slot: they have logged in, and have asked at the most.
    pub fn askers_of(&self, is_meant: impl Fn(Client) -> bool) -> u32 {
        let asks = |session: &&Session| session.slot.is_none() && session.anchors.is_empty();
        self.sessions.values().filter(asks).filter(|session| is_meant(session.client)).count() as u32
    }

    /// Whether nothing is left of the fleet: no session, no lock, no mark.
    pub fn is_empty(&self) -> bool {
        let has_marks = self.marks.iter().any(|marks| *marks > 0);
        !has_marks
            && self.sessions.is_empty()
            && self.view == View::default()
            && self.free.len() == self.holders.len()
    }

    pub fn log_in(&mut self, client: Client) -> Result<SessionId, Denied> {
        if !self.is_up {
            return Err(Denied::Down);
        }
        if self.role_limit.is_some_and(|limit| self.sessions.len() >= limit as usize) || self.is_full() {
            return Err(Denied::Full);
        }
        let id = self.next();
        self.next += 1;
        self.sessions.insert(id, Session { client, ..Session::default() });
        Ok(id)
    }

    fn is_full(&self) -> bool {
        self.sessions.len() + self.people.len() >= self.room
    }

    /// A person connects. With a limit of automation's role nothing is in the way.
    pub fn let_in(&mut self) -> Result<SessionId, Denied> {
        if !self.is_up {
            return Err(Denied::Down);
        }
        if self.is_full() {
            if self.role_limit.is_some() {
                self.broken.get_or_insert("a person was turned away".to_owned());
            }
            return Err(Denied::Full);
        }
        let id = self.next();
        self.next += 1;
        self.people.insert(id);
        Ok(id)
    }

    /// A person leaves, unless the server has ended the session before.
    pub fn see_off(&mut self, id: SessionId) {
        self.people.remove(&id);
    }

    /// All sessions end, and with them all locks.
    pub fn crash(&mut self) {
        self.is_up = false;
        self.people.clear();
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
        let kind = self.kind(session.client);
        self.marks[kind] -= session.weight;
        self.view.members -= u32::from(session.weight > 0);
    }

    fn free_of(&mut self, slot: u32, id: SessionId) {
        let holders = &mut self.holders[slot as usize];
        holders.remove(&id);
        if holders.is_empty() && self.free.insert(slot) {
            self.view.slots_held -= 1;
        }
    }

    /// Takes a slot that nobody holds, and that is one by the session's budget.
    fn take_free(&mut self, id: SessionId) -> Option<u32> {
        let slots = self.budgets[self.kind(self.sessions[&id].client)].slots();
        let slot = *self.free.first().filter(|slot| **slot < slots)?;
        self.free.remove(&slot);
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
        let places = self.budgets[self.kind(self.sessions[&id].client)].askers();
        match self.ask_again(id)? {
            Asked::NoSlot(view) if view.asking >= places => {
                self.end(id);
                Some(Asked::NoPlace(view))
            }
            Asked::NoSlot(_) => {
                self.view.asking += 1;
                self.sessions.get_mut(&id)?.has_place = true;
                Some(Asked::NoSlot(self.seen_by(id)))
            }
            other => Some(other),
        }
    }

    pub fn ask_again(&mut self, id: SessionId) -> Option<Asked> {
        self.sessions.get(&id)?;
        let Some(slot) = self.take_free(id) else { return Some(Asked::NoSlot(self.seen_by(id))) };
        self.works(id, slot);
        let had_place = std::mem::take(&mut self.sessions.get_mut(&id)?.has_place);
        self.view.asking -= u32::from(had_place);
        Some(Asked::Slot(Slot(slot), self.seen_by(id)))
    }

    pub fn reserve(&mut self, id: SessionId, beyond_share: bool) -> Option<Reserved> {
        self.sessions.get(&id)?;
        let others_first = self.view.asking > 0 || (beyond_share && self.view.wanting > 0);
        let Some(slot) = (!others_first).then(|| self.take_free(id)).flatten() else {
            return Some(Reserved::None(self.seen_by(id)));
        };
        self.sessions.get_mut(&id)?.anchors.insert(slot);
        Some(Reserved::Slot(Slot(slot), self.seen_by(id)))
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
            let kind = session.client.0 % self.marks.len();
            self.marks[kind] += weight;
        }
        match wants {
            Some(true) if !session.wants => self.view.wanting += 1,
            Some(false) if session.wants => self.view.wanting -= 1,
            _ => {}
        }
        session.wants = wants.unwrap_or(session.wants);
        Some(self.seen_by(id))
    }

    /// I2 and I5, after every event.
    pub fn check(&mut self) {
        let slots = self.holders.len() as u32;
        if self.working > slots || self.view.slots_held > slots {
            let (working, held) = (self.working, self.view.slots_held);
            self.broken.get_or_insert(format!("{working} work and {held} are held, of {slots} slots"));
        }
        if self.role_limit.is_some_and(|limit| self.sessions.len() > limit as usize) {
            self.broken.get_or_insert(format!("{} sessions of automation", self.sessions.len()));
        }
    }
}
