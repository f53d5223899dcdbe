//! Walks the input folder for manifests and documents.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walkdir::{DirEntry, WalkDir};

use super::kind::Kind;
use super::rustdoc;

/// One piece of work; items are independent of each other, in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Absolute.
    pub path: PathBuf,
    /// The folder of the package it belongs to; `None` outside of every package.
    pub package: Option<Arc<Path>>,
    /// How to read it, or why the walk could not.
    pub kind: Result<Kind, String>,
}

/// Folders below this depth are left alone, as a bound on hostile trees; real sources stay far above it.
const MAX_DEPTH: usize = 64;

/// Documentation begins within this many bytes of a source file, or is not looked for.
const RUST_HEAD: u64 = 64 * 1024;

/// Lists the work below `root`, at most `limit` items, the same order in every run.
///
/// Symbolic links are not followed, so that a loop of them cannot catch the walk and nothing is listed twice. Folders
/// named `.git` and folders that hold a `CACHEDIR.TAG`, such as cargo's `target`, are left out. A folder that cannot be
/// read is an item too: it fails later with its reason and is counted.
pub fn discover(root: &Path, limit: Option<usize>) -> Vec<Item> {
    let mut packages = Packages::default();
    WalkDir::new(root)
        .sort_by_file_name()
        .max_depth(MAX_DEPTH)
        .into_iter()
        .filter_entry(is_source)
        .filter_map(|entry| match entry {
            Ok(entry) => packages.item(&entry),
            Err(error) => Some(unreadable(root, &error)),
        })
        .take(limit.unwrap_or(usize::MAX))
        .collect()
}

fn is_source(entry: &DirEntry) -> bool {
    let left_out = entry.file_name() == ".git" || entry.path().join("CACHEDIR.TAG").is_file();
    entry.depth() == 0 || !entry.file_type().is_dir() || !left_out
}

fn unreadable(root: &Path, error: &walkdir::Error) -> Item {
    let reason = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
    Item { path: error.path().unwrap_or(root).to_owned(), package: None, kind: Err(reason) }
}

/// The packages around the walk's present place, outermost first, with the depth of their folders.
#[derive(Default)]
struct Packages(Vec<(usize, Arc<Path>)>);

impl Packages {
    fn item(&mut self, entry: &DirEntry) -> Option<Item> {
        // The walk is depth first: whatever is not above this entry has been left.
        while self.0.last().is_some_and(|(depth, _)| *depth >= entry.depth()) {
            self.0.pop();
        }
        if entry.file_type().is_dir() {
            if entry.path().join("Cargo.toml").is_file() {
                self.0.push((entry.depth(), entry.path().into()));
            }
            return None;
        }
        let kind = Kind::of(&entry.file_name().to_string_lossy()).filter(|_| entry.file_type().is_file())?;
        let kind = match kind {
            Kind::Rust => is_documented(entry.path()).map(|has| has.then_some(kind)).transpose()?,
            _ => Ok(kind),
        };
        let package = self.0.last().map(|(_, folder)| folder.clone());
        Some(Item { path: entry.path().to_owned(), package, kind })
    }
}

fn is_documented(path: &Path) -> Result<bool, String> {
    let mut head = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(RUST_HEAD).read_to_end(&mut head).map_err(|error| error.to_string())?;
    Ok(rustdoc::is_documented(&String::from_utf8_lossy(&head)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::kind::Kind;
    use super::discover;

    #[test]
    fn finds_packages_and_documents_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("b/Cargo.toml", "");
        write("b/src/lib.rs", "//! docs\n");
        write("b/src/plain.rs", "fn main() {}\n");
        write("b/inner/Cargo.toml", "");
        write("b/zed.md", "");
        write("a.md", "");
        write("target/CACHEDIR.TAG", "");
        write("target/x.md", "");
        write(".git/x.md", "");
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path(), folder.path().join("b/loop")).unwrap();

        let items = discover(folder.path(), None);
        let found: Vec<_> = items
            .iter()
            .map(|item| {
                let relative = |path: &Path| path.strip_prefix(folder.path()).unwrap().display().to_string();
                (relative(&item.path), item.package.as_deref().map(relative), item.kind.clone().unwrap())
            })
            .collect();
        let expect =
            |path: &str, package: Option<&str>, kind| (path.to_owned(), package.map(Into::into), kind);
        assert_eq!(
            found,
            [
                expect("a.md", None, Kind::Markdown),
                expect("b/Cargo.toml", Some("b"), Kind::Manifest),
                expect("b/inner/Cargo.toml", Some("b/inner"), Kind::Manifest),
                expect("b/src/lib.rs", Some("b"), Kind::Rust),
                expect("b/zed.md", Some("b"), Kind::Markdown),
            ]
        );
        assert_eq!(discover(folder.path(), Some(2)), items[..2]);
    }

    #[test]
    fn a_folder_that_is_gone_is_an_item_that_fails() {
        let items = discover(Path::new("/no/such/folder"), None);
        assert_eq!(items.len(), 1);
        assert!(items[0].kind.is_err());
    }
}
