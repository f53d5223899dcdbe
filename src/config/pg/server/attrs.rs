//! Which kind of server a connection may lead to, as a value; libpq's names and meanings.

use std::fmt;

use postgres::config as driver;

use super::libpq::Param;
use crate::config::faults::Faults;

/// Which of the servers that a connection string names may be used: libpq's `target_session_attrs`.
///
/// ```
/// use tierpool::config::{Overrides, PgSettings, TargetSessionAttrs};
///
/// let mut overrides = Overrides::default();
/// overrides.url = Some("postgresql://app@db1,db2/news?target_session_attrs=read-write".into());
/// let settings = PgSettings::load(&overrides, |_| None).unwrap();
/// assert_eq!(settings.server.session_attrs(), TargetSessionAttrs::ReadWrite);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TargetSessionAttrs {
    /// Any server that lets the session in. The default.
    #[default]
    Any,
    /// A session that takes writes: no standby, and not `default_transaction_read_only`.
    ReadWrite,
    /// A session that takes none.
    ReadOnly,
    /// A server that is no standby, read-only by its settings or not.
    Primary,
    /// A standby.
    Standby,
    /// A standby, or where none can be reached any server.
    PreferStandby,
}

impl TargetSessionAttrs {
    /// Every value, in libpq's order.
    pub const ALL: [TargetSessionAttrs; 6] = [
        TargetSessionAttrs::Any,
        TargetSessionAttrs::ReadWrite,
        TargetSessionAttrs::ReadOnly,
        TargetSessionAttrs::Primary,
        TargetSessionAttrs::Standby,
        TargetSessionAttrs::PreferStandby,
    ];

    /// The name in a connection string.
    pub fn as_str(self) -> &'static str {
        match self {
            TargetSessionAttrs::Any => "any",
            TargetSessionAttrs::ReadWrite => "read-write",
            TargetSessionAttrs::ReadOnly => "read-only",
            TargetSessionAttrs::Primary => "primary",
            TargetSessionAttrs::Standby => "standby",
            TargetSessionAttrs::PreferStandby => "prefer-standby",
        }
    }

    /// What the driver knows of it. It has no word for standbys and takes those sessions as they come; the pool checks
    /// by itself.
    pub(super) fn driver(self) -> driver::TargetSessionAttrs {
        match self {
            TargetSessionAttrs::ReadWrite => driver::TargetSessionAttrs::ReadWrite,
            TargetSessionAttrs::ReadOnly => driver::TargetSessionAttrs::ReadOnly,
            _ => driver::TargetSessionAttrs::Any,
        }
    }

    /// Reads the parameter of a connection string.
    pub(super) fn read(param: &Param, faults: &mut Faults) -> TargetSessionAttrs {
        let found = Self::ALL.into_iter().find(|attrs| attrs.as_str() == param.value);
        if found.is_none() {
            let rule = "must be any, read-write, read-only, primary, standby or prefer-standby";
            faults.push(param.spelled(), param.shown(), rule);
        }
        found.unwrap_or_default()
    }
}

impl From<driver::TargetSessionAttrs> for TargetSessionAttrs {
    fn from(attrs: driver::TargetSessionAttrs) -> Self {
        match attrs {
            driver::TargetSessionAttrs::ReadWrite => TargetSessionAttrs::ReadWrite,
            driver::TargetSessionAttrs::ReadOnly => TargetSessionAttrs::ReadOnly,
            _ => TargetSessionAttrs::Any,
        }
    }
}

impl fmt::Display for TargetSessionAttrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
