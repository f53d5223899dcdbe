//! Why an item could not be read.

use std::fmt;
use std::path::PathBuf;

/// The reason an item could not be read.
#[derive(Debug)]
pub enum ScrapeError {
    /// The file or folder could not be read.
    Unreadable { path: PathBuf, reason: String },
    /// The file is larger than the scraper takes.
    TooLarge { path: PathBuf, bytes: u64, limit: u64 },
    /// The file is not UTF-8 text.
    NotUtf8 { path: PathBuf, offset: usize },
    /// The file's own path is not UTF-8, so that it cannot be a key.
    PathNotUtf8(PathBuf),
    /// The manifest cannot be used; every fault is named.
    Manifest { path: PathBuf, faults: Vec<String> },
}

impl ScrapeError {
    /// The name under which failures are counted.
    pub fn class(&self) -> &'static str {
        match self {
            ScrapeError::Unreadable { .. } => "unreadable",
            ScrapeError::TooLarge { .. } => "too large",
            ScrapeError::NotUtf8 { .. } => "content is not UTF-8",
            ScrapeError::PathNotUtf8(_) => "path is not UTF-8",
            ScrapeError::Manifest { .. } => "manifest",
        }
    }
}

impl fmt::Display for ScrapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScrapeError::Unreadable { path, reason } => write!(f, "cannot read {}: {reason}", path.display()),
            ScrapeError::TooLarge { path, bytes, limit } => {
                write!(f, "{} has {bytes} bytes, more than the {limit} taken", path.display())
            }
            ScrapeError::NotUtf8 { path, offset } => {
                write!(f, "{} is not UTF-8 text from byte {offset} on", path.display())
            }
            ScrapeError::PathNotUtf8(path) => write!(f, "the path {} is not UTF-8", path.display()),
            ScrapeError::Manifest { path, faults } => write!(f, "{}: {}", path.display(), faults.join("; ")),
        }
    }
}

impl std::error::Error for ScrapeError {}
