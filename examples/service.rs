//! A small scraper that works round after round, and is seen meanwhile: `/`, `/health/pool`, `/healthz`, `/metrics`.
//!
//! ```sh
//! DATABASE_URL=postgresql://app:hush@localhost/news cargo run --features http --example service -- 127.0.0.1:9464
//! ```
//!
//! Without `DATABASE_URL` it works on a throw-away PostgreSQL. A number behind the address ends it after as many
//! rounds; else Ctrl-C does. What it does, and how little it takes to be seen, is in `service/work.rs`.

#[path = "../tests/support/mod.rs"]
mod support;
#[path = "service/work.rs"]
mod work;

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let addr = arguments.next().unwrap_or_else(|| "127.0.0.1:9464".to_owned());
    let rounds = arguments.next().map_or(Ok(u32::MAX), |rounds| rounds.parse())?;
    work::run(&addr, rounds)
}
