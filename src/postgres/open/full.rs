//! A server that is full for a moment: trying again at once, within one opening.

use std::thread;
use std::time::Duration;

use log::Level;

use crate::clock::Deadline;
use crate::lines::say;
use crate::postgres::connection::PgConnection;
use crate::postgres::error::PgError;
use crate::postgres::observer::Opening;
use crate::text::Time;

/// How often it is tried again.
const TRIES_MORE: u32 = 2;
/// The pauses ahead of them are random between these, so that both fit into a quarter of a second.
const PAUSES: [Duration; 2] = [Duration::from_millis(40), Duration::from_millis(125)];

/// What an opening does where the server has no connection left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::postgres) enum WhenFull {
    /// It fails, and the pool's back-off says when there is another.
    Fails,
    /// It tries again, twice within a quarter of a second. A server counts those who are still logging in, also those
    /// whom it is about to refuse, ahead of all limits: it may be full of them, and have room when they are gone.
    TriesAgain,
}

impl WhenFull {
    /// Opens by `open`, all tries within `limit`. However many there were, one failure is told.
    pub(super) fn opened(
        self,
        opening: &Opening,
        limit: Duration,
        open: impl Fn(Duration) -> Result<PgConnection, PgError>,
    ) -> Result<PgConnection, PgError> {
        let deadline = Deadline::of(limit);
        let mut outcome = open(limit);
        if self == WhenFull::Fails {
            return outcome;
        }
        for _ in 0..TRIES_MORE {
            let Err(error) = &outcome else { break };
            let pause = between(PAUSES, fastrand::f64());
            if !error.is_exhausted() || deadline.left() <= pause || opening.is_over() {
                break;
            }
            say!(
                Level::Debug,
                "tierpool::postgres",
                [error = error.to_string(), delay_seconds = pause.as_secs_f64()],
                "the server has no connection left ({error}); trying again in {}",
                Time(pause)
            );
            // Its end, with the pool, waits for this pause at the most.
            thread::sleep(pause);
            if opening.is_over() {
                break;
            }
            outcome = open(deadline.left());
        }
        outcome
    }
}

/// What lies between two times, by a random number from 0 to 1.
fn between([least, most]: [Duration; 2], chance: f64) -> Duration {
    least + (most - least).mul_f64(chance)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::postgres::observer::Openings;

    const LONG: Duration = Duration::from_secs(60);

    /// How often it is tried where all tries fail so.
    fn tries(when: WhenFull, limit: Duration, opening: &Opening, error: impl Fn() -> PgError) -> u32 {
        let count = Cell::new(0);
        let outcome = when.opened(opening, limit, |_| {
            count.set(count.get() + 1);
            Err(error())
        });
        assert!(outcome.is_err());
        count.get()
    }

    fn full() -> PgError {
        PgError::no_room("full".to_owned())
    }

    #[test]
    fn only_who_is_to_try_again_does_so_and_only_where_the_server_is_full_and_time_is_left() {
        let opening = Opening::default();
        assert_eq!(tries(WhenFull::Fails, LONG, &opening, full), 1);
        assert_eq!(tries(WhenFull::TriesAgain, LONG, &opening, full), 3);
        assert_eq!(tries(WhenFull::TriesAgain, LONG, &opening, PgError::lost), 1);
        assert_eq!(tries(WhenFull::TriesAgain, Duration::from_millis(20), &opening, full), 1);
        let openings = Openings::default();
        openings.end();
        assert_eq!(tries(WhenFull::TriesAgain, LONG, &openings.begin(), full), 1, "its pool is closed");
    }

    #[test]
    fn both_pauses_fit_into_a_quarter_of_a_second() {
        assert_eq!([0.0, 1.0].map(|chance| between(PAUSES, chance)), PAUSES);
        assert!(PAUSES[1] * TRIES_MORE <= Duration::from_millis(250));
    }
}
