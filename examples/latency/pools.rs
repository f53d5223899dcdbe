//! The two pools of a measurement, on connections that do nothing or on a PostgreSQL.

use std::env;

use postgres::NoTls;
use r2d2_postgres::PostgresConnectionManager;
use tierpool::config::{Overrides, PgSettings, TlsMode};
use tierpool::{MemoryManager, PgBuilder, Tier, TieredPool};

use super::args::Database;
use super::compare::{Compared, Pair};
use crate::support::cluster::Cluster;

/// What is behind the connections, ready for pools. Dropping it removes a server of one's own.
pub enum Backend {
    Memory,
    Postgres { url: String, _own: Option<Cluster> },
}

impl Backend {
    /// Gets the backend ready.
    ///
    /// # Errors
    /// No server could be started; the text says what to install.
    pub fn ready(database: &Database) -> Result<Backend, String> {
        Ok(match database {
            Database::Memory => Backend::Memory,
            Database::At(url) => Backend::Postgres { url: url.clone(), _own: None },
            Database::Throwaway => {
                let cluster = Cluster::builder().max_connections(2_200).start();
                let cluster = cluster.map_err(|error| error.to_string())?;
                Backend::Postgres { url: cluster.url(), _own: Some(cluster) }
            }
        })
    }

    /// Builds both pools of `size` connections, all of them open.
    ///
    /// # Errors
    /// Settings that cannot be used, or a server that cannot be reached, with the cause.
    pub fn pools(&self, tier: Tier, size: u32) -> Result<Box<dyn Compared>, String> {
        // The other tier has one, the least there can be.
        let (base, reserved) = if tier == Tier::Automation { (size, 1) } else { (1, size) };
        match self {
            Backend::Memory => {
                let ours = TieredPool::builder()
                    .total_connections(base + reserved)
                    .reserved(reserved)
                    .automation(|tier| tier.base_size(base).max_overflow(0).min_size(base))
                    .adhoc(|tier| tier.min_size(reserved));
                let ours = ours.build(|_| MemoryManager).map_err(|error| error.to_string())?;
                let theirs = r2d2::Pool::builder()
                    .max_size(size)
                    .build(MemoryManager)
                    .map_err(|error| error.to_string())?;
                Ok(Box::new(Pair { ours, theirs, tier }))
            }
            Backend::Postgres { url, .. } => {
                let mut overrides = Overrides::default();
                overrides.url = Some(url.as_str().into());
                overrides.app_name = Some("latency".to_owned());
                overrides.total_connections = Some(base + reserved);
                overrides.reserved = Some(reserved);
                (overrides.base_size, overrides.max_overflow) = (Some(base), Some(0));
                overrides.min_size = Some(base);
                let settings = PgSettings::load(&overrides, plain_text_unless_said)
                    .map_err(|faults| format!("the settings of the database cannot be used: {faults}"))?;
                let mode = settings.server.tls().mode;
                if mode != TlsMode::Disable {
                    return Err(format!(
                        "the URL says sslmode={}, but the pools are compared in plain text: leave it out, or say \
                         disable",
                        mode.as_str()
                    ));
                }
                let manager = PostgresConnectionManager::new(settings.connect_config("r2d2"), NoTls);
                let ours = PgBuilder::new().adhoc(move |tier| tier.min_size(reserved));
                let ours = ours.build_from(settings).map_err(|error| error.to_string())?;
                let theirs =
                    r2d2::Pool::builder().max_size(size).build(manager).map_err(|error| error.to_string())?;
                Ok(Box::new(Pair { ours: ours.into(), theirs, tier }))
            }
        }
    }
}

/// The environment, but for encryption: the peer has none here, so that what a URL leaves open is plain text for both.
fn plain_text_unless_said(name: &str) -> Option<String> {
    if name == "PGSSLMODE" { Some("disable".to_owned()) } else { env::var(name).ok() }
}
