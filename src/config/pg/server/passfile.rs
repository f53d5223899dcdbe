//! The password file, as libpq has it: `host:port:database:user:password` in each line.

use std::path::Path;
use std::{fmt, fs};

use log::Level;

use crate::lines::say;
use crate::text::harmless;

/// Of passwords nobody but the owner may read or write the file.
#[cfg(unix)]
const OTHERS: u32 = 0o077;

/// What a password is looked up by.
pub(super) struct Wanted<'a> {
    pub host: &'a str,
    pub port: u16,
    pub dbname: &'a str,
    pub user: &'a str,
}

/// The lines of a password file.
pub(super) struct Passfile(Vec<[String; 5]>);

impl Passfile {
    /// Reads a file. One that others may read is told in the log and not used, as by libpq; one that is not there is
    /// none.
    pub(super) fn read(path: &Path) -> Passfile {
        let lines = match Passfile::lines(path) {
            Ok(lines) => lines,
            Err(why) => {
                say!(
                    Level::Warn,
                    "tierpool::settings",
                    [path = harmless(path.display()), error = why],
                    "the password file {} is not used: {why}",
                    harmless(path.display())
                );
                vec![]
            }
        };
        Passfile(lines.iter().filter(|line| !line.starts_with('#')).filter_map(|line| fields(line)).collect())
    }

    fn lines(path: &Path) -> Result<Vec<String>, String> {
        let Ok(metadata) = fs::metadata(path) else { return Ok(vec![]) };
        if !metadata.is_file() {
            return Err("it is not a plain file".to_owned());
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let mode = metadata.mode() & 0o777;
            if mode & OTHERS != 0 {
                return Err(format!("its permissions are {mode:04o}, and must be 0600 or less"));
            }
        }
        let text = fs::read(path).map_err(|error| error.to_string())?;
        if text.contains(&0) {
            return Err("it holds a zero byte".to_owned());
        }
        let mut lines = vec![];
        for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            match str::from_utf8(line) {
                Ok(line) => lines.push(line.to_owned()),
                // A password that the driver cannot be given; the others are no worse for it.
                Err(_) => say!(
                    Level::Warn,
                    "tierpool::settings",
                    [path = harmless(path.display()), line = at + 1],
                    "line {} of the password file {} is not used: it is not valid UTF-8",
                    at + 1,
                    harmless(path.display())
                ),
            }
        }
        Ok(lines)
    }

    /// The password of the first line that fits; an empty one is none.
    pub(super) fn password(&self, wanted: &Wanted<'_>) -> Option<&str> {
        let port = wanted.port.to_string();
        let wanted = [wanted.host, &port, wanted.dbname, wanted.user];
        let fits = |line: &&[String; 5]| {
            line.iter().zip(wanted).all(|(field, wanted)| field == "*" || unescaped(field) == wanted)
        };
        let password = self.0.iter().find(fits)?[4].as_str();
        (!password.is_empty()).then_some(password)
    }
}

/// Shows how many lines there are, and nothing of them.
impl fmt::Debug for Passfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passfile({} lines)", self.0.len())
    }
}

/// The fields of a line: the first four as they stand, since an escaped `*` is no wildcard, and the password as it is.
fn fields(line: &str) -> Option<[String; 5]> {
    let mut fields: [String; 5] = Default::default();
    let (mut at, mut escaped) = (0, false);
    for c in line.chars() {
        match c {
            ':' if !escaped && at == 4 => break,
            ':' if !escaped => {
                at += 1;
                continue;
            }
            c => fields[at].push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    fields[4] = unescaped(&fields[4]);
    (at == 4).then_some(fields)
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_gives_the_password() {
        let lines = "# a comment\n\
                     short:line\n\
                     db.example:5432:news:scraper:p\\:w\\\\:rest\r\n\
                     \\*:*:*:*:never\n\
                     db.example:*:*:nobody:\n\
                     *:*:*:*:any\n";
        let file = Passfile(lines.lines().filter(|line| !line.starts_with('#')).filter_map(fields).collect());
        let password = |host, port, dbname, user| file.password(&Wanted { host, port, dbname, user });
        assert_eq!(password("db.example", 5432, "news", "scraper"), Some("p:w\\"));
        assert_eq!(password("db.example", 5433, "news", "scraper"), Some("any"));
        assert_eq!(password("db.example", 5432, "news", "nobody"), None, "an empty password is none");
        assert_eq!(password("*", 5432, "d", "u"), Some("never"));
        assert_eq!(format!("{file:?}"), "Passfile(4 lines)");
    }

    #[cfg(unix)]
    #[test]
    fn a_line_that_is_not_utf8_costs_no_other() {
        use std::os::unix::fs::PermissionsExt;

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"db1:*:*:*:caf\xe9\ndb2:*:*:*:hush\r\n").unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
        let read = Passfile::read(file.path());
        let password = |host| read.password(&Wanted { host, port: 5432, dbname: "news", user: "app" });
        assert_eq!((password("db1"), password("db2")), (None, Some("hush")));
    }
}
