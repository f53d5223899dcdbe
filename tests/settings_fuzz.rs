//! No text in a setting or a connection string panics, and none gives a password away.
#![cfg(feature = "postgres")]

use proptest::prelude::*;
use tierpool::config::{Faults, Overrides, PgSettings, settings};

const URL: &str = "postgresql://db.example/news";

/// Loads with one variable, and with a good `DATABASE_URL` unless it is that.
fn load(variable: &str, text: &str) -> Result<PgSettings, Faults> {
    PgSettings::load(&Overrides::default(), |name| match name {
        _ if name == variable => Some(text.to_owned()),
        "DATABASE_URL" => Some(URL.to_owned()),
        _ => None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in any::<String>()) {
        for setting in settings() {
            for spelling in setting.env {
                let _ = load(spelling.name, &text);
            }
        }
        let _ = load("DATABASE_URL", &format!("{URL}?{text}"));
    }

    #[test]
    fn no_connection_string_panics_or_shows_its_password(
        tail in "[a-z0-9@:/?&=%,'\\[\\]\\\\ é]{0,40}",
        key_value in any::<bool>(),
    ) {
        let text = if key_value {
            format!("host=h password=hush{tail}")
        } else {
            format!("postgres://u:hush{tail}")
        };
        let shown = match load("DATABASE_URL", &text) {
            Ok(loaded) => format!("{loaded:?} {:?}", loaded.effective()),
            Err(faults) => faults.to_string(),
        };
        prop_assert!(!shown.contains("hush"), "{} gives {}", text, shown);
    }
}
