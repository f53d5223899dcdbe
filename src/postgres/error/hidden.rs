//! What a server may repeat of a log-in that nobody is to read.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use postgres::Config;
use postgres::error::DbError;

use super::evidence::besides;

/// What stands in its place.
const REDACTED: &str = "[redacted]";

/// Shorter ones would be found in any text, and what is redacted there would tell them.
const SHORTEST: usize = 4;

/// What connection strings leave as it is.
const IN_URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A password in the forms in which a server's text has it. There is one only where a text does.
pub(super) struct Hidden {
    forms: Vec<String>,
}

impl Hidden {
    /// The password of a configuration, where an error of its log-in repeats that. One that is the user's name or the
    /// database's stays: texts name these.
    pub fn in_log_in(config: &Config, error: &DbError) -> Option<Hidden> {
        let password = String::from_utf8(config.get_password()?.to_vec()).ok()?;
        let named = [config.get_user(), config.get_dbname()].contains(&Some(&password));
        if password.len() < SHORTEST || named {
            return None;
        }
        let encoded = [NON_ALPHANUMERIC, IN_URL].map(|set| utf8_percent_encode(&password, set).to_string());
        let [all, most] = encoded;
        let mut forms = vec![lower_codes(&all), lower_codes(&most), all, most, password];
        forms.dedup();
        let is_in = |text: &str| forms.iter().any(|form| text.contains(form));
        let repeated = is_in(error.message()) || besides(error).any(|(_, text)| is_in(text));
        repeated.then_some(Hidden { forms })
    }

    /// The text without it.
    pub fn hide(&self, text: &str) -> String {
        self.forms.iter().fold(text.to_owned(), |text, form| text.replace(form, REDACTED))
    }
}

/// The same with the digits of its codes in lower case.
fn lower_codes(encoded: &str) -> String {
    // How many characters ago a code began.
    let mut after = usize::MAX;
    let lowered = encoded.chars().map(|c| {
        after = if c == '%' { 0 } else { after.saturating_add(1) };
        if matches!(after, 1 | 2) { c.to_ascii_lowercase() } else { c }
    });
    lowered.collect()
}

/// The text without what is hidden, where something is.
pub(super) fn without(hidden: Option<&Hidden>, text: &str) -> String {
    hidden.map_or_else(|| text.to_owned(), |hidden| hidden.hide(text))
}
