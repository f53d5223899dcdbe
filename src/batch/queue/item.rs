//! An item of a queue, as it was claimed.

use std::fmt;
use std::str::Utf8Error;

/// An item of a [`Queue`](super::Queue), claimed for some time.
///
/// Its payload is bytes, as it was pushed: text of any kind goes in as it is, with NUL and in whatever encoding, and
/// the server neither converts nor checks it. `Debug` shows how many there are and not what they say.
#[derive(Clone)]
pub struct Item {
    id: i64,
    attempt: i32,
    payload: Vec<u8>,
}

impl Item {
    pub(super) fn new(id: i64, attempt: i32, payload: Vec<u8>) -> Self {
        Item { id, attempt, payload }
    }

    /// Its number in the queue; no two items of a queue ever have the same.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Which attempt this is; 1 is the first. One that ended with its host counts.
    pub fn attempt(&self) -> u32 {
        self.attempt.unsigned_abs()
    }

    /// As the statements want it.
    pub(super) fn claim(&self) -> i32 {
        self.attempt
    }

    /// What was pushed.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// What was pushed, as text.
    ///
    /// # Errors
    ///
    /// Where it is not UTF-8, from which byte on.
    pub fn text(&self) -> Result<&str, Utf8Error> {
        str::from_utf8(&self.payload)
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("id", &self.id)
            .field("attempt", &self.attempt)
            .field("bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}
