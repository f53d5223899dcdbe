//! How a process carries out what its machine says, and how the server answers.

use std::collections::VecDeque;

use tierpool::fleet::core::{Action, Asked, Event, Reserved, Slot};

use super::process::{Conn, Message};
use super::server::{Client, Denied, SessionId};
use super::world::{Millis, ROUND_TRIP, Request, What, World, due};

/// The longest hold of a caller.
const LONGEST_HOLD: Millis = 1_000;
/// A connection that is idle for so long is closed, the last one of a process too.
const IDLE_TIMEOUT: Millis = 10_000;
/// The anchor lets go with its next question, which comes within this.
const LETS_GO_WITHIN: Millis = 1_000;

/// What a process notices of a request that is never answered.
pub fn unanswered(request: Request) -> Message {
    match request {
        Request::Ask | Request::AskFirst(_) | Request::AskAgain(_) => {
            Message::Asker(None, Event::Asked(Asked::Failed))
        }
        Request::Open(slot, _) | Request::Welcome(_, slot, _) => Message::Opening(None, slot),
        Request::Reserve(session, _) => Message::Answer(session, Event::Reserved(Reserved::Failed)),
        Request::Look(session, ..) => Message::Answer(session, Event::Looked(None)),
    }
}

impl Message {
    /// What is noticed instead where this is lost on its way.
    pub fn lost(self) -> Message {
        match self {
            Message::Asker(..) => Message::Asker(None, Event::Asked(Asked::Failed)),
            Message::Opening(_, slot) => Message::Opening(None, slot),
            Message::Answer(session, Event::Reserved(_)) => {
                Message::Answer(session, Event::Reserved(Reserved::Failed))
            }
            Message::Answer(session, _) => Message::Answer(session, Event::Looked(None)),
            other => other,
        }
    }
}

impl World {
    /// The server answers, `later` from now at the client.
    pub fn serve(&mut self, client: Client, request: Request, later: Millis) {
        let message = match request {
            Request::Ask | Request::Open(..) => match self.server.log_in(client) {
                Ok(session) => {
                    let next = match request {
                        Request::Open(slot, anchor) => Request::Welcome(session, slot, anchor),
                        _ => Request::AskFirst(session),
                    };
                    let time = self.log_in_time();
                    self.after(time, What::Request(client, next));
                    return;
                }
                Err(Denied::Full) if matches!(request, Request::Ask) => {
                    Message::Asker(None, Event::Asked(Asked::Refused))
                }
                Err(_) => unanswered(request),
            },
            Request::AskFirst(session) => self.asker(client, session, request, true),
            Request::AskAgain(session) => self.asker(client, session, request, false),
            Request::Welcome(session, slot, anchor) => {
                if self.server.welcome(session, slot, anchor) {
                    Message::Opening(Some(session), slot)
                } else {
                    self.server.end(session);
                    unanswered(request)
                }
            }
            Request::Reserve(session, beyond_share) => match self.server.reserve(session, beyond_share) {
                Some(reserved) => Message::Answer(session, Event::Reserved(reserved)),
                None => unanswered(request),
            },
            Request::Look(session, weight, wants) => {
                Message::Answer(session, Event::Looked(self.server.look(session, weight, wants)))
            }
        };
        self.after(later, What::Arrive(client, message));
    }

    fn asker(&mut self, client: Client, session: SessionId, request: Request, is_first: bool) -> Message {
        let weight = self.processes[client.0].plan.weight;
        let answer = if is_first { self.server.ask(session, weight) } else { self.server.ask_again(session) };
        let is_there = |asked| matches!(asked, Asked::Slot(..) | Asked::NoSlot(_));
        match answer {
            Some(asked) => Message::Asker(is_there(asked).then_some(session), Event::Asked(asked)),
            None => unanswered(request),
        }
    }

    /// A process takes notice of something.
    pub fn receive(&mut self, client: Client, message: Message) {
        let mut events = VecDeque::new();
        let process = self.process(client).expect("looked at before");
        match message {
            Message::Tick => {
                process.ticks_at = None;
                events.push_back(Event::Tick);
            }
            Message::Demand(wants) => {
                process.demand = wants;
                events.push_back(Event::Wants(wants));
                self.checks.changed(self.now);
            }
            Message::HoldEnds(session) => self.comes_back(client, session, &mut events),
            Message::IdleFor(session, since) => {
                let is_needed = process.is_anchor(session);
                match process.conn(session).filter(|conn| conn.idle_since == since) {
                    Some(conn) if conn.is_busy || is_needed => {
                        self.after(LETS_GO_WITHIN, What::Notice(client, message));
                    }
                    Some(_) => self.close(client, session, &mut events),
                    None => {}
                }
            }
            Message::Answer(session, event) => self.answered(client, session, event, &mut events),
            Message::Opening(session, slot) => self.opened(client, session, slot, &mut events),
            Message::Asker(session, event) => {
                let before = std::mem::replace(&mut process.asker, session);
                if let Some(before) = before.filter(|before| Some(*before) != session) {
                    self.end_session(client, before);
                }
                let process = self.process(client).expect("looked at before");
                if let (Some(session), Event::Asked(Asked::Slot(..))) = (session, event) {
                    process.asker = None;
                    process.marked = Some(session);
                    self.is_there(client, session);
                }
                events.push_back(event);
            }
            Message::Ended(session) => {
                if process.forget(session) {
                    events.push_back(Event::Closed);
                }
            }
            Message::Lost(before) => {
                let of = process.conns.iter().map(|conn| conn.session);
                for session in of.filter(|session| *session < before).collect::<Vec<_>>() {
                    process.forget(session);
                    events.push_back(Event::Closed);
                }
            }
        }
        while let Some(event) = events.pop_front() {
            for action in self.step(client, event) {
                self.carry_out(client, action, &mut events);
            }
        }
        self.put_to_use(client);
        self.settle(client);
    }

    fn carry_out(&mut self, client: Client, action: Action, events: &mut VecDeque<Event>) {
        let process = self.process(client).expect("it has just been told");
        match action {
            Action::Ask => self.send(client, Request::Ask),
            Action::AskAgain => match process.asker {
                Some(session) => self.send(client, Request::AskAgain(session)),
                None => unreachable!("BUG: asks again without an asker"),
            },
            Action::LeaveOff => {
                if let Some(session) = process.asker.take() {
                    self.end_session(client, session);
                }
            }
            Action::Reserve { .. } | Action::Look { .. } => process.chores.push_back(action),
            Action::Open(slot) => {
                let anchor = process.anchors.iter().find(|(of, _)| *of == slot).map(|(_, anchor)| *anchor);
                match anchor {
                    Some(anchor) => self.send(client, Request::Open(slot, anchor)),
                    None => self.after(0, What::Notice(client, Message::Opening(None, slot))),
                }
            }
            Action::LetGo(slot) => self.let_go(client, slot),
            Action::Ceiling(ceiling) => {
                process.ceiling = ceiling;
                while let Some(session) = self.process(client).and_then(|process| process.superfluous()) {
                    self.close(client, session, events);
                }
            }
            Action::Warn(warning) => {
                process.warnings.push(warning);
                self.checks.warned(&self.processes[client.0]);
            }
        }
    }

    /// A new connection.
    fn is_there(&mut self, client: Client, session: SessionId) {
        let now = self.now;
        let process = self.process(client).expect("it has opened one");
        process.conns.push(Conn { session, is_busy: false, idle_since: now });
        self.after(IDLE_TIMEOUT, What::Notice(client, Message::IdleFor(session, now)));
    }

    /// A connection is given back: the pool closes it, uses it for a question, or lends it on.
    fn comes_back(&mut self, client: Client, session: SessionId, events: &mut VecDeque<Event>) {
        let now = self.now;
        let Some(process) = self.process(client) else { return };
        let Some(conn) = process.conn(session) else { return };
        (conn.is_busy, conn.idle_since) = (false, now);
        if process.conns.len() > process.ceiling as usize && !process.is_anchor(session) {
            self.close(client, session, events);
        } else {
            self.after(IDLE_TIMEOUT, What::Notice(client, Message::IdleFor(session, now)));
        }
    }

    fn close(&mut self, client: Client, session: SessionId, events: &mut VecDeque<Event>) {
        let process = self.process(client).expect("it closes one");
        assert!(process.forget(session), "closed once");
        events.push_back(Event::Closed);
        self.end_session(client, session);
    }

    /// Tells the server, where it can be reached; a host that is cut off leaves a session behind.
    fn end_session(&mut self, client: Client, session: SessionId) {
        if self.process(client).is_some_and(|process| !process.is_cut) {
            self.after(ROUND_TRIP / 2, What::EndSession(session));
        }
    }

    fn answered(&mut self, client: Client, session: SessionId, event: Event, events: &mut VecDeque<Event>) {
        let process = self.process(client).expect("looked at before");
        let has_failed = matches!(event, Event::Looked(None) | Event::Reserved(Reserved::Failed));
        if has_failed && process.forget(session) {
            events.push_back(Event::Closed);
            self.end_session(client, session);
        } else if let Some(conn) = process.conn(session) {
            // A question of the pool's own is no use of it.
            conn.is_busy = false;
            if let Event::Reserved(Reserved::Slot(slot, _)) = event {
                process.anchors.push((slot, session));
            }
        }
        events.push_back(event);
    }

    fn opened(
        &mut self,
        client: Client,
        session: Option<SessionId>,
        slot: Slot,
        events: &mut VecDeque<Event>,
    ) {
        match session {
            Some(session) => {
                self.is_there(client, session);
                events.push_back(Event::Opened(slot));
                self.let_go(client, slot);
            }
            None => events.push_back(Event::NotOpened(slot)),
        }
    }

    fn let_go(&mut self, client: Client, slot: Slot) {
        let later = self.dice.u64(1..LETS_GO_WITHIN);
        let process = self.process(client).expect("it holds it");
        if let Some(index) = process.anchors.iter().position(|(of, _)| *of == slot) {
            let (_, anchor) = process.anchors.swap_remove(index);
            self.after(later, What::LetGo(anchor, slot));
        }
    }

    /// Idle connections are used for questions, then lent.
    fn put_to_use(&mut self, client: Client) {
        loop {
            let process = self.process(client).expect("looked at before");
            let busy = process.conns.iter().filter(|conn| conn.is_busy).count();
            let Some(conn) = process.conns.iter_mut().find(|conn| !conn.is_busy) else { return };
            let session = conn.session;
            if let Some(chore) = process.chores.pop_front() {
                conn.is_busy = true;
                self.ask_on(client, session, chore);
            } else if busy < process.demand as usize {
                conn.is_busy = true;
                let hold = self.dice.u64(20..LONGEST_HOLD);
                self.after(hold, What::Notice(client, Message::HoldEnds(session)));
            } else {
                return;
            }
        }
    }

    fn ask_on(&mut self, client: Client, session: SessionId, chore: Action) {
        let process = self.process(client).expect("it asks");
        let weight = process.plan.weight;
        let request = match chore {
            Action::Reserve { beyond_share } => Request::Reserve(session, beyond_share),
            Action::Look { want } => {
                let marks = *process.marked.get_or_insert(session) == session;
                // The mark is taken back on the connection that has it, when its turn comes.
                let has_it = want && *process.want_marked.get_or_insert(session) == session;
                let takes_back = !want && process.want_marked == Some(session);
                if takes_back {
                    process.want_marked = None;
                }
                let wants = (has_it || takes_back).then_some(want);
                Request::Look(session, marks.then_some(weight), wants)
            }
            other => unreachable!("BUG: no question: {other:?}"),
        };
        self.send(client, request);
    }

    /// Whatever waits for a connection that is not there has failed; the next tick; whether it starves.
    fn settle(&mut self, client: Client) {
        let now = self.now;
        let process = self.process(client).expect("looked at before");
        let mut failed = Vec::new();
        if process.conns.is_empty() {
            for chore in std::mem::take(&mut process.chores) {
                failed.push(match chore {
                    Action::Reserve { .. } => Event::Reserved(Reserved::Failed),
                    _ => Event::Looked(None),
                });
            }
        }
        for event in failed {
            // The machine has no connection, so it can at most wait to ask.
            for action in self.step(client, event) {
                self.carry_out(client, action, &mut VecDeque::new());
            }
        }
        let process = self.process(client).expect("looked at before");
        if let Some(at) = due(&process.member)
            && process.ticks_at.is_none_or(|before| at < before)
        {
            process.ticks_at = Some(at.max(now));
            self.after(at.saturating_sub(now), What::Notice(client, Message::Tick));
        }
        let process = &mut self.processes[client.0];
        self.checks.served_or_not(now, process);
    }
}
