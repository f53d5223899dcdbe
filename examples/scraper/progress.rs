//! The progress bar, which hides itself when nobody watches.

use indicatif::{ProgressBar, ProgressStyle};

const TEMPLATE: &str = "{bar:30} {pos}/{len} items  {per_sec}  ETA {eta}  {msg}";

/// A bar over `items` items, drawn on standard error.
pub fn bar(items: usize) -> ProgressBar {
    let style = ProgressStyle::with_template(TEMPLATE).expect("BUG: the template is a constant");
    ProgressBar::new(items as u64).with_style(style.progress_chars("=> "))
}

/// Shows one more finished item and how busy the connections are.
pub fn step(bar: &ProgressBar, in_use: usize, waiting: usize) {
    bar.set_message(format!("in use {in_use}, waiting {waiting}"));
    bar.inc(1);
}
