//! What a program sets by itself, before environment and URL are asked.

use std::fmt;
use std::time::Duration;

use super::pgbouncer::PgBouncer;
use super::rows::{Key, every_setting};
use super::value::Value;
use crate::config::policy::{PrePing, WaitMode};

/// A URL or `key=value` string with a password in it, which `Debug` and `Display` do not show.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionString(pub(crate) String);

impl<T: Into<String>> From<T> for ConnectionString {
    fn from(text: T) -> Self {
        ConnectionString(text.into())
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

macro_rules! as_value {
    // The server is read elsewhere, so that its password stays out of values, which are shown.
    (Secret, $given:expr) => {
        None
    };
    ($kind:ident, $given:expr) => {
        $given.to_owned().map(Value::$kind)
    };
}

macro_rules! declare_overrides {
    ($($key:ident {
        name: $name:ident,
        value: $kind:ident($type:ty),
        env: $env:tt,
        url: $url:tt,
        default: $default:expr,
        doc: $doc:literal,
    })*) => {
        /// The settings that a program makes by itself; they win over environment, URL and profile.
        ///
        /// `None` leaves the setting to them. The builder of a `PgPool` fills this in; each field is the setting of the
        /// same name in [`settings`](crate::config::settings).
        ///
        /// ```
        /// use tierpool::config::{Overrides, PgSettings};
        ///
        /// let mut overrides = Overrides::default();
        /// overrides.url = Some("postgresql://scraper@db.example/news".into());
        /// overrides.base_size = Some(20);
        /// let settings = PgSettings::load(&overrides, |_| None).unwrap();
        /// assert_eq!(settings.automation.ceiling(), 25);
        /// ```
        #[derive(Clone, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct Overrides {
            $(#[doc = $doc] pub $name: Option<$type>,)*
            /// The budget is what the limits of the tiers' roles on the server come to, unless `total_connections` says
            /// a number.
            pub total_from_role: bool,
        }

        impl Overrides {
            /// The value set for a key.
            pub(crate) fn value(&self, key: Key) -> Option<Value> {
                if key == Key::TotalConnections && self.total_from_role && self.total_connections.is_none() {
                    return Some(Value::OfRole);
                }
                match key {
                    $(Key::$key => as_value!($kind, self.$name),)*
                }
            }
        }
    };
}

every_setting!(declare_overrides);
