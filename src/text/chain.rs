//! An error with its causes, each said once.
//!
//! Which link of a chain tells most cannot be known from outside: one library has the file's path in the head and a
//! bare code at the end, another "db error" in the head and the reason at the end, a third repeats each cause in what
//! is above it. So all are told, from the head on, but for those that have been said.

use std::error::Error as StdError;
use std::fmt::{self, Write};

use super::harmless::harmless;

/// Chains longer than this are cut: an error that names itself as its source must not fill the memory.
const LONGEST_CHAIN: usize = 16;

/// Words of libraries' own links, such as `db error`, which say no more than that there is something below.
const EMPTY_WORDS: [&str; 20] = [
    "a",
    "an",
    "the",
    "to",
    "with",
    "of",
    "in",
    "i",
    "o",
    "io",
    "db",
    "database",
    "server",
    "connection",
    "connect",
    "connecting",
    "communicating",
    "error",
    "failed",
    "failure",
];

/// An error and its causes as one line.
pub(crate) fn line(error: &dyn StdError) -> String {
    harmless(links(error).join(": "))
}

/// The texts of an error and its causes, made harmless: the head, and of the causes those that say more.
pub(crate) fn links(error: &dyn StdError) -> Vec<String> {
    let mut told = vec![Told::of(error)];
    let mut below = error.source();
    while let Some(cause) = below.filter(|_| told.len() < LONGEST_CHAIN) {
        told.push(cause.downcast_ref::<Cause>().map_or_else(|| Told::of(cause), |cause| cause.told.clone()));
        below = cause.source();
    }
    let mut kept: Vec<String> = Vec::new();
    for (at, link) in told.iter().enumerate() {
        let above = &told[..at];
        let is_said = |link: &Told| above.iter().any(|above| above.says(link));
        // Or it says nothing itself, and stands between that and what it says.
        if is_said(link) || link.is_empty_beside(above) && told[at + 1..].iter().any(is_said) {
            continue;
        }
        match kept.last_mut() {
            // Repeated whole by the next, it gives way to that.
            Some(last) if link.text.contains(last.as_str()) => last.clone_from(&link.text),
            _ => kept.push(link.text.clone()),
        }
    }
    kept
}

/// What one link says by itself, made harmless.
#[derive(Clone)]
struct Told {
    text: String,
    /// Where there are more lines, which the text no longer shows: an escaped line break looks like a part of `C:\new`.
    first_line: Option<String>,
}

impl Told {
    fn of(link: impl fmt::Display) -> Told {
        let text = harmless(&link);
        let first_line = Some(harmless(FirstLine(&link))).filter(|line| !line.is_empty() && *line != text);
        Told { text, first_line }
    }

    /// Whether it has said what another says: its words, but for a severity in front such as `FATAL: ` and for further
    /// lines.
    fn says(&self, other: &Told) -> bool {
        let first_line = other.first_line.as_ref().unwrap_or(&other.text);
        let label = first_line.split_once(": ").filter(|(label, _)| !label.contains(char::is_lowercase));
        let without_label = label.map_or(first_line.as_str(), |(_, words)| words);
        self.text.contains(first_line) || self.text.contains(without_label)
    }

    /// Whether each of its words is an empty one or stands in one of those above.
    fn is_empty_beside(&self, above: &[Told]) -> bool {
        let known: Vec<_> = above.iter().flat_map(Told::words).collect();
        self.words().all(|word| EMPTY_WORDS.contains(&&*word) || known.contains(&word))
    }

    fn words(&self) -> impl Iterator<Item = String> {
        let words = self.text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_lowercase)
    }
}

/// The first line of a text, of which no more than that is written.
struct FirstLine<T>(T);

impl<T: fmt::Display> fmt::Display for FirstLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct UntilBreak<'a, 'b> {
            f: &'a mut fmt::Formatter<'b>,
            is_over: bool,
        }

        impl Write for UntilBreak<'_, '_> {
            fn write_str(&mut self, part: &str) -> fmt::Result {
                // Also where the last write's failure was ignored.
                if self.is_over {
                    return Err(fmt::Error);
                }
                let (line, rest) =
                    part.split_once('\n').map_or((part, None), |(line, rest)| (line, Some(rest)));
                self.is_over = rest.is_some();
                self.f.write_str(line)
            }
        }

        write!(UntilBreak { f, is_over: false }, "{}", self.0)
    }
}

/// An error and its causes as text, to be kept: an error of others need be neither `Send` nor `Clone`. Made harmless,
/// and cut, so that many can have it.
#[derive(Clone)]
pub(crate) struct Cause {
    told: Told,
    source: Option<Box<Cause>>,
}

impl Cause {
    pub(crate) fn of(error: &(dyn StdError + 'static)) -> Cause {
        Cause::with_links(error, LONGEST_CHAIN)
    }

    fn with_links(error: &(dyn StdError + 'static), left: usize) -> Cause {
        let source = error.source().filter(|_| left > 1);
        let source = source.map(|error| Box::new(Cause::with_links(error, left - 1)));
        Cause { told: Told::of(error), source }
    }

    /// Its own cause.
    #[cfg(feature = "postgres")]
    pub(crate) fn into_source(self) -> Option<Cause> {
        self.source.map(|source| *source)
    }

    pub(crate) fn from_text(text: &str) -> Cause {
        Cause { told: Told::of(text), source: None }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told.text)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&line(self))
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|cause| cause as _)
    }
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
    fn a_link_is_left_out_only_where_it_says_nothing_itself() {
        assert_eq!(
            told(&["closed by proxy p", "certificate of db1 expired", "closed"]),
            "closed by proxy p: certificate of db1 expired"
        );
        assert_eq!(told(&["refused by db1", "error connecting to server", "refused"]), "refused by db1");
    }

    #[test]
    fn what_looks_like_a_line_break_and_is_none_is_compared_whole() {
        let texts = ["cannot open C:", r"C:\new is full"];
        assert_eq!(told(&texts), r"cannot open C:: C:\new is full");
        let below = Link(texts[1], None);
        let kept = Cause::of(&Link(texts[0], Some(Box::new(below))));
        assert_eq!(line(&kept), r"cannot open C:: C:\new is full");
    }

    #[test]
    fn what_was_kept_as_text_is_told_as_the_error_was() {
        let last = Link("FATAL: no such role\nDETAIL: none", None);
        let kept = Cause::of(&Link("no such role (SQLSTATE 28000)", Some(Box::new(last))));
        assert_eq!(line(&kept), "no such role (SQLSTATE 28000)");
        assert_eq!(kept.source().unwrap().to_string(), r"FATAL: no such role\nDETAIL: none");
        assert_eq!(told(&["no such role", "\nDETAIL: none"]), r"no such role: \nDETAIL: none");
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
