//! The settings again, once the server has turned out to be behind a PgBouncer.

use super::settings::PgSettings;
use super::table::pgbouncer::PgBouncer;
use super::table::profiles;
use super::table::rows::Key;
use super::table::source::Source;
use super::table::value::Value;
use crate::config::settings::Settings;

impl PgSettings {
    /// Returns these settings with the defaults that hold behind the pooler that the server turned out to be. What
    /// builder, environment, URL or a named profile set stays, and with it sizes that would contradict it; but the
    /// statement cache is off in transaction mode. Unchanged where something was said about a PgBouncer before.
    pub(crate) fn behind_found(&self, mode: PgBouncer) -> PgSettings {
        if self.pgbouncer.is_some() || mode == PgBouncer::Off {
            return self.clone();
        }
        let mut changed = self.clone();
        changed.pgbouncer = Some(mode);
        let from = Source::Detected { from: "the server".to_owned() };
        changed.sources[Key::Pgbouncer as usize] = from.clone();
        for key in [Key::BaseSize, Key::MaxOverflow, Key::MaxLifetime, Key::PrePing, Key::StatementCacheSize]
        {
            let source = self.source(key);
            // Whoever set a size of the cache did not know of the pooler.
            if source != &Source::Default && key != Key::StatementCacheSize {
                continue;
            }
            if let Some(value) = profiles::behind_pgbouncer(key, mode) {
                changed.take(key, value);
                changed.sources[key as usize] = from.clone();
            }
        }
        if !changed.check().is_empty() {
            changed.automation.base_size = self.automation.base_size;
            changed.automation.max_overflow = self.automation.max_overflow;
            for key in [Key::BaseSize, Key::MaxOverflow] {
                changed.sources[key as usize] = self.source(key).clone();
            }
        }
        if self.source(Key::MaxSize) == &Source::Default {
            changed.sources[Key::MaxSize as usize] = changed.source(Key::BaseSize).clone();
        }
        changed
    }

    fn take(&mut self, key: Key, value: Value) {
        let both = |tier: &mut PgSettings, change: &dyn Fn(&mut Settings)| {
            change(&mut tier.automation);
            change(&mut tier.adhoc);
        };
        match (key, value) {
            (Key::BaseSize, Value::Count(size)) => self.automation.base_size = size,
            (Key::MaxOverflow, Value::Count(size)) => self.automation.max_overflow = size,
            (Key::StatementCacheSize, Value::Count(size)) => self.statement_cache_size = size,
            (Key::MaxLifetime, Value::Time(time)) => {
                both(self, &|tier| tier.max_lifetime = Some(time).filter(|time| !time.is_zero()));
            }
            (Key::PrePing, Value::PrePing(policy)) => both(self, &|tier| tier.pre_ping = policy),
            (key, value) => unreachable!("BUG: {key:?} is {value:?} behind PgBouncer"),
        }
    }
}
