//! What r2d2 holds to, as far as this pool does too: each test runs against both.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::library::event::{
    AcquireEvent, CheckinEvent, CheckoutEvent, HandleEvent, ReleaseEvent, TimeoutEvent,
};
use super::library::{CustomizeConnection, ManageConnection, Pool};
use crate::support::wait::{BOUND, MS, SECOND, eventually, took};

#[derive(Debug)]
pub(super) struct Down;

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server is down")
    }
}

impl std::error::Error for Down {}

/// A server that opens so many connections and no more.
#[derive(Debug, Default)]
struct Books {
    room: AtomicUsize,
    live: AtomicUsize,
    gone: AtomicUsize,
    validated: AtomicUsize,
    all_break: AtomicBool,
}

#[derive(Clone, Debug)]
pub(super) struct Server(Arc<Books>);

impl Server {
    pub(super) fn with_room_for(count: usize) -> Server {
        Server(Arc::new(Books { room: AtomicUsize::new(count), ..Books::default() }))
    }

    pub(super) fn gone(&self) -> usize {
        self.0.gone.load(SeqCst)
    }
}

#[derive(Debug)]
pub(super) struct Connection(Server);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.0.live.fetch_sub(1, SeqCst);
        self.0.0.gone.fetch_add(1, SeqCst);
    }
}

impl ManageConnection for Server {
    type Connection = Connection;
    type Error = Down;

    fn connect(&self) -> Result<Connection, Down> {
        self.0.room.fetch_update(SeqCst, SeqCst, |room| room.checked_sub(1)).map_err(|_| Down)?;
        self.0.live.fetch_add(1, SeqCst);
        Ok(Connection(self.clone()))
    }

    fn is_valid(&self, _: &mut Connection) -> Result<(), Down> {
        self.0.validated.fetch_add(1, SeqCst);
        Ok(())
    }

    fn has_broken(&self, _: &mut Connection) -> bool {
        self.0.all_break.load(SeqCst)
    }
}

/// An event, its connection, and its length of time, where it has one.
type Event = (&'static str, u64, Duration);

/// What a handler was told.
#[derive(Clone, Debug, Default)]
struct Told(Arc<Mutex<Vec<Event>>>);

impl Told {
    fn note(&self, what: &'static str, id: u64, time: Duration) {
        self.0.lock().unwrap().push((what, id, time));
    }
}

impl HandleEvent for Told {
    fn handle_acquire(&self, event: AcquireEvent) {
        self.note("acquire", event.connection_id(), Duration::ZERO);
    }

    fn handle_release(&self, event: ReleaseEvent) {
        self.note("release", event.connection_id(), event.age());
    }

    fn handle_checkout(&self, event: CheckoutEvent) {
        self.note("checkout", event.connection_id(), event.duration());
    }

    fn handle_checkin(&self, event: CheckinEvent) {
        self.note("checkin", event.connection_id(), event.duration());
    }

    fn handle_timeout(&self, event: TimeoutEvent) {
        self.note("timeout", 0, event.timeout());
    }
}

#[test]
fn events_come_in_their_order_and_none_tells_of_more_time_than_has_passed() {
    let (told, server) = (Told::default(), Server::with_room_for(9));
    server.0.all_break.store(true, SeqCst);
    let begun = Instant::now();
    let pool = Pool::builder().max_size(1).event_handler(Box::new(told.clone())).build(server).unwrap();
    let conn = pool.get().unwrap();
    assert!(pool.get_timeout(123 * MS).is_err());
    drop(conn);
    let passed = begun.elapsed();
    let next = pool.get().unwrap();
    let mut told = told.0.lock().unwrap().clone();
    if !super::TELLS_OF_AN_END_FIRST && told[4].0 == "acquire" {
        told.swap(4, 5);
    }
    let order: Vec<_> = told.iter().map(|(what, ..)| *what).collect();
    assert_eq!(order, ["acquire", "checkout", "timeout", "checkin", "release", "acquire", "checkout"]);
    let (first, second) = (told[0].1, told[5].1);
    let ids: Vec<_> = told.iter().map(|(_, id, _)| *id).collect();
    assert_eq!(ids, [first, first, 0, first, first, second, second]);
    assert!(first < second);
    assert_eq!(told[2].2, 123 * MS);
    assert!(told[3].2 >= 100 * MS && told[3].2 <= passed, "held for {:?} of {passed:?}", told[3].2);
    drop(next);
}

#[test]
fn every_checkout_validates_where_that_is_asked_for() {
    let server = Server::with_room_for(9);
    let pool = Pool::builder().max_size(1).test_on_check_out(true).build(server.clone()).unwrap();
    for count in 1..=5 {
        drop(pool.get().unwrap());
        assert_eq!(server.0.validated.load(SeqCst), count, "also before the first one");
    }
}

/// Its first validation says that it has begun, and then waits.
struct Slow {
    first: AtomicBool,
    begun: Mutex<Sender<()>>,
    go_on: Mutex<Receiver<()>>,
}

impl ManageConnection for Slow {
    type Connection = ();
    type Error = Down;

    fn connect(&self) -> Result<(), Down> {
        Ok(())
    }

    fn is_valid(&self, _: &mut ()) -> Result<(), Down> {
        if self.first.swap(false, SeqCst) {
            self.begun.lock().unwrap().send(()).unwrap();
            self.go_on.lock().unwrap().recv_timeout(BOUND).unwrap();
        }
        Ok(())
    }

    fn has_broken(&self, _: &mut ()) -> bool {
        false
    }
}

#[test]
fn a_validation_that_takes_its_time_keeps_nobody_else_from_a_connection() {
    let ((begun, told), (go, go_on)) = (channel(), channel());
    let manager = Slow { first: AtomicBool::new(true), begun: Mutex::new(begun), go_on: Mutex::new(go_on) };
    let pool = Pool::builder().max_size(2).test_on_check_out(true).build(manager).unwrap();
    thread::scope(|scope| {
        let held_up = scope.spawn(|| pool.get().is_ok());
        told.recv_timeout(BOUND).expect("the first checkout validates");
        assert!(pool.get().is_ok());
        go.send(()).unwrap();
        assert!(held_up.join().unwrap());
    });
}

#[test]
fn who_holds_the_last_one_and_asks_for_another_waits_for_the_whole_timeout() {
    let builder = Pool::builder().max_size(1).connection_timeout(SECOND);
    let pool = builder.build(Server::with_room_for(9)).unwrap();
    let held = pool.get().unwrap();
    let (outcome, time) = took(|| pool.get().is_err());
    assert!(outcome && time >= SECOND && time < 2 * SECOND, "{time:?}");
    assert!(pool.try_get().is_none());
    drop(held);
    assert!(pool.try_get().is_some());
}

#[test]
fn a_start_that_fails_names_the_cause_at_once_or_at_the_first_checkout() {
    let builder = || Pool::builder().max_size(1).connection_timeout(SECOND);
    let error = builder().build(Server::with_room_for(0)).err().unwrap().to_string();
    assert!(error.contains("the server is down"), "{error}");
    let error = builder().build_unchecked(Server::with_room_for(0)).get().err().unwrap().to_string();
    assert!(error.contains("the server is down"), "{error}");
}

#[derive(Debug)]
struct Picky {
    refusals: AtomicUsize,
    released: Arc<AtomicUsize>,
}

impl CustomizeConnection<Connection, Down> for Picky {
    fn on_acquire(&self, _: &mut Connection) -> Result<(), Down> {
        let refuses = self.refusals.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        if refuses { Err(Down) } else { Ok(()) }
    }

    fn on_release(&self, _: Connection) {
        self.released.fetch_add(1, SeqCst);
    }
}

#[test]
fn what_a_customizer_refuses_is_dropped_and_what_it_took_is_given_to_it_at_the_end() {
    let (server, released) = (Server::with_room_for(9), Arc::new(AtomicUsize::new(0)));
    let picky = Picky { refusals: AtomicUsize::new(1), released: Arc::clone(&released) };
    let builder = Pool::builder().max_size(1).connection_customizer(Box::new(picky));
    let pool = builder.build(server.clone()).unwrap();
    assert_eq!((server.gone(), released.load(SeqCst)), (1, 0));
    let conn = pool.get().unwrap();
    server.0.all_break.store(true, SeqCst);
    drop(conn);
    // Here another thread ends it.
    eventually(BOUND, "it is released", || released.load(SeqCst) == 1);
}

#[test]
fn as_many_idle_ones_as_asked_for_are_kept_beside_those_in_use() {
    let pool = Pool::builder().max_size(5).min_idle(Some(2)).build(Server::with_room_for(9)).unwrap();
    let idle_and_all = || (pool.state().idle_connections, pool.state().connections);
    eventually(BOUND, "two are kept", || idle_and_all() == (2, 2));
    let held: Vec<_> = (0..3).map(|_| pool.get().unwrap()).collect();
    eventually(BOUND, "two more are kept", || idle_and_all() == (2, 5));
    drop(held);
    assert_eq!(idle_and_all(), (5, 5));
}

#[test]
fn the_end_of_a_pool_is_the_end_of_its_connections() {
    let server = Server::with_room_for(10);
    let pool = Pool::builder().max_size(10).build(server.clone()).unwrap();
    assert_eq!(server.0.live.load(SeqCst), 10);
    drop(pool);
    eventually(BOUND, "all are closed", || server.0.live.load(SeqCst) == 0);
}
