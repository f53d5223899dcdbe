//! Standing in line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use r2d2::ManageConnection;

use super::call::{Call, Failure, Patience};
use super::linger::{self, turn_ns};
use crate::core::{Joined, Lingered, Outcome, Ticket, Waited, Waiter};
use crate::pool::parts::linger::cores;
use crate::pool::shared::{Entry, InLine, Refusal, Shared};
use crate::pool::supply::close::dispose;
use crate::pool::supply::connect::connect_limit;
use crate::pool::supply::demand::demand_in_line;
use crate::pool::tell::deadlock::{Deadlock, deadlock_of, warn_of_apparent};
use crate::pool::tell::observe::{in_own_hands, sample_gauges};
use crate::stats::CloseCause;

/// How long what may be none must look like a deadlock before it is called one.
const DEADLOCK_GRACE: Duration = Duration::from_millis(100);

/// How often whoever waits for an opening alone looks whether the server has any left.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A connection that could not be lent, closed when this is dropped: once its caller stands in line again or has
/// found another, for until then the next connection in its seat would go to somebody behind the caller.
pub(crate) struct Unlendable<M: ManageConnection>(pub(crate) Option<(Box<Entry<M>>, CloseCause)>);

impl<M: ManageConnection> Drop for Unlendable<M> {
    fn drop(&mut self) {
        if let Some((entry, cause)) = self.0.take() {
            dispose(entry, cause);
        }
    }
}

/// Waits in line, with one in hand whose seat is freed only then.
pub(crate) fn stand_in_line<M: ManageConnection>(
    shared: &Arc<Shared<M>>,
    call: &mut Call,
    in_hand: Unlendable<M>,
) -> Result<Box<Entry<M>>, Failure> {
    let max_waiting = shared.fast.max_waiting();
    let for_opening = matches!(call.patience, Patience::ForOpening(_));
    let joined = if for_opening {
        // Of a closed pool no caller is told anything else.
        if is_server_full(shared) && !shared.lending.is_closed() {
            return Err(Failure::Exhausted);
        }
        if call.ticket.is_none() {
            call.wait_for_opening(connect_limit(shared));
        }
        let leaving = usize::from(in_hand.0.is_some());
        let join = || {
            // Before the look at the room: what is back by then is found by the sweep.
            let returning = in_own_hands(shared);
            shared.lending.join_if_room(call.ticket, max_waiting, leaving, returning, in_line(call))
        };
        match join() {
            // As in `may_be_served`.
            Joined::NoRoom => join(),
            joined => joined,
        }
    } else {
        shared.lending.join(call.ticket, max_waiting, in_line(call))
    };
    drop(in_hand);
    let (waiter, ticket, ahead, hope_ns, has_room) = match joined {
        Joined::Got(entry) => return Ok(entry),
        Joined::NoRoom => return Err(Failure::Exhausted),
        Joined::Full => return Err(Failure::QueueFull),
        Joined::Refused(refusal) => return Err(Failure::Refused(refusal)),
        Joined::Closed => return Err(Failure::Refused(Refusal::Closed)),
        Joined::InLine { waiter, ticket, ahead, hope_ns, has_room, in_use } => {
            call.ahead.get_or_insert(ahead);
            sample_gauges(shared, in_use, ahead + 1, shared.now());
            (waiter, ticket, ahead, hope_ns, has_room)
        }
    };
    let joined_at = Instant::now();
    let is_back = call.ticket.replace(ticket).is_some();
    demand_in_line(shared, has_room);
    // One that waits for what the pool itself has to bring waits for no borrower.
    let refused = !for_opening && would_deadlock(shared, call, ticket, &waiter);
    let (outcome, lingered) = match refused {
        true => (waiter.leave(), Lingered::InVain),
        false if for_opening => (wait_for_opening(shared, call, ticket, &waiter), Lingered::InVain),
        false => linger::wait(&waiter, hope_ns, call.deadline),
    };
    if matches!(outcome, Outcome::Nothing) && shared.fast.detects_deadlocks() {
        call.in_deadlock = deadlock_of(shared, call.thread, ticket) != Deadlock::No;
    }
    match outcome {
        Outcome::Served(mut entry) => {
            // One that came back stood where its first wait had brought it, so that its second tells of no turn.
            let turn = if is_back { None } else { turn_ns(joined_at.elapsed(), ahead, cores()) };
            shared.lending.recycle_served(waiter, Waited { turn_ns: turn, lingered });
            entry.body.handed_over(shared.now());
            Ok(entry)
        }
        Outcome::Refused(refusal) => {
            shared.lending.recycle(waiter);
            Err(Failure::Refused(refusal))
        }
        Outcome::Nothing => {
            let left = shared.lending.ahead_of(ticket);
            shared.lending.forget(waiter, ticket);
            linger::left(&shared.lending, lingered);
            Err(match refused {
                true => Failure::Deadlock,
                false if for_opening && (is_server_full(shared) || !call.is_over()) => Failure::Exhausted,
                false => Failure::Timeout { left: Some(left) },
            })
        }
    }
}

/// What is told of a caller that stands in line.
fn in_line(call: &Call) -> InLine {
    InLine { thread: call.thread, location: call.location, since: call.start, deadline: call.deadline }
}

fn is_server_full<M: ManageConnection>(shared: &Shared<M>) -> bool {
    shared.supply.breaker().is_server_full(shared.exact_now())
}

/// Waits for an opening, or for what the pool itself has in hand: until its limit, or until only the return of another
/// borrower could serve this caller, since the server has no connection left to open, or there is no room any more:
/// what the pool had in hand may have been taken just before the caller stood in line.
fn wait_for_opening<M: ManageConnection>(
    shared: &Shared<M>,
    call: &Call,
    ticket: Ticket,
    waiter: &Waiter<Entry<M>, Refusal>,
) -> Outcome<Entry<M>, Refusal> {
    while !is_server_full(shared) && may_be_served(shared, ticket) {
        let next = Instant::now() + LOOK_EVERY;
        if call.deadline.is_some_and(|deadline| deadline <= next) || waiter.watch(Some(next)) {
            return waiter.wait(call.deadline);
        }
    }
    waiter.leave()
}

/// Whether something is still to come for the caller with this ticket. Looked at twice: what ends its opening amid the
/// first look is in neither half of that, and among those in hand in the second, or has served somebody.
fn may_be_served<M: ManageConnection>(shared: &Shared<M>, ticket: Ticket) -> bool {
    let look = || shared.lending.has_room_for(ticket, in_own_hands(shared));
    look() || look()
}

/// Whether this caller is to be refused, since nobody is left who could serve it.
///
/// What is only apparent is looked at twice: a guard that was passed to another thread shows itself in between by being
/// used or returned. It is warned of then, and refused where the settings say so.
fn would_deadlock<M: ManageConnection>(
    shared: &Shared<M>,
    call: &Call,
    ticket: Ticket,
    waiter: &Waiter<Entry<M>, Refusal>,
) -> bool {
    if !shared.fast.detects_deadlocks() {
        return false;
    }
    let grace = Instant::now() + DEADLOCK_GRACE;
    match deadlock_of(shared, call.thread, ticket) {
        Deadlock::No => return false,
        Deadlock::Certain => return true,
        Deadlock::Apparent if call.deadline.is_some_and(|deadline| deadline <= grace) => return false,
        Deadlock::Apparent => {}
    }
    if waiter.watch(Some(grace)) {
        return false;
    }
    match deadlock_of(shared, call.thread, ticket) {
        Deadlock::No => false,
        Deadlock::Certain => true,
        Deadlock::Apparent => {
            let refuses = shared.fast.refuses_deadlocks();
            if !refuses {
                warn_of_apparent(shared);
            }
            refuses
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::panic::Location;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;
    use std::time::{Duration, Instant};

    use parking_lot::Mutex;
    use r2d2::ManageConnection;

    use crate::Pool;
    use crate::core::{Joined, Lingered, Outcome, Waited, Waiter};
    use crate::pool::shared::InLine;

    /// A time that no test waits for.
    const LONG: Duration = Duration::from_secs(60);

    /// Far too long a turn for anybody to linger.
    const SLOW: Duration = Duration::from_millis(20);

    /// A server that is restarted: its first connection dies, and the next is opened once the test says so.
    struct Server {
        is_restarted: AtomicBool,
        asked: AtomicUsize,
        is_up: Mutex<Receiver<()>>,
    }

    struct Manager(Arc<Server>);

    impl ManageConnection for Manager {
        type Connection = usize;
        type Error = io::Error;

        fn connect(&self) -> io::Result<usize> {
            let before = self.0.asked.fetch_add(1, Ordering::SeqCst);
            if before > 0 {
                self.0.is_up.lock().recv_timeout(LONG).map_err(io::Error::other)?;
            }
            Ok(before)
        }

        fn is_valid(&self, conn: &mut usize) -> io::Result<()> {
            let is_dead = *conn == 0 && self.0.is_restarted.load(Ordering::SeqCst);
            if is_dead { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
        }

        fn has_broken(&self, _: &mut usize) -> bool {
            false
        }
    }

    fn wait_until(what: &str, is_so: impl Fn() -> bool) {
        let end = Instant::now() + LONG;
        while !is_so() {
            assert!(Instant::now() < end, "{what}");
            thread::yield_now();
        }
    }

    #[test]
    fn whoever_comes_back_with_its_ticket_tells_no_pace() {
        let (restart_ends, is_up) = channel();
        let server = Arc::new(Server {
            is_restarted: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
            is_up: Mutex::new(is_up),
        });
        let pool =
            Pool::builder().max_size(1).test_on_check_out(true).build(Manager(Arc::clone(&server))).unwrap();
        let lending = &pool.shared().lending;
        let held = pool.get().unwrap();
        let caller = thread::spawn({
            let pool = pool.clone();
            move || pool.get().unwrap()
        });
        wait_until("nobody queued", || lending.counts().waiting == 1);
        // Of the first wait, so that the caller does not linger in its second.
        thread::sleep(SLOW);
        server.is_restarted.store(true, Ordering::SeqCst);
        drop(held);
        wait_until("no other connection was asked for", || server.asked.load(Ordering::SeqCst) == 2);
        assert_eq!(lending.counts().waiting, 1, "the caller is not back in line");
        for _ in 0..64 {
            let fast = Waited { turn_ns: Some(0), lingered: Lingered::InVain };
            lending.recycle_served(Arc::new(Waiter::new()), fast);
        }
        thread::sleep(SLOW);
        restart_ends.send(()).unwrap();
        let lent = caller.join().unwrap();
        assert_eq!(*lent, 1);
        let who = InLine { thread: 0, location: Location::caller(), since: Instant::now(), deadline: None };
        let Joined::InLine { waiter, ticket, hope_ns, .. } = lending.join(None, None, who) else {
            panic!("it is lent")
        };
        assert!(matches!(waiter.leave(), Outcome::Nothing));
        lending.forget(waiter, ticket);
        assert_eq!(hope_ns, Some(0), "its second wait was taken for a turn");
    }
}
