//! How far a load is, on a terminal, and Ctrl-C meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signal_hook::consts::SIGINT;
use signal_hook::flag;

use super::record::Counts;
use crate::outcome::{Code, Failure};

/// A bar that takes its line, in plain characters.
const STYLE: &str = "{prefix} [{bar:24}] {pos}/{len} s  {msg}";

/// What Ctrl-C does: it ends the program at once, or after a look.
pub struct Interrupt {
    at_once: Arc<AtomicBool>,
    caught: Arc<AtomicBool>,
}

impl Interrupt {
    /// From here on Ctrl-C ends the program at once.
    pub fn wait_for() -> Result<Self, Failure> {
        let this =
            Interrupt { at_once: Arc::new(AtomicBool::new(true)), caught: Arc::new(AtomicBool::new(false)) };
        // In this order: the first ends the program where it is to be ended.
        flag::register_conditional_shutdown(SIGINT, Code::Interrupted as i32, Arc::clone(&this.at_once))
            .and_then(|_| flag::register(SIGINT, Arc::clone(&this.caught)))
            .map(|_| this)
            .map_err(|error| Failure::new(format_args!("Ctrl-C cannot be waited for: {error}")))
    }

    /// From here on somebody looks for it, since there is something to be put in order.
    pub fn when_looked_for(&self) {
        // Relaxed, as in all uses: the flags order nothing, and the signal's handler reads nothing else.
        self.at_once.store(false, Ordering::Relaxed);
    }

    /// From here on it ends the program at once again, also if it came meanwhile.
    pub fn at_once(&self) {
        self.at_once.store(true, Ordering::Relaxed);
        self.end_if_caught();
    }

    fn is_caught(&self) -> bool {
        self.caught.load(Ordering::Relaxed)
    }

    fn end_if_caught(&self) {
        if self.is_caught() {
            std::process::exit(Code::Interrupted as i32);
        }
    }
}

/// The bar of one run.
pub struct Progress<'a> {
    bar: ProgressBar,
    interrupt: &'a Interrupt,
}

impl<'a> Progress<'a> {
    /// Draws on standard error, where that is a terminal.
    pub fn of(what: String, time: Duration, interrupt: &'a Interrupt) -> Self {
        interrupt.when_looked_for();
        let bar = ProgressBar::with_draw_target(Some(time.as_secs()), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(STYLE).expect("BUG: a template that cannot be read");
        bar.set_style(style.progress_chars("#>-"));
        bar.set_prefix(what);
        Progress { bar, interrupt }
    }

    pub fn look(&self, counts: &Counts, elapsed: Duration) {
        if self.interrupt.is_caught() {
            self.bar.finish_and_clear();
            self.interrupt.end_if_caught();
        }
        self.bar.set_message(format!("{} done, {} not", counts.done, counts.errors()));
        self.bar.set_position(elapsed.as_secs());
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.interrupt.at_once();
    }
}
