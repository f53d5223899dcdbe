//! The rules between the settings of a `PgPool`.

use super::settings::{MAX_APP_NAME, PgSettings};
use super::table::rows::{Key, settings};
use super::table::value::shown;
use crate::config::faults::Faults;

/// The settings that share the budget; a rule between them is told only when all could be read.
const BUDGET: [Key; 5] =
    [Key::BaseSize, Key::MaxOverflow, Key::MaxSize, Key::Reserved, Key::TotalConnections];

impl PgSettings {
    /// Checks every rule, those of both tiers included, and returns all faults.
    ///
    /// A fault names a setting as its user wrote it: environment variable, URL parameter or builder method.
    ///
    /// ```
    /// # use tierpool::config::{Overrides, PgSettings};
    /// let mut overrides = Overrides::default();
    /// overrides.url = Some("postgresql://db.example/news".into());
    /// let mut settings = PgSettings::load(&overrides, |_| None).unwrap();
    /// assert!(settings.check().is_empty());
    /// settings.total_connections = 40;
    /// assert!(settings.check().to_string().contains("50 + 5 + 5 = 60: must not exceed"));
    /// ```
    pub fn check(&self) -> Faults {
        self.check_except(&[])
    }

    /// Leaves out the rules about settings that could not be read.
    pub(super) fn check_except(&self, unreadable: &[Key]) -> Faults {
        let mut faults = Faults::new();
        self.check_tiers(unreadable, &mut faults);
        if !BUDGET.iter().any(|key| unreadable.contains(key)) {
            self.check_budget(&mut faults);
        }
        faults.require(
            (1..=MAX_APP_NAME).contains(&self.app_name.len()) && !self.app_name.contains('\0'),
            &self.spelled(Key::AppName),
            shown(&self.app_name),
            format!("must have 1 to {MAX_APP_NAME} bytes, none of them zero"),
        );
        faults
    }

    fn check_tiers(&self, unreadable: &[Key], faults: &mut Faults) {
        let mut told: Vec<(String, String)> = vec![];
        let tiers = [("automation", self.automation.check()), ("adhoc", self.adhoc.check())];
        for (tier, found) in &tiers {
            for fault in found {
                let keys: Vec<_> = fault.setting.split(" + ").filter_map(|name| key_of(tier, name)).collect();
                // The rule about `min_size` is about the ceiling too.
                let sizes = [Key::BaseSize, Key::MaxOverflow, Key::MaxSize];
                let is_relative =
                    keys.contains(&Key::MinSize) && sizes.iter().any(|key| unreadable.contains(key));
                if is_relative || keys.iter().any(|key| unreadable.contains(key)) {
                    continue;
                }
                let setting = if keys.is_empty() {
                    format!("{tier}.{}", fault.setting)
                } else {
                    self.spelled_together(&keys)
                };
                // Most times are common to both tiers.
                let seen = (setting, fault.rule.clone());
                if !told.contains(&seen) {
                    faults.push(&seen.0, &fault.found, &seen.1);
                    told.push(seen);
                }
            }
        }
    }

    fn check_budget(&self, faults: &mut Faults) {
        let total = self.spelled(Key::TotalConnections);
        if self.total_connections == 0 {
            faults.push(total, 0, "must be at least 1");
            return;
        }
        let parts = [self.automation.base_size, self.automation.max_overflow, self.adhoc.ceiling()];
        let sum: u64 = parts.iter().map(|part| u64::from(*part)).sum();
        let [base, overflow, reserved] = parts;
        faults.require(
            sum <= u64::from(self.total_connections),
            &self.spelled_together(&[Key::BaseSize, Key::MaxOverflow, Key::Reserved]),
            format_args!("{base} + {overflow} + {reserved} = {sum}"),
            format!("must not exceed the budget of {} ({total})", self.total_connections),
        );
        faults.require(
            self.adhoc.ceiling() == self.reserved,
            &self.spelled(Key::Reserved),
            self.reserved,
            format!("must be the ceiling of the ad-hoc tier, which is {}", self.adhoc.ceiling()),
        );
    }

    fn spelled(&self, key: Key) -> String {
        self.source(key).spelled(key.setting().name)
    }

    /// Several settings, each once: base size and overflow have one name where a ceiling gave both.
    fn spelled_together(&self, keys: &[Key]) -> String {
        let mut names: Vec<String> = vec![];
        for key in keys {
            let name = self.spelled(*key);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.join(" + ")
    }
}

/// The setting of the table behind a field of a tier's [`Settings`](crate::config::Settings).
fn key_of(tier: &str, field: &str) -> Option<Key> {
    match (tier, field) {
        ("adhoc", "base_size") => Some(Key::Reserved),
        ("adhoc", "min_size" | "max_overflow" | "max_waiting") => None,
        _ => settings().iter().find(|setting| setting.name == field).map(|setting| setting.key),
    }
}
