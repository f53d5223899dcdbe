//! What may be asked by `--query`: one statement, which neither begins nor ends a transaction.

/// With these a transaction begins or ends: the load has a frame of its own, or none.
const OF_TRANSACTIONS: [&str; 6] = ["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"];

/// The text, where it can be asked.
pub fn one(text: &str) -> Result<String, String> {
    let bare = bare(text);
    let mut statements = bare.split(';').filter(|statement| !statement.trim().is_empty());
    let Some(first) = statements.next() else { return Err("there is no statement in it".to_owned()) };
    if statements.next().is_some() {
        return Err("more than one statement: give --query once for each".to_owned());
    }
    let words: Vec<_> = first.split_whitespace().take(2).map(str::to_ascii_uppercase).collect();
    if OF_TRANSACTIONS.contains(&words[0].as_str()) || words == ["PREPARE", "TRANSACTION"] {
        return Err("it begins or ends a transaction: a load does so by itself, where its scenario is flow"
            .to_owned());
    }
    Ok(text.to_owned())
}

/// The text with a word in place of all that is quoted, and blanks in place of comments.
fn bare(text: &str) -> String {
    let (mut bare, mut rest) = (String::new(), text);
    while let Some(next) = rest.chars().next() {
        let is_in_word = bare.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        let (length, stands_for) = match next {
            '\'' | '"' => (quoted(rest, next, bare.ends_with(['e', 'E'])), "q"),
            '$' if !is_in_word => match dollars(rest) {
                Some(length) => (length, "q"),
                None => (1, "$"),
            },
            '-' if rest.starts_with("--") => (rest.find('\n').unwrap_or(rest.len()), " "),
            '/' if rest.starts_with("/*") => (comment(rest), " "),
            other => (other.len_utf8(), &rest[..other.len_utf8()]),
        };
        bare.push_str(stands_for);
        rest = &rest[length..];
    }
    bare
}

/// The length of what stands between two quotes, with them. One that is doubled begins the next.
fn quoted(text: &str, quote: char, has_escapes: bool) -> usize {
    let mut is_escaped = false;
    for (at, char) in text.char_indices().skip(1) {
        if char == quote && !is_escaped {
            return at + 1;
        }
        is_escaped = has_escapes && char == '\\' && !is_escaped;
    }
    text.len()
}

/// The length of a text between two `$tag$`; `None` where this is no such tag.
fn dollars(text: &str) -> Option<usize> {
    let end = text[1..].find(|c: char| !(c.is_alphanumeric() || c == '_'))? + 1;
    let tag =
        text[..=end].strip_suffix('$').filter(|tag| !tag[1..].starts_with(|c: char| c.is_ascii_digit()))?;
    let tag = &text[..=tag.len()];
    Some(text[tag.len()..].find(tag).map_or(text.len(), |at| at + 2 * tag.len()))
}

/// The length of a comment, in which others may be.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_u32, 0);
    loop {
        match &text.as_bytes()[at..] {
            [] => return at,
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_statement_may_be_asked_whatever_it_quotes() {
        for text in [
            "SELECT 1",
            " select 1 ; ",
            "SELECT ';', E'\\';', \";\" -- ; and\n /* ; /* ; */ ; */;",
            "DO $$ BEGIN NULL; END $$",
            "DO $a_1$ BEGIN PERFORM ';$$'; END $a_1$",
            "SELECT 'it''s; one'",
            "SELECT $1",
            "PREPARE x AS SELECT 1",
            "SELECT 'ä;",
            "FETCH c",
        ] {
            assert_eq!(one(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn no_statement_more_than_one_and_the_end_of_a_transaction_are_refused() {
        for text in ["", " ", ";;", "-- nothing", "/* /* nothing */", "/**/"] {
            assert!(one(text).unwrap_err().starts_with("there is no"), "{text}");
        }
        for text in
            ["SELECT 1; SELECT 2", "SELECT a$b; SELECT '$b$'", "SELECT $1;SELECT $1", "SELECT '\\'; SELECT 2"]
        {
            assert!(one(text).is_err_and(|told| told.starts_with("more than")), "{text}");
        }
        for text in [
            "commit",
            "/* x */ Rollback;",
            "BEGIN",
            "start transaction",
            "end",
            "abort",
            "prepare\ntransaction 'x'",
        ] {
            assert!(one(text).is_err_and(|told| told.starts_with("it begins")), "{text}");
        }
    }
}
