//! Names of queues: checked, and quoted for statements.

use std::fmt;

use crate::postgres::PgError;
use crate::text::harmless;

/// The longest name that PostgreSQL keeps whole.
const LONGEST: usize = 63;

/// The name of a queue's table, with its schema where one was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    /// Takes `table` or `schema.table`. A name is put into statements, where no parameter can stand, so nothing is let
    /// in that would have to be escaped.
    pub(super) fn new(name: &str) -> Result<Self, PgError> {
        let parts: Vec<&str> = name.split('.').collect();
        if parts.len() <= 2 && parts.iter().all(|part| is_plain(part)) {
            return Ok(Name(name.to_owned()));
        }
        Err(PgError::refused(format!(
            "\"{}\" cannot name a queue: a name is made of 1 to {LONGEST} of the letters a to z and A to Z, digits and \
             underscores, with a schema and a dot ahead of it where one is wanted",
            harmless(name)
        )))
    }

    /// As it stands in a statement. Within quotes upper case is kept, and a key word is a name.
    pub(super) fn quoted(&self) -> String {
        let parts: Vec<String> = self.0.split('.').map(|part| format!("\"{part}\"")).collect();
        parts.join(".")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_plain(part: &str) -> bool {
    (1..=LONGEST).contains(&part.len())
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_quoted_part_by_part() {
        for (name, quoted) in
            [("jobs", "\"jobs\""), ("select", "\"select\""), ("ETL.Jobs_2", "\"ETL\".\"Jobs_2\"")]
        {
            assert_eq!(Name::new(name).unwrap().quoted(), quoted);
        }
        assert!(Name::new(&"x".repeat(LONGEST)).is_ok());
    }

    #[test]
    fn what_could_end_the_quotes_is_no_name() {
        let long = "x".repeat(LONGEST + 1);
        for name in ["", ".", "a.", "a.b.c", "a b", "a\"b", "a;b", "a'b", "a\0b", "a\nb", "aä", "a-b", &long]
        {
            let error = Name::new(name).expect_err(name).to_string();
            assert!(error.contains("cannot name a queue") && !error.contains('\n'), "{error}");
        }
    }
}
