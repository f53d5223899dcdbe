//! The parts of the batch scraper example, without a database where they need none.

#[path = "../examples/scraper/mod.rs"]
mod scraper;
