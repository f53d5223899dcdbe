//! The `pgbouncer.ini` that holds the budget where a fleet cannot.

use std::path::Path;

use tierpool::config::{PgBouncer, TlsMode, TlsOptions};

use super::given::{Given, Place, Roles};
use crate::outcome::Failure;

/// What a program's pool behind it has: 2 and 5 for automation, 5 for people.
const A_PROGRAM: u32 = 12;

/// Where it listens, unless the server does.
const PORT: u16 = 6432;

/// For whoever is no program of the fleet.
const OTHERS: u32 = 100;

/// As many clients as it has room for where the programs are few, or not counted.
const FEWEST_CLIENTS: u32 = 1000;

/// The whole file. It needs `userlist.txt` beside it, with both users. Fails where a role has a name that such a file
/// cannot have.
pub fn ini(given: &Given, processes: Option<u32>, databases: u32) -> Result<String, Failure> {
    let Given { budget, roles: Roles { automation, adhoc }, .. } = given;
    // A pooler's own address is not the server's.
    let place = if is_pooler(given) { Place::default() } else { given.place.clone() };
    let (total, reserve, most) = (budget.total(), budget.reserve(), budget.automation());
    let clients = processes.unwrap_or(0).saturating_mul(A_PROGRAM).saturating_add(OTHERS).max(FEWEST_CLIENTS);
    if let Some(role) = [automation, adhoc].into_iter().find(|role| !is_key(role)) {
        return Err(Failure::new(format_args!(
            "{role:?} cannot stand in a pgbouncer.ini, where a name has letters, digits, _, . and - alone: rename the \
             role"
        )));
    }
    // Zero would be no limit.
    let people = match reserve {
        0 => String::new(),
        _ => format!("{adhoc} = max_user_connections={reserve}\n"),
    };
    Ok(format!(
        "; Automation has at most {most} connections to the server, people have {reserve}, over all databases. \
         Programs connect\n; to this PgBouncer in place of the server, and say no DB_POOL_FLEET.\n\
         {place}[databases]\n{database}\n\n\
         [users]\n{automation} = max_user_connections={most}\n{people}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         auth_type = scram-sha-256\n\
         ; both users, each with its password: \"user\" \"password\"\n\
         auth_file = userlist.txt\n\
         {encryption}pool_mode = transaction\n\
         ; for each user and database; what bounds them all stands with the users\n\
         default_pool_size = {most}\n\
         reserve_pool_size = 0\n\
         ; above the sum of all pools of the programs; ulimit -n has to be {files} at least\n\
         max_client_conn = {clients}\n\
         ; who waits for longer than that is told why\n\
         query_wait_timeout = 5\n\
         server_login_retry = 1",
        place = told_of_place(given),
        encryption = if is_pooler(given) { String::new() } else { encryption(&given.place.tls) },
        database = database(&place, databases),
        port = if place.port == PORT { PORT + 1 } else { PORT },
        files = clients.saturating_add(total).saturating_add(OTHERS),
    ))
}

/// Whether the settings lead to a pooler, and not to the server.
fn is_pooler(given: &Given) -> bool {
    given.pgbouncer.is_some_and(|pgbouncer| pgbouncer != PgBouncer::Off)
}

/// What a program's settings say of the server and this file does not.
fn told_of_place(given: &Given) -> String {
    let mut told = String::new();
    if is_pooler(given) {
        told +=
            "; the settings lead to a pooler, which cannot say where the server is: put its address here\n";
    }
    if given.place.hosts > 1 {
        told += "; the settings name several servers, and this is the first: after a failover it has to be changed\n";
    }
    told
}

/// The way to the server as encrypted as the settings want it.
fn encryption(tls: &TlsOptions) -> String {
    if tls.mode <= TlsMode::Prefer {
        return String::new();
    }
    let file = match tls.root_cert.as_deref().map(Path::to_string_lossy) {
        None => String::new(),
        Some(root) if root == "system" => "; what the system trusts, where Debian has it\n\
             server_tls_ca_file = /etc/ssl/certs/ca-certificates.crt\n"
            .to_owned(),
        Some(file) => format!("server_tls_ca_file = {}\n", line(&file)),
    };
    format!("server_tls_sslmode = {}\n{file}", tls.mode.as_str())
}

/// What would end a line is no part of it.
fn line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// One database by its name, where that can stand there; or all that clients ask for.
fn database(Place { host, port, database, .. }: &Place, databases: u32) -> String {
    let host = value(host);
    match database.as_deref().filter(|name| databases == 1 && is_key(name)) {
        Some(name) => format!("{name} = host={host} port={port} dbname={name}"),
        None => format!("* = host={host} port={port}"),
    }
}

/// Whether a name can stand on the left of `=`, where PgBouncer 1.18 knows no quotes.
fn is_key(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// A value in a list of them. What would end the line is no part of any host.
fn value(text: &str) -> String {
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/:".contains(c));
    if is_plain && !text.is_empty() {
        return text.to_owned();
    }
    format!("'{}'", line(text).replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_stands_in_quotes_where_it_can_and_ends_no_line() {
        assert!(is_key("batch_2.x-y") && !is_key("o\"neil") && !is_key("a b") && !is_key("a\nb"));
        assert_eq!(value("db.example"), "db.example");
        assert_eq!(value("it's\n[users]"), "'it''s[users]'");
        let place = |database: &str| Place { database: Some(database.to_owned()), ..Place::default() };
        assert_eq!(database(&place("news"), 1), "news = host=127.0.0.1 port=5432 dbname=news");
        assert_eq!(database(&place("news"), 2), "* = host=127.0.0.1 port=5432");
        assert_eq!(database(&place("a\nb"), 1), "* = host=127.0.0.1 port=5432");
    }

    #[test]
    fn the_way_to_the_server_is_as_encrypted_as_the_settings_want_it() {
        let mut tls = TlsOptions::default();
        assert_eq!(encryption(&tls), "");
        tls.mode = TlsMode::Require;
        assert_eq!(encryption(&tls), "server_tls_sslmode = require\n");
        tls.mode = TlsMode::VerifyFull;
        tls.root_cert = Some("/etc/ca\n.pem".into());
        assert_eq!(encryption(&tls), "server_tls_sslmode = verify-full\nserver_tls_ca_file = /etc/ca.pem\n");
        tls.root_cert = Some("system".into());
        assert!(encryption(&tls).contains("\nserver_tls_ca_file = /etc/ssl/"), "{}", encryption(&tls));
    }
}
