//! Which files are documents, told by their names.

use std::path::Path;

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A `Cargo.toml`.
    Manifest,
    Markdown,
    Html,
    /// Prose without markup: licences, authors, plain-text readmes.
    Text,
    /// A Rust source file, of which the documentation comments are read.
    Rust,
}

impl Kind {
    /// The name stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Manifest => "manifest",
            Kind::Markdown => "markdown",
            Kind::Html => "html",
            Kind::Text => "text",
            Kind::Rust => "rustdoc",
        }
    }

    /// The kind that is stored under this name.
    pub fn named(name: &str) -> Option<Kind> {
        let all = [Kind::Manifest, Kind::Markdown, Kind::Html, Kind::Text, Kind::Rust];
        all.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Tells the kind of the file `name`, or `None` when it is no document.
    pub fn of(name: &str) -> Option<Kind> {
        if name == "Cargo.toml" {
            return Some(Kind::Manifest);
        }
        let extension = Path::new(name).extension().and_then(|e| e.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "md" | "markdown" | "mdown" => Some(Kind::Markdown),
            "html" | "htm" => Some(Kind::Html),
            "rs" => Some(Kind::Rust),
            "txt" | "text" | "rst" | "adoc" => Some(Kind::Text),
            _ if is_prose(name, extension) => Some(Kind::Text),
            _ => None,
        }
    }
}

/// Files that are known by their first word, such as `README` or `LICENSE-APACHE`.
const PROSE: [&str; 14] = [
    "AUTHORS",
    "CHANGELOG",
    "CHANGES",
    "CONTRIBUTING",
    "CONTRIBUTORS",
    "COPYING",
    "COPYRIGHT",
    "HISTORY",
    "LICENCE",
    "LICENSE",
    "NEWS",
    "NOTICE",
    "README",
    "UNLICENSE",
];

/// An extension of small letters marks another kind of file (`license.py`); `LICENSE-Apache-2.0_WITH…` has none.
fn is_prose(name: &str, extension: &str) -> bool {
    let other_kind = !extension.is_empty() && extension.bytes().all(|b| b.is_ascii_lowercase());
    let upper = name.to_ascii_uppercase();
    let begins = |word: &str| {
        upper.strip_prefix(word).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
    };
    !other_kind && PROSE.into_iter().any(begins)
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn tells_documents_from_other_files() {
        let cases = [
            ("Cargo.toml", Some(Kind::Manifest)),
            ("Cargo.toml.orig", None),
            ("README.MD", Some(Kind::Markdown)),
            ("index.htm", Some(Kind::Html)),
            ("lib.rs", Some(Kind::Rust)),
            ("LICENSE-APACHE", Some(Kind::Text)),
            ("LICENSE-Apache-2.0_WITH_LLVM-exception", Some(Kind::Text)),
            ("license.py", None),
            ("NEWSPAPER", None),
            ("data.bin", None),
            ("Makefile", None),
        ];
        for (name, kind) in cases {
            assert_eq!(Kind::of(name), kind, "{name}");
        }
    }
}
