//! Settings made of others: for a tier with a server of its own, and for a pool that found a pooler.

use super::super::PgManager;
use crate::config::{ConnectionString, Faults, Overrides, PgSettings, TlsMode};
use crate::error::Error;
use crate::tiers::TieredPool;

/// The settings with the server of another connection string.
pub(super) fn own_server(url: &ConnectionString, settings: &PgSettings) -> Result<PgSettings, Faults> {
    let overrides = Overrides {
        url: Some(url.clone()),
        app_name: Some(settings.app_name.clone()),
        ..Overrides::default()
    };
    let demanded = settings.server.tls();
    let mut own = PgSettings::load(&overrides, |variable| match variable {
        "PGSSLMODE" if demanded.mode > TlsMode::Prefer => Some(demanded.mode.as_str().to_owned()),
        "PGSSLROOTCERT" if demanded.mode > TlsMode::Prefer => {
            demanded.root_cert.as_ref().map(|path| path.display().to_string())
        }
        _ => None,
    })?;
    own.adhoc_statement_timeout = settings.adhoc_statement_timeout;
    own.connect_timeout = settings.connect_timeout;
    own.statement_cache_size = settings.statement_cache_size;
    own.socket_timeout = settings.socket_timeout;
    own.slow_query = settings.slow_query;
    Ok(own)
}

/// Has a pool that is there already take the defaults for a pooler that its first connection found. What the
/// program changed on a tier's builder stays.
pub(super) fn adapt(
    pool: &TieredPool<PgManager>,
    built: &PgSettings,
    found: &PgSettings,
) -> Result<(), Error> {
    let tiers = [
        (pool.automation(), &built.automation, &found.automation),
        (pool.adhoc(), &built.adhoc, &found.adhoc),
    ];
    for (tier, built, found) in tiers.into_iter().filter(|(_, built, found)| built != found) {
        tier.reconfigure(|settings| {
            let as_built =
                settings.base_size == built.base_size && settings.max_overflow == built.max_overflow;
            let kept = settings.min_size.max(settings.min_idle.unwrap_or(0));
            if as_built && kept <= found.ceiling() {
                settings.base_size = found.base_size;
                settings.max_overflow = found.max_overflow;
            }
            if settings.max_lifetime == built.max_lifetime {
                settings.max_lifetime = found.max_lifetime;
            }
            if settings.pre_ping == built.pre_ping {
                settings.pre_ping = found.pre_ping;
            }
        })?;
    }
    for setting in found.effective().iter().zip(built.effective()).filter(|(now, before)| **now != *before) {
        log::info!(target: "tierpool::settings", "{}", setting.0);
    }
    Ok(())
}
