//! Items out of a text, a line each.

use std::io::{self, BufRead, Read};

/// The most bytes that an item may have.
const LARGEST: u64 = 16 << 20;
/// The most that is read of a line: an item with its end.
const LONGEST: u64 = LARGEST + 2;

/// The lines of a text but for empty ones, without their ends. At a failure to read they end, as at a line that is too
/// long, and it stays here.
pub struct Lines<R> {
    text: R,
    /// Lines read, the empty ones too.
    count: u64,
    failure: Option<io::Error>,
}

impl<R: BufRead> Lines<R> {
    /// Begins at the first line.
    pub fn of(text: R) -> Self {
        Lines { text, count: 0, failure: None }
    }

    /// Why they ended before the text did, if so.
    pub fn into_failure(self) -> Option<io::Error> {
        self.failure
    }
}

impl<R: BufRead> Iterator for &mut Lines<R> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let mut line = Vec::new();
            match self.text.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => {
                    self.failure = Some(error);
                    return None;
                }
            }
            self.count += 1;
            if line.ends_with(b"\n") {
                line.pop();
                line.pop_if(|last| *last == b'\r');
            }
            if line.len() as u64 > LARGEST {
                let count = self.count;
                let told =
                    format!("line {count} has more than the {LARGEST} bytes (16 MiB) of the largest item");
                self.failure = Some(io::Error::new(io::ErrorKind::InvalidData, told));
                return None;
            }
            if !line.is_empty() {
                return Some(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    struct Breaks;

    impl Read for Breaks {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("it breaks"))
        }
    }

    #[test]
    fn a_line_is_an_item_without_its_end_and_an_empty_one_is_none() {
        let mut lines = Lines::of(&b"a\n\n b \r\n\r\n\xff\nc"[..]);
        let items: Vec<_> = (&mut lines).collect();
        assert_eq!(items, [&b"a"[..], b" b ", b"\xff", b"c"]);
        assert!(lines.into_failure().is_none());
    }

    #[test]
    fn a_text_that_breaks_off_is_told_and_one_without_lines_fills_no_memory() {
        let mut lines = Lines::of(BufReader::new(b"a\n".chain(Breaks)));
        assert_eq!((&mut lines).collect::<Vec<_>>(), [b"a"]);
        assert_eq!(lines.into_failure().unwrap().to_string(), "it breaks");
        let mut endless = Lines::of(BufReader::new(b"a\n\n".chain(io::repeat(b'x'))));
        assert_eq!((&mut endless).collect::<Vec<_>>(), [b"a"]);
        let told = endless.into_failure().unwrap().to_string();
        assert_eq!(told, "line 3 has more than the 16777216 bytes (16 MiB) of the largest item");
    }

    #[test]
    fn the_largest_item_is_one_with_either_end() {
        for end in ["", "\n", "\r\n"] {
            let text = "x".repeat(LARGEST as usize) + end;
            let mut lines = Lines::of(text.as_bytes());
            assert_eq!((&mut lines).map(|line| line.len() as u64).collect::<Vec<_>>(), [LARGEST]);
        }
    }
}
