//! What tests, examples and benches share: a PostgreSQL of one's own, a faulty network, a scripted manager.
//!
//! An example takes it in with `#[path = "../tests/support/mod.rs"] mod support;`.

// Each user is a crate of its own and takes a part of this; what it leaves out is no fault of its.
#![allow(dead_code, unused_imports, unreachable_pub)]

#[cfg(all(feature = "http", unix))]
pub mod admin;
#[cfg(feature = "tls")]
pub mod authority;
#[cfg(feature = "postgres")]
pub mod batches;
#[cfg(feature = "postgres")]
pub mod bouncer;
#[cfg(feature = "http")]
pub mod browser;
pub mod child;
#[cfg(feature = "postgres")]
pub mod cluster;
pub mod hostile;
pub mod logged;
#[cfg(feature = "postgres")]
pub mod pools;
pub mod port;
pub mod process;
#[cfg(feature = "prometheus")]
pub mod prometheus;
pub mod proxy;
#[cfg(feature = "postgres")]
pub mod queues;
#[cfg(feature = "postgres")]
pub mod retried;
#[cfg(feature = "http")]
pub mod scraping;
#[cfg(all(feature = "cli", target_os = "linux"))]
pub mod screen;
pub mod scripted;
pub mod steady;
pub mod stress;
#[cfg(feature = "cli")]
pub mod tool;
#[cfg(feature = "tracing")]
pub mod traced;
#[cfg(feature = "cli")]
pub mod verified;
pub mod wait;
pub mod watched;
#[cfg(feature = "http")]
pub mod web;
#[cfg(feature = "postgres")]
pub mod wire;
