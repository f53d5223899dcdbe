//! The bearer token: where it comes from, and how it is compared.

use std::fmt;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

use crate::config::Faults;

/// Shorter ones are guessed.
const SHORTEST: usize = 16;
/// More than any token has: no more is read of a file, and one that holds more is refused.
const LONGEST: usize = 4096;

/// The variable with the token, and the one with the file that has it.
const VARIABLE: &str = "DB_POOL_HTTP_TOKEN";
const FILE_VARIABLE: &str = "DB_POOL_HTTP_TOKEN_FILE";

/// What `/admin/*` wants to see.
#[derive(Clone)]
pub(super) struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Where a token is to be taken from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Given(Token),
    File(PathBuf),
    /// The variables, which may be unset.
    Environment,
}

impl Source {
    pub(super) fn given(text: String) -> Self {
        Source::Given(Token(text))
    }

    /// The token, if there is one. Faults name no token.
    pub(super) fn token(&self, faults: &mut Faults) -> Option<Token> {
        match self {
            Source::Given(token) => checked("token", &token.0, "", faults),
            Source::File(path) => from_file("token_file", path, faults),
            Source::Environment => from_environment(|name| std::env::var_os(name), faults),
        }
    }
}

fn from_environment(
    variable: impl Fn(&str) -> Option<std::ffi::OsString>,
    faults: &mut Faults,
) -> Option<Token> {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    match (set(VARIABLE), set(FILE_VARIABLE)) {
        (Some(_), Some(_)) => {
            let rule = format!("must not be set beside {VARIABLE}: which of them holds is not told");
            faults.push(FILE_VARIABLE, "set", rule);
            None
        }
        (Some(token), None) => checked(VARIABLE, &token.to_string_lossy(), "", faults),
        (None, Some(path)) => from_file(FILE_VARIABLE, Path::new(&path), faults),
        (None, None) => None,
    }
}

/// The first line of a file.
fn from_file(setting: &str, path: &Path, faults: &mut Faults) -> Option<Token> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(LONGEST as u64 + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        faults.push(setting, path.display(), format!("cannot be read: {error}"));
        return None;
    }
    if bytes.len() > LONGEST {
        faults.push(setting, path.display(), format!("must be a file of at most {LONGEST} bytes"));
        return None;
    }
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next().unwrap_or_default().trim();
    checked(setting, line, &format!(", the first line of {}", path.display()), faults)
}

/// The token, where it can be one; `place` says where in a file it stands.
fn checked(setting: &str, text: &str, place: &str, faults: &mut Faults) -> Option<Token> {
    let before = faults.iter().count();
    let length = text.chars().count();
    let found = format!("[redacted], of {length} characters{place}");
    let rule = format!("must be at least {SHORTEST} characters long");
    faults.require(length >= SHORTEST, setting, &found, rule);
    let rule = "must be of visible ASCII characters, as a header has them";
    faults.require(text.bytes().all(|byte| byte.is_ascii_graphic()), setting, &found, rule);
    (faults.iter().count() == before).then(|| Token(text.to_owned()))
}

impl Token {
    /// Whether a header `Authorization` has it. How long that takes tells the length of the token and nothing else.
    pub(super) fn is_in(&self, authorization: Option<&[u8]>) -> bool {
        let Some((scheme, told)) = authorization.and_then(|header| header.split_at_checked(7)) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(self.0.as_bytes().ct_eq(told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_of(variables: &[(&str, &str)]) -> (Option<String>, String) {
        let mut faults = Faults::new();
        let value =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        let token = from_environment(value, &mut faults);
        (token.map(|token| token.0), faults.to_string())
    }

    #[test]
    fn a_token_comes_from_a_variable_or_from_the_first_line_of_a_file() {
        assert_eq!(token_of(&[]), (None, String::new()));
        let long = "0123456789abcdef";
        assert_eq!(token_of(&[(VARIABLE, long)]).0.as_deref(), Some(long));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, format!("{long}\nmore\n")).unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(token_of(&[(FILE_VARIABLE, path)]).0.as_deref(), Some(long));
        assert!(token_of(&[(FILE_VARIABLE, path), (VARIABLE, long)]).1.contains("must not be set beside"));
        assert!(token_of(&[(FILE_VARIABLE, "/nowhere/token")]).1.contains("cannot be read"));
    }

    #[test]
    fn a_token_that_is_short_or_no_header_is_a_fault_that_does_not_show_it() {
        for bad in ["0123456789abcde", "0123456789 abcdef", "0123456789abcdeä"] {
            let (token, faults) = token_of(&[(VARIABLE, bad)]);
            assert_eq!(token, None);
            assert!(faults.contains("[redacted]") && !faults.contains("0123"), "{faults}");
        }
    }

    #[test]
    fn a_file_that_is_too_long_or_begins_with_a_blank_line_is_a_fault_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let path = path.to_str().unwrap();
        for (held, rule) in
            [("x".repeat(LONGEST + 1), "at most 4096 bytes"), ("\n".to_owned(), "of 0 characters")]
        {
            std::fs::write(path, held).unwrap();
            let (token, faults) = token_of(&[(FILE_VARIABLE, path)]);
            assert_eq!(token, None);
            assert!(faults.contains(path) && faults.contains(rule), "{faults}");
        }
        std::fs::write(path, "x".repeat(LONGEST)).unwrap();
        assert!(token_of(&[(FILE_VARIABLE, path)]).0.is_some());
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = Token("0123456789abcdef".to_owned());
        assert!(
            token.is_in(Some(b"Bearer 0123456789abcdef")) && token.is_in(Some(b"bearer 0123456789abcdef"))
        );
        for other in
            ["Bearer 0123456789abcde", "Bearer 0123456789abcdeff", "Basic 0123456789abcdef", "Bearer", ""]
        {
            assert!(!token.is_in(Some(other.as_bytes())), "{other}");
        }
        assert!(!token.is_in(None));
        assert_eq!(format!("{token:?}"), "[redacted]");
    }
}
