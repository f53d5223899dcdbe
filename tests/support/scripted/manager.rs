//! The scripted manager, its connections, and its books.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tierpool::{Condition, ManageConnection};

use super::{Call, Event, ScriptedError, Step};

/// A manager whose calls do what a script says, and succeed where it says nothing.
///
/// Clones share script and books, so a test keeps one and gives the pool the other.
#[derive(Clone, Debug, Default)]
pub struct ScriptedManager {
    /// Nothing that waits runs under the lock, so the books can be read while calls hang.
    books: Arc<Mutex<Books>>,
}

#[derive(Debug, Default)]
struct Books {
    scripts: BTreeMap<Call, VecDeque<Step>>,
    defaults: BTreeMap<Call, Step>,
    conditions: VecDeque<Condition>,
    events: Vec<Event>,
    running: BTreeMap<Call, AtOnce>,
    live: AtOnce,
    last_id: u64,
    opened: usize,
    closed: usize,
    dead: BTreeSet<u64>,
}

/// How many there are and the most there ever were.
#[derive(Debug, Default)]
struct AtOnce {
    now: usize,
    most: usize,
}

impl AtOnce {
    fn add(&mut self) {
        self.now += 1;
        self.most = self.most.max(self.now);
    }
}

impl ScriptedManager {
    /// A manager all of whose calls succeed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends to what the next calls of a kind do, one step each.
    pub fn script(&self, call: Call, steps: impl IntoIterator<Item = Step>) {
        self.books.lock().scripts.entry(call).or_default().extend(steps);
    }

    /// Says what calls of a kind do when their script is at its end.
    pub fn always(&self, call: Call, step: Step) {
        self.books.lock().defaults.insert(call, step);
    }

    /// Appends to what [`ScriptedDriver`](super::ScriptedDriver) reports of the next connections given back.
    pub fn conditions(&self, conditions: impl IntoIterator<Item = Condition>) {
        self.books.lock().conditions.extend(conditions);
    }

    /// Makes a connection dead: it has broken, is not valid, and its work fails.
    pub fn kill(&self, id: u64) {
        self.books.lock().dead.insert(id);
    }

    /// Makes all connections opened so far dead.
    pub fn kill_all(&self) {
        let mut books = self.books.lock();
        let last = books.last_id;
        books.dead.extend(1..=last);
    }

    /// Returns the calls made so far, in the order of their begin.
    pub fn events(&self) -> Vec<Event> {
        self.books.lock().events.clone()
    }

    /// Counts the calls of a kind begun so far.
    pub fn calls(&self, call: Call) -> usize {
        self.books.lock().events.iter().filter(|event| event.call == call).count()
    }

    /// Counts the calls of a kind that are running.
    pub fn running(&self, call: Call) -> usize {
        self.books.lock().running.get(&call).map_or(0, |running| running.now)
    }

    /// Returns the most calls of a kind that ever ran at once.
    pub fn most_running(&self, call: Call) -> usize {
        self.books.lock().running.get(&call).map_or(0, |running| running.most)
    }

    /// Counts the connections opened so far.
    pub fn opened(&self) -> usize {
        self.books.lock().opened
    }

    /// Counts the connections whose drop is done.
    pub fn closed(&self) -> usize {
        self.books.lock().closed
    }

    /// Counts the connections opened whose drop is not done.
    pub fn live(&self) -> usize {
        self.books.lock().live.now
    }

    /// Returns the most connections that were ever live at once.
    pub fn most_live(&self) -> usize {
        self.books.lock().live.most
    }

    /// Whether a connection is dead.
    pub fn is_dead(&self, id: u64) -> bool {
        self.books.lock().dead.contains(&id)
    }

    pub(super) fn next_condition(&self) -> Option<Condition> {
        self.books.lock().conditions.pop_front()
    }

    /// Records a call and does what its script says. `bounded` is whether the limit ends it.
    pub(super) fn perform(
        &self,
        call: Call,
        id: u64,
        limit: Option<Duration>,
        bounded: bool,
        flag: Option<bool>,
    ) -> Result<(), ScriptedError> {
        let thread = thread::current().name().map(str::to_owned);
        let event = Event { call, id, thread, limit, flag };
        let mut books = self.books.lock();
        books.events.push(event);
        books.running.entry(call).or_default().add();
        let scripted = books.scripts.get_mut(&call).and_then(VecDeque::pop_front);
        let step = scripted.or_else(|| books.defaults.get(&call).cloned()).unwrap_or_else(Step::ok);
        drop(books);
        let _running = Running { manager: self, call };
        step.run(call, limit.filter(|_| bounded))
    }

    pub(super) fn open(
        &self,
        limit: Option<Duration>,
        bounded: bool,
    ) -> Result<ScriptedConnection, ScriptedError> {
        let id = {
            let mut books = self.books.lock();
            books.last_id += 1;
            books.last_id
        };
        self.perform(Call::Connect, id, limit, bounded, None)?;
        let mut books = self.books.lock();
        books.opened += 1;
        books.live.add();
        Ok(ScriptedConnection { id, manager: self.clone() })
    }

    pub(super) fn check(&self, id: u64, limit: Option<Duration>, bounded: bool) -> Result<(), ScriptedError> {
        self.perform(Call::IsValid, id, limit, bounded, None)?;
        self.alive(id)
    }

    fn alive(&self, id: u64) -> Result<(), ScriptedError> {
        if self.is_dead(id) {
            return Err(ScriptedError::transient(format!("connection {id} is dead")));
        }
        Ok(())
    }
}

/// Takes a call out of the running ones, also when it panics.
struct Running<'a> {
    manager: &'a ScriptedManager,
    call: Call,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut books = self.manager.books.lock();
        books.running.get_mut(&self.call).expect("BUG: a call ends that never began").now -= 1;
    }
}

impl ManageConnection for ScriptedManager {
    type Connection = ScriptedConnection;
    type Error = ScriptedError;

    fn connect(&self) -> Result<ScriptedConnection, ScriptedError> {
        self.open(None, false)
    }

    fn is_valid(&self, conn: &mut ScriptedConnection) -> Result<(), ScriptedError> {
        self.check(conn.id, None, false)
    }

    fn has_broken(&self, conn: &mut ScriptedConnection) -> bool {
        self.perform(Call::HasBroken, conn.id, None, false, None).is_err() || self.is_dead(conn.id)
    }
}

/// A connection of [`ScriptedManager`].
#[derive(Debug)]
pub struct ScriptedConnection {
    id: u64,
    manager: ScriptedManager,
}

impl ScriptedConnection {
    /// Returns its number; the first one of a manager is 1. A failed attempt to connect uses up a number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Stands for a query.
    ///
    /// # Errors
    ///
    /// When the connection is dead.
    pub fn work(&mut self) -> Result<u64, ScriptedError> {
        self.manager.alive(self.id).map(|()| self.id)
    }

    pub(super) fn prepare_close(&self, polite: bool) {
        // Its script has nobody to report an error to.
        let _ = self.manager.perform(Call::PrepareClose, self.id, None, false, Some(polite));
    }
}

impl Drop for ScriptedConnection {
    fn drop(&mut self) {
        // Counted on the way out of a scripted panic as well.
        let _closed = Closed(&self.manager);
        let _ = self.manager.perform(Call::Close, self.id, None, false, None);
    }
}

struct Closed<'a>(&'a ScriptedManager);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        let mut books = self.0.books.lock();
        books.closed += 1;
        books.live.now -= 1;
    }
}
