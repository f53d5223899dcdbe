//! A program written for r2d2, with all that r2d2 offers.

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use scheduled_thread_pool::ScheduledThreadPool;

use super::library::event::{
    AcquireEvent, CheckinEvent, CheckoutEvent, HandleEvent, ReleaseEvent, TimeoutEvent,
};
use super::library::{
    CustomizeConnection, HandleError, LoggingErrorHandler, ManageConnection, NopConnectionCustomizer,
    NopErrorHandler, NopEventHandler, Pool, PooledConnection,
};

#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl Error for Refused {}

/// Fails the first `failures` attempts.
#[derive(Debug, Default)]
struct Manager {
    failures: AtomicUsize,
}

struct Connection {
    prepared: bool,
    broken: bool,
}

impl ManageConnection for Manager {
    type Connection = Connection;
    type Error = Refused;

    fn connect(&self) -> Result<Connection, Refused> {
        let left = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        match left {
            Ok(_) => Err(Refused),
            Err(_) => Ok(Connection { prepared: false, broken: false }),
        }
    }

    fn is_valid(&self, conn: &mut Connection) -> Result<(), Refused> {
        if conn.broken { Err(Refused) } else { Ok(()) }
    }

    fn has_broken(&self, conn: &mut Connection) -> bool {
        conn.broken
    }
}

#[derive(Debug)]
struct Customizer;

impl CustomizeConnection<Connection, Refused> for Customizer {
    fn on_acquire(&self, conn: &mut Connection) -> Result<(), Refused> {
        conn.prepared = true;
        Ok(())
    }

    fn on_release(&self, conn: Connection) {
        assert!(conn.prepared);
    }
}

#[derive(Clone, Debug, Default)]
struct Told(Arc<Mutex<Vec<&'static str>>>);

impl Told {
    fn note(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }

    fn count(&self, what: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|told| **told == what).count()
    }
}

impl HandleError<Refused> for Told {
    fn handle_error(&self, _: Refused) {
        self.note("error");
    }
}

impl HandleEvent for Told {
    fn handle_acquire(&self, event: AcquireEvent) {
        let _: u64 = event.connection_id();
        self.note("acquire");
    }

    fn handle_release(&self, event: ReleaseEvent) {
        let _: u64 = event.connection_id();
        assert!(event.age() < Duration::from_secs(60));
        self.note("release");
    }

    fn handle_checkout(&self, event: CheckoutEvent) {
        let _: u64 = event.connection_id();
        assert!(event.duration() < Duration::from_secs(60));
        self.note("checkout");
    }

    fn handle_timeout(&self, event: TimeoutEvent) {
        assert_eq!(event.timeout(), Duration::from_millis(50));
        self.note("timeout");
    }

    fn handle_checkin(&self, event: CheckinEvent) {
        let _: u64 = event.connection_id();
        assert!(event.duration() < Duration::from_secs(60));
        self.note("checkin");
    }
}

struct Jobs(u32);

#[test]
fn a_program_with_everything_of_r2d2s() -> Result<(), Box<dyn Error>> {
    let told = Told::default();
    let pool: Pool<Manager> = Pool::builder()
        .max_size(1)
        .min_idle(Some(1))
        .test_on_check_out(true)
        .max_lifetime(Some(Duration::from_secs(600)))
        .idle_timeout(Some(Duration::from_secs(300)))
        .connection_timeout(Duration::from_secs(10))
        .thread_pool(Arc::new(ScheduledThreadPool::new(1)))
        .error_handler(Box::new(told.clone()))
        .event_handler(Box::new(told.clone()))
        .connection_customizer(Box::new(Customizer))
        .build(Manager { failures: AtomicUsize::new(1) })?;
    assert_eq!((told.count("error"), told.count("acquire")), (1, 1));

    assert_eq!((pool.max_size(), pool.min_idle(), pool.test_on_check_out()), (1, Some(1), true));
    assert_eq!(pool.max_lifetime(), Some(Duration::from_secs(600)));
    assert_eq!(pool.idle_timeout(), Some(Duration::from_secs(300)));
    assert_eq!(pool.connection_timeout(), Duration::from_secs(10));
    let state = pool.state();
    assert_eq!((state.connections, state.idle_connections), (1, 1));

    let mut conn: PooledConnection<Manager> = pool.get()?;
    assert!(conn.prepared);
    PooledConnection::extensions_mut(&mut conn).insert(Jobs(1));
    assert_eq!(pool.state().idle_connections, 0);
    let waiting = pool.clone();
    let late = thread::spawn(move || waiting.get_timeout(Duration::from_millis(50)).is_err());
    assert!(late.join().unwrap());
    assert!(pool.try_get().is_none());
    drop(conn);
    assert_eq!(told.count("checkout"), told.count("checkin"));

    let mut conn = pool.get()?;
    assert_eq!(PooledConnection::extensions(&conn).get::<Jobs>().map(|jobs| jobs.0), Some(1));
    conn.broken = true;
    drop(conn);
    assert!(!pool.get()?.broken, "a broken one is replaced");
    // Told of by another thread of the pool, maybe.
    let end = Instant::now() + Duration::from_secs(10);
    while told.count("release") == 0 && Instant::now() < end {
        thread::yield_now();
    }
    assert_eq!((told.count("timeout"), told.count("acquire"), told.count("release")), (1, 2, 1));
    Ok(())
}

#[test]
fn the_handlers_that_come_with_r2d2_are_there() {
    let pool = Pool::builder()
        .max_size(2)
        .error_handler(Box::new(NopErrorHandler))
        .event_handler(Box::new(NopEventHandler))
        .connection_customizer(Box::new(NopConnectionCustomizer))
        .build_unchecked(Manager::default());
    assert!(pool.get().is_ok());
    let logging = Pool::builder().error_handler(Box::new(LoggingErrorHandler));
    assert!(logging.build(Manager::default()).unwrap().get().is_ok());
    assert!(Pool::new(Manager::default()).is_ok());
}
