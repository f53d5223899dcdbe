//! A folder of its own for a test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A new, empty folder, removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Relaxed: only the number itself must be unique, it publishes nothing.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let unique = format!("tierpool-scraper-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir(&path).expect("a folder for the test can be made");
        Folder(path.canonicalize().expect("the folder was just made"))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder left behind is no reason to fail a test that passed.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
