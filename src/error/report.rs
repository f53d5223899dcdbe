//! The two texts of an error: one line for logs, and the full report.

use std::fmt;
use std::time::Duration;

use super::evidence::{Awaited, Evidence, LimitSetBy, UnderWay};
use super::failure::OpenFailure;
use super::kind::ErrorKind;
use crate::text::{Ago, Limit, Time, harmless};

/// Holders named in the one-line form.
const HOLDERS_IN_LINE: usize = 3;

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
                Some(LimitSetBy::Opening(limit)) => ("its connect_timeout of ", limit),
                None => ("", e.waited),
            };
            match e.awaited {
                Awaited::Connection => write!(f, "no connection of pool `{pool}`")?,
                Awaited::First => write!(f, "pool `{pool}` has not opened a connection")?,
                Awaited::Filling => write!(f, "pool `{pool}` has not opened what it keeps")?,
            }
            write!(f, " within {whose}{}", Limit(limit))?;
            // A helper was late, or the machine.
            if e.waited > limit + LATE { write!(f, ", after {}", Time(e.waited)) } else { Ok(()) }
        }
        ErrorKind::Exhausted => write!(f, "pool `{pool}` is exhausted, and nowait waits for nobody's return"),
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
        ErrorKind::InvalidConfig | ErrorKind::Forked => unreachable!("BUG: {kind:?} has no evidence"),
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
    if e.does_not_answer {
        f.write_str(", the server does not answer")?;
    }
    write!(f, "; {} waiting", g.waiting)
}

/// Whether the failure to open is all there is to say, and not one of several reasons for which a caller may have
/// waited in vain.
fn is_cause(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::CircuitOpen | ErrorKind::ConnectFailed)
}

fn failures(f: &mut fmt::Formatter<'_>, e: &Evidence, last: &OpenFailure) -> fmt::Result {
    let (ago, class) = (Ago(last.age()), last.class().as_str());
    if e.open_failures == 0 {
        // A validation's, or one that a success has followed since.
        let what = if last.attempts() == 0 { "a validation" } else { "an attempt to open" };
        return write!(f, "{what} failed {ago} ({class})");
    }
    let plural = if e.open_failures == 1 { "" } else { "s" };
    write!(f, "{} failed attempt{plural} to open since the last success", e.open_failures)?;
    write!(f, ", the last {ago} ({class})")
}

fn place(f: &mut fmt::Formatter<'_>, e: &Evidence, separator: &str) -> fmt::Result {
    let Some((joined, left)) = e.ahead else { return Ok(()) };
    write!(f, "{separator}place {} in the queue", joined + 1)?;
    if left == joined { Ok(()) } else { write!(f, " at first, {} at the end", left + 1) }
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

/// What openings wait for, where no failure tells it.
fn admission(
    f: &mut fmt::Formatter<'_>,
    e: &Evidence,
    cause: Option<&OpenFailure>,
    separator: &str,
) -> fmt::Result {
    match &e.opening_waits_for {
        Some(what) if cause.is_none() => write!(f, "{separator}{}", harmless(what)),
        _ => Ok(()),
    }
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

/// Whoever waited for a connection, or found no place to wait at, did so for this reason.
fn suspension(f: &mut fmt::Formatter<'_>, kind: ErrorKind, e: &Evidence, separator: &str) -> fmt::Result {
    let is_cause = matches!(kind, ErrorKind::Timeout | ErrorKind::Exhausted | ErrorKind::QueueFull);
    if !e.is_suspended || !is_cause || e.awaited != Awaited::Connection {
        return Ok(());
    }
    write!(f, "{separator}lending is suspended")
}

fn outage(f: &mut fmt::Formatter<'_>, kind: ErrorKind, e: &Evidence, separator: &str) -> fmt::Result {
    let Some(o) = e.outage else { return Ok(()) };
    let what = if kind == ErrorKind::CircuitOpen { "it" } else { "the circuit breaker" };
    write!(f, "{separator}{what} opened {}", Ago(o.since))?;
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
    if let Some(last) = cause.filter(|_| is_cause(kind)) {
        write!(f, ": {last}")?;
    }
    suspension(f, kind, e, "; ")?;
    outage(f, kind, e, "; ")?;
    f.write_str(" (")?;
    gauges(f, e)?;
    place(f, e, "; ")?;
    f.write_str(")")?;
    growth(f, e, "; ")?;
    admission(f, e, cause, "; ")?;
    if let Some(last) = cause {
        f.write_str("; ")?;
        failures(f, e, last)?;
        if !is_cause(kind) {
            write!(f, ": {last}")?;
        }
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
    let (first, last) = if is_cause(kind) { (cause, None) } else { (None, cause) };
    causes(f, e, first)?;
    suspension(f, kind, e, "\n  ")?;
    outage(f, kind, e, "\n  ")?;
    f.write_str("\n  ")?;
    gauges(f, e)?;
    place(f, e, "\n  ")?;
    growth(f, e, "\n  ")?;
    admission(f, e, cause, "\n  ")?;
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
    causes(f, e, last)
}

fn causes(f: &mut fmt::Formatter<'_>, e: &Evidence, last: Option<&OpenFailure>) -> fmt::Result {
    let Some(last) = last else { return Ok(()) };
    f.write_str("\n  ")?;
    failures(f, e, last)?;
    write!(f, ":\n    {}", format!("{last:#}").replace('\n', "\n  "))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::error::{Error, ErrorKind, Evidence, FailureClass, OpenFailure, Outage};

    fn told(kind: ErrorKind, evidence: Evidence) -> (String, String) {
        let cause = OpenFailure::from_text("no route to db1".into(), FailureClass::Transient, 3);
        let evidence = Evidence { pool: "news".into(), open_failures: 3, ..evidence };
        let error = Error::new(kind, evidence, Some(Arc::new(cause)));
        (error.to_string(), format!("{error:#}"))
    }

    #[test]
    fn what_openings_wait_for_is_told_once_and_on_one_line() {
        let held_up =
            || Evidence { opening_waits_for: Some("no slot of \nnews".into()), ..Evidence::default() };
        let error = Error::new(ErrorKind::Timeout, held_up(), None);
        for text in [format!("{error}"), format!("{error:#}")] {
            assert!(text.contains(r"no slot of \nnews"), "{text}");
        }
        let (line, full) = told(ErrorKind::Timeout, held_up());
        assert!(!line.contains("no slot") && !full.contains("no slot"), "the failure tells it: {full}");
    }

    #[test]
    fn what_cannot_be_opened_is_told_with_its_cause_first() {
        let (second, none) = (Duration::from_secs(1), Duration::ZERO);
        let outage = |since, next_attempt_in| Evidence {
            outage: Some(Outage { since, next_attempt_in }),
            ..Evidence::default()
        };
        let gauges = "0 of 0 connections: 0 idle, 0 in use, 0 opening; 0 waiting";
        let failed = "3 failed attempts to open since the last success, the last just now (transient)";

        let (line, report) = told(ErrorKind::CircuitOpen, outage(second, second / 4));
        let opened = "it opened 1.0 s ago, next attempt in 250 ms";
        let headline = "the circuit breaker of pool `news` is open";
        assert_eq!(line, format!("{headline}: no route to db1; {opened} ({gauges}); {failed}"));
        assert_eq!(report, format!("{headline}\n  {failed}:\n    no route to db1\n  {opened}\n  {gauges}"));
        let (line, _) = told(ErrorKind::CircuitOpen, outage(none, none));
        let opened = "it opened just now, next attempt now";
        assert_eq!(line, format!("{headline}: no route to db1; {opened} ({gauges}); {failed}"));

        let (line, _) = told(ErrorKind::ConnectFailed, outage(second, second));
        let opened = "the circuit breaker opened 1.0 s ago, next attempt in 1.0 s";
        let headline = "pool `news` cannot open connections";
        assert_eq!(line, format!("{headline}: no route to db1; {opened} ({gauges}); {failed}"));
    }

    #[test]
    fn a_timeout_tells_its_place_in_the_queue_once_where_it_did_not_change() {
        let place =
            |ahead| told(ErrorKind::Timeout, Evidence { ahead: Some(ahead), ..Evidence::default() }).0;
        assert!(place((2, 2)).contains("; place 3 in the queue); "), "{}", place((2, 2)));
        assert!(
            place((2, 0)).contains("; place 3 in the queue at first, 1 at the end); "),
            "{}",
            place((2, 0))
        );
    }

    #[test]
    fn a_timeout_with_the_circuit_open_says_since_when() {
        let (second, waited) = (Duration::from_secs(1), Duration::from_secs(2));
        let outage = Some(Outage { since: second, next_attempt_in: second / 4 });
        let (line, _) = told(ErrorKind::Timeout, Evidence { waited, outage, ..Evidence::default() });
        let begin = "no connection of pool `news` within 2 s; \
            the circuit breaker opened 1.0 s ago, next attempt in 250 ms (0 of 0";
        assert!(line.starts_with(begin), "{line}");
    }
}
