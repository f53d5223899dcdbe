//! User and password from a callback, asked anew for each connection.

use std::collections::hash_map::RandomState;
use std::error::Error as StdError;
use std::fmt;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use postgres::Config;

use crate::postgres::error::{OpeningError, PgError};

/// As far apart as the pool's own attempts after a refused password: no account is locked by that.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);
/// Different credentials refused in a row that are still tried without that pause. One is usual while a password is
/// being rotated; servers that lock accounts allow more than these.
const PROMPT_TRIES: u32 = 3;

/// With what a connection is opened: a password or token, and the user where it is not that of the connection string.
///
/// `Debug` does not show the password.
///
/// ```
/// use tierpool::postgres::Credentials;
///
/// let credentials = Credentials::password("hush").user("scraper");
/// assert!(!format!("{credentials:?}").contains("hush"));
/// ```
#[derive(Clone, Hash)]
pub struct Credentials {
    user: Option<String>,
    password: String,
}

impl Credentials {
    /// Makes credentials for the user of the connection string.
    pub fn password(password: impl Into<String>) -> Self {
        Credentials { user: None, password: password.into() }
    }

    /// Names the user.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    pub(super) fn put_into(&self, config: &mut Config) {
        if let Some(user) = &self.user {
            config.user(user);
        }
        config.password(&self.password);
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).field("password", &"[redacted]").finish()
    }
}

/// The user's callback.
pub(in crate::postgres) type Callback =
    dyn Fn() -> Result<Credentials, Box<dyn StdError + Send + Sync>> + Send + Sync + 'static;

/// A callback with its memory of what the server refused.
pub(in crate::postgres) struct CredentialSource {
    callback: Box<Callback>,
    /// Keys of the digests: a digest is of no use outside of this process.
    keys: RandomState,
    /// Held for the look and the note alone, never over the callback.
    refusals: Mutex<Refusals>,
    user: Mutex<Option<String>>,
}

/// What the callback gave, and the mark by which it is known again.
pub(super) struct Given {
    pub credentials: Credentials,
    digest: u64,
}

impl CredentialSource {
    pub fn new(callback: Box<Callback>) -> Self {
        CredentialSource {
            callback,
            keys: RandomState::new(),
            refusals: Mutex::default(),
            user: Mutex::default(),
        }
    }

    /// Asks the callback. Fails where the server has refused lately what it gives, without asking the server again.
    pub(super) fn ask(&self) -> Result<Given, PgError> {
        let credentials =
            (self.callback)().map_err(|error| PgError::opening(OpeningError::Callback(error)))?;
        let digest = self.keys.hash_one(&credentials);
        match self.refusals.lock().pause(digest, Instant::now()) {
            None => Ok(Given { credentials, digest }),
            Some(pause) => Err(PgError::opening(OpeningError::StillRefused(pause))),
        }
    }

    pub(super) fn refused(&self, given: &Given) {
        self.refusals.lock().note(given.digest, Instant::now());
    }

    pub(super) fn accepted(&self, given: &Given) {
        *self.refusals.lock() = Refusals::default();
        let mut user = self.user.lock();
        if *user != given.credentials.user {
            user.clone_from(&given.credentials.user);
        }
    }

    /// The user with whom a connection was opened last, where the callback named one.
    pub fn user(&self) -> Option<String> {
        self.user.lock().clone()
    }
}

/// What the server refused last.
#[derive(Debug, Default)]
struct Refusals {
    last: Option<(u64, Instant)>,
    in_row: u32,
}

impl Refusals {
    /// How long the server is to be left alone with these credentials.
    fn pause(&self, digest: u64, now: Instant) -> Option<Duration> {
        let (refused, at) = self.last?;
        if digest != refused && self.in_row < PROMPT_TRIES {
            return None;
        }
        let left = REFUSED_PAUSE.saturating_sub(now.saturating_duration_since(at));
        (!left.is_zero()).then_some(left)
    }

    /// Several threads may be refused with the same ones, and after each pause they may be the same again: that is one
    /// refusal in the row, or what comes in their place would not be tried at once.
    fn note(&mut self, digest: u64, now: Instant) {
        if self.last.is_none_or(|(refused, _)| refused != digest) {
            self.in_row = self.in_row.saturating_add(1);
        }
        self.last = Some((digest, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_not_tried_again_for_half_a_minute_and_what_is_new_is() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut refusals = Refusals::default();
        assert_eq!(refusals.pause(1, start), None);
        refusals.note(1, start);
        assert_eq!(refusals.pause(1, at(10)), Some(Duration::from_secs(20)));
        assert_eq!(refusals.pause(2, at(10)), None);
        assert_eq!(refusals.pause(1, at(30)), None);
    }

    #[test]
    fn the_same_refused_several_times_leave_the_new_ones_their_prompt_try() {
        let start = Instant::now();
        let mut refusals = Refusals::default();
        // By four threads at once, and once more when they are asked again.
        for seconds in [0, 0, 0, 0, 30] {
            refusals.note(1, start + Duration::from_secs(seconds));
        }
        let now = start + Duration::from_secs(31);
        assert_eq!(refusals.pause(2, now), None);
        assert!(refusals.pause(1, now).is_some());
    }

    #[test]
    fn ever_new_credentials_that_are_refused_come_to_the_same_pace() {
        let start = Instant::now();
        let mut refusals = Refusals::default();
        for digest in 0..3 {
            assert_eq!(refusals.pause(digest, start), None);
            refusals.note(digest, start);
        }
        assert_eq!(refusals.pause(9, start), Some(REFUSED_PAUSE));
    }
}
