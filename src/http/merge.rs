//! Metrics of several processes as one text: each series with labels that tell whose it is.
//!
//! What is merged was sent by other processes: a text that is not the text format 0.0.4, as a pool's own is, is left
//! out as a whole, so that one process does not cost a scraper all others.

use std::collections::{BTreeMap, HashSet};

/// A family: its lines of `HELP` and `TYPE`, as the first text has them, and its series.
#[derive(Default)]
struct Family {
    head: Vec<String>,
    series: Vec<String>,
}

/// Texts that are taken in one by one.
#[derive(Default)]
pub(super) struct Merged {
    families: BTreeMap<String, Family>,
    /// Names with labels: a series that is there twice would cost a scraper the whole.
    known: HashSet<String>,
}

impl Merged {
    /// Takes a text in, with labels to be added, such as `process="1"`; false for one that is left out.
    pub(super) fn take(&mut self, text: &str, labels: &str) -> bool {
        let Some(parsed) = parsed(text, labels) else { return false };
        for (name, family) in parsed {
            let all = self.families.entry(name).or_default();
            if all.head.is_empty() {
                all.head = family.head;
            }
            for series in family.series {
                let name = series.rsplit_once(' ').map_or(&*series, |(name, _)| name);
                if self.known.insert(name.to_owned()) {
                    all.series.push(series);
                }
            }
        }
        true
    }

    /// Puts in a gauge of this server's own, in the place of what others say under its name.
    pub(super) fn put(&mut self, name: &str, help: &str, value: usize) {
        let head = vec![format!("# HELP {name} {help}"), format!("# TYPE {name} gauge")];
        self.families.insert(name.to_owned(), Family { head, series: vec![format!("{name} {value}")] });
    }

    /// The whole.
    pub(super) fn text(self) -> String {
        let lines =
            self.families.into_values().flat_map(|family| family.head.into_iter().chain(family.series));
        lines.map(|line| line + "\n").collect()
    }
}

fn parsed(text: &str, labels: &str) -> Option<Vec<(String, Family)>> {
    let mut families: Vec<(String, Family)> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let Some(comment) = line.strip_prefix("# ") else {
            // A series belongs to the family above it, or of a histogram to a part of its name.
            let (name, family) = families.last_mut()?;
            family.series.push(labelled(line, name, labels)?);
            continue;
        };
        let (kind, rest) = comment.split_once(' ')?;
        let name = rest.split(' ').next().filter(|name| is_name(name))?;
        if !["HELP", "TYPE"].contains(&kind) || line.contains('\r') {
            return None;
        }
        if families.last().is_none_or(|(last, _)| last != name) {
            families.push((name.to_owned(), Family::default()));
        }
        families.last_mut()?.1.head.push(line.to_owned());
    }
    Some(families)
}

fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(is_letter)
        && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

/// `name{a="b"} 1` with more labels, first of all.
fn labelled(line: &str, family: &str, labels: &str) -> Option<String> {
    let (name, rest) = line.split_at(line.find(['{', ' '])?);
    let is_part = |part: &str| ["", "_bucket", "_sum", "_count"].contains(&part);
    if !is_name(name) || !name.strip_prefix(family).is_some_and(is_part) {
        return None;
    }
    let (own, value) = match rest.strip_prefix('{') {
        Some(rest) => rest.split_at(end_of_labels(rest)?),
        None => ("", rest),
    };
    let value = value.strip_prefix('}').unwrap_or(value).strip_prefix(' ')?;
    // As Rust reads numbers, +Inf and NaN among them.
    value.parse::<f64>().ok()?;
    let comma = if own.is_empty() { "" } else { "," };
    Some(format!("{name}{{{labels}{comma}{own}}} {value}"))
}

/// Where the brace stands that ends `a="b",c="d"}`.
fn end_of_labels(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        if at == 0 && text.starts_with('}') {
            return Some(0);
        }
        let equals = at + text[at..].find('=')?;
        if !is_name(&text[at..equals]) || !text[equals..].starts_with("=\"") {
            return None;
        }
        at = equals + 2;
        let mut is_escaped = false;
        let quote = text[at..].bytes().position(|byte| {
            let is_end = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            is_end
        })?;
        at += quote + 1;
        match text.as_bytes().get(at)? {
            b'}' => return Some(at),
            b',' => at += 1,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAUGES: &str =
        "# HELP a What it is.\n# TYPE a gauge\na{pool=\"x\"} 1\na{pool=\"y } \\\" z\"} +Inf\n";

    #[test]
    fn series_of_one_family_stand_together_below_one_head() {
        let mut merged = Merged::default();
        assert!(merged.take(GAUGES, "process=\"1\""));
        assert!(merged.take(&format!("{GAUGES}# TYPE b histogram\nb_sum 2.5\n"), "process=\"2\""));
        assert!(merged.take(GAUGES, "process=\"2\""), "once more");
        assert_eq!(
            merged.text(),
            "# HELP a What it is.\n# TYPE a gauge\n\
             a{process=\"1\",pool=\"x\"} 1\na{process=\"1\",pool=\"y } \\\" z\"} +Inf\n\
             a{process=\"2\",pool=\"x\"} 1\na{process=\"2\",pool=\"y } \\\" z\"} +Inf\n\
             # TYPE b histogram\nb_sum{process=\"2\"} 2.5\n"
        );
    }

    #[test]
    fn what_would_spoil_the_scrape_is_left_out_as_a_whole() {
        for line in [
            "b 1",
            "a 1 2",
            "a one",
            "a{} ",
            "a{x=\"1\" 1",
            "a{x=1} 1",
            "a{x=\"1\"}1",
            "a{x=\"1\",} 1",
            "a{x=\"\\\"} 1",
            "a_more 1",
            "a",
            "# EOF",
            "# HELP",
            "\u{1b}[2J",
        ] {
            let mut merged = Merged::default();
            assert!(!merged.take(&format!("{GAUGES}{line}\n"), "process=\"1\""), "{line:?}");
            assert_eq!(merged.text(), "", "{line:?}");
        }
    }
}
