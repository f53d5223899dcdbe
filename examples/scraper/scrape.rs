//! Reads an item: bounded bytes, a hash of them, and what the parser makes of them. No connection is held meanwhile.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::discover::Item;
use super::document::Document;
use super::failure::ScrapeError;
use super::kind::Kind;
use super::manifest::Manifest;
use super::{html, manifest, markdown, rustdoc, text};

/// Larger files are refused: real documents are far smaller, and every worker holds one in memory.
pub const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Raised whenever a parser's results change, so that rows of an older one are scraped again.
const PARSER_VERSION: u8 = 1;

/// An item as it is stored.
pub struct Page {
    pub path: String,
    /// The folder of the package it belongs to.
    pub package: Option<String>,
    pub kind: Kind,
    /// SHA-256 of the content and of what else decides about the rows.
    pub hash: Vec<u8>,
    pub bytes: i32,
    pub scraped: Scraped,
}

/// What an item turned out to be.
pub enum Scraped {
    Manifest(Manifest),
    Document(Document),
}

impl Page {
    /// About the memory that it takes: what is kept of a file is smaller than the file.
    pub fn size(&self) -> usize {
        size_of::<Page>() + usize::try_from(self.bytes).unwrap_or_default()
    }
}

/// Reads and parses the item's file.
///
/// # Errors
/// A file that is gone, unreadable, larger than [`MAX_BYTES`] or not UTF-8, and a manifest that cannot be used; documents
/// of any content can.
pub fn scrape(item: &Item) -> Result<Page, ScrapeError> {
    let path = key(&item.path)?;
    let package = item.package.as_deref().map(key).transpose()?;
    let kind = match &item.kind {
        Ok(kind) => *kind,
        Err(reason) => {
            return Err(ScrapeError::Unreadable { path: item.path.clone(), reason: reason.clone() });
        }
    };
    let content = read_text(&item.path)?;
    let mut hasher = Sha256::new();
    hasher.update([PARSER_VERSION]);
    hasher.update(kind.as_str());
    hasher.update([0]);
    hasher.update(package.as_deref().unwrap_or_default());
    hasher.update([0]);
    hasher.update(&content);
    let bytes = i32::try_from(content.len()).unwrap_or(i32::MAX);
    let scraped = parse(item, kind, &content)?;
    Ok(Page { path, package, kind, hash: hasher.finalize().to_vec(), bytes, scraped })
}

fn parse(item: &Item, kind: Kind, content: &str) -> Result<Scraped, ScrapeError> {
    let document = match kind {
        Kind::Manifest => {
            let path = item.path.clone();
            let scraped = manifest::scrape(content);
            return scraped.map(Scraped::Manifest).map_err(|faults| ScrapeError::Manifest { path, faults });
        }
        Kind::Markdown => markdown::scrape(content),
        Kind::Html => html::scrape(content),
        Kind::Text => text::scrape(content),
        Kind::Rust => rustdoc::scrape(content),
    };
    Ok(Scraped::Document(document))
}

fn key(path: &Path) -> Result<String, ScrapeError> {
    path.to_str().map(Into::into).ok_or_else(|| ScrapeError::PathNotUtf8(path.to_owned()))
}

fn read_text(path: &Path) -> Result<String, ScrapeError> {
    let unreadable =
        |error: std::io::Error| ScrapeError::Unreadable { path: path.to_owned(), reason: error.to_string() };
    let file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    let too_large = |bytes| ScrapeError::TooLarge { path: path.to_owned(), bytes, limit: MAX_BYTES };
    if bytes > MAX_BYTES {
        return Err(too_large(bytes));
    }
    // The file may grow while it is read, so the bound holds for the reading too.
    let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
    file.take(MAX_BYTES + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > MAX_BYTES {
        return Err(too_large(content.len() as u64));
    }
    String::from_utf8(content).map_err(|error| ScrapeError::NotUtf8 {
        path: path.to_owned(),
        offset: error.utf8_error().valid_up_to(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::discover::{Item, discover};
    use super::{MAX_BYTES, Page, ScrapeError, Scraped, scrape};

    fn read(name: &str, content: &[u8]) -> Result<Page, ScrapeError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), content).unwrap();
        let items: Vec<Item> = discover(folder.path(), None);
        assert_eq!(items.len(), 1);
        scrape(&items[0])
    }

    #[test]
    fn bad_files_fail_with_their_reason() {
        let large = vec![b'a'; usize::try_from(MAX_BYTES).unwrap() + 1];
        let message = |result: Result<Page, ScrapeError>| result.err().map(|error| error.to_string());
        assert!(message(read("a.md", &large)).unwrap().contains("4194305 bytes, more than the 4194304"));
        assert!(message(read("a.md", b"abc\xff")).unwrap().contains("not UTF-8 text from byte 3"));
        assert!(message(read("a.md", &large[1..])).is_none());
        let error = message(read("Cargo.toml", b"[package]"));
        assert!(error.unwrap().contains("Cargo.toml: package.name is missing"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_path_that_is_not_utf8_fails_with_its_reason() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"\xff.md")), "x").unwrap();
        let items = discover(folder.path(), None);
        assert!(matches!(scrape(&items[0]), Err(ScrapeError::PathNotUtf8(_))));
    }

    #[test]
    fn the_hash_follows_the_content() {
        let hash = |content: &[u8]| read("a.md", content).unwrap().hash;
        assert_eq!(hash(b"x").len(), 32);
        assert_ne!(hash(b"x"), hash(b"y"));
        assert!(matches!(
            read("a.rs", b"//! # T\n").unwrap().scraped,
            Scraped::Document(d) if d.title.as_deref() == Some("T")
        ));
    }
}
