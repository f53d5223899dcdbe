//! What the server answers.

/// The columns of the widest answer that is read.
const COLUMNS: usize = 7;

/// The bytes of the number of columns, and of the length ahead of each value.
const COUNT: usize = 2;
const LENGTH: usize = 4;

/// The first four bytes of each column as a number, and all of a shorter one; zero where there is none.
pub(crate) type FirstWords = [u32; COLUMNS];

/// Reads one row, in whatever pieces it comes.
pub(in crate::postgres::observer) struct RowReader {
    words: FirstWords,
    column: usize,
    number: u32,
    /// What is missing to that number, which is a count or a length.
    missing: usize,
    is_counted: bool,
    /// Of the value under way: bytes read of it, and bytes to come.
    read: usize,
    left: usize,
}

impl RowReader {
    pub fn new() -> Self {
        RowReader {
            words: [0; COLUMNS],
            column: 0,
            number: 0,
            missing: COUNT,
            is_counted: false,
            read: 0,
            left: 0,
        }
    }

    pub fn read(&mut self, mut bytes: &[u8]) {
        while let [first, rest @ ..] = bytes {
            if self.left > 0 {
                let (value, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.read_value(value);
                bytes = rest;
                continue;
            }
            self.number = self.number << 8 | u32::from(*first);
            self.missing -= 1;
            bytes = rest;
            if self.missing == 0 {
                self.end_number();
            }
        }
    }

    pub fn words(&self) -> FirstWords {
        self.words
    }

    fn end_number(&mut self) {
        if std::mem::replace(&mut self.is_counted, true) {
            // A negative one stands for NULL.
            self.left = usize::try_from(self.number.cast_signed()).unwrap_or(0);
            self.read = 0;
            self.column += usize::from(self.left == 0);
        }
        (self.number, self.missing) = (0, LENGTH);
    }

    fn read_value(&mut self, value: &[u8]) {
        if let Some(word) = self.words.get_mut(self.column) {
            for byte in value.iter().take(size_of::<u32>().saturating_sub(self.read)) {
                *word = *word << 8 | u32::from(*byte);
            }
        }
        self.read += value.len();
        self.left -= value.len();
        self.column += usize::from(self.left == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_of_each_column_are_read_however_they_come() {
        let values: [Option<&[u8]>; 8] = [
            Some(b"name of it"),
            Some(b"d"),
            None,
            Some(&[0, 0, 1, 2]),
            Some(b""),
            Some(b"s"),
            None,
            Some(b"x"),
        ];
        let mut row = vec![0, 8];
        for value in values {
            row.extend(value.map_or(-1, |value| i32::try_from(value.len()).unwrap()).to_be_bytes());
            row.extend(value.unwrap_or_default());
        }
        for size in 1..row.len() {
            let mut reader = RowReader::new();
            row.chunks(size).for_each(|piece| reader.read(piece));
            let first = u32::from_be_bytes(*b"name");
            assert_eq!(reader.words(), [first, u32::from(b'd'), 0, 258, 0, u32::from(b's'), 0]);
        }
    }
}
