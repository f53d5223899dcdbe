//! What is asked for, what came of it, and why nothing did.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use super::document::Document;

/// An address of the frontier, to be fetched.
#[derive(Clone, Debug)]
pub struct Target {
    pub id: i64,
    pub url: String,
    /// By what the server told the version that is stored.
    pub known: Marks,
    /// SHA-256 of the body that is stored.
    pub hash: Option<Vec<u8>>,
    /// Requests made for it in this run.
    pub requests: Arc<AtomicI32>,
}

impl Target {
    pub fn requests(&self) -> i32 {
        // Alone: it says nothing about other memory.
        self.requests.load(Ordering::Relaxed)
    }
}

/// The marks of a version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    pub etag: Option<String>,
    pub modified: Option<String>,
}

/// What lasts of a fetch: it would come to the same a second time.
#[derive(Debug)]
pub enum Answer {
    Page(Page),
    /// The version that is stored is the newest.
    Unchanged,
    /// Another address has it, resolved where it is one of the hosts'.
    Moved {
        href: String,
        target: Option<String>,
    },
    Missing,
    TooLarge,
    /// `robots.txt` forbids it, so nothing was asked.
    Disallowed,
}

impl Answer {
    /// About the memory it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Answer::Page(page) => page.bytes + size_of::<Page>(),
            _ => size_of::<Answer>(),
        }
    }
}

/// A page as it is stored.
#[derive(Debug)]
pub struct Page {
    pub marks: Marks,
    pub hash: Vec<u8>,
    pub bytes: usize,
    pub document: Document,
    /// What each of the document's links leads to: `None` where to no page of the hosts'.
    pub targets: Vec<Option<String>>,
}

/// Why there was no answer.
#[derive(Debug)]
pub enum FetchError {
    /// An answer that says to come again, or that this scraper cannot use.
    Status(u16),
    /// No answer, or no end of it, in time.
    TimedOut,
    /// The connection broke, or ended amid the answer.
    Cut(String),
    /// The host's other pages took all the time there was.
    Crowded,
    /// The request cannot be made, or the answer is no HTTP.
    Unusable(String),
}

impl FetchError {
    /// Whether it may go well in a while.
    pub fn passes(&self) -> bool {
        match self {
            FetchError::Status(status) => *status == 429 || *status >= 500,
            FetchError::TimedOut | FetchError::Cut(_) | FetchError::Crowded => true,
            FetchError::Unusable(_) => false,
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::Status(status) => write!(f, "the server answered with the status {status}"),
            FetchError::TimedOut => f.write_str("the answer did not come to its end in time"),
            FetchError::Cut(reason) => write!(f, "the connection broke: {reason}"),
            FetchError::Crowded => f.write_str("too many other pages of the host wait for their turn"),
            FetchError::Unusable(reason) => write!(f, "nothing could be made of it: {reason}"),
        }
    }
}

impl std::error::Error for FetchError {}
