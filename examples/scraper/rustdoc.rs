//! The documentation comments of Rust source files, which are Markdown.

use super::document::Document;
use super::markdown;

/// Whether a source file, or the beginning of one, holds a documentation comment with text.
pub fn is_documented(source: &str) -> bool {
    source.lines().filter_map(comment).any(|(_, text)| !text.trim().is_empty())
}

/// Scrapes a source file's documentation.
///
/// The title is that of the module's own documentation; without any there is none, because the first heading of an
/// item's documentation ("Examples", "Errors") says nothing about the file.
pub fn scrape(source: &str) -> Document {
    let mut document = markdown::scrape(&collect(source, |_| true));
    document.title = markdown::scrape(&collect(source, |place| place == Place::Inner)).title;
    document
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `//!`, about the module it stands in.
    Inner,
    /// `///`, about the item that follows.
    Outer,
}

/// The documentation on a line, without its marker and the customary space after it.
fn comment(line: &str) -> Option<(Place, &str)> {
    let line = line.trim_start();
    let inner = line.strip_prefix("//!").map(|text| (Place::Inner, text));
    // Four slashes are a banner, not documentation.
    let outer = || line.strip_prefix("///").filter(|text| !text.starts_with('/')).map(|t| (Place::Outer, t));
    inner.or_else(outer).map(|(place, text)| (place, text.strip_prefix(' ').unwrap_or(text)))
}

/// Joins the comments of the wanted places; code between two of them separates their paragraphs.
fn collect(source: &str, wanted: impl Fn(Place) -> bool) -> String {
    let mut markdown = String::new();
    let mut separated = true;
    for line in source.trim_start_matches('\u{feff}').lines() {
        match comment(line).filter(|(place, _)| wanted(*place)) {
            Some((_, text)) => {
                markdown.push_str(text);
                markdown.push('\n');
                separated = false;
            }
            None if !separated => {
                markdown.push('\n');
                separated = true;
            }
            None => {}
        }
    }
    markdown
}

#[cfg(test)]
mod tests {
    use super::{is_documented, scrape};

    #[test]
    fn reads_the_documentation_of_module_and_items() {
        let source = "// licence\n#![no_std]\n//! The *module*.\n//!\n//! More.\nuse std::fmt;\n//// banner\n\
                      /// # Errors\n/// See [there](x).\nfn f() {}\n    /// Inside.\n";
        let document = scrape(source);
        assert_eq!(document.title.as_deref(), Some("The module."));
        let headings: Vec<_> = document.headings.iter().map(|heading| heading.text.as_str()).collect();
        assert_eq!(headings, ["Errors"]);
        assert_eq!(document.links[0].href, "x");
        // The module. | More. | Errors | See there. | Inside.
        assert_eq!(document.words, 7);
        assert_eq!(scrape("/// # Examples\nfn f() {}\n").title, None);
    }

    #[test]
    fn only_comments_with_text_make_a_document() {
        assert!(is_documented("use x;\n  /// y\n"));
        for source in ["//!\n///\n", "//// banner\n", "// comment\n", "fn main() {}", ""] {
            assert!(!is_documented(source), "{source:?}");
        }
    }
}
