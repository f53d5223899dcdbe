//! A subscriber that keeps the events it is told, for tests to read.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// The value of a field, by its type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(i128),
    Seconds(f64),
    Text(String),
    /// Only ever the message.
    Written(String),
}

/// An event as it was told.
#[derive(Clone, Debug)]
pub struct Told {
    pub level: Level,
    pub target: String,
    pub file: String,
    pub fields: BTreeMap<&'static str, Value>,
}

impl Told {
    /// Its message.
    pub fn text(&self) -> &str {
        match &self.fields["message"] {
            Value::Written(text) => text,
            other => panic!("{other:?}"),
        }
    }

    pub fn number(&self, name: &str) -> i128 {
        match self.fields.get(name) {
            Some(Value::Number(number)) => *number,
            other => panic!("{name}: {other:?} of {self:?}"),
        }
    }

    pub fn seconds(&self, name: &str) -> f64 {
        match self.fields.get(name) {
            Some(Value::Seconds(seconds)) => *seconds,
            other => panic!("{name}: {other:?} of {self:?}"),
        }
    }

    /// The text of a field, if the event has it.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|value| match value {
            Value::Text(text) => text.as_str(),
            other => panic!("{name}: {other:?} of {self:?}"),
        })
    }
}

/// Keeps events down to a level, but those of targets that begin with one text.
#[derive(Clone)]
pub struct Events {
    level: LevelFilter,
    refused: &'static str,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Events {
    pub fn down_to(level: LevelFilter) -> Self {
        Events { level, refused: "(none)", told: Arc::default() }
    }

    pub fn but_of(self, refused: &'static str) -> Self {
        Events { refused, ..self }
    }

    /// All events of a target whose text contains this.
    pub fn at(&self, target: &str, text: &str) -> Vec<Told> {
        let told = self.told.lock();
        told.iter().filter(|told| told.target == target && told.text().contains(text)).cloned().collect()
    }

    /// The only one of them.
    pub fn the(&self, target: &str, text: &str) -> Told {
        match &self.at(target, text)[..] {
            [told] => told.clone(),
            others => panic!("{text:?} at {target}: {others:?}"),
        }
    }
}

struct Fields(BTreeMap<&'static str, Value>);

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name(), Value::Seconds(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name(), Value::Number(value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name(), Value::Number(value.into()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), Value::Text(value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), Value::Written(format!("{value:?}")));
    }
}

impl Subscriber for Events {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.level && !metadata.target().starts_with(self.refused)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(BTreeMap::new());
        event.record(&mut fields);
        let metadata = event.metadata();
        self.told.lock().push(Told {
            level: *metadata.level(),
            target: metadata.target().to_owned(),
            file: metadata.file().unwrap_or_default().to_owned(),
            fields: fields.0,
        });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
