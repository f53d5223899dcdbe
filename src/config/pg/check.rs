//! The rules between the settings of a `PgPool`.

use super::server::startup::{LONGEST, LONGEST_RULE};
use super::settings::{MAX_APP_NAME, PgSettings};
use super::table::rows::{Key, settings};
use super::table::source::Source;
use super::table::value::shown;
use crate::config::faults::Faults;

/// The settings that share the budget. Nothing is made of the others, and no rule between them is told, where one of
/// them could not be read.
pub(super) const BUDGET: [Key; 5] =
    [Key::BaseSize, Key::MaxOverflow, Key::MaxSize, Key::Reserved, Key::TotalConnections];

/// What to do in place of a checkout timeout of zero, which stands for no limit with other pools.
const NO_LIMIT: &str = "for no limit, leave it out and set DB_POOL_GETMODE to wait";

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
    /// assert!(settings.check().to_string().contains("is 40: must be at least 60"));
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
        let is_name = |name: &str| (1..=MAX_APP_NAME).contains(&name.len()) && !name.contains('\0');
        let rule = || format!("must have 1 to {MAX_APP_NAME} bytes, none of them zero");
        if let Some(name) = self.service() {
            faults.require(is_name(name), &self.spelled(Key::Name), shown(name), rule());
        }
        // One that follows the name of the service has been told of there.
        let is_told = matches!(self.source(Key::AppName), Source::Follows { .. });
        let name = &self.app_name;
        faults.require(is_told || is_name(name), &self.spelled(Key::AppName), shown(name), rule());
        let has_socket = cfg!(all(feature = "http", unix));
        let rule = "needs the feature `http` of this crate, and Unix";
        faults.require(has_socket || !self.admin, &self.spelled(Key::Admin), self.admin, rule);
        self.check_statement_timeouts(&mut faults);
        faults
    }

    fn check_statement_timeouts(&self, faults: &mut Faults) {
        let (automation, adhoc) = (self.automation_statement_timeout, self.adhoc_statement_timeout);
        let mut limits = vec![(self.spelled(Key::StatementTimeout), automation)];
        if adhoc != automation {
            limits.push(("adhoc_statement_timeout".to_owned(), adhoc));
        }
        for (setting, limit) in limits {
            let limit = limit.unwrap_or_default();
            faults.require(limit <= LONGEST, &setting, format!("{limit:?}"), LONGEST_RULE);
        }
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
                let rule = match keys[..] {
                    [Key::ConnectionTimeout] => format!("{}; {NO_LIMIT}", fault.rule),
                    _ => fault.rule.clone(),
                };
                // Most times are common to both tiers.
                let seen = (setting, rule);
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
        let reserve = (Key::Reserved, self.adhoc.ceiling());
        let (base, overflow) = (self.automation.base_size, self.automation.max_overflow);
        let parts = if self.is_by_ceiling() {
            vec![(Key::MaxSize, self.automation.ceiling()), reserve]
        } else {
            vec![(Key::BaseSize, base), (Key::MaxOverflow, overflow), reserve]
        };
        let sum = u64::from(base) + u64::from(overflow) + u64::from(reserve.1);
        // What cannot be counted has been told of the tier already.
        if sum.min(u64::from(u32::MAX)) > u64::from(self.total_connections) {
            let told: Vec<_> = parts.into_iter().map(|(key, size)| self.told_with(key, size)).collect();
            let told = told.join(" + ");
            let rule = format!("must be at least {sum} = {told}{}", self.what_else_would_do());
            faults.push(total, self.total_connections, rule);
        }
        faults.require(
            self.adhoc.ceiling() == self.reserved,
            &self.spelled(Key::Reserved),
            self.reserved,
            format!("must be the ceiling of the ad-hoc tier, which is {}", self.adhoc.ceiling()),
        );
    }

    /// Whether a ceiling was set and gives one of its parts, or both.
    fn is_by_ceiling(&self) -> bool {
        let ceiling = self.source(Key::MaxSize);
        ceiling.is_explicit()
            && [Key::BaseSize, Key::MaxOverflow].iter().any(|part| self.source(*part) == ceiling)
    }

    /// A part of the budget with its size: `DB_POOL_SIZE 60`, `max_overflow 5 (default)`.
    fn told_with(&self, key: Key, size: u32) -> String {
        let (source, name) = (self.source(key), key.setting().name);
        match source {
            source if source.is_explicit() => format!("{} {size}", source.spelled(name)),
            Source::Follows { .. } => format!("{name} {size}"),
            source => format!("{name} {size} ({source})"),
        }
    }

    /// The size that would fit into the budget, where one part alone can make it fit.
    fn what_else_would_do(&self) -> String {
        let (base, overflow) = (self.automation.base_size, self.automation.max_overflow);
        let base_follows = matches!(self.source(Key::BaseSize), Source::Follows { .. });
        let is_of_ceiling = |part| self.source(part) == self.source(Key::MaxSize);
        let (key, others, least) = match (self.is_by_ceiling(), base_follows) {
            // A ceiling holds the part that was set beside it.
            (true, _) if is_of_ceiling(Key::BaseSize) && is_of_ceiling(Key::MaxOverflow) => {
                (Key::MaxSize, 0, 1)
            }
            (true, _) if is_of_ceiling(Key::BaseSize) => (Key::MaxSize, 0, overflow.saturating_add(1)),
            (true, _) => (Key::MaxSize, 0, base),
            (false, true) => (Key::MaxOverflow, base, 0),
            (false, false) => (Key::BaseSize, overflow, 1),
        };
        let room = self
            .total_connections
            .checked_sub(self.adhoc.ceiling())
            .and_then(|left| left.checked_sub(others));
        match room.filter(|room| *room >= least) {
            Some(room) => format!("; or {} at most {room}", self.to_set(key)),
            None => String::new(),
        }
    }

    /// The name by which to set a setting: as it is set already, else in the way of the budget.
    fn to_set(&self, key: Key) -> String {
        let setting = key.setting();
        match (self.source(key), self.source(Key::TotalConnections), setting.env.first()) {
            (source, _, _) if source.is_explicit() => source.spelled(setting.name),
            (_, Source::Environment { .. } | Source::Url { .. }, Some(variable)) => variable.name.to_owned(),
            _ => setting.name.to_owned(),
        }
    }

    pub(super) fn spelled(&self, key: Key) -> String {
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
