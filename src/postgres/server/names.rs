//! Which sessions are this application's, told by `application_name`.

use crate::postgres::error::PgError;
use crate::postgres::open::PgManager;
use crate::text::harmless;
use crate::tiers::{Tier, TieredPool};

/// The server keeps this many bytes of a name.
const KEPT: usize = 63;

/// The `application_name` of each tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub automation: String,
    pub adhoc: String,
}

impl Names {
    /// The names that this pool's connections are opened with.
    pub fn of(pool: &TieredPool<PgManager>) -> Result<Names, PgError> {
        Names::of_managers([Tier::Automation, Tier::Adhoc].map(|tier| pool.tier(tier).manager()))
    }

    /// The names that the connections of these managers, automation's and the ad-hoc tier's, are opened with.
    pub fn of_managers(managers: [&PgManager; 2]) -> Result<Names, PgError> {
        let [automation, adhoc] =
            managers.map(|manager| manager.application_name().unwrap_or_default().to_owned());
        let names = Names { automation, adhoc };
        if names.automation.is_empty() || names.adhoc.is_empty() || names.automation == names.adhoc {
            return Err(PgError::refused(format!(
                "the tiers cannot be told apart on the server: their application_name is \"{}\" and \"{}\", and \
                 must be set and differ",
                harmless(&names.automation),
                harmless(&names.adhoc)
            )));
        }
        Ok(names)
    }

    /// The application's own part of the names, where they have one.
    pub fn app(&self) -> &str {
        let app = self.adhoc.strip_suffix("/adhoc").unwrap_or(&self.adhoc);
        if self.automation.strip_suffix("/automation") == Some(app) { app } else { &self.automation }
    }

    /// The forms in which the server may show each name.
    pub fn shown(&self) -> [Vec<String>; 2] {
        [&self.automation, &self.adhoc].map(|name| shown(name))
    }

    /// The forms in which the server may show any of the names.
    pub fn shown_all(&self) -> Vec<String> {
        self.shown().concat()
    }
}

/// As it is; with `?` for each byte that is not printable ASCII, as servers before 16 show it; with escapes, as later
/// ones do.
fn shown(name: &str) -> Vec<String> {
    let name = cut(name);
    let by_byte = |show: fn(u8) -> String| {
        let plain = |byte: u8| {
            if (32..127).contains(&byte) { char::from(byte).to_string() } else { show(byte) }
        };
        name.bytes().map(plain).collect::<String>()
    };
    let forms = [by_byte(|_| "?".to_owned()), by_byte(|byte| format!("\\x{byte:02x}"))];
    let mut all = vec![name.to_owned()];
    all.extend(forms.iter().map(|form| cut(form).to_owned()));
    all.dedup();
    all
}

/// What the server keeps of a name: whole characters.
fn cut(name: &str) -> &str {
    let end = (0..=KEPT.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
    &name[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_the_forms_the_server_shows() {
        assert_eq!(shown("scraper/adhoc"), ["scraper/adhoc"]);
        assert_eq!(shown("früh/adhoc"), ["früh/adhoc", "fr??h/adhoc", "fr\\xc3\\xbch/adhoc"]);
        assert_eq!(shown(&"x".repeat(70)), ["x".repeat(63)]);
    }

    #[test]
    fn the_application_is_what_the_names_have_in_common() {
        let names =
            |automation: &str, adhoc: &str| Names { automation: automation.into(), adhoc: adhoc.into() };
        assert_eq!(names("a/automation", "a/adhoc").app(), "a");
        assert_eq!(names("batch", "people").app(), "batch");
    }
}
