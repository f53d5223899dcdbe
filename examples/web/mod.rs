//! The parts of the web scraper, from the command line to the check against what the server has seen.

pub mod answer;
pub mod args;
pub mod check;
pub mod client;
pub mod crawl;
pub mod fetch;
pub mod frontier;
pub mod hosts;
pub mod link;
pub mod program;
pub mod report;
pub mod robots;
pub mod schema;
pub mod site;
pub mod store;
pub mod turn;

// What the batch scraper has as well.
#[path = "../scraper/document.rs"]
pub mod document;
#[path = "../scraper/html.rs"]
pub mod html;
#[path = "../scraper/number.rs"]
pub mod number;
#[path = "../scraper/server.rs"]
pub mod server;
#[path = "../scraper/tables.rs"]
pub mod tables;
#[path = "../scraper/terminal.rs"]
pub mod terminal;
