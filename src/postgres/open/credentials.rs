//! User and password from a callback, asked anew for each connection.

use std::error::Error as StdError;
use std::fmt;

use parking_lot::Mutex;
use postgres::Config;

use crate::postgres::error::{OpeningError, PgError};

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

/// A callback, and as whom it had connections opened.
pub(in crate::postgres) struct CredentialSource {
    callback: Box<Callback>,
    user: Mutex<Option<String>>,
}

impl CredentialSource {
    pub fn new(callback: Box<Callback>) -> Self {
        CredentialSource { callback, user: Mutex::default() }
    }

    /// Asks the callback.
    pub(super) fn ask(&self) -> Result<Credentials, PgError> {
        (self.callback)().map_err(|error| PgError::opening(OpeningError::Callback(error)))
    }

    pub(super) fn accepted(&self, given: &Credentials) {
        let mut user = self.user.lock();
        if *user != given.user {
            user.clone_from(&given.user);
        }
    }

    /// The user with whom a connection was opened last, where the callback named one.
    pub fn user(&self) -> Option<String> {
        self.user.lock().clone()
    }
}
