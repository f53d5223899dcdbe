//! `.env`, and which variables came from it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::outcome::Failure;

/// The largest file that is read.
const LARGEST: u64 = 1 << 20;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The variables that came from a file, each with its line.
#[derive(Debug, Default)]
pub struct Environment {
    file: Option<PathBuf>,
    lines: BTreeMap<String, usize>,
}

impl Environment {
    /// Takes variables from `.env` of the present folder, else of the nearest one above it that has one. What is set
    /// already stays as it is. To be called before there are other threads.
    pub fn read() -> Result<Self, Failure> {
        let here = std::env::current_dir()
            .map_err(|error| Failure::new(format_args!("no folder to be in: {error}")))?;
        let Some((path, bytes)) = found(&here)? else { return Ok(Environment::default()) };
        let variables = variables(&bytes).map_err(|(line, what)| at(&path, line, what))?;
        let is_set = |name: &str| std::env::var(name).is_ok();
        let lines = variables.into_iter().filter(|(name, _)| !is_set(name)).collect();
        let loaded = dotenvy::from_read(&*bytes);
        loaded.map_err(|_| Failure::new(format_args!("{} cannot be loaded", shown(&path))))?;
        Ok(Environment { file: Some(path), lines })
    }

    /// Where a variable came from, if that is the file.
    pub fn origin(&self, variable: &str) -> Option<String> {
        let line = self.lines.get(variable)?;
        self.file.as_deref().map(|file| format!("{}, line {line}", shown(file)))
    }
}

/// A path on one line, with nothing in it that a terminal obeys.
fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

fn at(path: &Path, line: usize, what: &str) -> Failure {
    Failure::new(format_args!("{}, line {line}: {what}", shown(path)))
}

/// The nearest file of that name, from a folder upwards. A folder of that name is none.
fn found(from: &Path) -> Result<Option<(PathBuf, Vec<u8>)>, Failure> {
    for folder in from.ancestors() {
        let path = folder.join(".env");
        let refused = |error| Failure::new(format_args!("{} cannot be read: {error}", shown(&path)));
        match path.metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound && path.symlink_metadata().is_ok() => {
                return Err(Failure::new(format_args!("{} is a link to nothing", shown(&path))));
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            Err(error) => return Err(refused(error)),
            Ok(found) if found.is_dir() => continue,
            // Such as a pipe, which would be waited for.
            Ok(found) if !found.is_file() => {
                return Err(Failure::new(format_args!("{} is no regular file", shown(&path))));
            }
            Ok(_) => {}
        }
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
        read.map_err(refused)?;
        if bytes.len() as u64 > LARGEST {
            return Err(Failure::new(format_args!("{} is larger than {LARGEST} bytes", shown(&path))));
        }
        // As editors on Windows write it.
        if bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        return Ok(Some((path, bytes)));
    }
    Ok(None)
}

/// The names in a file with the line at which each begins first; or the line that is at fault, and what is wrong there.
/// The line itself is not told: it may be a password.
fn variables(bytes: &[u8]) -> Result<BTreeMap<String, usize>, (usize, &'static str)> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        (before + 1, "not valid UTF-8")
    })?;
    let read = Rc::new(Cell::new(0));
    let lines = Lines { text: text.as_bytes(), read: Rc::clone(&read) };
    let mut names = BTreeMap::new();
    for item in dotenvy::from_read_iter(lines) {
        match item {
            Ok((_, value)) if value.contains('\0') => return Err((read.get(), "a value with a zero byte")),
            Ok((name, _)) => {
                names.entry(name).or_insert(read.get());
            }
            Err(dotenvy::Error::LineParse(item, _)) => {
                // A value in quotes goes on over several lines, or to the end where they are not closed.
                let begun = read.get() - item.trim_end().matches('\n').count().min(read.get() - 1);
                return Err((begun, "not NAME=value; a value with blanks, $ or # needs ' around it"));
            }
            Err(_) => return Err((read.get(), "cannot be read")),
        }
    }
    Ok(names)
}

/// Gives one line at a time, and counts: so the parser, which does not tell numbers, is never ahead of the count.
struct Lines<'a> {
    text: &'a [u8],
    read: Rc<Cell<usize>>,
}

impl Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.text.iter().position(|byte| *byte == b'\n').map_or(self.text.len(), |at| at + 1);
        let (given, whole) = if end > buffer.len() { (buffer.len(), 0) } else { (end, usize::from(end > 0)) };
        let (line, rest) = self.text.split_at(given);
        buffer[..given].copy_from_slice(line);
        self.text = rest;
        self.read.set(self.read.get() + whole);
        Ok(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variable_has_the_line_at_which_it_is_set() {
        let text = format!("# first\n\nA=1\nLONG={}\nexport B='two words'\nA=3\n", "x".repeat(20_000));
        let names = variables(text.as_bytes()).unwrap();
        let lines: Vec<_> = names.iter().map(|(name, line)| (name.as_str(), *line)).collect();
        assert_eq!(lines, [("A", 3), ("B", 5), ("LONG", 4)]);
    }

    #[test]
    fn a_fault_has_its_line_and_not_its_text() {
        let fault = |text: &[u8]| variables(text).unwrap_err();
        let (line, what) = fault(b"A=1\n\nhush hush\nB=2\n");
        assert_eq!((line, what.contains("hush")), (3, false));
        assert_eq!(fault(b"A=1\nB='hush\nC=2\nD=3\n").0, 2, "where the quote begins");
        assert_eq!(fault(b"A=1\nB=\xff\n"), (2, "not valid UTF-8"));
        assert_eq!(fault(b"A=1\nB='x\0y'\n"), (2, "a value with a zero byte"));
    }
}
