//! Which PostgreSQL the run writes to.

use std::fmt;

use tierpool::config::{Overrides, PgSettings};
use tierpool::{PgBuilder, PgPool};

use crate::support::cluster::Cluster;

/// The server of a run. Dropping it removes a server of one's own.
pub struct Server {
    /// The first part of `application_name`.
    app_name: &'static str,
    settings: PgSettings,
    /// The throw-away one, when the environment names none.
    own: Option<Cluster>,
}

impl Server {
    /// Takes the server that `DATABASE_URL` names, or starts one when it is unset or empty. All other settings come
    /// from the environment either way. `app_name` becomes the first part of `application_name`.
    ///
    /// # Blocking
    /// One to two seconds when a server is started, 20 s at the most.
    ///
    /// # Errors
    /// Settings that cannot be used, all at once and without a password; or no server that could be started, and the
    /// text then says what to install.
    pub fn choose(app_name: &'static str) -> Result<Server, String> {
        let is_given = std::env::var_os("DATABASE_URL").is_some_and(|url| !url.is_empty());
        let own =
            if is_given { None } else { Some(Cluster::start_new().map_err(|error| error.to_string())?) };
        let mut overrides = Overrides::default();
        overrides.url = own.as_ref().map(|cluster| cluster.url().into());
        overrides.app_name = Some(app_name.to_owned());
        let settings = PgSettings::from_env(&overrides)
            .map_err(|faults| format!("the settings of the database cannot be used: {faults}"))?;
        Ok(Server { app_name, settings, own })
    }

    /// Builds the pool, which the admin socket may suspend and resume where the settings ask for one.
    ///
    /// # Blocking
    /// Until the first connection is open; as long as the checkout timeout at the most.
    ///
    /// # Errors
    /// A server that cannot be reached or that refuses, with the cause.
    pub fn pool(&self) -> Result<PgPool, tierpool::Error> {
        let builder = PgBuilder::new();
        #[cfg(all(feature = "http", unix))]
        let builder = builder.admin_write(true);
        builder.build_from(self.settings.clone())
    }

    /// Whether the server goes with the run.
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }
}

/// Names the server without its password.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(cluster) = &self.own {
            return write!(f, "a throw-away PostgreSQL on port {} (DATABASE_URL is not set)", cluster.port());
        }
        let config = self.settings.connect_config(self.app_name);
        let database = config.get_dbname().or(config.get_user()).unwrap_or("the default database");
        write!(f, "{database} on {:?} (DATABASE_URL)", config.get_hosts())
    }
}

/// An error with what caused it, on one line. This crate's errors name their causes themselves.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    if error.is::<tierpool::PgError>() || error.is::<tierpool::Error>() {
        return error.to_string();
    }
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
