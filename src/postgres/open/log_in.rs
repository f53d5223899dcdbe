//! Who may log in now, for all managers that log in as one role to one server.
//!
//! Servers lock accounts after a few wrong passwords, and a pool has several threads that open connections. So until a
//! role has been let in, and again from a refusal on until it has been let in once more, one attempt is made at a time,
//! and whoever waits for it learns of its refusal instead of making another. A role that was let in is not asked to
//! wait: what matters then is that many connections are opened at once. Attempts under way together when a password
//! that worked stops to be taken are what that costs. It is let in when its handshake is done: what is asked and set
//! after that keeps nobody waiting.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use postgres::Config;

use super::credentials::Credentials;
use crate::clock::{Clock, Deadline, Millis};
use crate::postgres::error::{Credential, OpeningError, PgError, Refused};
use crate::postgres::observer::Opening;

/// As far apart as the pool's own attempts after a refused password: no account is locked by that.
const REFUSED_PAUSE: Millis = Millis::new(30_000);
/// Different credentials refused in a row that are still tried without that pause. One is usual while a password is
/// being rotated; servers that lock accounts allow more than these.
const PROMPT_TRIES: u32 = 3;

/// Less than that is no use to one that has waited: its failure would be told as one of the server's.
const LEAST_LEFT: Duration = Duration::from_millis(5);

/// The log-ins of one role to one server.
pub(in crate::postgres) struct LogIns {
    /// Keys of the digests: a digest is of no use outside of this process.
    keys: RandomState,
    clock: Clock,
    /// Held for a look or a note, and never over a log-in.
    state: Mutex<State>,
    /// A turn has ended.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    /// The last attempt that told anything of the role was let in.
    is_let_in: bool,
    /// Any was.
    was_let_in: bool,
    /// The attempt that others wait for, and when they no longer do: it may hang for longer than it was given.
    turn: Option<(u64, Instant)>,
    turns: u64,
    refusals: Refusals,
}

/// An attempt to log in. Others may take their turn when it is dropped.
pub(super) struct LogIn<'a> {
    /// Those of a callback, where there is one.
    pub credentials: Option<&'a Credentials>,
    log_ins: &'a LogIns,
    digest: u64,
    /// Its number, where others wait for it.
    turn: Option<u64>,
    /// Whether it had to wait.
    pub has_waited: bool,
}

impl LogIns {
    /// None so far; pauses go by `clock`.
    pub fn new(clock: Clock) -> Self {
        LogIns { keys: RandomState::new(), clock, state: Mutex::default(), ended: Condvar::new() }
    }

    /// Waits until an attempt may be made with these credentials, or those of the configurations, until `limit` is over
    /// at the most. Fails where the server has lately refused them, without asking the server again, and where the
    /// opening is over.
    pub(super) fn begin<'a>(
        &'a self,
        configs: &[Config],
        credentials: Option<&'a Credentials>,
        opening: &Opening,
        limit: Duration,
    ) -> Result<LogIn<'a>, PgError> {
        let of_configs =
            || configs.iter().map(|config| (config.get_user(), config.get_password())).collect::<Vec<_>>();
        let digest = match credentials {
            Some(credentials) => self.keys.hash_one(credentials),
            None => self.keys.hash_one(of_configs()),
        };
        let given_by = if credentials.is_some() { Credential::Callback } else { Credential::Settings };
        let begun = self.begin_with(digest, opening, limit);
        let begun = begun.map(|mut log_in| {
            log_in.credentials = credentials;
            log_in
        });
        begun.map_err(|hindrance| {
            PgError::opening(match hindrance {
                Hindrance::Refused { refused, pause, worked } => {
                    OpeningError::StillRefused { refused, pause, given_by, worked }
                }
                Hindrance::NoTurn => OpeningError::NoTurn(limit),
                Hindrance::PoolClosed => OpeningError::PoolClosed,
            })
        })
    }

    /// Has those who wait look whether their opening is over.
    pub fn wake(&self) {
        // Whoever has looked before that waits by now, and whoever has not will find it over.
        drop(self.state.lock());
        self.ended.notify_all();
    }

    fn begin_with(&self, digest: u64, opening: &Opening, limit: Duration) -> Result<LogIn<'_>, Hindrance> {
        let end = Deadline::of(limit).instant();
        let mut has_waited = false;
        let mut state = self.state.lock();
        loop {
            if opening.is_over() {
                return Err(Hindrance::PoolClosed);
            }
            if let Some((refused, pause)) = state.refusals.pause(digest, self.clock.precise_ms()) {
                return Err(Hindrance::Refused {
                    refused,
                    pause: pause.duration(),
                    worked: state.was_let_in,
                });
            }
            let now = Instant::now();
            let until = state.turn.map(|(_, until)| until).filter(|until| !state.is_let_in && now < *until);
            match until {
                None if has_waited && end < now + LEAST_LEFT => return Err(Hindrance::NoTurn),
                None => break,
                Some(_) if end <= now => return Err(Hindrance::NoTurn),
                Some(until) => drop(self.ended.wait_until(&mut state, until.min(end))),
            }
            has_waited = true;
        }
        let turn = (!state.is_let_in).then(|| {
            state.turns += 1;
            state.turn = Some((state.turns, end));
            state.turns
        });
        Ok(LogIn { credentials: None, log_ins: self, digest, turn, has_waited })
    }
}

#[derive(Debug)]
enum Hindrance {
    Refused {
        refused: Refused,
        pause: Duration,
        /// The role was let in before.
        worked: bool,
    },
    NoTurn,
    PoolClosed,
}

impl LogIn<'_> {
    /// The server let it in: from now on nobody waits for a turn.
    pub fn let_in(&self) {
        let mut state = self.log_ins.state.lock();
        (state.is_let_in, state.was_let_in) = (true, true);
        state.refusals = Refusals::default();
        drop(state);
        self.log_ins.ended.notify_all();
    }

    /// The server refused the credentials.
    pub fn refused(self, refused: Refused) {
        let mut state = self.log_ins.state.lock();
        state.is_let_in = false;
        state.refusals.note(self.digest, self.log_ins.clock.precise_ms(), refused);
    }
}

impl Drop for LogIn<'_> {
    fn drop(&mut self) {
        let mut state = self.log_ins.state.lock();
        // It may have been given to another meanwhile.
        if state.turn.is_some_and(|(turn, _)| Some(turn) == self.turn) {
            state.turn = None;
        }
        drop(state);
        self.log_ins.ended.notify_all();
    }
}

/// What the server refused last.
#[derive(Debug, Default)]
struct Refusals {
    last: Option<(u64, Millis, Refused)>,
    in_row: u32,
}

impl Refusals {
    /// How long the server is to be left alone with these credentials, and what it said.
    fn pause(&self, digest: u64, now: Millis) -> Option<(Refused, Millis)> {
        let (refused, at, said) = self.last.as_ref()?;
        if digest != *refused && self.in_row < PROMPT_TRIES {
            return None;
        }
        let left = REFUSED_PAUSE.since(now.since(*at));
        (left > Millis::ZERO).then(|| (said.clone(), left))
    }

    /// Several threads may be refused with the same ones, and after each pause they may be the same again: that is one
    /// refusal in the row, or what comes in their place would not be tried at once.
    fn note(&mut self, digest: u64, now: Millis, said: Refused) {
        if self.last.as_ref().is_none_or(|(refused, ..)| *refused != digest) {
            self.in_row = self.in_row.saturating_add(1);
        }
        self.last = Some((digest, now, said));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;
    use crate::postgres::observer::Openings;

    const LONG: Duration = Duration::from_secs(60);

    fn said() -> Refused {
        Refused { code: "28P01".to_owned(), message: "no".to_owned() }
    }

    fn at(seconds: u64) -> Millis {
        Millis::new(seconds * 1000)
    }

    impl LogIns {
        fn begin_alone(&self, digest: u64, limit: Duration) -> Result<LogIn<'_>, Hindrance> {
            self.begin_with(digest, &Opening::default(), limit)
        }
    }

    impl Refusals {
        fn pause_of(&self, digest: u64, seconds: u64) -> Option<u64> {
            self.pause(digest, at(seconds)).map(|(_, left)| left.get() / 1000)
        }
    }

    #[test]
    fn what_was_refused_is_not_tried_again_for_half_a_minute_and_what_is_new_is() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.pause_of(1, 0), None);
        refusals.note(1, at(0), said());
        assert_eq!(refusals.pause_of(1, 10), Some(20));
        assert_eq!(refusals.pause_of(2, 10), None);
        assert_eq!(refusals.pause_of(1, 30), None);
    }

    #[test]
    fn the_same_refused_several_times_leave_the_new_ones_their_prompt_try() {
        let mut refusals = Refusals::default();
        // By four threads at once, and once more when they are asked again.
        for seconds in [0, 0, 0, 0, 30] {
            refusals.note(1, at(seconds), said());
        }
        assert_eq!(refusals.pause_of(2, 31), None);
        assert!(refusals.pause_of(1, 31).is_some());
    }

    #[test]
    fn ever_new_credentials_that_are_refused_come_to_the_same_pace() {
        let mut refusals = Refusals::default();
        for digest in 0..3 {
            assert_eq!(refusals.pause_of(digest, 0), None);
            refusals.note(digest, at(0), said());
        }
        assert_eq!(refusals.pause_of(9, 0), Some(30));
    }

    #[test]
    fn until_one_is_let_in_attempts_are_made_one_at_a_time_and_from_then_on_together() {
        let log_ins = LogIns::new(Clock::default());
        let (under_way, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let attempt = log_ins.begin_alone(1, LONG).unwrap();
                    most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::yield_now();
                    under_way.fetch_sub(1, Ordering::SeqCst);
                    // As one that was cut off: it tells nothing of the role.
                    drop(attempt);
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
        log_ins.begin_alone(1, LONG).unwrap().let_in();
        let together: Vec<_> = (0..50).map(|_| log_ins.begin_alone(1, Duration::ZERO).unwrap()).collect();
        assert!(together.iter().all(|attempt| !attempt.has_waited));
    }

    #[test]
    fn who_waits_for_a_turn_learns_of_the_refusal_and_makes_no_attempt() {
        let (clock, hand) = Clock::manual();
        let log_ins = LogIns::new(clock);
        let first = log_ins.begin_alone(1, LONG).unwrap();
        thread::scope(|scope| {
            let waiting: Vec<_> =
                (0..3).map(|_| scope.spawn(|| log_ins.begin_alone(1, LONG).map(drop))).collect();
            let (done, other) = channel();
            let log_ins = &log_ins;
            scope.spawn(move || {
                let attempt = log_ins.begin_alone(2, LONG);
                done.send(attempt.is_ok()).unwrap();
            });
            first.refused(said());
            for waiting in waiting {
                assert!(matches!(waiting.join().unwrap(), Err(Hindrance::Refused { .. })));
            }
            assert!(other.recv().unwrap(), "other credentials are new to the server");
        });
        hand.advance(REFUSED_PAUSE.duration());
        assert!(log_ins.begin_alone(1, LONG).is_ok());
    }

    #[test]
    fn a_refusal_after_a_success_has_attempts_made_one_at_a_time_again() {
        let log_ins = LogIns::new(Clock::default());
        let both = [(); 2].map(|()| log_ins.begin_alone(1, LONG).map(|_| ()));
        assert!(both.iter().all(Result::is_ok));
        log_ins.begin_alone(1, LONG).unwrap().let_in();
        log_ins.begin_alone(1, LONG).unwrap().refused(said());
        let new = log_ins.begin_alone(2, LONG).unwrap();
        let behind = log_ins.begin_alone(2, Duration::ZERO).map(drop);
        assert!(matches!(behind, Err(Hindrance::NoTurn)));
        new.let_in();
        assert!(log_ins.begin_alone(2, Duration::ZERO).is_ok());
    }

    #[test]
    fn nobody_waits_for_one_that_hangs_beyond_its_own_time_nor_beyond_the_time_of_that_one() {
        let log_ins = LogIns::new(Clock::default());
        let short = Duration::from_millis(50);
        let hangs = log_ins.begin_alone(1, short).unwrap();
        // With the time that the first one has, and a little less.
        assert!(matches!(log_ins.begin_alone(1, short / 2).map(drop), Err(Hindrance::NoTurn)));
        let next = log_ins.begin_alone(1, LONG).unwrap();
        assert!(next.has_waited);
        // Ends after all, and takes nobody's turn.
        drop(hangs);
        assert!(matches!(log_ins.begin_alone(1, Duration::ZERO).map(drop), Err(Hindrance::NoTurn)));
        drop(next);
        assert!(log_ins.begin_alone(1, Duration::ZERO).is_ok());
    }

    #[test]
    fn who_has_its_turn_as_its_own_time_is_over_makes_no_attempt() {
        let log_ins = LogIns::new(Clock::default());
        let short = Duration::from_millis(50);
        let hangs = log_ins.begin_alone(1, short).unwrap();
        // When that one's time is over a millisecond is left of this one's, or none.
        assert!(matches!(log_ins.begin_alone(1, short).map(drop), Err(Hindrance::NoTurn)));
        drop(hangs);
    }

    #[test]
    fn who_waits_for_a_turn_learns_that_its_pool_is_closed() {
        let (log_ins, openings) = (LogIns::new(Clock::default()), Openings::default());
        let hangs = log_ins.begin_alone(1, LONG).unwrap();
        let (begun, began) = channel();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let opening = openings.begin();
                begun.send(()).unwrap();
                log_ins.begin_with(1, &opening, LONG).map(drop)
            });
            began.recv().unwrap();
            openings.end();
            log_ins.wake();
            assert!(matches!(waiting.join().unwrap(), Err(Hindrance::PoolClosed)));
        });
        drop(hangs);
    }
}
