//! Why a connection could not be opened: kept as text, so that every waiter can have it.

use std::error::Error as StdError;
use std::fmt;
use std::time::{Duration, Instant};

use crate::text::{Cause, harmless, line, links};

/// What a failed attempt to open a connection says about the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum FailureClass {
    /// Refused, reset, timed out, starting up: worth trying again soon. Counts towards the circuit breaker.
    Transient,
    /// The server has no connection left (53300). Callers go on waiting for a returned one; never opens the
    /// breaker. Of the server: a pool without room is [`ErrorKind::Exhausted`](crate::ErrorKind::Exhausted).
    Exhausted,
    /// Wrong password, no such database, TLS mismatch: trying again does not help and may lock an account. All
    /// present waiters fail with it at once, and attempts slow down to one in 30 s.
    Permanent,
}

impl FailureClass {
    /// The name used in messages and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureClass::Transient => "transient",
            FailureClass::Exhausted => "exhausted",
            FailureClass::Permanent => "permanent",
        }
    }
}

/// A failed attempt to open a connection, or a validation that timed out: what a pool's errors have as `source()`.
///
/// `Display` is one line: the manager's error with those of its causes that say more, and the database's code; `{:#}`
/// has a line for each cause, and so has `Debug`. `source()` is the manager's error with its whole chain, as text. Of
/// each text 1 KiB is kept, with control characters and bidirectional marks escaped.
#[derive(Clone)]
pub struct OpenFailure {
    class: FailureClass,
    code: Option<String>,
    cause: Cause,
    at: Instant,
    attempts: u64,
    /// It is of an attempt, and no repetition of what was said before.
    was_tried: bool,
}

impl OpenFailure {
    pub(crate) fn new(
        error: &(dyn StdError + 'static),
        class: FailureClass,
        code: Option<String>,
        attempts: u64,
    ) -> Self {
        let cause = Cause::of(error);
        OpenFailure { class, code: code.map(harmless), cause, at: Instant::now(), attempts, was_tried: true }
    }

    pub(crate) fn from_text(text: String, class: FailureClass, attempts: u64) -> Self {
        let cause = Cause::from_text(&text);
        OpenFailure { class, code: None, cause, at: Instant::now(), attempts, was_tried: true }
    }

    pub(crate) fn set_tried(&mut self, was_tried: bool) {
        self.was_tried = was_tried;
    }

    /// Whether the other side was asked.
    pub(crate) fn was_tried(&self) -> bool {
        self.was_tried
    }

    /// What it says about the next attempt.
    pub fn class(&self) -> FailureClass {
        self.class
    }

    /// The database's code, such as the SQLSTATE `53300`, where there was one.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// How long ago it happened.
    pub fn age(&self) -> Duration {
        self.at.elapsed()
    }

    /// How many attempts had failed in a row by then, this one included. What was told again without an attempt, as of
    /// a password that was refused a moment ago, is none.
    pub fn attempts(&self) -> u64 {
        self.attempts
    }
}

impl fmt::Display for OpenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut texts = if f.alternate() { links(&self.cause) } else { vec![line(&self.cause)] };
        // Where the manager's own text does not name it.
        if let Some(code) = self.code().filter(|code| !texts.iter().any(|text| text.contains(code))) {
            texts[0].push_str(&format!(" [{code}]"));
        }
        f.write_str(&texts.join("\n  caused by: "))
    }
}

impl fmt::Debug for OpenFailure {
    /// The report, since it is what `unwrap` and a `main` that fails print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

impl StdError for OpenFailure {
    /// The manager's error, from its head on.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.cause)
    }
}
