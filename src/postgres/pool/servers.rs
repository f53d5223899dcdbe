//! What the builder sets about servers and credentials.

use std::error::Error as StdError;
use std::sync::Arc;

use super::builder::PgBuilder;
use crate::config::TargetSessionAttrs;
use crate::postgres::open::{CredentialSource, Credentials, PgManager};
use crate::tiers::Tier;

#[derive(Default)]
pub(super) struct Servers {
    pub session_attrs: Option<TargetSessionAttrs>,
    credentials: Option<Arc<CredentialSource>>,
    adhoc_credentials: Option<Arc<CredentialSource>>,
}

impl Servers {
    /// Gives a tier's manager its callback; `own_server` where the ad-hoc tier has a connection string of its own.
    pub fn put_into(&self, manager: PgManager, tier: Tier, own_server: bool) -> PgManager {
        let common = match tier {
            // Credentials for another server or role are none of the ad-hoc tier's.
            Tier::Adhoc if own_server => None,
            _ => self.credentials.as_ref(),
        };
        let own = if tier == Tier::Adhoc { self.adhoc_credentials.as_ref() } else { None };
        match own.or(common) {
            Some(source) => manager.with_source(Arc::clone(source)),
            None => manager,
        }
    }
}

impl PgBuilder {
    /// Sets which of several servers may be used, in both tiers. Default: what the connection string says, else any.
    pub fn target_session_attrs(mut self, attrs: TargetSessionAttrs) -> Self {
        self.servers.session_attrs = Some(attrs);
        self
    }

    /// Has user and password come from a callback, which is asked anew for each connection, so that a rotated password
    /// or a short-lived token needs no restart. It holds for both tiers, but for an ad-hoc tier with a connection string
    /// or a callback of its own. [`PgManager::with_credentials`] tells when it is called, and what follows a refusal.
    ///
    /// ```
    /// use tierpool::PgPool;
    /// use tierpool::postgres::Credentials;
    ///
    /// let builder = PgPool::builder()
    ///     .url("postgresql://scraper@localhost/news")
    ///     .credentials(|| Ok(Credentials::password(std::fs::read_to_string("/run/secrets/db")?.trim())));
    /// # drop(builder);
    /// ```
    pub fn credentials(
        mut self,
        callback: impl Fn() -> Result<Credentials, Box<dyn StdError + Send + Sync>> + Send + Sync + 'static,
    ) -> Self {
        self.servers.credentials = Some(Arc::new(CredentialSource::new(Box::new(callback))));
        self
    }

    /// Sets a callback of the ad-hoc tier's own; see [`PgBuilder::credentials`].
    pub fn adhoc_credentials(
        mut self,
        callback: impl Fn() -> Result<Credentials, Box<dyn StdError + Send + Sync>> + Send + Sync + 'static,
    ) -> Self {
        self.servers.adhoc_credentials = Some(Arc::new(CredentialSource::new(Box::new(callback))));
        self
    }
}
