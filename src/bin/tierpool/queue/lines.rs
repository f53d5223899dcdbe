//! Items out of a text, a line each.

use std::io::{self, BufRead, Read};

/// The most that is read of a line: more than any item may have, so that a longer one is refused and not cut.
const LONGEST: u64 = (16 << 20) + 2;

/// The lines of a text but for empty ones, without their ends. At a failure to read they end, and it stays here.
pub struct Lines<R> {
    text: R,
    failure: Option<io::Error>,
}

impl<R: BufRead> Lines<R> {
    /// Begins at the first line.
    pub fn of(text: R) -> Self {
        Lines { text, failure: None }
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
            if line.ends_with(b"\n") {
                line.pop();
                line.pop_if(|last| *last == b'\r');
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
        let mut endless = Lines::of(BufReader::new(io::repeat(b'x')));
        assert_eq!((&mut endless).next().unwrap().len() as u64, LONGEST);
    }
}
