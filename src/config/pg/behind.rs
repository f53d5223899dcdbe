//! The settings again, once the server has turned out to be behind a PgBouncer.

use super::settings::PgSettings;
use super::table::pgbouncer::PgBouncer;
use super::table::profiles;
use super::table::rows::{Fallback, Key};
use super::table::source::{Source, Sourced};
use super::table::value::Value;
use crate::config::faults::Faults;

impl PgSettings {
    /// Returns these settings with the defaults that hold behind the pooler that the server turned out to be. What
    /// builder, environment, URL or a named profile set stays, and with it sizes that would contradict it; but the
    /// statement cache is off in transaction mode. Unchanged where something was said about a PgBouncer before.
    ///
    /// The faults are those that the sizes for a pooler would have had: the same settings are refused where the pooler
    /// is known before. Here they are not, for the mode is not known, and in session mode the sizes as they were do.
    pub(crate) fn behind_found(&self, mode: PgBouncer) -> (PgSettings, Faults) {
        if self.pgbouncer.is_some() || mode == PgBouncer::Off {
            return (self.clone(), Faults::new());
        }
        let mut changed = self.clone();
        let found = |value| Sourced::new(Some(value), Source::Detected { from: "the server".to_owned() });
        changed.set(Key::Pgbouncer, found(Value::PgBouncer(mode)));
        for key in [
            Key::BaseSize,
            Key::MaxOverflow,
            Key::ConnectionTimeout,
            Key::MaxLifetime,
            Key::StatementCacheSize,
        ] {
            // Whoever set a size of the cache did not know of the pooler.
            if self.is_said(key) && key != Key::StatementCacheSize {
                continue;
            }
            if let Some(value) = profiles::behind_pgbouncer(key, mode) {
                changed.set(key, found(value));
            }
        }
        if !self.is_said(Key::TotalConnections) {
            let total = changed.automation.ceiling().saturating_add(changed.adhoc.ceiling());
            let follows = Source::Follows { of: "the server".to_owned() };
            changed.set(Key::TotalConnections, Sourced::new(Some(Value::Count(total)), follows));
        }
        let faults = changed.check();
        if !faults.is_empty() {
            let sizes = [
                (Key::BaseSize, self.automation.base_size),
                (Key::MaxOverflow, self.automation.max_overflow),
                (Key::TotalConnections, self.total_connections),
            ];
            for (key, size) in sizes {
                changed.set(key, Sourced::new(Some(Value::Count(size)), self.source(key).clone()));
            }
        }
        if !self.is_said(Key::MaxSize) {
            let parts =
                [Key::BaseSize, Key::MaxOverflow].map(|key| (key.setting().name, changed.source(key)));
            let follows = Source::following(&parts);
            changed.set(Key::MaxSize, Sourced::new(None, follows));
        }
        (changed, faults)
    }

    /// Whether somebody set the budget: it follows the sizes where nobody did.
    pub(crate) fn is_budget_said(&self) -> bool {
        self.is_said(Key::TotalConnections)
    }

    /// Whether somebody set it: by a source, or by changing the field of what had its default.
    pub(super) fn is_said(&self, key: Key) -> bool {
        match (self.source(key), &key.setting().default) {
            (Source::Default, Fallback::Value(default)) => self.value_text(key) != default.to_string(),
            (Source::Default | Source::Follows { .. }, _) if key == Key::TotalConnections => {
                self.total_connections != self.automation.ceiling().saturating_add(self.adhoc.ceiling())
            }
            (Source::Default | Source::Follows { .. }, _) => false,
            _ => true,
        }
    }
}
