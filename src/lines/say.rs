//! One line, and whether it would be written.

use log::{Level, LevelFilter};

use super::origin::Whose;

/// Writes a line: its level, whose it is ([`Whose`]), its fields as `name = value`, and its text as in `format!`. What
/// of these costs something is made only where the line is on. The fields are for `tracing` alone, and are values of
/// its; a text of others among them has to be harmless already.
#[cfg(not(feature = "tracing"))]
macro_rules! say {
    ($level:expr, $whose:expr, [$($name:ident = $value:expr),* $(,)?], $($text:tt)+) => {{
        ::log::log!(target: $crate::lines::Whose::target(&$whose), $level, $($text)+);
        // Compiled for its faults, and never run.
        if false {
            let whose = $whose;
            let _ = ($crate::lines::Whose::pool(&whose), $crate::lines::Whose::tier(&whose));
            $(let _ = &$value;)*
        }
    }};
}

#[cfg(feature = "tracing")]
macro_rules! say {
    ($level:expr, $whose:expr, [$($name:ident = $value:expr),* $(,)?], $($text:tt)+) => {{
        let level: ::log::Level = $level;
        if $crate::lines::event::may_be_on(level) {
            static SITE: $crate::lines::event::Site = $crate::lines::event::Site::new(
                concat!("event ", file!(), ":", line!()),
                (file!(), line!(), module_path!()),
                &[$(stringify!($name),)* "pool", "tier", "message"],
            );
            let whose = $whose;
            match SITE.taker(level, $crate::lines::Whose::target(&whose)) {
                $crate::lines::event::Taker::Subscriber(line) => line.send([
                    $(&$value as &dyn ::tracing_core::field::Value,)*
                    &$crate::lines::Whose::pool(&whose),
                    &$crate::lines::Whose::tier(&whose),
                    &format_args!($($text)+),
                ]),
                $crate::lines::event::Taker::Log => {
                    ::log::log!(target: $crate::lines::Whose::target(&whose), level, $($text)+)
                }
                $crate::lines::event::Taker::Nobody => {}
            }
        }
    }};
}

pub(crate) use say;

/// Whether somebody may want a line: for what is to be done only then, such as to count how often it is told. Of a
/// logger it is known, of a subscriber no more than its most verbose level.
pub(crate) fn is_on<W: Whose>(level: Level, whose: impl FnOnce() -> W) -> bool {
    #[cfg(feature = "tracing")]
    if super::event::has_subscriber() {
        return super::event::is_within(level);
    }
    level <= log::max_level() && log::log_enabled!(target: whose().target(), level)
}

/// Whether somebody may want the lines of each checkout.
pub(crate) fn is_debug_on() -> bool {
    #[cfg(feature = "tracing")]
    if super::event::wants_debug() {
        return true;
    }
    log::max_level() >= LevelFilter::Debug
}
