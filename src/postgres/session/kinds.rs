//! Kinds of statements that its text tells for certain, by the server's grammar.
//!
//! A `COPY` from or to the client: nothing else begins with the word, and `FROM` and `TO` are reserved, so the first
//! of them outside of parentheses says the direction, and the word behind it where the other end is. The end of a
//! transaction: `COMMIT`, `END`, `ROLLBACK` and `ABORT` begin nothing else, but for the way back to a savepoint and
//! what concerns prepared transactions.

/// Whether this is a `COPY … FROM STDIN` or `COPY … TO STDOUT`. False also where the text leaves a doubt, by a dollar
/// sign or by a backslash within quotes.
pub(super) fn is_client_copy(sql: &str) -> bool {
    let mut tokens = Tokens { rest: sql.as_bytes() };
    if !tokens.find(|token| *token != Token::Mark(b';')).is_some_and(|first| first.is_of(["copy"; 2])) {
        return false;
    }
    let mut depth = 0_u32;
    while let Some(token) = tokens.next() {
        match token {
            Token::Mark(b'(') => depth += 1,
            Token::Mark(b')') => depth = depth.saturating_sub(1),
            // A name may be a reserved word there.
            Token::Mark(b'.') => drop(tokens.next()),
            // For the server either of the second words is the client.
            _ if depth == 0 && token.is_of(["from", "to"]) => {
                return tokens.next().is_some_and(|end| end.is_of(["stdin", "stdout"]));
            }
            _ => {}
        }
    }
    false
}

/// Whether this ends the transaction that it runs in, or prepares it for another session.
pub(super) fn ends_transaction(sql: &str) -> bool {
    let mut tokens = Tokens { rest: sql.as_bytes() };
    let Some(first) = tokens.find(|token| *token != Token::Mark(b';')) else { return false };
    let mut next = tokens.next();
    if first.is_of(["prepare"; 2]) {
        // Else it is the name of a statement.
        return next.is_some_and(|word| word.is_of(["transaction"; 2]))
            && tokens.next() == Some(Token::Quoted);
    }
    if !(first.is_of(["commit", "end"]) || first.is_of(["rollback", "abort"])) {
        return false;
    }
    if next.is_some_and(|word| word.is_of(["work", "transaction"])) {
        next = tokens.next();
    }
    !next.is_some_and(|word| word.is_of(["to", "prepared"]))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A name or a key word, without quotes.
    Word(&'a [u8]),
    /// A text or a name within quotes.
    Quoted,
    Mark(u8),
}

impl Token<'_> {
    fn is_of(self, words: [&str; 2]) -> bool {
        matches!(self, Token::Word(own) if words.iter().any(|word| own.eq_ignore_ascii_case(word.as_bytes())))
    }
}

/// The tokens of a statement, without blanks and comments. Ends where the text leaves a doubt.
struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks()?;
        let (first, rest) = self.rest.split_first()?;
        match first {
            b'$' => None,
            b'\'' | b'"' => {
                let end = rest.iter().position(|byte| byte == first)?;
                self.rest = &rest[end + 1..];
                // One that is doubled within begins another here, and the token after it is a token all the same.
                (!rest[..end].contains(&b'\\')).then_some(Token::Quoted)
            }
            _ if is_of_name(*first) => {
                let end = self.rest.iter().position(|byte| !is_of_name(*byte)).unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at(end);
                self.rest = rest;
                Some(Token::Word(word))
            }
            _ => {
                self.rest = rest;
                Some(Token::Mark(*first))
            }
        }
    }
}

impl Tokens<'_> {
    /// Goes past blanks and comments; `None` amid a comment without an end.
    fn skip_blanks(&mut self) -> Option<()> {
        loop {
            self.rest = self.rest.trim_ascii_start();
            if self.rest.starts_with(b"--") {
                let end = self.rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
                self.rest = &self.rest[end..];
            } else if self.rest.starts_with(b"/*") {
                self.skip_comment()?;
            } else {
                return Some(());
            }
        }
    }

    /// Goes past a comment, which may have others within.
    fn skip_comment(&mut self) -> Option<()> {
        let mut depth = 0_u32;
        loop {
            let pair = self.rest.get(..2)?;
            let length = match pair {
                b"/*" => {
                    depth += 1;
                    2
                }
                b"*/" => {
                    depth -= 1;
                    2
                }
                _ => 1,
            };
            self.rest = &self.rest[length..];
            if depth == 0 {
                return Some(());
            }
        }
    }
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_from_or_to_the_client_is_told_from_all_else() {
        for sql in [
            "COPY t FROM STDIN",
            "copy t(a, \"to\") from stdin with (format csv)",
            " ; /* all /* of */ it */ Copy -- FROM 'x'\n s.t TO/**/STDOUT;",
            "COPY (SELECT a FROM t WHERE b = 'it''s )') TO STDOUT",
            "COPY BINARY t FROM stdout",
            "COPY s.to FROM STDIN",
            "COPY \"from\" TO STDIN",
        ] {
            assert!(is_client_copy(sql), "{sql}");
        }
        for sql in [
            "",
            "copy",
            "COPY t FROM '/tmp/stdin'",
            "COPY t FROM 'x' WHERE a IS DISTINCT FROM stdin",
            "COPY (SELECT 1 FROM stdin) TO PROGRAM 'cat > stdout'",
            "INSERT INTO copy SELECT a FROM stdin",
            "-- COPY t FROM STDIN",
            "/* COPY t FROM STDIN",
            "\"COPY\" t FROM STDIN",
            "copy_t FROM STDIN",
        ] {
            assert!(!is_client_copy(sql), "{sql}");
        }
    }

    #[test]
    fn the_end_of_a_transaction_is_told_from_all_else() {
        for sql in [
            "COMMIT",
            " ; /* now */ commit -- at last\n work and chain",
            "END TRANSACTION;",
            "Rollback",
            "ROLLBACK WORK AND NO CHAIN",
            "abort",
            "PREPARE TRANSACTION 'x'",
        ] {
            assert!(ends_transaction(sql), "{sql}");
        }
        for sql in [
            "",
            "ROLLBACK TO before",
            "ROLLBACK TRANSACTION TO SAVEPOINT before",
            "ROLLBACK PREPARED 'x'",
            "COMMIT PREPARED 'x'",
            "PREPARE transaction AS SELECT 1",
            "SELECT 1 -- COMMIT",
            "commit_all",
            "\"end\"",
        ] {
            assert!(!ends_transaction(sql), "{sql}");
        }
    }

    #[test]
    fn a_doubt_is_left_to_the_server() {
        for sql in ["COPY (SELECT '\\') TO STDOUT') TO '/tmp/x'", "COPY (SELECT $$) TO STDOUT$$) TO '/tmp/x'"]
        {
            assert!(!is_client_copy(sql), "{sql}");
        }
    }
}
