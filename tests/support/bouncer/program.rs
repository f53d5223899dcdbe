//! The PgBouncer that is installed: where it is, and which version it is.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ClusterError;

/// Where Debian installs it, which is not on everybody's `PATH`.
const FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// Asks it for its version.
pub fn version_of(program: &Path) -> Result<(u32, u32), ClusterError> {
    let told = |error| ClusterError::io(format!("cannot run {}", program.display()), error);
    let output = Command::new(program).arg("--version").output().map_err(told)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let of = |text: &str| {
        let mut numbers = text.strip_prefix("PgBouncer ")?.split(['.', '\n']).map(|part| part.parse().ok());
        Some((numbers.next()??, numbers.next()??))
    };
    of(&text).ok_or_else(|| ClusterError::new(format!("{} tells no version: {text:?}", program.display())))
}

/// Returns the program: the one named, or what `PGBOUNCER_BIN` names, either of which is final, else the first of
/// `PATH` and Debian's folder.
pub fn find(named: Option<&Path>) -> Result<PathBuf, ClusterError> {
    let named = named.map(Path::to_path_buf).or_else(|| env::var_os("PGBOUNCER_BIN").map(PathBuf::from));
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(FOLDERS.iter().map(PathBuf::from));
    let candidates: Vec<PathBuf> = match &named {
        Some(program) => vec![program.clone()],
        None => folders.map(|folder| folder.join("pgbouncer")).collect(),
    };
    candidates.iter().find(|program| program.is_file()).cloned().ok_or_else(|| {
        let places: Vec<String> = candidates.iter().map(|place| place.display().to_string()).collect();
        ClusterError::new(format!(
            "PgBouncer was not found (looked for {}): install it with `apt-get install -y pgbouncer`, or name the \
             program in PGBOUNCER_BIN",
            places.join(", ")
        ))
    })
}
