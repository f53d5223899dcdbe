//! What a manager asks of the admission of its connections.

use std::sync::Arc;
use std::time::Duration;

use postgres::Config;

use super::admission::{ADMISSION_LIMIT, Admission, WELCOME_LIMIT};
use super::manager::PgManager;
use crate::postgres::connection::PgConnection;
use crate::postgres::error::PgError;
use crate::stats::FleetStatus;

impl PgManager {
    /// Has each connection that a pool opens by this manager ask for its admission.
    pub(in crate::postgres) fn admit_by(&mut self, admission: Arc<dyn Admission>) {
        self.admission = Some(admission);
    }

    /// The longest that an opening takes, its admission included: the wait for it, and what is asked for it.
    pub(in crate::postgres) fn opening_limit(&self) -> Duration {
        let own = self.options().connect_limit();
        let admission = ADMISSION_LIMIT.saturating_add(WELCOME_LIMIT);
        if self.admission.is_some() { own.saturating_add(admission) } else { own }
    }

    /// Whether its connections are let in by somebody.
    pub(in crate::postgres) fn is_admitted(&self) -> bool {
        self.admission.is_some()
    }

    /// Why the openings that wait for their admission have found no room so far.
    pub(in crate::postgres) fn held_up(&self) -> Option<PgError> {
        self.admission.as_ref().and_then(|admission| admission.held_up())
    }

    /// Whether it leads to the same database as another, as whomever.
    pub(in crate::postgres) fn leads_where(&self, other: &PgManager) -> bool {
        let places = |manager: &PgManager| -> Vec<_> {
            let place = |config: &Config| {
                let database = config.get_dbname().or(config.get_user()).map(str::to_owned);
                let addresses = config.get_hostaddrs().to_vec();
                (config.get_hosts().to_vec(), addresses, config.get_ports().to_vec(), database)
            };
            manager.targets.configs.iter().map(place).collect()
        };
        places(self) == places(other)
    }

    /// Whether there is something to be asked by way of a connection at hand.
    pub(in crate::postgres) fn is_check_due(&self, conn: &PgConnection) -> bool {
        let (Some(admission), Some(pass)) = (&self.admission, conn.pass()) else { return false };
        admission.is_due(pass)
    }

    /// Whether the place of a connection that comes back is somebody else's. It is told once, and then taken to be
    /// given back.
    pub(in crate::postgres) fn gives_back(&self, conn: &PgConnection) -> bool {
        let (Some(admission), Some(pass)) = (&self.admission, conn.pass()) else { return false };
        admission.gives_back(pass)
    }

    /// What is known of the budget that is shared, where one is.
    pub(in crate::postgres) fn fleet_status(&self) -> Option<FleetStatus> {
        self.admission.as_ref().and_then(|admission| admission.status())
    }

    /// Asks, by way of a connection at hand, what it was let in by. Without effect where nobody lets it in.
    pub(in crate::postgres) fn check_admission(
        &self,
        conn: &mut PgConnection,
        limit: Duration,
    ) -> Result<(), PgError> {
        match (&self.admission, conn.pass()) {
            (Some(admission), Some(pass)) => admission.check(pass, conn, limit),
            _ => Ok(()),
        }
    }
}
