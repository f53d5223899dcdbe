//! What the builder sets about servers and credentials.

use std::sync::Arc;

use crate::config::TargetSessionAttrs;
use crate::postgres::open::{Callback, CredentialSource, PgManager};
use crate::tiers::Tier;

#[derive(Default)]
pub(super) struct Servers {
    pub session_attrs: Option<TargetSessionAttrs>,
    credentials: Option<Arc<CredentialSource>>,
    adhoc_credentials: Option<Arc<CredentialSource>>,
}

impl Servers {
    /// Sets the callback of both tiers.
    pub fn ask_for_credentials(&mut self, callback: Box<Callback>) {
        self.credentials = Some(Arc::new(CredentialSource::new(callback)));
    }

    /// Sets the callback of the ad-hoc tier's own.
    pub fn ask_for_adhoc_credentials(&mut self, callback: Box<Callback>) {
        self.adhoc_credentials = Some(Arc::new(CredentialSource::new(callback)));
    }

    /// Whether the ad-hoc tier's credentials come from elsewhere than automation's; `own_server` where it has a
    /// connection string of its own.
    pub fn tell_apart(&self, own_server: bool) -> bool {
        self.adhoc_credentials.is_some() || (own_server && self.credentials.is_some())
    }

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
