//! The command `top`: who holds connections and who waits, live.
//!
//! | module | job |
//! | --- | --- |
//! | `grid` | a view as a value: columns, rows, their order |
//! | `seen` | one look at everything |
//! | `people` | two views: who has connections, and who waits |
//! | `views` | all four of them |
//! | `state` | what the screen is at, and what keys do to it |
//! | `frame` | the screen as a value: lines that fit |
//! | `reading` | the thread that looks, and does what it is told to sessions |
//! | `terminal` | the terminal: its modes, and what is drawn on it |

mod frame;
mod grid;
mod people;
mod reading;
mod seen;
mod state;
mod terminal;
mod views;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyEventKind};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tierpool::config::{Overrides, PgSettings};

use crate::arguments::TopOptions;
use crate::config::unusable;
use crate::environment::Environment;
use crate::outcome::{Code, Failure};
use crate::output;
use crate::seen::server::{self, Meant, OWN_NAME};
use crate::table::Table;
use reading::{News, Reader};
use seen::Seen;
use state::{Order, State};
use terminal::Screen;
use views::View;

/// For how long a key is waited for before it is looked whether there is news: at most so late is what is shown.
const KEY_WAIT: Duration = Duration::from_millis(50);

/// Shows the screen until somebody has seen enough; without a terminal, everything once.
pub fn run(options: &TopOptions) -> Result<Code, Failure> {
    Environment::read()?;
    let settings = PgSettings::from_env(&Overrides::default()).map_err(|faults| unusable(&faults))?;
    let meant = Meant::of(options.app.as_ref(), &settings);
    let pool = server::pool(OWN_NAME)?;
    if !output::obeys_redraw() {
        let seen = reading::look(&pool, &meant);
        output::print(text(&seen))?;
        return Ok(if seen.answers { Code::Good } else { Code::Untold });
    }
    let failed = |error: io::Error| Failure::new(format_args!("the terminal cannot be used: {error}"));
    let ended = Signals::listen().map_err(failed)?;
    let reader = Reader::start(pool, meant, Duration::from_secs(options.every)).map_err(failed)?;
    // The failure is told when the terminal is as it was.
    let code = show(&reader, &ended, options.every).map_err(failed)?;
    if let Some(signal) = ended.deadly() {
        // As a program ends that does nothing about it.
        signal_hook::low_level::emulate_default_handler(signal).map_err(failed)?;
    }
    Ok(code)
}

/// Which signals have come.
struct Signals {
    int: Arc<AtomicBool>,
    /// Those that end a program which does nothing about them.
    others: [(i32, Arc<AtomicBool>); 2],
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let others = [SIGTERM, SIGHUP].map(|signal| (signal, Arc::default()));
        let signals = Signals { int: Arc::default(), others };
        signal_hook::flag::register(SIGINT, Arc::clone(&signals.int))?;
        for (signal, has_come) in &signals.others {
            signal_hook::flag::register(*signal, Arc::clone(has_come))?;
        }
        Ok(signals)
    }

    /// One of the others that has come.
    fn deadly(&self) -> Option<i32> {
        let come = self.others.iter().find(|(_, has_come)| has_come.load(Ordering::SeqCst));
        come.map(|(signal, _)| *signal)
    }
}

/// The age of what is shown, in seconds, where the next look should have ended by now: it takes a moment itself.
fn late(last: Duration, every: u64) -> Option<u64> {
    Some(last.as_secs()).filter(|seconds| *seconds > every.saturating_mul(2) + 1)
}

fn show(reader: &Reader, ended: &Signals, every: u64) -> io::Result<Code> {
    let mut screen = Screen::take()?;
    let mut state = State::new();
    let (mut is_drawn, mut last) = (false, Instant::now());
    loop {
        while let Some(news) = reader.news()? {
            match news {
                News::Seen(seen) => {
                    last = Instant::now();
                    state.see(*seen);
                }
                News::Said(said) => state.say(said),
            }
            is_drawn = false;
        }
        is_drawn &= !state.be_late(late(last.elapsed(), every));
        if !is_drawn {
            let (width, height) = Screen::size();
            screen.draw(frame::frame(&state, width, height))?;
            is_drawn = true;
        }
        if ended.int.load(Ordering::SeqCst) {
            return Ok(Code::Interrupted);
        }
        if ended.deadly().is_some() {
            return Ok(Code::Untold);
        }
        if !event::poll(KEY_WAIT)? {
            continue;
        }
        is_drawn = false;
        match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => match state.press(key) {
                None => {}
                Some(Order::Quit) => return Ok(Code::Good),
                Some(Order::Interrupt) => return Ok(Code::Interrupted),
                Some(Order::Do(deed, session)) => {
                    let is_taken = reader.order(deed, *session);
                    state.say(if is_taken { "asked for" } else { "still at what was asked for before" });
                }
            },
            Event::Resize(..) => screen.forget(),
            _ => {}
        }
    }
}

/// All views, one below the other.
fn text(seen: &Seen) -> String {
    let server = if seen.answers { "Server" } else { "UNREACHABLE" };
    let mut parts = vec![format!("{server}: {}", seen.message)];
    for view in View::ALL {
        let mut grid = view.grid(seen);
        grid.sort(0);
        let names: Vec<_> = grid.columns.iter().map(|column| column.name).collect();
        let mut table = Table::new(&names);
        for row in grid.rows {
            table.row(row.cells.into_iter().map(|cell| cell.text).collect());
        }
        let summary = grid.summary.join("\n");
        let head = format!("{}: {summary}", view.name());
        parts.push(if table.is_empty() { head } else { format!("{head}\n{table}") });
    }
    parts.extend(seen.notes.iter().map(|note| format!("note: {note}")));
    parts.join("\n\n")
}
