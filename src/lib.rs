//! A synchronous connection pool for threaded programs: fair, bounded in time, and plain about what went wrong.
//!
//! Batch workers, scrapers, jobs and services share a limited number of connections. This crate lends them first come,
//! first served; keeps every caller to one deadline, whatever the server does; and tells in each error what was going
//! on and who had the connections. [`TieredPool`] divides one budget between *automation* and *ad-hoc*, so that a
//! person always has a connection. It works with every r2d2 manager, and `PgPool` adds what a pool can know of
//! PostgreSQL.
//!
//! ```
//! use tierpool::{MemoryManager, Pool};
//!
//! let pool = Pool::builder().max_size(4).build(MemoryManager)?;
//! std::thread::scope(|scope| {
//!     for worker in 0..16 {
//!         let pool = &pool;
//!         scope.spawn(move || {
//!             let mut conn = pool.get().expect("a turn comes within 30 s");
//!             conn.tag(format!("worker {worker}"));
//!             *conn += 1; // MemoryManager's connections are numbers
//!         }); // dropped: returned
//!     }
//! });
//! assert_eq!(pool.stats().gauges.in_use, 0);
//! assert!(pool.stats().peak_in_use <= 4);
//! # Ok::<(), tierpool::Error>(())
//! ```
//!
//! # Map
//!
//! | to do this | use |
//! | --- | --- |
//! | lend connections of any kind | [`Pool`], [`Builder`], [`PooledConnection`] |
//! | keep some for people | [`TieredPool`], [`Tier`] |
//! | talk to PostgreSQL | `PgPool`, module `postgres` |
//! | name a `Row`, a `ToSql`, a `Type` of the driver's | `postgres_crate`: the `postgres` crate, whole |
//! | work through many items, each in a transaction | module `batch` |
//! | share one input among many hosts, each item once | module `batch::queue` |
//! | set it up | [`config`]: settings, variables, profiles, sizes |
//! | know what went wrong | [`Error`], [`ErrorKind`], [`OpenFailure`] |
//! | ask the server who is connected, and whether it answers | `PgPool::server_activity`, `PgPool::check_health` |
//! | see what goes on | [`stats`], [`event`], [`report`], [`print_connection_status`] |
//! | have it watched by Prometheus, StatsD, … | module `metrics` (features `prometheus`, `metrics`) |
//! | let probes, scrapers and people ask it over HTTP | module `http` (feature `http`) |
//! | use diesel with it | [`guide`], page `diesel` (feature `diesel`) |
//! | divide one budget among many processes | [`guide::fleet`](crate::guide), module `fleet` |
//! | make connections of your own | [`ManageConnection`]; [`Driver`] where the database layer knows more |
//! | test without a database or a real clock | [`MemoryManager`], [`Clock::manual`] |
//! | read on | [`guide`] |
//!
//! # Guarantees
//!
//! Each is held by the tests in the file named.
//!
//! | what holds | tests |
//! | --- | --- |
//! | Nobody overtakes a waiter, and a returned connection goes to the head of the queue. | `tests/fifo.rs` |
//! | A checkout returns within its deadline and 100 ms, whatever hangs; a drop waits for nothing but `has_broken`. | `tests/deadline.rs` |
//! | The ceiling is never exceeded, connections being opened included. | `tests/sizing.rs`, `tests/stress.rs`, `tests/ceiling.rs` |
//! | A stale connection is not lent while a good one can be had. | `tests/validation.rs` |
//! | Lifetimes hold at checkout, at checkin and in the background. | `tests/age.rs` |
//! | No fault of server or network loses work, blocks a caller beyond its limits, or leaves a thread behind. | `tests/faults.rs` |
//! | Where there is a breaker, a server that is down is told at once, and probed by the pool alone. | `tests/breaker.rs` |
//! | A program written for r2d2 fares no worse: it waits out an outage, a late start and a slow opening. | `tests/from_r2d2.rs`, `tests/r2d2_compat.rs` |
//! | A panic in a manager, driver, customizer or handler costs no slot. | `tests/hooks/main.rs` |
//! | What hangs in a database layer is given up and its thread replaced, within bounds. | `tests/liveness.rs` |
//! | A checkout that lasts too long is warned of, cancelled, ended, as the limits say, and no later borrower is hit. | `tests/stuck.rs` |
//! | Waiting that cannot end is refused where that is certain, and told elsewhere. | `tests/deadlock.rs` |
//! | Every error names its cause, the gauges and the holders. | `tests/checkout.rs` |
//! | What others have written forges no line of an error, a log or the status box, and is bounded. | `tests/errors.rs`, `tests/postgres_errors.rs` |
//! | Closing is bounded, wakes all waiters, and leaves no thread behind. | `tests/close.rs`, `tests/sizing.rs` |
//! | Ad-hoc checkouts are served whatever automation does. | `tests/tiers.rs` |
//! | A checkout in the steady state allocates nothing. | `tests/alloc.rs` |
//! | Gauges add up at every moment, and counters are never behind. | `tests/stats.rs` |
//! | Programs written for r2d2 run after a change of `use` lines. | `tests/r2d2_compat.rs`, `tests/programs` |
//! | What diesel does with a connection, it does with a guard. | `tests/diesel_compat.rs` |
//! | No borrower finds the transaction of another. | `tests/postgres_reset.rs` |
//! | A failover ends with every connection on the new primary. | `tests/failover.rs` |
//! | A rotated password reaches no worker where a callback follows it. | `tests/credentials.rs` |
//! | A session commits all or nothing, and says where that is not known. | `tests/postgres_session.rs` |
//! | No statement of a session's runs outside of its transaction, whatever is refused, cancelled or cut. | `tests/along.rs` |
//! | A last statement is committed or undone with its session, and nothing comes after it. | `tests/session_ending.rs`, `tests/batch_ending.rs` |
//! | What is repeated is applied once, and no COMMIT of unknown fate is repeated unasked. | `tests/postgres_retry.rs` |
//! | A cached statement survives resets and changes of the schema. | `tests/postgres_statements.rs` |
//! | Behind a PgBouncer no client's settings reach another. | `tests/pgbouncer.rs`, `tests/pgbouncer_modes.rs` |
//! | A batch ends every item as committed, failed or not started. | `tests/batch.rs`, `tests/batch_stages.rs`, `tests/batch_stages_ends.rs`, `tests/batch_groups.rs` |
//! | Items in groups are there once, whatever is killed meanwhile. | `tests/batch_killed.rs` |
//! | An item of a queue takes effect once, whichever hosts, sessions and servers die. | `tests/queue.rs`, `tests/queue_run.rs`, `tests/queue_killed.rs` |
//! | Encryption that is demanded is had or refused, with what to change. | `tests/tls.rs` |
//! | A connection that others can read is told of, with what to set. | `tests/plain_text.rs` |
//! | What the pool asks the server for itself is answered or given up within one limit. | `tests/server_health.rs` |
//! | A status calls healthy only what lends and was seen within a minute, and unknown what was not. | `tests/status.rs`, `tests/verdict.rs`, `tests/status_postgres.rs` |
//! | With `tracing` no line of the log is lost or told twice, whoever listens. | `tests/tracing_lines.rs`, `tests/tracing_logger.rs`, `tests/tracing_later.rs` |
//! | Metrics are valid by Prometheus' own tool, and say what the statistics say. | `tests/metrics.rs`, `tests/metrics_facade.rs`, `tests/dashboards.rs` |
//! | No client of the endpoints costs another one anything, and no handler waits for the database. | `tests/http.rs`, `tests/http_bounds.rs`, `tests/http_postgres.rs` |
//! | The admin socket is its user's alone, does what is allowed, and goes with the last pool. | `tests/admin.rs` |
//! | The page shows what the pool tells as text, asks nobody else, and can be read and used by all. | `tests/page.rs` |
//! | The tool calls healthy only what it has seen, shows what the server shows, and ends in bounded time. | `tests/cli_status.rs` |
//! | It finds what keeps a configuration and a server from carrying the pool, and says what to do. | `tests/cli_verify.rs`, `tests/cli_verify_pooler.rs` |
//! | In the model of a fleet nobody has a slot twice, and nobody starves where there is one for each. | `tests/fleet_sim.rs` |
//! | Pools of a fleet never have more connections than slots, whatever ends them. | `tests/fleet_slots.rs` |
//! | Forty programs of a fleet are all served, and a person gets in, while they are killed, stopped and cut off. | `tests/fleet_forty.rs` |
//! | Faults of settings are told all at once, and no secret is printed. | `tests/settings.rs`, `tests/cli.rs` |
//!
//! # What it is not
//!
//! It is not asynchronous, not a database driver, and not a proxy between processes. It does not repeat work behind
//! your back, takes no connection away from its borrower unless told to after a time, and has two tiers rather than
//! priorities.
//!
//! # Features
//!
//! | feature | default | brings |
//! | --- | --- | --- |
//! | `postgres` | yes | `PgPool`, modules `postgres`, `batch` and `fleet`, settings from the environment or a URL |
//! | `tls` | yes | encrypted connections, by rustls with `ring`, which takes a C compiler to build: [`guide`], page `tls` |
//! | `diesel` | no | a guard is a connection of diesel's (2.3 and later) where the manager is diesel's |
//! | `http` | no | module `http`: health, metrics and all numbers over HTTP, on one thread; with it `serde` and `prometheus` |
//! | `serde` | no | `Serialize` for settings, statistics, holders and the status data |
//! | `prometheus` | no | module `metrics`: the statistics in Prometheus' text format, or as a collector |
//! | `metrics` | no | module `metrics`: the same for a recorder of the crate `metrics` |
//! | `tracing` | no | the log as events with fields, and the wait for a connection in the caller's span: [`guide`], page `operating` |
//! | `cli` | no | the program `tierpool`, for operators: [`guide`], page `tool` |
//!
//! # Moving from r2d2
//!
//! Change `use r2d2::…` to `use tierpool::…`: names and methods are the same, and managers, customizers and error
//! handlers are r2d2's own traits. [`guide::migration`] lists what behaves differently and why, and what of it asks for
//! a change.

#[cfg(feature = "postgres")]
pub mod batch;
mod clock;
pub mod config;
mod core;
#[cfg(feature = "diesel")]
mod diesel;
mod error;
pub mod event;
#[cfg(feature = "postgres")]
pub mod fleet;
mod foreign;
pub mod guide;
#[cfg(feature = "http")]
pub mod http;
mod lines;
mod memory;
#[cfg(any(feature = "metrics", feature = "prometheus"))]
pub mod metrics;
mod pool;
#[cfg(feature = "postgres")]
pub mod postgres;
mod process;
pub mod report;
pub mod stats;
mod text;
mod threads;
mod tiers;

/// The `postgres` crate in the version that the pool's connections come from: [`postgres`](mod@postgres) tells when a
/// program needs it beside this one.
#[cfg(feature = "postgres")]
pub use ::postgres as postgres_crate;
pub use clock::{Clock, ClockHand};
pub use config::{PrePing, WaitMode};
pub use error::{Error, ErrorKind, FailureClass, OpenFailure};
pub use event::{HandleEvent, NopEventHandler};
pub use memory::MemoryManager;
pub use pool::{
    Abandonment, Builder, CloseReport, Condition, Driver, Place, PlainDriver, Pool, PooledConnection,
    SessionControl, State,
};
#[cfg(feature = "postgres")]
pub use postgres::{PgBuilder, PgError, PgPool};
pub use r2d2::{
    CustomizeConnection, Extensions, HandleError, LoggingErrorHandler, ManageConnection,
    NopConnectionCustomizer, NopErrorHandler,
};
pub use report::{DatabaseStats, print_connection_status};
pub use stats::{BreakerState, Stats};
pub use tiers::{Tier, TieredBuilder, TieredPool, TieredSettings};

/// Compiles the code of the README.
#[cfg(all(doctest, feature = "postgres"))]
#[doc = include_str!("../README.md")]
struct Readme;
