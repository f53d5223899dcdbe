//! The web that is scraped: a server on loopback whose pages, latencies and faults follow from a seed.

pub mod exchange;
pub mod page;
pub mod plan;
pub mod seen;
pub mod serve;
