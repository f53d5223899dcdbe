//! The way of every log line out of the crate: `say!` is called in place of the macros of the crate `log`.
//!
//! | module | job |
//! | --- | --- |
//! | `origin` | whose line it is: its target, its pool and its tier |
//! | `event` | the line as an event of the crate `tracing` (feature `tracing`) |
//! | `say` | the macro, and whether a line would be written at all |
//!
//! Without the feature `tracing` a line is a record of `log`. With it, a line goes to the subscriber of the thread that
//! writes it, with the same level, target and text and with typed fields; where that thread has no subscriber, it is
//! the record that it was. So it is never told twice, neither by a bridge from `log` to `tracing` nor by the other one,
//! and a program that has a logger alone loses no line when one of its dependencies turns the feature on.
//!
//! `tracing` has a feature `log` for nearly that. It is not used: it would make records of the events of all crates of
//! the program, appends the fields to the text, and falls silent for good as soon as any thread has had a subscriber.

#[cfg(feature = "tracing")]
pub(crate) mod event;
mod origin;
mod say;

#[cfg(feature = "tracing")]
pub(crate) use event::wants_debug;
pub(crate) use origin::{Origin, Whose};
pub(crate) use say::say;
pub(crate) use say::{is_debug_on, is_on};
