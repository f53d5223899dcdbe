//! Text to standard output, whose reader may go away.

use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};

use clap::error::{ContextKind, ContextValue};

use crate::outcome::{Code, Failure};

/// Who reads standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Somebody may.
    There,
    /// Nobody does any more: whoever closes a pipe has seen enough, which is no failure.
    Gone,
}

/// Whether standard output is a terminal that can be drawn upon.
pub fn obeys_redraw() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// Prints a text and ends its last line, in one piece.
pub fn print(text: impl fmt::Display) -> Result<Reader, Failure> {
    written(io::stdout().lock(), format!("{text}\n").as_bytes())
}

fn written(mut to: impl Write, bytes: &[u8]) -> Result<Reader, Failure> {
    match to.write_all(bytes).and_then(|()| to.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::new(format_args!("standard output cannot be written: {error}"))),
    }
}

/// Prints a value as JSON, on lines that people can read too.
pub fn print_json(value: &serde_json::Value) -> Result<Reader, Failure> {
    print(format_args!("{value:#}"))
}

/// Puts the cursor to the top of the terminal, and what was below it away.
const REDRAW: &str = "\x1b[H\x1b[2J";

/// How a command that looks once, or again and again, prints what it saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looks {
    pub in_json: bool,
    pub again: bool,
}

impl Looks {
    /// Prints one look: of several each in its place on a terminal, else a block of text or a line of JSON, for whoever
    /// reads line by line.
    pub fn print(
        self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> serde_json::Value,
    ) -> Result<Reader, Failure> {
        match (self.in_json, self.again) {
            (true, false) => print_json(&json()),
            (true, true) => print(json()),
            (false, false) => print(text()),
            (false, true) if obeys_redraw() => print(format_args!("{REDRAW}{}", text())),
            (false, true) => print(format_args!("{}\n", text())),
        }
    }
}

/// Tells why a command failed. Nobody may be there to read it.
pub fn complain(failure: &Failure) -> Code {
    let _ = writeln!(io::stderr(), "tierpool: {failure}");
    Code::Untold
}

/// So many of something.
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What the parser of arguments has to say: help to standard output, a fault to standard error.
pub fn of_parser(told: &clap::Error) -> Result<Code, Failure> {
    if told.use_stderr() {
        let _ = io::stderr().write_all(without_secrets(told).as_bytes());
        return Ok(Code::Untold);
    }
    written(io::stdout().lock(), told.render().to_string().as_bytes()).map(|_| Code::Good)
}

/// The parser repeats what it does not understand, and that may be the URL of a server or a password. What has none of
/// the marks of either is shown.
fn without_secrets(told: &clap::Error) -> String {
    let may_be_one = |word: &str| {
        let is_long = word.trim().len() > 2;
        is_long && !word.starts_with('-') && word.contains(['=', ':', '@', '/', ' '])
    };
    let repeated = told.context().filter_map(|(kind, value)| match (kind, value) {
        (
            ContextKind::InvalidArg | ContextKind::InvalidValue | ContextKind::InvalidSubcommand,
            ContextValue::String(word),
        ) => Some(word),
        _ => None,
    });
    let secrets = repeated.filter(|word| may_be_one(word));
    secrets.fold(told.render().to_string(), |text, secret| text.replace(secret, "[redacted]"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    struct Refusing(ErrorKind);

    impl Write for Refusing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_may_be_a_secret_is_not_repeated_and_what_cannot_be_is() {
        let told = |argument: &str| {
            let parsed = crate::arguments::Arguments::try_parse_from(["tierpool", "config", argument]);
            without_secrets(&parsed.unwrap_err())
        };
        for secret in ["postgresql://u:hush@h/d", "PGPASSWORD=hush", "password = hush", "hush sh@h/d"] {
            let told = told(secret);
            assert!(
                told.contains("unexpected argument '[redacted]' found") && !told.contains("hush"),
                "{told}"
            );
        }
        assert!(told("bogus").contains("'bogus'") && told("--bogus").contains("'--bogus'"));
    }

    #[test]
    fn a_reader_that_goes_is_no_failure_and_a_full_disk_is_one() {
        assert_eq!(written(Vec::new(), b"text").unwrap(), Reader::There);
        assert_eq!(written(Refusing(ErrorKind::BrokenPipe), b"text").unwrap(), Reader::Gone);
        let told = written(Refusing(ErrorKind::StorageFull), b"text").unwrap_err();
        assert!(told.to_string().starts_with("standard output cannot be written: "), "{told}");
    }
}
