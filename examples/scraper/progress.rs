//! The progress bar, which hides itself when nobody watches.

use indicatif::{ProgressBar, ProgressStyle};
use tierpool::batch::Progress;
use tierpool::stats::Gauges;

const TEMPLATE: &str = "{bar:30} {pos}/{len} items  {per_sec}  ETA {eta}  {msg}";

/// A bar over `items` items, drawn on standard error.
pub fn bar(items: usize) -> ProgressBar {
    let style = ProgressStyle::with_template(TEMPLATE).expect("BUG: the template is a constant");
    ProgressBar::new(items as u64).with_style(style.progress_chars("=> "))
}

/// Shows how many items have ended, how many have been read, and how busy the automation tier is.
pub fn show(bar: &ProgressBar, progress: Progress, gauges: Gauges) {
    let (read, ended) = (progress.fetched, progress.committed + progress.failed);
    bar.set_message(format!("read {read}, in use {}, waiting {}", gauges.in_use, gauges.waiting));
    // Workers come here in any order; the bar does not go back.
    bar.inc(ended.saturating_sub(bar.position()));
}
