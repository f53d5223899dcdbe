//! One timer for all limits of a connection.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::send_queue::SendQueue;
use super::state::WireState;
use super::task::is_same;
use super::uplink::Uplink;
use crate::clock::Deadline;
use crate::text::Limit;

/// The limit whose expiry ended a connection. It is the cause inside the `io::Error` of kind `TimedOut`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitExpired {
    /// The connection was not open in time.
    Opening(Duration),
    /// The server was silent for too long while a reply was due.
    Reply(Duration),
    /// The client waited for as long in a `COPY` to the server, which waits for data of the client's.
    Copy(Duration),
    /// A validation, a reset or a close did not end in time.
    Call(Duration),
}

impl fmt::Display for LimitExpired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LimitExpired::Opening(limit) => {
                let limit = Limit(without_crumbs(*limit));
                write!(f, "the server did not finish the start-up handshake within {limit} (connect_timeout)")
            }
            LimitExpired::Reply(limit) => {
                let limit = Limit(*limit);
                write!(
                    f,
                    "no reply from the server within {limit} (socket_timeout), which may still be at work on the \
                     statement; one that may take longer needs the statement_timeout of SessionOptions, or \
                     PgConnection::set_socket_timeout"
                )
            }
            LimitExpired::Copy(limit) => {
                let limit = Limit(*limit);
                write!(
                    f,
                    "the server has waited for COPY data for {limit} (socket_timeout), and nobody is left who sends \
                     any: the writer was given to mem::forget, or the COPY was begun by a text"
                )
            }
            LimitExpired::Call(limit) => {
                let limit = Limit(without_crumbs(*limit));
                write!(f, "no reply from the server within the {limit} that the pool gives this check")
            }
        }
    }
}

/// What is left of a limit, once a name was looked up, is a little less than what was set, and a share of one has no
/// end of decimals.
fn without_crumbs(limit: Duration) -> Duration {
    let unit = Duration::from_millis(if limit < Duration::from_secs(1) { 1 } else { 100 });
    let units = (limit + unit / 2).as_nanos() / unit.as_nanos();
    u32::try_from(units).map_or(limit, |units| unit * units)
}

impl std::error::Error for LimitExpired {}

impl From<LimitExpired> for io::Error {
    fn from(expired: LimitExpired) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, expired)
    }
}

/// Whether a call that wants to sleep knows that there is nothing to read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// The socket itself was asked just now and had nothing.
    Proven,
    Assumed,
}

/// How long an expiry waits for confirmation: the grain of the runtime's timer.
const CONFIRMATION: Duration = Duration::from_millis(1);

/// The limits in force on one stream.
///
/// **Few timers.** A timer that is set anew for every query costs two entries into the runtime's timer wheel each
/// time. This one is left where it is when the next limit lies later, and set again only when it fires too early:
/// once per limit instead of once per query.
///
/// **No false alarm.** The runtime knows what the kernel has received only after its reactor was turned, and that
/// happens within blocking calls only. A borrower that reads a row, works for a minute and asks for the next one
/// finds the limit passed and "nothing to read", although the row has been in the kernel for a minute. So a limit
/// that is found passed is not believed at once: the timer is set a little ahead, and as it fires in a turn of the
/// reactor only, after that turn's input, nothing to read *then* is the truth.
pub(super) struct Limits {
    /// By when the connection must be open, and how long that may take.
    opening: (Deadline, Duration),
    /// Since when a reply is due without a byte in either direction; taken lazily, so that a reply which is there
    /// at once costs no look at the clock.
    since: Option<u64>,
    /// The last write found the send buffer full.
    pub write_blocked: bool,
    /// The client is to be answered by the pool, and waits for the end of a message of the server's.
    owing: bool,
    timer: Option<(Pin<Box<Sleep>>, Instant)>,
    /// Whom the timer wakes as it fires; none where it has to be told.
    wakes: Option<Waker>,
    /// The timer stands for the confirmation of an expiry.
    confirming: bool,
    /// A limit was found passed while data kept coming, and no reply has come on since.
    overrun: bool,
    uplink: Uplink,
}

impl Limits {
    pub fn new(deadline: Deadline, limit: Duration, queue: Option<SendQueue>) -> Self {
        Limits {
            opening: (deadline, limit),
            since: None,
            write_blocked: false,
            owing: false,
            timer: None,
            wakes: None,
            confirming: false,
            overrun: false,
            uplink: Uplink::new(queue),
        }
    }

    /// What is left of the time for opening the stream.
    pub fn left_to_open(&self) -> Duration {
        self.opening.0.left()
    }

    /// Notes that a reply came on; returns since when that had been waited for.
    pub fn heard(&mut self) -> Option<u64> {
        self.overrun = false;
        self.uplink.answered();
        self.since.take()
    }

    /// Notes bytes that the kernel has taken.
    pub fn sent(&mut self, bytes: usize) {
        self.overrun = false;
        self.uplink.sent(bytes);
        self.since = None;
    }

    /// Notes that the kernel takes nothing more, and whether a reply is due. Where none is, nobody has waited before.
    pub fn blocks(&mut self, is_due: bool) {
        if !std::mem::replace(&mut self.write_blocked, true) && !is_due {
            self.since = None;
        }
    }

    /// Notes whether the client waits for an answer of the pool's own.
    pub fn owes(&mut self, owing: bool) {
        if std::mem::replace(&mut self.owing, owing) != owing {
            self.since = None;
        }
    }

    /// Whether the client waits for the server. It does as well where it sleeps amid a `COPY` to the server and has
    /// had its turn to write: a writer that has it sleep has given it something first, and whatever else is called
    /// waits for the end of that writer.
    fn waits(&self, shared: &WireState) -> bool {
        self.write_blocked || self.owing || shared.awaits_reply() || shared.is_copying_in()
    }

    /// Called now and then while data keeps coming, so that the task never sleeps: tells whether a limit has expired.
    /// Twice in a row without anything of a reply in between: what comes first may have been there for long.
    pub fn check_flood(&mut self, shared: &WireState) -> Result<(), LimitExpired> {
        let waits = self.waits(shared);
        if !waits && shared.is_open() && shared.bound().is_none() {
            return Ok(());
        }
        let now = shared.now();
        if waits && self.since.is_none() {
            self.since = Some(now);
        }
        match self.first_due(shared, waits) {
            Some((due, limit)) if shared.instant(now) >= due => {
                if std::mem::replace(&mut self.overrun, true) { Err(limit) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    /// Called at each read of a call that has read more than an answer would be: tells whether its time is up.
    pub fn check_call(&self, shared: &WireState) -> Result<(), LimitExpired> {
        match self.first_due(shared, false) {
            Some((due, limit)) if Instant::now() >= due => Err(limit),
            _ => Ok(()),
        }
    }

    /// Makes sure that the task is woken when the first limit expires, and where silence is proven tells whether it
    /// has.
    pub fn check(
        &mut self,
        shared: &WireState,
        cx: &mut Context<'_>,
        silence: Silence,
    ) -> Result<(), LimitExpired> {
        let waits = self.waits(shared);
        if !waits && shared.is_open() && shared.bound().is_none() {
            return Ok(());
        }
        let mut now = shared.now();
        if waits && self.since.is_none() {
            self.since = Some(now);
        }
        if self.is_early(shared, cx, now) {
            return Ok(());
        }
        loop {
            let look = self.look_at_uplink(shared, now);
            let Some((due, limit)) = self.first_due(shared, waits) else { return Ok(()) };
            let at = shared.instant(now);
            if at >= due {
                if !self.confirming {
                    self.set_timer(at + CONFIRMATION);
                    self.confirming = true;
                }
                return if silence == Silence::Proven && self.poll_timer(cx, at) {
                    Err(limit)
                } else {
                    Ok(())
                };
            }
            self.confirming = false;
            let wake = look.map_or(due, |look| shared.instant(look).min(due));
            if self.timer.as_ref().is_none_or(|(sleep, fires)| wake < *fires || sleep.is_elapsed()) {
                self.set_timer(wake);
            }
            if !self.poll_timer(cx, at) {
                return Ok(());
            }
            now = shared.now();
        }
    }

    /// Whether the timer is set, and early enough, for a reply that is the only thing to wait for and not due yet: so
    /// it is with each query but the first and one in many.
    fn is_early(&self, shared: &WireState, cx: &Context<'_>, now: u64) -> bool {
        let is_plain =
            !self.confirming && shared.is_open() && shared.bound().is_none() && self.uplink.is_small();
        let (true, Some(since), Some(limit)) = (is_plain, self.since, shared.socket_timeout()) else {
            return false;
        };
        let due = since.saturating_add(limit);
        let is_in_time = |(_, fires): &(_, Instant)| *fires <= shared.instant(due);
        now < due
            && self.timer.as_ref().is_some_and(is_in_time)
            && self.wakes_in_future(cx, shared.instant(now))
    }

    /// Whether the timer wakes this task, and has not fired by `now`.
    fn wakes_in_future(&self, cx: &Context<'_>, now: Instant) -> bool {
        let wakes = self.wakes.as_ref().is_some_and(|task| is_same(task, cx.waker()));
        wakes && self.timer.as_ref().is_some_and(|(_, fires)| now < *fires)
    }

    /// Takes the kernel's progress with a large request for the server's, and returns when to look at that next.
    fn look_at_uplink(&mut self, shared: &WireState, now: u64) -> Option<u64> {
        let (since, limit) = (self.since?, shared.socket_timeout()?);
        let (drains, next) = self.uplink.look(since, limit, now)?;
        if drains {
            self.since = Some(now);
        }
        Some(next)
    }

    fn first_due(&self, shared: &WireState, waits: bool) -> Option<(Instant, LimitExpired)> {
        let (deadline, limit) = self.opening;
        let opening = (!shared.is_open()).then(|| (deadline.instant(), LimitExpired::Opening(limit)));
        let call = shared.bound().map(|at| (shared.instant(at), LimitExpired::Call(shared.bound_limit())));
        let reply = shared.socket_timeout().zip(self.since).filter(|_| waits).map(|(limit, since)| {
            let due = shared.instant(since.saturating_add(limit));
            let limit = Duration::from_nanos(limit);
            let is_copy = shared.is_copying_in() && !self.write_blocked;
            (due, if is_copy { LimitExpired::Copy(limit) } else { LimitExpired::Reply(limit) })
        });
        [opening, call, reply].into_iter().flatten().min_by_key(|(due, _)| *due)
    }

    fn set_timer(&mut self, at: Instant) {
        self.wakes = None;
        match &mut self.timer {
            Some((sleep, fires)) => {
                sleep.as_mut().reset(at.into());
                *fires = at;
            }
            None => self.timer = Some((Box::pin(tokio::time::sleep_until(at.into())), at)),
        }
    }

    /// Registers the task with the timer; returns whether that has fired by `now`.
    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if self.wakes_in_future(cx, now) {
            return false;
        }
        let Some((sleep, _)) = &mut self.timer else { return false };
        let has_fired = sleep.as_mut().poll(cx).is_ready();
        self.wakes = (!has_fired).then(|| cx.waker().clone());
        has_fired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_told_without_its_odd_microseconds() {
        let told = |nanos| LimitExpired::Opening(Duration::from_nanos(nanos)).to_string();
        assert!(told(1_999_947_172).contains("within 2 s ("), "{}", told(1_999_947_172));
        assert!(told(9_997_123_456).contains("within 10 s ("), "{}", told(9_997_123_456));
        assert!(told(3_333_333_333).contains("within 3.3 s ("), "{}", told(3_333_333_333));
        assert!(told(349_947_172).contains("within 350 ms ("), "{}", told(349_947_172));
    }
}
