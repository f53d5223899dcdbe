//! Which PostgreSQL the run writes to.

use std::fmt;

use postgres::Config;

use crate::support::cluster::Cluster;

/// The server of a run. Dropping it removes a server of one's own.
pub enum Server {
    /// The one `DATABASE_URL` names.
    Given { url: String, config: Box<Config> },
    /// A throw-away one, started for this run.
    Own(Cluster),
}

impl Server {
    /// Takes the server `DATABASE_URL` names, or starts one when it is unset or empty.
    ///
    /// # Blocking
    /// One to two seconds when a server is started, 20 s at the most.
    ///
    /// # Errors
    /// A URL that cannot be read (it is not repeated, it may hold a password), or no server that could be started;
    /// the text then says what to install.
    pub fn choose() -> Result<Server, String> {
        match std::env::var("DATABASE_URL") {
            Ok(url) if !url.is_empty() => match url.parse() {
                Ok(config) => Ok(Server::Given { url, config: Box::new(config) }),
                Err(error) => Err(format!("DATABASE_URL cannot be used: {}", with_causes(&error))),
            },
            Err(std::env::VarError::NotUnicode(_)) => Err("DATABASE_URL is not UTF-8".into()),
            _ => Cluster::builder().start().map(Server::Own).map_err(|error| error.to_string()),
        }
    }

    /// The URL to connect with. It may hold a password.
    pub fn url(&self) -> String {
        match self {
            Server::Given { url, .. } => url.clone(),
            Server::Own(cluster) => cluster.url(),
        }
    }
}

/// Names the server without its password.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Server::Given { config, .. } => {
                let database = config.get_dbname().or(config.get_user()).unwrap_or("the default database");
                write!(f, "{database} on {:?} (DATABASE_URL)", config.get_hosts())
            }
            Server::Own(cluster) => {
                write!(f, "a throw-away PostgreSQL on port {} (DATABASE_URL is not set)", cluster.port())
            }
        }
    }
}

/// An error with what caused it, on one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
