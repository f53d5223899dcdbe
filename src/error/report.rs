//! The two texts of an error: one line for logs, and the full report.

use std::fmt;
use std::time::Duration;

use super::evidence::{Awaited, Evidence, LimitSetBy, UnderWay};
use super::failure::OpenFailure;
use super::kind::ErrorKind;
use crate::text::{Time, harmless};

/// Holders named in the one-line form.
const HOLDERS_IN_LINE: usize = 3;

/// A validation or a reset that takes longer is not slow any more: whoever is asked does not answer. Far more than an
/// answer takes on any network. Opening is another matter: a cold server takes seconds over it, so there the attempt's
/// own limit is the measure.
const SILENT_AFTER: Duration = Duration::from_secs(1);

/// The time from which on it is told how long an opening has been going on.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// By what a wait may exceed its limit without a word: so much the pool allows itself.
const LATE: Duration = Duration::from_millis(100);

fn headline(f: &mut fmt::Formatter<'_>, kind: ErrorKind, e: &Evidence) -> fmt::Result {
    let pool = harmless(&e.pool);
    match kind {
        ErrorKind::Timeout => {
            let (whose, limit) = match e.limit {
                Some(LimitSetBy::Settings(limit)) => ("its connection_timeout of ", limit),
                Some(LimitSetBy::Caller(limit)) => ("its caller's limit of ", limit),
                None => ("", e.waited),
            };
            match e.awaited {
                Awaited::Connection => write!(f, "no connection of pool `{pool}`")?,
                Awaited::Filling => write!(f, "pool `{pool}` has not opened what it keeps")?,
            }
            write!(f, " within {whose}{}", Time(limit))?;
            // A helper was late, or the machine.
            if e.waited > limit + LATE { write!(f, ", after {}", Time(e.waited)) } else { Ok(()) }
        }
        ErrorKind::QueueFull => write!(
            f,
            "the queue of pool `{pool}` is full: {} callers wait, max_waiting is {}",
            e.gauges.waiting,
            e.max_waiting.unwrap_or(0)
        ),
        ErrorKind::CircuitOpen => write!(f, "the circuit breaker of pool `{pool}` is open"),
        ErrorKind::ConnectFailed => write!(f, "pool `{pool}` cannot open connections"),
        ErrorKind::WouldDeadlock => write!(
            f,
            "waiting in pool `{pool}` would not end: every connection is held by a thread that waits for another"
        ),
        ErrorKind::Closed => write!(f, "pool `{pool}` is closed"),
        ErrorKind::InvalidConfig => unreachable!("BUG: an invalid configuration has no evidence"),
    }
}

fn gauges(f: &mut fmt::Formatter<'_>, e: &Evidence) -> fmt::Result {
    let g = &e.gauges;
    // Those in the pool's own hands have no holder to look for.
    let lent = g.in_use.saturating_sub(e.validating.count + e.resetting.count);
    write!(f, "{} of {} connections: {} idle, {lent} in use", g.size(), e.ceiling, g.idle)?;
    match e.opening {
        UnderWay { longest, is_past_half, .. } if longest >= WORTH_TELLING || is_past_half => {
            write!(f, ", {} being opened for {}", g.opening, Time(longest))?;
        }
        _ => write!(f, ", {} opening", g.opening)?,
    }
    for (work, what) in [(e.validating, "validated"), (e.resetting, "reset")] {
        if work.count > 0 {
            write!(f, ", {} being {what} for {}", work.count, Time(work.longest))?;
        }
    }
    let is_silent = |work: UnderWay| work.count > 0 && work.longest >= SILENT_AFTER;
    if e.opening.is_past_half || is_silent(e.validating) || is_silent(e.resetting) {
        f.write_str(", the server does not answer")?;
    }
    write!(f, "; {} waiting", g.waiting)
}

fn failures(f: &mut fmt::Formatter<'_>, e: &Evidence, last: &OpenFailure) -> fmt::Result {
    if e.open_failures == 0 {
        // A validation's, or one that a success has followed since.
        let what = if last.attempts() == 0 { "a validation" } else { "an attempt to open" };
        return write!(f, "{what} failed {} ago ({})", Time(last.age()), last.class().as_str());
    }
    let plural = if e.open_failures == 1 { "" } else { "s" };
    write!(f, "{} failed attempt{plural} to open since the last success", e.open_failures)?;
    write!(f, ", the last {} ago ({})", Time(last.age()), last.class().as_str())
}

fn own(f: &mut fmt::Formatter<'_>, e: &Evidence) -> fmt::Result {
    let plural = if e.own == 1 { "" } else { "s" };
    write!(f, "this thread already holds {} connection{plural} of this pool", e.own)
}

/// Why a pool cannot grow that has not reached its ceiling.
fn growth(f: &mut fmt::Formatter<'_>, e: &Evidence, separator: &str) -> fmt::Result {
    // While one could be opened it is not this that the caller waited for.
    if e.yet_to_come == 0 || e.gauges.size() < e.ceiling {
        return Ok(());
    }
    let (yet_to_come, all) = (e.yet_to_come, e.ceiling + e.yet_to_come);
    write!(
        f,
        "{separator}{yet_to_come} of the {all} cannot be opened before the other tier has closed as many"
    )
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

/// Whether the headline is about an outage, so that nothing but its time is left to say.
fn is_about_outage(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::CircuitOpen | ErrorKind::ConnectFailed)
}

fn outage(f: &mut fmt::Formatter<'_>, e: &Evidence, separator: &str) -> fmt::Result {
    let Some(o) = e.outage else { return Ok(()) };
    match o.since.is_zero() {
        true => write!(f, "{separator}since just now")?,
        false => write!(f, "{separator}since {}", Time(o.since))?,
    }
    match o.next_attempt_in.is_zero() {
        true => f.write_str(", next attempt now"),
        false => write!(f, ", next attempt in {}", Time(o.next_attempt_in)),
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
    outage(f, e, if is_about_outage(kind) { " " } else { "; the circuit breaker is open " })?;
    f.write_str(" (")?;
    gauges(f, e)?;
    if let Some((joined, left)) = e.ahead {
        write!(f, "; place {} at first, {} at the end", joined + 1, left + 1)?;
    }
    f.write_str(")")?;
    growth(f, e, "; ")?;
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
    outage(f, e, if is_about_outage(kind) { "\n  " } else { "\n  the circuit breaker is open " })?;
    f.write_str("\n  ")?;
    gauges(f, e)?;
    if let Some((joined, left)) = e.ahead {
        write!(f, "\n  place in the queue: {} at first, {} at the end", joined + 1, left + 1)?;
    }
    growth(f, e, "\n  ")?;
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
        write!(f, ":\n    {}", format!("{last:#}").replace('\n', "\n  "))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::error::{Error, ErrorKind, Evidence, Outage};

    #[test]
    fn no_time_is_told_in_nanoseconds() {
        let (none, short) = (Duration::ZERO, Duration::from_millis(250));
        assert_eq!(
            headline(ErrorKind::CircuitOpen, none, none),
            "the circuit breaker of pool `news` is open since just now, next attempt now"
        );
        assert_eq!(
            headline(ErrorKind::CircuitOpen, 4 * short, short),
            "the circuit breaker of pool `news` is open since 1.0 s, next attempt in 250 ms"
        );
    }

    #[test]
    fn what_has_lasted_since_then_is_said() {
        let (second, short) = (Duration::from_secs(1), Duration::from_millis(250));
        assert_eq!(
            headline(ErrorKind::Timeout, second, short),
            "no connection of pool `news` within 2.0 s; the circuit breaker is open since 1.0 s, next attempt in 250 ms"
        );
        assert_eq!(
            headline(ErrorKind::ConnectFailed, second, short),
            "pool `news` cannot open connections since 1.0 s, next attempt in 250 ms"
        );
    }

    fn headline(kind: ErrorKind, since: Duration, next_attempt_in: Duration) -> String {
        let outage = Some(Outage { since, next_attempt_in });
        let waited = Duration::from_secs(2);
        let evidence = Evidence { pool: "news".into(), waited, outage, ..Evidence::default() };
        let line = Error::new(kind, evidence, None).to_string();
        line.split(" (").next().unwrap_or_default().to_owned()
    }
}
