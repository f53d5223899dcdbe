//! What one process of a fleet decides: events in, actions out. No I/O, no clock (the time is handed in), no randomness
//! but what is handed in. `README.md` in the folder above states the protocol; the code cites its invariants and rules.
//!
//! | module | job |
//! | --- | --- |
//! | `budget` | how a budget is divided: reserve, automation, askers, slots, shares |
//! | `words` | what a process is told, and what it is to do |
//! | `backoff` | when a process without a connection asks again |
//! | `sight` | what the last looks have shown, and what follows for the size of the pool |
//! | `member` | one process: the machine |
//!
//! ```
//! use std::time::Duration;
//! use tierpool::fleet::core::{Action, Asked, Budget, Event, Member, Moment, Plan, Slot, View};
//!
//! let budget = Budget::new(60, 5)?;
//! let at = |ms| Moment { now: Duration::from_millis(ms), chance: 0.5 };
//! let mut member = Member::new(Plan { budget, weight: 1, most: 10 });
//!
//! // Callers come; the first attempt is spread over half a second, so for this one it is due in the middle of it.
//! assert!(member.step(at(0), Event::Wants(2)).is_empty());
//! assert_eq!(member.step(at(250), Event::Tick), [Action::Ask]);
//!
//! // It was given a slot: it has a connection now, and reserves a second slot on that one before it connects again.
//! let view = View { slots_held: 1, members: 1, weights: 1, ..View::default() };
//! let actions = member.step(at(280), Event::Asked(Asked::Slot(Slot(0), view)));
//! assert_eq!(actions, [Action::Reserve { beyond_share: false }]);
//! # Ok::<(), tierpool::fleet::core::BudgetError>(())
//! ```

mod backoff;
mod budget;
mod member;
mod sight;
mod words;

pub use backoff::{ASK_FOR, LEAST_PAUSE, MOST_PAUSE, MOST_PAUSE_WHERE_ALL_FIT, SPREAD};
pub use budget::{Budget, BudgetError};
pub use member::{ASK_EVERY, LOOK_EVERY, Member, OPEN_AT_ONCE, Plan};
pub use sight::HOLD_OFF;
pub use words::{Action, Asked, Event, Moment, Reserved, Slot, View, Warning};
