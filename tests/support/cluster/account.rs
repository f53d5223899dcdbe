//! The account PostgreSQL runs under, which it refuses to be root.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::{fs, io};

use super::ClusterError;

/// In the order of preference.
const NAMES: [&str; 2] = ["postgres", "nobody"];

/// Who owns the data and runs the server.
#[derive(Clone, Copy, Debug)]
pub(in crate::support) enum Account {
    /// Whoever runs the test.
    Own,
    /// The test runs as root, the server as this user and group.
    Other { uid: u32, gid: u32 },
}

impl Account {
    pub(in crate::support) fn choose() -> Result<Account, ClusterError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Account::Own);
        }
        let users = fs::read_to_string("/etc/passwd").map_err(|error| {
            ClusterError::io("cannot read /etc/passwd to find an unprivileged user", error)
        })?;
        NAMES.iter().find_map(|name| in_passwd(&users, name)).ok_or_else(|| {
            ClusterError::new(format!(
                "PostgreSQL refuses to run as root, and /etc/passwd has none of the users {NAMES:?} to run it as"
            ))
        })
    }

    /// Gives a folder or file to the account.
    pub(in crate::support) fn own(self, folder: &Path) -> io::Result<()> {
        match self {
            Account::Own => Ok(()),
            Account::Other { uid, gid } => std::os::unix::fs::chown(folder, Some(uid), Some(gid)),
        }
    }

    /// Lets a command run as the account.
    pub(in crate::support) fn run_as(self, command: &mut Command) {
        if let Account::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
    }
}

fn in_passwd(users: &str, name: &str) -> Option<Account> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Account::Other { uid, gid })
    })
}
