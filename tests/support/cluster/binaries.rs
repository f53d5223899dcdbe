//! Where `initdb` and `postgres` are on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::ClusterError;

const WANTED: [&str; 2] = ["initdb", "postgres"];
const DEBIAN: &str = "/usr/lib/postgresql";

/// Returns the folder that holds both programs.
///
/// `named`, else the environment's `PG_BIN`, is final: a folder somebody named and that lacks them is a mistake to
/// report. Without either: `PATH`, then what `pg_config --bindir` says, then Debian's folders, newest version first.
pub(super) fn find(named: Option<&Path>) -> Result<PathBuf, ClusterError> {
    if let Some(folder) = named {
        let what = format!("the folder named for PostgreSQL's programs, {}, lacks one", folder.display());
        return holds_all(folder).then(|| folder.to_path_buf()).ok_or_else(|| missing(&what));
    }
    if let Some(folder) = env::var_os("PG_BIN").map(PathBuf::from) {
        return find(Some(&folder));
    }
    let mut candidates: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    candidates.extend(told_by_pg_config());
    candidates.extend(debian_folders());
    candidates.iter().find(|folder| holds_all(folder)).cloned().ok_or_else(|| {
        let places: Vec<String> = candidates.iter().map(|folder| folder.display().to_string()).collect();
        missing(&format!(
            "PostgreSQL's programs were not found (looked in {DEBIAN}/*/bin, {})",
            places.join(", ")
        ))
    })
}

fn holds_all(folder: &Path) -> bool {
    WANTED.iter().all(|name| folder.join(name).is_file())
}

fn told_by_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(folder.trim_end()))
}

fn debian_folders() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(DEBIAN) else { return Vec::new() };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

fn missing(what: &str) -> ClusterError {
    ClusterError::new(format!(
        "{what}; {} are needed: install them with `apt-get install -y postgresql`, or name their folder in PG_BIN",
        WANTED.join(" and "),
    ))
}
