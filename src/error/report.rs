//! The two texts of an error: one line for logs, and the full report.

use std::error::Error as StdError;
use std::fmt;

use super::evidence::{Evidence, LimitSetBy};
use super::failure::OpenFailure;
use super::kind::ErrorKind;

/// Holders named in the one-line form.
const HOLDERS_IN_LINE: usize = 3;

fn headline(f: &mut fmt::Formatter<'_>, kind: ErrorKind, e: &Evidence) -> fmt::Result {
    match kind {
        ErrorKind::Timeout => {
            let whose = match e.limit {
                Some(LimitSetBy::Settings) => "its connection_timeout of ",
                Some(LimitSetBy::Caller) => "its caller's limit of ",
                None => "",
            };
            write!(f, "no connection of pool `{}` within {whose}{:.1?}", e.pool, e.waited)
        }
        ErrorKind::QueueFull => write!(
            f,
            "the queue of pool `{}` is full: {} callers wait, max_waiting is {}",
            e.pool,
            e.gauges.waiting,
            e.max_waiting.unwrap_or(0)
        ),
        ErrorKind::CircuitOpen => write!(f, "the circuit breaker of pool `{}` is open", e.pool),
        ErrorKind::ConnectFailed => write!(f, "pool `{}` cannot open connections", e.pool),
        ErrorKind::WouldDeadlock => write!(
            f,
            "waiting in pool `{}` would not end: every connection is held by a thread that waits for another",
            e.pool
        ),
        ErrorKind::Closed => write!(f, "pool `{}` is closed", e.pool),
        ErrorKind::InvalidConfig => unreachable!("BUG: an invalid configuration has no evidence"),
    }
}

fn gauges(f: &mut fmt::Formatter<'_>, e: &Evidence) -> fmt::Result {
    let g = &e.gauges;
    write!(
        f,
        "{} of {} connections: {} idle, {} in use, {} opening; {} waiting",
        g.size(),
        e.ceiling,
        g.idle,
        g.in_use,
        g.opening,
        g.waiting
    )
}

fn failures(f: &mut fmt::Formatter<'_>, e: &Evidence, last: &OpenFailure) -> fmt::Result {
    if e.open_failures == 0 {
        // A validation's, or one that a success has followed since.
        let what = if last.attempts() == 0 { "a validation" } else { "an attempt to open" };
        return write!(f, "{what} failed {:.1?} ago ({})", last.age(), last.class().as_str());
    }
    let plural = if e.open_failures == 1 { "" } else { "s" };
    write!(f, "{} failed attempt{plural} to open since the last success", e.open_failures)?;
    write!(f, ", the last {:.1?} ago ({}", last.age(), last.class().as_str())?;
    f.write_str(")")
}

fn own(f: &mut fmt::Formatter<'_>, e: &Evidence) -> fmt::Result {
    let plural = if e.own == 1 { "" } else { "s" };
    write!(f, "this thread already holds {} connection{plural} of this pool", e.own)
}

/// A hint, and no more: a guard may be where nobody has used it yet. A refusal says it in its headline.
fn deadlock(f: &mut fmt::Formatter<'_>, kind: ErrorKind, e: &Evidence, separator: &str) -> fmt::Result {
    if !e.in_deadlock || kind != ErrorKind::Timeout {
        return Ok(());
    }
    write!(
        f,
        "{separator}every connection was taken by a thread that waits for another: a deadlock, unless one was passed on"
    )
}

fn outage(f: &mut fmt::Formatter<'_>, e: &Evidence, separator: &str) -> fmt::Result {
    match e.outage {
        Some(o) => {
            write!(f, "{separator}since {:.1?}, next attempt in {:.1?}", o.since, o.next_attempt_in)
        }
        None => Ok(()),
    }
}

/// One line for a log. It names the cause as well as `source()` does: most logs print an error by `{}` alone, and
/// programs written for r2d2 look for the cause there.
pub(super) fn line(
    f: &mut fmt::Formatter<'_>,
    kind: ErrorKind,
    e: &Evidence,
    cause: Option<&OpenFailure>,
) -> fmt::Result {
    headline(f, kind, e)?;
    outage(f, e, " ")?;
    f.write_str(" (")?;
    gauges(f, e)?;
    if let Some((joined, left)) = e.ahead {
        write!(f, "; place {} at first, {} at the end", joined + 1, left + 1)?;
    }
    f.write_str(")")?;
    if let Some(last) = cause {
        f.write_str("; ")?;
        failures(f, e, last)?;
        write!(f, ": {last}")?;
    }
    for (i, holder) in e.holders.iter().take(HOLDERS_IN_LINE).enumerate() {
        write!(f, "{}{holder}", if i == 0 { "; held longest by " } else { ", " })?;
    }
    if e.own > 0 {
        f.write_str("; ")?;
        own(f, e)?;
    }
    deadlock(f, kind, e, "; ")
}

/// The full report, with every holder at hand and the chain of causes.
pub(super) fn full(
    f: &mut fmt::Formatter<'_>,
    kind: ErrorKind,
    e: &Evidence,
    cause: Option<&OpenFailure>,
) -> fmt::Result {
    headline(f, kind, e)?;
    outage(f, e, "\n  ")?;
    f.write_str("\n  ")?;
    gauges(f, e)?;
    if let Some((joined, left)) = e.ahead {
        write!(f, "\n  place in the queue: {} at first, {} at the end", joined + 1, left + 1)?;
    }
    if e.own > 0 {
        f.write_str("\n  ")?;
        own(f, e)?;
    }
    deadlock(f, kind, e, "\n  ")?;
    if !e.holders.is_empty() {
        f.write_str("\n  held longest:")?;
        for holder in &e.holders {
            write!(f, "\n    {holder}")?;
        }
    }
    if let Some(last) = cause {
        f.write_str("\n  ")?;
        failures(f, e, last)?;
        write!(f, ":\n    {last}")?;
        let mut link = last.source();
        while let Some(cause) = link {
            write!(f, "\n    caused by: {cause}")?;
            link = cause.source();
        }
    }
    Ok(())
}
