//! The files of a PgBouncer: its settings, and its users.

use std::fs::{self, Permissions};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Builder;
use crate::support::cluster::APP_PASSWORD;
use crate::support::cluster::account::Account;

/// Writes both into a folder, as readable for the account alone.
pub fn write_settings(
    folder: &Path,
    account: Account,
    address: Ipv4Addr,
    port: u16,
    builder: &Builder,
) -> io::Result<()> {
    let own = format!("[databases]\napp = host=127.0.0.1 port={} dbname=app\n", builder.server_port);
    let (given, others) = match &builder.given {
        Some((given, users)) => (given, users.as_slice()),
        None => (&own, &[][..]),
    };
    // What stands below wins.
    let mut text = format!(
        "{given}\n[pgbouncer]\nlisten_addr = {address}\nlisten_port = {port}\nunix_socket_dir = {}\n\
         pidfile = pgbouncer.pid\nauth_type = scram-sha-256\nauth_file = userlist.txt\nadmin_users = app\n\
         server_login_retry = 0.2\n",
        folder.display()
    );
    for (name, value) in &builder.settings {
        text.push_str(&format!("{name} = {value}\n"));
    }
    let mut users = format!("\"app\" \"{APP_PASSWORD}\"\n");
    for (user, password) in others {
        users.push_str(&format!("\"{}\" \"{password}\"\n", user.replace('"', "\"\"")));
    }
    for (name, text) in [("pgbouncer.ini", text), ("userlist.txt", users)] {
        let path = folder.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        account.own(&path)?;
    }
    Ok(())
}
