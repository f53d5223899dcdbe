//! The admin socket that a pool may stand behind.

use crate::error::Error;

/// A pool that can be put there.
pub(crate) trait Watched {
    /// Puts it there, under the name of its program, with the servers that it leads to.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` where the socket cannot be had.
    fn open_admin(&self, app: &str, may_write: bool, servers: Vec<String>) -> Result<(), Error>;
}
