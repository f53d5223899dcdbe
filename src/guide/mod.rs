//! Guides: one page for each question that a user of the crate comes with.
//!
//! | page | question |
//! | --- | --- |
//! | [`operating`] | what does the pool tell, and what do I do about it? |
//! | [`sizing`] | how many connections? |
//! | [`faults`] | what does the pool do when something goes wrong? |
//! | [`migration`] | how do I move from r2d2, and what differs? |
//! | [`fork`] | what of child processes, pre-forking servers, `multiprocessing`? |
#![cfg_attr(
    feature = "postgres",
    doc = "\
| [`coming_from`] | I know another pool: what is it called here, and what differs? (feature `postgres`) |
| [`failover`] | what about several servers, a failover, passwords that change? (feature `postgres`) |
| [`retries`] | which limit acts where, and when is work repeated? (feature `postgres`) |
| [`batches`] | what makes a batch slow, and what becomes of its items? (feature `postgres`) |
| [`postgres`] | what is particular to PostgreSQL? (feature `postgres`) |
| [`fleet`] | how do several programs share one budget of connections? (feature `postgres`) |
| [`pgbouncer`] | what changes behind a PgBouncer? (feature `postgres`) |
| [`supabase`] | which address, and how many connections? (feature `postgres`) |
| [`tls`] | how are connections encrypted, and whom do they trust? (feature `postgres`) |
| [`server`] | what does the server say of itself, and of all processes? (feature `postgres`) |"
)]
#![cfg_attr(
    feature = "prometheus",
    doc = "| [`metrics`] | how do I have it watched by Prometheus? (feature `prometheus`) |"
)]
#![cfg_attr(
    feature = "http",
    doc = "| [`seen`] | how do probes, scrapers and people see it from outside? (feature `http`) |"
)]
#![cfg_attr(
    feature = "cli",
    doc = "| [`tool`] | what can an operator ask who has a shell and a connection string? (feature `cli`) |"
)]
#![cfg_attr(feature = "diesel", doc = "| [`diesel`] | how do I use diesel with it? (feature `diesel`) |")]

#[doc = include_str!("operating.md")]
#[doc(alias("echo_pool"))]
pub mod operating {}

#[cfg(feature = "prometheus")]
#[doc = include_str!("metrics.md")]
pub mod metrics {}

#[cfg(feature = "http")]
#[doc = include_str!("seen.md")]
#[doc(alias("healthcheck", "readiness", "dashboard"))]
pub mod seen {}

#[cfg(feature = "cli")]
#[doc = include_str!("tool.md")]
pub mod tool {}

#[doc = include_str!("sizing.md")]
pub mod sizing {}

#[doc = include_str!("faults.md")]
pub mod faults {}

#[doc = include_str!("migration.md")]
pub mod migration {}

#[cfg(feature = "diesel")]
#[doc = include_str!("diesel.md")]
pub mod diesel {}

#[cfg(feature = "postgres")]
#[doc = include_str!("coming_from.md")]
pub mod coming_from {}

#[cfg(feature = "postgres")]
#[doc = include_str!("failover.md")]
pub mod failover {}

#[doc = include_str!("fork.md")]
#[doc(alias("multiprocessing", "prefork", "preload_app", "daemonize"))]
pub mod fork {}

#[cfg(feature = "postgres")]
#[doc = include_str!("retries.md")]
pub mod retries {}

#[cfg(feature = "postgres")]
#[doc = include_str!("batches.md")]
pub mod batches {}

#[cfg(feature = "postgres")]
#[doc = include_str!("postgres.md")]
pub mod postgres {}

#[cfg(feature = "postgres")]
#[doc = include_str!("fleet.md")]
pub mod fleet {}

#[cfg(feature = "postgres")]
#[doc = include_str!("pgbouncer.md")]
pub mod pgbouncer {}

#[cfg(feature = "postgres")]
#[doc = include_str!("supabase.md")]
pub mod supabase {}

#[cfg(feature = "postgres")]
#[doc = include_str!("tls.md")]
pub mod tls {}

#[cfg(feature = "postgres")]
#[doc = include_str!("server.md")]
pub mod server {}
