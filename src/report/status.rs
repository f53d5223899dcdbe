//! The status box, for terminals and for everything else.

use std::fmt;
use std::io::{IsTerminal, Write};

use r2d2::ManageConnection;

use super::data::DatabaseStats;
use super::judgement::{connections, free_now, is_seen, promised, to_come};
use super::verdict::{Load, Verdict};
use crate::tiers::{Asker, TieredPool};

/// Waiters listed before the rest is only counted.
const WAITERS_SHOWN: usize = 5;

/// The width of the lines that the box is ruled with.
pub(super) const RULE: usize = 60;

/// The marks of a form of the box.
pub(super) struct Marks {
    title: &'static str,
    limit: &'static str,
    automation: &'static str,
    adhoc: &'static str,
    #[cfg_attr(not(feature = "postgres"), allow(dead_code))]
    pub(super) server: &'static str,
    branch: &'static str,
    last: &'static str,
    healthy: &'static str,
    unknown: &'static str,
    unreachable: &'static str,
    high_load: &'static str,
    exhausted: &'static str,
    circuit_open: &'static str,
    not_lending: &'static str,
}

pub(super) const FANCY: Marks = Marks {
    title: "🔌 ",
    limit: "📊 ",
    automation: "🤖 ",
    adhoc: "👤 ",
    server: "📡 ",
    branch: "├─",
    last: "└─",
    healthy: "✅ ",
    unknown: "❓ ",
    unreachable: "⛔ ",
    high_load: "⚠️ ",
    exhausted: "❌ ",
    circuit_open: "⛔ ",
    not_lending: "⛔ ",
};

pub(super) const PLAIN: Marks = Marks {
    title: "",
    limit: "",
    automation: "",
    adhoc: "",
    server: "",
    branch: "-",
    last: "-",
    healthy: "[ok] ",
    unknown: "[unknown] ",
    unreachable: "[critical] ",
    high_load: "[warning] ",
    exhausted: "[critical] ",
    circuit_open: "[critical] ",
    not_lending: "[critical] ",
};

impl DatabaseStats {
    /// Returns the box in plain characters, for logs and terminals that show no others.
    ///
    /// ```
    /// use tierpool::{MemoryManager, TieredPool};
    ///
    /// let pool = TieredPool::builder().build(|_| MemoryManager)?;
    /// let text = pool.get_database_stats().plain().to_string();
    /// assert!(text.is_ascii());
    /// assert!(text.contains("Automation Pool: 50 + 5 overflow"));
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn plain(&self) -> Plain<'_> {
        Plain(self)
    }

    /// Returns the box in the form that [`print_connection_status`] chooses for standard output.
    ///
    /// ```
    /// use tierpool::{MemoryManager, TieredPool};
    ///
    /// let stats = TieredPool::builder().build(|_| MemoryManager)?.get_database_stats();
    /// assert!([stats.to_string(), stats.plain().to_string()].contains(&stats.for_stdout()));
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn for_stdout(&self) -> String {
        if is_fancy() { self.to_string() } else { self.plain().to_string() }
    }

    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, marks: &Marks) -> fmt::Result {
        let rule = "=".repeat(RULE);
        let Marks { branch, last, .. } = marks;
        let base = self.automation.base_size;
        writeln!(f, "{}DATABASE CONNECTION STATUS\n{rule}", marks.title)?;
        writeln!(f, "{}{}: {} connections", marks.limit, self.limit_name, self.total_connections)?;
        if let Some(fleet) = &self.fleet {
            writeln!(f, "   {last} Shared in {fleet}")?;
        }
        writeln!(f, "   {last} Reserved for Ad-hoc: {}{}", self.reserved, self.promise())?;
        writeln!(
            f,
            "   {last} Automation Pool: {base} + {} overflow\n",
            self.total_possible.saturating_sub(base)
        )?;
        writeln!(f, "{}Automation (Scraping/Monitoring):", marks.automation)?;
        writeln!(f, "   {branch} In Use: {}/{}", self.in_use, self.total_possible)?;
        writeln!(f, "   {branch} Available: {}", self.available)?;
        writeln!(f, "   {last} Overflow Active: {}\n", self.overflow)?;
        writeln!(f, "{}Ad-hoc (Development/Manual):", marks.adhoc)?;
        writeln!(f, "   {last} Guaranteed Available: {}\n", self.left())?;
        self.write_people(f, marks)?;
        self.write_last_line(f, marks)?;
        f.write_str(&rule)
    }

    /// What is promised of the reserve: nothing of a server that nobody has seen, or that cannot be reached.
    fn promise(&self) -> String {
        if self.verdict != Verdict::Healthy {
            return String::new();
        }
        let promised = promised(self.reserved, &self.adhoc);
        match to_come(self.reserved, promised) {
            None => " (always available)".to_owned(),
            Some(to_come) => format!(" ({promised} for now, {to_come})"),
        }
    }

    /// What is left of it.
    fn left(&self) -> String {
        let left = connections(self.guaranteed);
        // What is wrong lies in the other tier, or is none of the server's.
        let is_elsewhere = matches!(self.verdict, Verdict::Suspended | Verdict::Closed)
            || (self.adhoc_is_apart && is_seen(&self.adhoc.contact));
        if self.verdict == Verdict::Healthy {
            let promised = promised(self.reserved, &self.adhoc);
            connections(promised) + &free_now(self.guaranteed, promised)
        } else if self.guaranteed == 0 || is_elsewhere {
            left
        } else {
            left + ", once the server answers"
        }
    }

    fn write_people(&self, f: &mut fmt::Formatter<'_>, marks: &Marks) -> fmt::Result {
        if !self.long_holders.is_empty() {
            writeln!(f, "Held for more than 10 s:")?;
            for holder in &self.long_holders {
                writeln!(f, "   {} {holder}", marks.last)?;
            }
            writeln!(f)?;
        }
        if !self.waiters.is_empty() {
            writeln!(f, "Waiting: {}", self.waiters.len())?;
            for waiter in self.waiters.iter().take(WAITERS_SHOWN) {
                writeln!(f, "   {} {waiter}", marks.last)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn write_last_line(&self, f: &mut fmt::Formatter<'_>, marks: &Marks) -> fmt::Result {
        let mark = match self.verdict {
            Verdict::Healthy if self.load == Load::High => {
                let (in_use, ceiling) = (self.in_use, self.total_possible);
                writeln!(
                    f,
                    "{}High Load: {in_use} of {ceiling} automation connections in use",
                    marks.high_load
                )?;
                return Ok(());
            }
            Verdict::Healthy => marks.healthy,
            Verdict::Unknown => marks.unknown,
            Verdict::Unreachable => marks.unreachable,
            Verdict::Exhausted => marks.exhausted,
            Verdict::CircuitOpen => marks.circuit_open,
            Verdict::Suspended | Verdict::Closed => marks.not_lending,
        };
        writeln!(f, "{mark}{}", self.message)
    }
}

impl fmt::Display for DatabaseStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &FANCY)
    }
}

/// The status box in plain characters, from [`DatabaseStats::plain`].
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a>(&'a DatabaseStats);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, &PLAIN)
    }
}

/// Whether standard output shows more than plain characters to somebody who wants them.
pub(super) fn is_fancy() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    // The first of these that is set decides, as with the C library.
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
    let locale = locale.to_ascii_uppercase().replace('-', "");
    std::io::stdout().is_terminal() && set("NO_COLOR").is_none() && locale.contains("UTF8")
}

/// Prints a text to standard output; a reader that has gone away has seen what it wanted.
pub(super) fn print(text: impl fmt::Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints the status box to standard output, and returns what it says: with symbols where that is a terminal with a
/// UTF-8 locale and `NO_COLOR` is not set, else in plain characters. A closed pipe is not an error.
///
/// A `PgPool` asks the server first, as `check_health(false)` does: the answer, or that there was none, decides what
/// the last line says. Pools over other managers have nothing to ask with, and tell what they have seen.
///
/// # Blocking
///
/// A `PgPool` whose last answer is older than 60 s: at most `inquiry_timeout` and 100 ms.
///
/// # Examples
///
/// ```
/// use tierpool::{MemoryManager, Tier, TieredPool};
///
/// let pool = TieredPool::builder().build(|_| MemoryManager)?;
/// drop(pool.get(Tier::Adhoc)?); // the server has been seen
/// let status = tierpool::print_connection_status(&pool);
/// let exit_code = if status.is_healthy { 0 } else { 1 };
/// assert_eq!(exit_code, 0);
/// # Ok::<(), tierpool::Error>(())
/// ```
pub fn print_connection_status<M: ManageConnection>(pool: &TieredPool<M>) -> DatabaseStats {
    let before = pool.adhoc().gauges();
    pool.ask_server(Asker::Person);
    let stats = pool.database_stats(Some(before));
    print(stats.for_stdout());
    stats
}

impl<M: ManageConnection> TieredPool<M> {
    /// Prints the status box; see [`print_connection_status`].
    pub fn print_connection_status(&self) -> DatabaseStats {
        print_connection_status(self)
    }
}
