//! Takes a server's URL, or libpq's `key=value` string, apart into its parameters.
//!
//! Nothing here puts a piece of the text into a message: where a text cannot be taken apart, any piece may be the
//! password.

use percent_encoding::percent_decode_str;

use super::foreign;

/// A connection string in pieces.
pub(super) struct Split {
    /// Scheme, user, password, hosts and database of a URL, as they stand; `None` for a `key=value` string.
    pub head: Option<String>,
    /// Whether the head has a password.
    pub has_password: bool,
    /// The parameters, decoded, in their order.
    pub params: Vec<(String, String)>,
}

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

const AT_SIGN: &str = "has more than one `@`, or one behind `/` or `?`: write those characters in user, password or \
                       parameters as %40, %2F and %3F";
const FORM: &str = "must be a URL of the form postgresql://user:password@host:port/database?parameter=value, or \
                    libpq's key=value pairs";
const QUERY: &str = "has a parameter without `=`: the form is ?name=value&name=value";
const PERCENT: &str = "has a `%` that is not followed by two hexadecimal digits (a literal one is %25), or codes that \
                       are not UTF-8";

/// Takes the text apart; an error is the rule that it breaks.
pub(super) fn split(text: &str) -> Result<Split, &'static str> {
    let text = text.trim();
    if SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
        split_url(text)
    } else if let Some(rule) = foreign::scheme(text) {
        Err(rule)
    } else if text.contains("://") || !text.contains('=') {
        Err(FORM)
    } else {
        Ok(Split { head: None, has_password: false, params: pairs(text)? })
    }
}

fn split_url(text: &str) -> Result<Split, &'static str> {
    let scheme = text.find("://").map_or(0, |at| at + 3);
    let authority_end = text[scheme..].find(['/', '?']).map_or(text.len(), |at| scheme + at);
    let authority = &text[scheme..authority_end];
    // libpq and the driver look for the first `@` anywhere. Where that is not the only one, what is behind it may
    // be the rest of a password and would show up as host, database or parameter.
    if authority.matches('@').count() > 1 || text[authority_end..].contains('@') {
        return Err(AT_SIGN);
    }
    let (head, query) = text.split_once('?').unwrap_or((text, ""));
    if !percent_is_sound(head) {
        return Err(PERCENT);
    }
    let has_password = authority.split_once('@').is_some_and(|(user, _)| user.contains(':'));
    let mut params = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or(QUERY)?;
        params.push((decode(key)?, decode(value)?));
    }
    Ok(Split { head: Some(head.to_owned()), has_password, params })
}

fn percent_is_sound(text: &str) -> bool {
    let bytes = text.as_bytes();
    let code =
        |at: usize| bytes.get(at + 1..at + 3).is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit));
    bytes.iter().enumerate().all(|(at, byte)| *byte != b'%' || code(at))
}

fn decode(text: &str) -> Result<String, &'static str> {
    if !percent_is_sound(text) {
        return Err(PERCENT);
    }
    percent_decode_str(text).decode_utf8().map(|text| text.into_owned()).map_err(|_| PERCENT)
}

/// Reads `key = value key='quoted value'`, where a backslash takes the next character as it is.
fn pairs(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=').ok_or(FORM)?;
        let key = key.trim_end();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(FORM);
        }
        let (value, behind) = value(behind.trim_start())?;
        pairs.push((key.to_owned(), value));
        rest = behind.trim_start();
    }
    Ok(pairs)
}

fn value(text: &str) -> Result<(String, &str), &'static str> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next().ok_or(FORM)?.1),
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            c if c.is_whitespace() && !quoted => return Ok((value, &text[at..])),
            c => value.push(c),
        }
    }
    if quoted { Err(FORM) } else { Ok((value, "")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Vec<(String, String)> {
        split(text).map_err(|rule| format!("{text}: {rule}")).unwrap().params
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn url_parameters_are_decoded_once() {
        let found = params("postgres://u:p%40ss@h/d?application%5Fname=a%2520b&pool_timeout=5");
        assert_eq!(found, [pair("application_name", "a%20b"), pair("pool_timeout", "5")]);
    }

    #[test]
    fn password_of_the_head_is_noticed() {
        assert!(split("postgres://u:p@h").unwrap().has_password);
        assert!(!split("postgres://u@h:1").unwrap().has_password);
        assert!(!split("postgres://h:1").unwrap().has_password);
    }

    #[test]
    fn an_ambiguous_at_sign_is_refused() {
        for text in [
            "postgres://u:p@ss@h/d",
            "postgres://u:p/ss@h/d",
            "postgres://u:p?s=s@h/d",
            "postgres://h/?a=b@c",
        ] {
            assert_eq!(split(text).err(), Some(AT_SIGN), "{text}");
        }
    }

    #[test]
    fn broken_percent_codes_are_refused() {
        for text in ["postgres://u:10%@h", "postgres://h?a=%zz", "postgres://h?a=%ff", "postgres://h?a=%é"] {
            assert_eq!(split(text).err(), Some(PERCENT), "{text}");
        }
    }

    #[test]
    fn key_value_strings_take_quotes_and_backslashes() {
        let found = params(r"host = h  password='it\'s a\\b' user=a\ b dbname=''");
        let wanted =
            [pair("host", "h"), pair("password", r"it's a\b"), pair("user", "a b"), pair("dbname", "")];
        assert_eq!(found, wanted);
        for text in ["host=h password='open", "host=h loose", "=h", "mysql://h/d", "h", r"a=\"] {
            assert_eq!(split(text).err(), Some(FORM), "{text}");
        }
    }
}
