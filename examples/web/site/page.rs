//! The text of a page, and the marks by which its version is told.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::plan::{CRAWL_DELAY, SLOW_HOST, Site};

const WORDS: [&str; 16] = [
    "river", "stone", "window", "garden", "letter", "bridge", "winter", "harbour", "candle", "orchard",
    "market", "lantern", "meadow", "thunder", "pepper", "valley",
];
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// The mark of a version: a page has the one or the other.
#[derive(Debug, PartialEq, Eq)]
pub enum Mark {
    ETag(String),
    LastModified(String),
}

impl Site {
    /// The body of page `n`.
    pub fn body(&self, n: usize) -> String {
        let version = self.version(n);
        let mut text = format!(
            "<!doctype html><html><head><title>Page {n}</title></head><body>\n<h1>Page {n}, version {version}</h1>\n"
        );
        for section in 0..1 + self.dice(n, "sections") % 4 {
            let _ = writeln!(text, "<h2>Section {section}</h2>\n<p>");
            for word in 0..40 + self.dice(n, "words") % 200 {
                let dice = self.dice(n, &format!("{section} {word} {version}"));
                text.push_str(WORDS[dice as usize % WORDS.len()]);
                text.push(if word % 12 == 11 { '\n' } else { ' ' });
            }
            text.push_str("</p>\n");
        }
        for link in self.links(n) {
            let _ = writeln!(text, "<p><a href=\"{link}\">to {link}</a></p>");
        }
        text.push_str("</body></html>\n");
        text
    }

    /// By what the version of page `n` is told. It follows from the body: so another web, by its seed or its number of
    /// pages, has other marks where its pages are others, and the same where they are the same.
    pub fn mark(&self, n: usize) -> Mark {
        let hash = Sha256::digest(self.body(n));
        let number = hash.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        if n.is_multiple_of(2) {
            return Mark::ETag(format!("\"{number:016x}\""));
        }
        // 1 January 2024 was a Monday. Any second of its first four weeks.
        let (day, second) = (number % 28, number / 28 % 86_400);
        let weekday = WEEKDAYS[day as usize % 7];
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        Mark::LastModified(format!(
            "{weekday}, {:02} Jan 2024 {hour:02}:{minute:02}:{second:02} GMT",
            day + 1
        ))
    }

    /// The `robots.txt` of `host`.
    pub fn robots(host: &str) -> String {
        let mut text =
            "# Everybody\nUser-agent: *\nDisallow: /private/\nAllow: /private/*.html$\n".to_owned();
        if host == SLOW_HOST {
            let _ = writeln!(text, "Crawl-delay: {CRAWL_DELAY}");
        }
        text.push_str("\nUser-agent: greedy\nDisallow: /\n");
        text
    }
}
