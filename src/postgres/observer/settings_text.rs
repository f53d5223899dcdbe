//! What a request's text does to the settings of its session.
//!
//! The server says by its command tag that settings were set, and not for how long: `SET LOCAL` and `SET` have the same
//! one. And a `set_config` within a query has no tag of its own, nor has an `UPDATE` of `pg_settings`, which is a `SET`
//! too. So the text is looked at where it passes, to tell two things: whether all that it sets ends with its
//! transaction, and whether it calls `set_config` for longer, or updates that view.
//!
//! Nothing of it is kept and nothing allocated, and it need not be understood: a text is cut at every semicolon, also
//! at one within quotes. Each statement begins behind a semicolon, so none that sets something is missed; what looks
//! like one and is none costs a reset that was not needed. Every other doubt is decided in the same way.

use super::words::{Needle, Word, is_of_word};

/// What a text was found to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Effect {
    /// It sets something that ends with the transaction.
    pub local: bool,
    /// It sets something that stays, or begins in a way that may hide that.
    pub lasting: bool,
    /// It calls `set_config` for longer than the transaction or updates `pg_settings`, or may do so.
    pub config: bool,
}

/// Reads one text, in whatever pieces it comes.
pub(super) struct TextReader {
    place: Place,
    call: Call,
    name: Needle,
    update: Update,
    found: Effect,
}

/// Where in a statement the reader is.
#[derive(Clone, Copy, Default)]
enum Place {
    #[default]
    Start,
    First(Word),
    /// Behind SET.
    Second(Word),
    Rest,
}

/// A call of `set_config`.
#[derive(Clone, Copy, Default)]
enum Call {
    #[default]
    None,
    /// Its name was read.
    Named,
    Arguments {
        depth: u32,
        in_quotes: bool,
        after_dollar: bool,
        last: Word,
    },
}

/// An `UPDATE` of `pg_settings`.
#[derive(Clone, Copy, Default)]
enum Update {
    /// No statement has begun that may be one.
    #[default]
    None,
    /// One has begun that is to hold these words, one behind the other, the last of them being the view's.
    Begun(Needle, Option<Needle>),
}

impl Update {
    const VIEW: Needle = Needle::new(b"pg_settings");

    /// What a statement with this first word makes of it, where none has begun before.
    fn by(first: &Word) -> Self {
        let may_hold_one: [&[u8]; 4] = [b"with", b"explain", b"do", b"prepare"];
        if first.is(b"update") {
            Update::Begun(Self::VIEW, None)
        } else if may_hold_one.iter().any(|word| first.is(word)) {
            Self::hidden()
        } else {
            Update::None
        }
    }

    /// Anything may be behind this.
    const fn hidden() -> Self {
        Update::Begun(Needle::new(b"update"), Some(Self::VIEW))
    }

    /// Whether it is complete with these bytes.
    fn read(&mut self, mut bytes: &[u8]) -> bool {
        let Update::Begun(sought, next) = self else { return false };
        loop {
            let [byte, rest @ ..] = sought.skip(bytes) else { return false };
            bytes = rest;
            if sought.is_complete_with(*byte) {
                let Some(next) = next.take() else { return true };
                *sought = next;
            }
        }
    }
}

impl Default for TextReader {
    fn default() -> Self {
        TextReader {
            place: Place::default(),
            call: Call::default(),
            name: Needle::new(b"set_config"),
            update: Update::default(),
            found: Effect::default(),
        }
    }
}

impl TextReader {
    pub(super) fn read(&mut self, bytes: &[u8]) {
        let has_begun = matches!(self.update, Update::Begun(..));
        let behind = self.read_starts(bytes);
        self.found.config |= self.update.read(if has_begun { bytes } else { behind });
        self.read_calls(bytes);
    }

    /// Ends the text, and begins the next.
    pub(super) fn end(&mut self) -> Effect {
        self.read_starts(b";");
        if let Call::Arguments { .. } = self.call {
            self.found.config = true;
        }
        std::mem::take(self).found
    }

    /// Looks at the first words of statements. Returns what is behind the one with which an update may have begun.
    fn read_starts<'a>(&mut self, mut bytes: &'a [u8]) -> &'a [u8] {
        let mut behind: &[u8] = &[];
        while let [byte, rest @ ..] = bytes {
            match &mut self.place {
                Place::Rest => {
                    let Some(end) = bytes.iter().position(|byte| *byte == b';') else { break };
                    self.place = Place::Start;
                    bytes = &bytes[end + 1..];
                    continue;
                }
                Place::Start if *byte == b';' || byte.is_ascii_whitespace() => {}
                Place::Start if byte.is_ascii_alphabetic() => {
                    self.place = Place::First(Word::default());
                    continue;
                }
                Place::Start => {
                    // A comment, behind which there may be anything.
                    self.found.lasting = true;
                    if let Update::None = self.update {
                        (self.update, behind) = (Update::hidden(), rest);
                    }
                    self.place = Place::Rest;
                }
                Place::First(word) | Place::Second(word) if is_of_word(*byte) => word.push(*byte),
                Place::First(word) => {
                    if let Update::None = self.update {
                        (self.update, behind) = (Update::by(word), rest);
                    }
                    if word.is(b"set") && byte.is_ascii_whitespace() {
                        self.place = Place::Second(Word::default());
                    } else {
                        self.found.lasting |= word.is(b"set") || word.is(b"reset") || word.is(b"discard");
                        self.place = Place::Rest;
                        continue;
                    }
                }
                Place::Second(word) if word.len == 0 && byte.is_ascii_whitespace() => {}
                Place::Second(word) => {
                    let is_local = word.is(b"local") || word.is(b"transaction") || word.is(b"constraints");
                    // Not a setting of an extension with such a name, as in `local.limit`.
                    if is_local && byte.is_ascii_whitespace() {
                        self.found.local = true;
                    } else {
                        self.found.lasting = true;
                    }
                    self.place = Place::Rest;
                    continue;
                }
            }
            bytes = rest;
        }
        behind
    }

    /// Looks for calls of `set_config`.
    fn read_calls(&mut self, mut bytes: &[u8]) {
        loop {
            if let Call::None = self.call {
                bytes = self.name.skip(bytes);
            }
            let [byte, rest @ ..] = bytes else { return };
            self.follow(*byte);
            if self.name.is_complete_with(*byte) {
                // One among the arguments of another is not looked at any closer.
                self.found.config |= matches!(self.call, Call::Arguments { .. });
                self.call = Call::Named;
            }
            bytes = rest;
        }
    }

    /// Follows a call by one more byte, up to its last argument: whether the setting ends with the transaction.
    fn follow(&mut self, byte: u8) {
        match &mut self.call {
            Call::None => {}
            Call::Named => match byte {
                b'"' | b' ' | b'\t' | b'\r' | b'\n' => {}
                b'(' => {
                    let last = Word::default();
                    self.call = Call::Arguments { depth: 0, in_quotes: false, after_dollar: false, last };
                }
                _ => {
                    // Between name and arguments there may be a comment.
                    self.found.config |= matches!(byte, b'/' | b'-');
                    self.call = Call::None;
                }
            },
            Call::Arguments { depth, in_quotes, after_dollar, last } => {
                let is_quoting = std::mem::replace(after_dollar, byte == b'$') && !byte.is_ascii_digit();
                match byte {
                    b'\'' => *in_quotes = !*in_quotes,
                    // What these may hide is not looked at any closer.
                    b'\\' => return self.doubt(),
                    _ if *in_quotes => *after_dollar = false,
                    b'/' | b'-' => return self.doubt(),
                    _ if is_quoting => return self.doubt(),
                    b'(' => *depth += 1,
                    b')' if *depth > 0 => *depth -= 1,
                    b')' => {
                        self.found.config |= !last.is(b"true");
                        self.call = Call::None;
                        return;
                    }
                    b',' if *depth == 0 => {
                        *last = Word::default();
                        return;
                    }
                    _ if byte.is_ascii_whitespace() => return,
                    _ => {}
                }
                last.push(byte);
            }
        }
    }

    fn doubt(&mut self) {
        self.found.config = true;
        self.call = Call::None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(text: &str) -> Effect {
        let whole = {
            let mut reader = TextReader::default();
            reader.read(text.as_bytes());
            reader.end()
        };
        let mut reader = TextReader::default();
        text.as_bytes().chunks(1).for_each(|byte| reader.read(byte));
        assert_eq!(reader.end(), whole, "{text}");
        whole
    }

    #[test]
    fn what_ends_with_the_transaction_is_told_from_what_stays() {
        let sets = |text: &str| {
            let Effect { local, lasting, .. } = effect(text);
            (local, lasting)
        };
        let local = (true, false);
        for text in [
            "SET LOCAL lock_timeout = 5",
            "set\tlocal x to 1;",
            "BEGIN; SET LOCAL a = 'b;c'; SELECT 1; COMMIT",
            "SET TRANSACTION READ ONLY",
            "SET CONSTRAINTS ALL DEFERRED;SET LOCAL x = 1",
        ] {
            assert_eq!(sets(text), local, "{text}");
        }
        for text in [
            "SET lock_timeout = 5",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "RESET ALL",
            "discard temp",
            "SET local.limit = 1",
            "SET \"local\".x = 1",
            "/* a comment */ SET x = 1",
            "-- one more\nSET x = 1",
            "SET/**/x = 1",
        ] {
            assert!(sets(text).1, "{text}");
        }
        assert_eq!(sets("SET LOCAL a = 1; SET b = 2"), (true, true));
        for text in
            ["", "SELECT 1", "UPDATE t SET a = 1", "INSERT INTO sets VALUES (1)", "settle", "SELECT 'a;b'"]
        {
            assert_eq!(sets(text), (false, false), "{text}");
        }
    }

    #[test]
    fn a_call_that_outlives_its_transaction_is_told_from_one_that_does_not() {
        for text in [
            "SELECT set_config('a.b', 'c', false)",
            "SELECT pg_catalog.set_config($1, $2, $3)",
            "SELECT \"set_config\" ('a', 'b', 1 = 1)",
            "SELECT SET_CONFIG('a', ', true)', false)",
            "SELECT set_config('a', set_config('b', 'c', false), true)",
            "SELECT set_config('a', 'b', true), set_config('a', 'b', false)",
            r"SELECT set_config('a', E'\', true) ', false)",
            "SELECT set_config('a', $$', true)$$, false)",
            "SELECT set_config /* a comment */ ('a', 'b', false)",
            "DO $$ BEGIN PERFORM set_config('a', 'b', false); END $$",
            "SELECT sset_set_config('a', 'b'",
            "UPDATE pg_settings SET setting = '0' WHERE name = 'statement_timeout'",
            "BEGIN; update only pg_catalog . \"pg_settings\" set setting = $1",
            "WITH u AS (SELECT 1) UPDATE pg_settings SET setting = '0'",
            "/* why */ UPDATE/**/pg_settings SET setting = '0'",
            "SELECT 1; EXPLAIN ANALYZE UPDATE pg_settings SET setting = '0'",
            "DO $$ BEGIN UPDATE pg_settings SET setting = '0'; END $$",
        ] {
            assert!(effect(text).config, "{text}");
        }
        for text in [
            "SELECT set_config('app.user', $1, true)",
            "SELECT set_config( 'it''s' , concat($1, 'x'), TRUE )",
            "SELECT current_setting('a'), set_configuration(1)",
            "SELECT 'set_config'",
            "UPDATE t SET config = 1",
            "SELECT setting FROM pg_settings",
            "SELECT 1 FROM pg_settings; UPDATE t SET a = 1",
            "WITH s AS (SELECT * FROM pg_settings) SELECT * FROM s",
            "-- one more\nSELECT updated FROM t",
        ] {
            assert!(!effect(text).config, "{text}");
        }
    }
}
