//! The status box with what the server says below it.

use std::fmt;

use super::data::DatabaseStats;
use super::status::{FANCY, Marks, PLAIN, RULE, is_fancy, print};
use crate::postgres::{PgManager, ServerActivity};
use crate::tiers::TieredPool;

/// The status box and the server's activity, by
/// [`PgPool::verbose_connection_status`](crate::TieredPool::verbose_connection_status); `Display` is both.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct VerboseStatus {
    /// This process: the box.
    pub stats: DatabaseStats,
    /// All processes, as the server sees them; or why it could not be asked, in one line.
    pub server: Result<ServerActivity, String>,
}

impl VerboseStatus {
    /// Returns the same in plain characters, for logs and terminals that show no others.
    pub fn plain(&self) -> VerbosePlain<'_> {
        VerbosePlain(self)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, marks: &Marks) -> fmt::Result {
        self.stats.write(f, marks)?;
        match &self.server {
            Ok(activity) => write!(f, "\n{}{activity}", marks.server)?,
            Err(reason) => write!(f, "\n{}Server: not known: {reason}", marks.server)?,
        }
        write!(f, "\n{}", "=".repeat(RULE))
    }
}

impl fmt::Display for VerboseStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &FANCY)
    }
}

/// The verbose status in plain characters, from [`VerboseStatus::plain`].
#[derive(Clone, Copy, Debug)]
pub struct VerbosePlain<'a>(&'a VerboseStatus);

impl fmt::Display for VerbosePlain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, &PLAIN)
    }
}

impl TieredPool<PgManager> {
    /// Returns the status box together with [`server_activity`](TieredPool::server_activity): what this process holds,
    /// and what all processes of the application hold. Where the server cannot be asked, the reason stands in its
    /// place.
    ///
    /// # Blocking
    ///
    /// As [`server_activity`](TieredPool::server_activity).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// let pool = tierpool::PgPool::from_env()?;
    /// let status = pool.verbose_connection_status();
    /// println!("{}", status.plain());
    /// let room = status.server.map_or(0, |server| server.automation.room);
    /// println!("room for {room} more");
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    #[track_caller]
    pub fn verbose_connection_status(&self) -> VerboseStatus {
        let before = self.adhoc().gauges();
        let server = self.server_activity().map_err(|error| error.to_string());
        VerboseStatus { stats: self.database_stats(Some(before)), server }
    }

    /// Prints the verbose status to standard output, in the form that
    /// [`print_connection_status`](crate::print_connection_status) chooses, and returns it.
    ///
    /// # Blocking
    ///
    /// As [`server_activity`](TieredPool::server_activity).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// let pool = tierpool::PgPool::from_env()?;
    /// let status = pool.print_verbose_connection_status();
    /// std::process::exit(if status.server.is_ok() { 0 } else { 1 });
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    #[track_caller]
    pub fn print_verbose_connection_status(&self) -> VerboseStatus {
        let status = self.verbose_connection_status();
        if is_fancy() {
            print(&status)
        } else {
            print(status.plain())
        }
        status
    }
}
