//! The parts of the batch scraper, from the command line to the tables.

pub mod args;
pub mod discover;
pub mod document;
pub mod failure;
pub mod html;
pub mod kind;
pub mod manifest;
pub mod markdown;
pub mod number;
pub mod pace;
pub mod program;
pub mod progress;
pub mod run;
pub mod rustdoc;
pub mod schema;
pub mod scrape;
pub mod server;
pub mod shared;
pub mod store;
pub mod tables;
pub mod tally;
pub mod terminal;
pub mod text;
