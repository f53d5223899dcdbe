//! What travels with a connection: when it was opened, how old it may get, and its uses.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use r2d2::Extensions;

use crate::clock::Millis;
use crate::config::Settings;
use crate::pool::parts::errand::Subject;
use crate::pool::parts::generations::Generation;

/// A connection not yet lent is trusted for this long, like one that was just used, but where every checkout validates.
const FRESH: Millis = Millis::new(500);

/// One part in so many of the keepalive period by which a validation is earlier at the least: the keeper looks only
/// once in a while, and by the end of the period the server is to have been seen.
const KEEPALIVE_LEAD: u32 = 50;

/// The part of the rest by which it may be earlier still; with the lead, a tenth of the period at the most.
const KEEPALIVE_JITTER: f64 = 0.08;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// The connection and its story.
pub(crate) struct Body<C> {
    pub(crate) conn: C,
    pub(crate) extensions: Extensions,
    /// Unique in this process.
    pub(crate) id: u64,
    /// When it was opened, by the pool's clock.
    opened_at: Millis,
    /// When it expires, jitter included.
    expires_at: Millis,
    /// From here on a checkout looks closer: it may be due for validation or too old.
    pub(crate) check_at: Millis,
    /// The generation in which opening began: what was evicted before then is not meant for it.
    pub(crate) born: Generation,
    /// The generation in which it was last found fit.
    pub(crate) seen: Generation,
    pub(crate) uses: u64,
    /// It is due and works on while its replacement is being opened.
    pub(crate) spared: bool,
    pub(crate) marked_broken: bool,
    /// The number of the borrowing thread, for who touches a connection after it was passed on. Relaxed: a fact for
    /// reports and for the deadlock check, which allows for its being late.
    pub(crate) thread: AtomicU64,
}

/// The moment `period` from `now`, or earlier by up to `jitter` of it; never for none.
fn after(now: Millis, period: Option<Duration>, jitter: f64) -> Millis {
    // In floating point, which saturates: a period may be as long as a `Duration` can be.
    let shortened =
        |period| Millis::new((Millis::of(period).get() as f64 * (1.0 - jitter * spread())) as u64);
    period.map_or(Millis::NEVER, |period| now.plus(shortened(period)))
}

/// How much longer one that is due may work on, of a limit in milliseconds or uses: a tenth, as the documentation of
/// `max_lifetime` says, and at least one.
fn grace(limit: u64) -> u64 {
    (limit / 10).max(1)
}

/// When a connection heard of at `heard` is validated in the background.
pub(crate) fn plan_keepalive(heard: Millis, keepalive: Option<Duration>) -> Millis {
    after(heard, keepalive.map(|period| period - period / KEEPALIVE_LEAD), KEEPALIVE_JITTER)
}

impl<C> Body<C> {
    pub(crate) fn new(conn: C, born: Generation, now: Millis, settings: &Settings) -> Self {
        Body {
            conn,
            extensions: Extensions::new(),
            // Relaxed: only uniqueness matters.
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            opened_at: now,
            expires_at: after(now, settings.max_lifetime, settings.lifetime_jitter),
            check_at: Millis::NEVER,
            born,
            seen: born,
            uses: 0,
            spared: false,
            marked_broken: false,
            thread: AtomicU64::new(0),
        }
    }

    pub(crate) fn age(&self, now: Millis) -> Duration {
        now.since(self.opened_at).duration()
    }

    #[inline]
    pub(crate) fn expires_at(&self) -> Millis {
        self.expires_at
    }

    /// Whether its lifetime or its uses are up.
    pub(crate) fn is_due(&self, now: Millis, max_uses: Option<u64>) -> bool {
        now >= self.expires_at || max_uses.is_some_and(|max| self.uses >= max)
    }

    /// Whether it should have been replaced so long ago that waiting for its replacement must end: a tenth of its
    /// lifetime, or ten uses in a hundred, and at least one.
    pub(crate) fn is_overdue(&self, now: Millis, max_uses: Option<u64>) -> bool {
        now >= self.overdue_at() || max_uses.is_some_and(|max| self.uses >= max.saturating_add(grace(max)))
    }

    /// Whether it may not be lent for its age or its uses.
    pub(crate) fn is_worn(&self, now: Millis, max_uses: Option<u64>) -> bool {
        if self.spared { self.is_overdue(now, max_uses) } else { self.is_due(now, max_uses) }
    }

    /// The time from which on `is_overdue`, as far as the age goes.
    fn overdue_at(&self) -> Millis {
        let life = self.expires_at.since(self.opened_at);
        self.expires_at.plus(Millis::new(grace(life.get())))
    }

    /// Sets the moments at which it is to be looked at, as it begins to rest.
    pub(crate) fn rests(&mut self, now: Millis, ping_after: Millis) {
        let is_new = self.uses == 0 && ping_after > Millis::ZERO;
        let trusted = if is_new { ping_after.max(FRESH) } else { ping_after };
        self.rests_after_use(now, trusted);
    }

    /// The same for one that has been lent before.
    #[inline]
    pub(crate) fn rests_after_use(&mut self, now: Millis, ping_after: Millis) {
        // A threshold of "never" stays so: the sum ends at the largest number.
        self.check_at = now.plus(ping_after).min(self.worn_at());
    }

    /// One handed to a waiter right from its opening has not rested yet: it is as good as its opening.
    pub(crate) fn handed_over(&mut self, now: Millis) {
        if self.uses == 0 && now.since(self.opened_at) < FRESH {
            self.fresh();
        }
    }

    /// A connection handed over without resting is as fresh as its opening or its last use.
    pub(crate) fn fresh(&mut self) {
        self.check_at = self.worn_at();
    }

    fn worn_at(&self) -> Millis {
        if self.spared { self.overdue_at() } else { self.expires_at }
    }

    /// By what it is judged what its silence means for others.
    pub(crate) fn subject(&self) -> Subject {
        Subject { id: self.id, seen: self.seen }
    }
}

/// A random number from 0 to 1, to keep connections and programs out of step.
pub(crate) fn spread() -> f64 {
    fastrand::f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::parts::generations::AtomicGeneration;

    #[test]
    fn lifetimes_are_spread_within_the_jitter() {
        let born = AtomicGeneration::first().load();
        let lifetime = Some(Duration::from_secs(1000));
        let mut settings = Settings { max_lifetime: lifetime, lifetime_jitter: 0.05, ..Settings::default() };
        let expiry = |settings: &Settings| Body::new((), born, Millis::ZERO, settings).expires_at();
        let limits: Vec<u64> = (0..200).map(|_| expiry(&settings).get()).collect();
        assert!(limits.iter().all(|ms| (950_000..=1_000_000).contains(ms)), "{limits:?}");
        assert!(limits.iter().max() > limits.iter().min(), "no two differ");
        settings.max_lifetime = None;
        assert_eq!(expiry(&settings), Millis::NEVER);
    }

    #[test]
    fn a_validation_in_the_background_ends_within_its_period() {
        let settings = Settings::default();
        let (period, look) = (settings.keepalive.map(Millis::of), Millis::of(settings.reaper_rate));
        let period = period.expect("it is on by default");
        for _ in 0..1000 {
            let at = plan_keepalive(Millis::ZERO, settings.keepalive);
            assert!(at.plus(look) <= period, "{at:?} is found due after {period:?}");
            assert!(at >= Millis::new(period.get() / 10 * 9), "{at:?}");
        }
        assert_eq!(plan_keepalive(Millis::ZERO, None), Millis::NEVER);
    }
}
