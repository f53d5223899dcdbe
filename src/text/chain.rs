//! An error with its causes, each said once.
//!
//! Which link of a chain tells most cannot be known from outside: one library has the file's path in the head and a
//! bare code at the end, another "db error" in the head and the reason at the end, a third repeats each cause in what
//! is above it. So all are told, from the head on, but for those that have been said.

use std::error::Error as StdError;

use super::harmless::harmless;

/// Chains longer than this are cut: an error that names itself as its source must not fill the memory.
const LONGEST_CHAIN: usize = 16;

/// An error and its causes as one line.
pub(crate) fn line(error: &dyn StdError) -> String {
    harmless(links(error).join(": "))
}

/// The texts of an error and its causes, made harmless: the head, and of the causes those that say more.
pub(crate) fn links(error: &dyn StdError) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    let mut link = Some(error);
    while let Some(error) = link.filter(|_| texts.len() < LONGEST_CHAIN) {
        texts.push(harmless(error));
        link = error.source();
    }
    let mut kept: Vec<String> = Vec::new();
    for at in 0..texts.len() {
        // Said by one above it, or standing between that and what it says.
        let is_said =
            (at..texts.len()).any(|below| texts[..at].iter().any(|above| says(above, &texts[below])));
        if is_said {
            continue;
        }
        match kept.last_mut() {
            // Repeated whole by the next, it gives way to that.
            Some(last) if texts[at].contains(last.as_str()) => last.clone_from(&texts[at]),
            _ => kept.push(texts[at].clone()),
        }
    }
    kept
}

/// Whether a text has said what another says: its words, but for a severity in front such as `FATAL: ` and for further
/// lines.
fn says(text: &str, other: &str) -> bool {
    let first_line = other.split(r"\n").next().unwrap_or(other);
    let label = first_line.split_once(": ").filter(|(label, _)| !label.contains(char::is_lowercase));
    let without_label = label.map_or(first_line, |(_, words)| words);
    text.contains(first_line) || text.contains(without_label)
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Link(&'static str, Option<Box<Link>>);

    impl fmt::Display for Link {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl StdError for Link {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            self.1.as_deref().map(|link| link as _)
        }
    }

    fn told(texts: &[&'static str]) -> String {
        let chain = texts.iter().rev().fold(None, |below, text| Some(Box::new(Link(text, below))));
        line(&*chain.expect("a chain has a head"))
    }

    #[test]
    fn what_the_head_knows_is_not_lost() {
        let told = told(&[
            "unable to open database file: /srv/x.db",
            "Error code 14: Unable to open the database file",
        ]);
        assert!(told.starts_with("unable to open database file: /srv/x.db"), "{told}");
    }

    #[test]
    fn what_the_end_knows_is_not_lost() {
        assert_eq!(
            told(&["error connecting to server", "refused (os error 111)"]),
            "error connecting to server: refused (os error 111)"
        );
    }

    #[test]
    fn nothing_is_said_twice() {
        assert_eq!(told(&["open failed: refused", "io error", "refused"]), "open failed: refused");
        assert_eq!(
            told(&["no such role (SQLSTATE 28000)", "db error", "FATAL: no such role\nDETAIL: none"]),
            "no such role (SQLSTATE 28000)"
        );
        assert_eq!(told(&["refused", "connect: refused"]), "connect: refused");
        assert_eq!(told(&["same", "same", "same"]), "same");
    }

    #[test]
    fn one_that_names_itself_as_its_cause_ends() {
        #[derive(Debug)]
        struct Loop;

        impl fmt::Display for Loop {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("round and round")
            }
        }

        impl StdError for Loop {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(self)
            }
        }

        assert_eq!(line(&Loop), "round and round");
    }
}
