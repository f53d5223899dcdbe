//! A line as an event of `tracing`.
//!
//! An event's target is part of its site's metadata, which live as long as the process, and `tracing`'s macros know
//! theirs when they are compiled. A pool's target has its name. So a line's place in the code is a [`Site`], which
//! makes an [`EventLine`] for each level and target that it is asked for, and keeps it: a few hundred bytes, for as
//! many names of pools as [`MOST`]. The lines of pools beyond have the crate's name as their target; their field `pool`
//! tells them apart.

use std::array;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use log::Level;
use parking_lot::RwLock;
use tracing_core::callsite::{Callsite, register};
use tracing_core::dispatcher::get_default;
use tracing_core::field::{Field, FieldSet, Value};
use tracing_core::metadata::Kind;
use tracing_core::subscriber::{Interest, NoSubscriber};
use tracing_core::{Event, LevelFilter, Metadata, identify_callsite};

/// The most levels and targets of one line of code that are told apart: far more pools than a program has, unless it
/// names each for something that does not end.
const MOST: usize = 64;

/// The target of lines beyond.
const BEYOND: &str = "tierpool";

/// How much a subscriber wants of a line, as it last said: what [`Interest`] is in a byte.
const NEVER: u8 = 0;
const SOMETIMES: u8 = 1;
const ALWAYS: u8 = 2;

/// A place in the code that writes lines.
pub(crate) struct Site {
    name: &'static str,
    place: (&'static str, u32, &'static str),
    fields: &'static [&'static str],
    /// Locked for a look, and to add one. No foreign code runs under it.
    lines: RwLock<Vec<&'static EventLine>>,
}

/// Who gets a line.
pub(crate) enum Taker {
    Subscriber(&'static EventLine),
    /// The thread has no subscriber.
    Log,
    Nobody,
}

/// A site's lines of one level and one target.
pub(crate) struct EventLine {
    /// [`NEVER`], [`SOMETIMES`] or [`ALWAYS`]. Relaxed: a subscriber that has just come may miss a line, and one that
    /// is asked once too often says no.
    interest: AtomicU8,
    /// Set before anybody else knows the line: they name it, so that it has to be there first.
    metadata: OnceLock<Metadata<'static>>,
}

impl Site {
    pub(crate) const fn new(
        name: &'static str,
        place: (&'static str, u32, &'static str),
        fields: &'static [&'static str],
    ) -> Self {
        Site { name, place, fields, lines: RwLock::new(Vec::new()) }
    }

    /// Who gets a line of this level and target that is written now, by this thread.
    pub(crate) fn taker(&'static self, level: Level, target: &str) -> Taker {
        if !has_subscriber() {
            return Taker::Log;
        }
        if !is_within(level) {
            return Taker::Nobody;
        }
        let line = self.line(level_of(level), target);
        if line.is_wanted() { Taker::Subscriber(line) } else { Taker::Nobody }
    }

    fn line(&'static self, level: tracing_core::Level, target: &str) -> &'static EventLine {
        let known = find(&self.lines.read(), level, target);
        if let Some(line) = known {
            return line;
        }
        let mut lines = self.lines.write();
        if let Some(line) = find(&lines, level, target) {
            return line;
        }
        let line = EventLine::leaked(self, level, if lines.len() < MOST { target } else { BEYOND });
        lines.push(line);
        drop(lines);
        // It asks the subscribers.
        register(line);
        line
    }
}

/// The line of this level and target; where there is room for no other target, the one for those beyond.
fn find(
    lines: &[&'static EventLine],
    level: tracing_core::Level,
    target: &str,
) -> Option<&'static EventLine> {
    let of = |target: &str| {
        lines
            .iter()
            .find(|line| *line.metadata().level() == level && line.metadata().target() == target)
            .copied()
    };
    of(target).or_else(|| if lines.len() < MOST { None } else { of(BEYOND) })
}

impl EventLine {
    fn leaked(site: &'static Site, level: tracing_core::Level, target: &str) -> &'static Self {
        // Until a subscriber was asked it is asked each time.
        let new = EventLine { interest: AtomicU8::new(SOMETIMES), metadata: OnceLock::new() };
        let line: &'static EventLine = Box::leak(Box::new(new));
        let (file, number, module) = site.place;
        let fields = FieldSet::new(site.fields, identify_callsite!(line));
        let target = Box::leak(Box::<str>::from(target));
        line.metadata.get_or_init(|| {
            let (file, number, module) = (Some(file), Some(number), Some(module));
            Metadata::new(site.name, target, level, file, number, module, fields, Kind::EVENT)
        });
        line
    }

    fn is_wanted(&self) -> bool {
        match self.interest.load(Ordering::Relaxed) {
            NEVER => false,
            ALWAYS => true,
            _ => get_default(|subscriber| subscriber.enabled(self.metadata())),
        }
    }

    /// Sends the line with the values of its fields, in their order.
    pub(crate) fn send<const N: usize>(&'static self, values: [&dyn Value; N]) {
        let metadata = self.metadata();
        let mut fields = metadata.fields().iter();
        let fields: [Field; N] = array::from_fn(|_| fields.next().expect("BUG: a value without a field"));
        let pairs: [_; N] = array::from_fn(|at| (&fields[at], Some(values[at])));
        Event::dispatch(metadata, &metadata.fields().value_set(&pairs));
    }
}

impl Callsite for EventLine {
    fn set_interest(&self, interest: Interest) {
        let interest = match interest {
            _ if interest.is_never() => NEVER,
            _ if interest.is_always() => ALWAYS,
            _ => SOMETIMES,
        };
        self.interest.store(interest, Ordering::Relaxed);
    }

    fn metadata(&self) -> &Metadata<'_> {
        self.metadata.get().expect("BUG: a line without metadata is known")
    }
}

impl fmt::Debug for EventLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLine").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}

/// Whether this thread has a subscriber. At work within one, it has none.
pub(crate) fn has_subscriber() -> bool {
    get_default(|subscriber| !subscriber.is::<NoSubscriber>())
}

/// Whether any subscriber may want lines of this level.
pub(crate) fn is_within(level: Level) -> bool {
    let level = level_of(level);
    level <= tracing::level_filters::STATIC_MAX_LEVEL && level <= LevelFilter::current()
}

/// Whether anybody at all may want a line of this level.
pub(crate) fn may_be_on(level: Level) -> bool {
    level <= log::max_level() || is_within(level)
}

/// Whether any subscriber may want the lines of each checkout.
pub(crate) fn wants_debug() -> bool {
    is_within(Level::Debug)
}

fn level_of(level: Level) -> tracing_core::Level {
    match level {
        Level::Error => tracing_core::Level::ERROR,
        Level::Warn => tracing_core::Level::WARN,
        Level::Info => tracing_core::Level::INFO,
        Level::Debug => tracing_core::Level::DEBUG,
        Level::Trace => tracing_core::Level::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_pools_that_come_and_go_take_no_more_room_than_a_bound() {
        static SITE: Site = Site::new("event here", ("here.rs", 1, "here"), &["message"]);
        let line = |target: &str| SITE.line(tracing_core::Level::INFO, target);
        let first = line("tierpool::0");
        for number in 0..3 * MOST {
            let target = format!("tierpool::{number}");
            let told = line(&target).metadata().target();
            assert_eq!(told, if number < MOST { &target } else { BEYOND });
        }
        assert_eq!(SITE.lines.read().len(), MOST + 1);
        assert!(std::ptr::eq(first, line("tierpool::0")), "made anew");
        assert_eq!(
            *SITE.line(tracing_core::Level::WARN, "tierpool::0").metadata().level(),
            tracing_core::Level::WARN
        );
    }
}
