//! Words of a text that comes in pieces, of which nothing is kept.

/// The beginning of a word, in lower case.
#[derive(Clone, Copy, Default)]
pub(super) struct Word {
    bytes: [u8; 12],
    pub(super) len: usize,
}

impl Word {
    pub(super) fn push(&mut self, byte: u8) {
        if let Some(free) = self.bytes.get_mut(self.len) {
            *free = byte.to_ascii_lowercase();
        }
        self.len += 1;
    }

    pub(super) fn is(&self, word: &[u8]) -> bool {
        self.bytes.get(..self.len) == Some(word)
    }
}

/// A word that is looked for. Its first letter occurs in it once, so after a mismatch only the byte in hand can begin
/// another match.
#[derive(Clone, Copy)]
pub(super) struct Needle {
    word: &'static [u8],
    /// How much of it the bytes so far end with.
    matched: usize,
}

impl Needle {
    pub(super) const fn new(word: &'static [u8]) -> Self {
        Needle { word, matched: 0 }
    }

    /// What may begin the word, or go on with it.
    pub(super) fn skip<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        if self.matched > 0 {
            return bytes;
        }
        let at = bytes.iter().position(|byte| byte.eq_ignore_ascii_case(&self.word[0]));
        at.map_or(&[], |at| &bytes[at..])
    }

    /// Whether this byte completes the word.
    pub(super) fn is_complete_with(&mut self, byte: u8) -> bool {
        self.matched = match byte.to_ascii_lowercase() {
            byte if byte == self.word[self.matched] => self.matched + 1,
            byte => usize::from(byte == self.word[0]),
        };
        let is_complete = self.matched == self.word.len();
        if is_complete {
            self.matched = 0;
        }
        is_complete
    }
}

pub(super) fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
