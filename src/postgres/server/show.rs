//! Server activity and long-running queries as text.

use std::fmt;

use super::activity::{ServerActivity, Sessions, TierActivity};
use super::queries::RunningQuery;
use crate::text::Time;

/// Hosts listed for a tier before the rest is only counted.
const HOSTS_SHOWN: usize = 8;

/// `12 open: 3 active, 8 idle, 1 in transaction; longest query 3.2s`, without what there is none of.
impl fmt::Display for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} open", self.open)?;
        let states = [
            (self.active, "active"),
            (self.idle, "idle"),
            (self.idle_in_transaction, "idle in transaction"),
            (self.aborted, "idle in a failed transaction"),
            (self.hidden, "hidden"),
        ];
        let mut separator = ": ";
        for (number, state) in states.into_iter().filter(|(number, _)| *number > 0) {
            write!(f, "{separator}{number} {state}")?;
            separator = ", ";
        }
        separator = "; longest ";
        for (time, what) in [(self.longest_query, "query"), (self.longest_transaction, "transaction")] {
            if let Some(time) = time {
                write!(f, "{separator}{what} {}", Time(time))?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

impl TierActivity {
    fn write(&self, f: &mut fmt::Formatter<'_>, title: &str) -> fmt::Result {
        writeln!(f, "{title}: {}", self.total)?;
        for host in self.hosts.iter().take(HOSTS_SHOWN) {
            writeln!(f, "   - {}: {}", host.host, host.sessions)?;
        }
        match self.hosts.len().saturating_sub(HOSTS_SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "   - and {more} more hosts"),
        }
    }

    fn write_role(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = &self.role;
        write!(f, "Role {}: {}", role.name, Limited(role.in_use, role.limit))?;
        match (role.is_superuser, role.may_use_reserved) {
            (true, _) => writeln!(f, " (superuser)"),
            (false, true) => writeln!(f, " (may use reserved connections)"),
            (false, false) => writeln!(f),
        }
    }
}

impl fmt::Display for ServerActivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = &self.limits;
        writeln!(
            f,
            "Server: PostgreSQL {}; sessions of {} by all processes:",
            self.server_version, self.app_name
        )?;
        self.automation.write(f, "Automation")?;
        self.adhoc.write(f, "Ad-hoc")?;
        writeln!(f, "Others: {}", self.others)?;
        write!(f, "Connections: {}", Limited(limits.in_use, Some(limits.max_connections)))?;
        write!(f, ", the last {} for superusers", limits.superuser_reserved)?;
        match limits.reserved.filter(|reserved| *reserved > 0) {
            Some(reserved) => writeln!(f, ", {reserved} before them reserved")?,
            None => writeln!(f)?,
        }
        self.automation.write_role(f)?;
        if self.adhoc.role != self.automation.role {
            self.adhoc.write_role(f)?;
        }
        let database = &limits.database;
        writeln!(f, "Database {}: {}", database.name, Limited(database.in_use, database.limit))?;
        let [automation, adhoc] = [self.automation.room, self.adhoc.room];
        let strangers = limits.room_for_strangers();
        write!(f, "Room left: {automation} for automation, {adhoc} for ad-hoc, {strangers} for strangers")
    }
}

/// `pid 4711 scraper/automation app@10.0.0.5 active for 12s (in transaction for 15s, waits for Lock: tuple): UPDATE …`
impl fmt::Display for RunningQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} {} {}@{} {}", self.pid, self.application_name, self.user, self.client, self.state)?;
        if let Some(time) = self.running_for {
            write!(f, " for {}", Time(time))?;
        }
        let transaction = self.in_transaction_for.map(|time| format!("in transaction for {}", Time(time)));
        let wait = self.wait_event.as_ref().map(|event| format!("waits for {event}"));
        let more: Vec<String> = [transaction, wait].into_iter().flatten().collect();
        if !more.is_empty() {
            write!(f, " ({})", more.join(", "))?;
        }
        write!(f, ": {}", self.query)
    }
}

/// A number and its limit.
struct Limited(u32, Option<u32>);

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(limit) => write!(f, "{} of {limit}", self.0),
            None => write!(f, "{}, no limit", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn sessions_show_what_there_is() {
        let mut sessions = Sessions::default();
        assert_eq!(sessions.to_string(), "0 open");
        (sessions.open, sessions.active, sessions.aborted) = (3, 1, 2);
        sessions.longest_query = Some(Duration::from_millis(20));
        sessions.longest_transaction = Some(Duration::from_secs(7200));
        let text = "3 open: 1 active, 2 idle in a failed transaction; longest query 20 ms, transaction 2.0 h";
        assert_eq!(sessions.to_string(), text);
    }
}
