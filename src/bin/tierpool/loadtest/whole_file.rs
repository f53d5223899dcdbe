//! A file that is there as a whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::outcome::Failure;

/// Where it is to be, and where it is until it is whole.
pub struct WholeFile {
    path: PathBuf,
    beside: PathBuf,
}

/// The file beside, until it is renamed.
struct Beside<'a>(&'a Path);

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        // After its renaming there is none of this name.
        let _ = fs::remove_file(self.0);
    }
}

impl WholeFile {
    /// Finds out whether it can be written, and leaves nothing behind.
    pub fn at(path: &Path) -> Result<Self, Failure> {
        let refused = |why: &dyn std::fmt::Display| Err(cannot(path, why));
        let Some(name) = path.file_name() else { return refused(&"it is no name of a file") };
        if path.is_dir() {
            return refused(&"it is a folder");
        }
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}", std::process::id()));
        let this = WholeFile { path: path.to_owned(), beside: path.with_file_name(hidden) };
        match this.begin().map(drop) {
            Ok(()) => Ok(this),
            Err(error) => refused(&error),
        }
    }

    fn begin(&self) -> io::Result<(Beside<'_>, fs::File)> {
        let file = OpenOptions::new().write(true).create_new(true).open(&self.beside)?;
        Ok((Beside(&self.beside), file))
    }

    /// Writes the text beside, and puts it into its place.
    pub fn write(&self, text: &str) -> Result<(), Failure> {
        let written = self.begin().and_then(|(beside, mut file)| {
            file.write_all(text.as_bytes())?;
            drop(file);
            fs::rename(beside.0, &self.path)
        });
        written.map_err(|error| cannot(&self.path, &error))
    }
}

fn cannot(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::new(format_args!("{} cannot be written: {why}", path.to_string_lossy().escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let files = fs::read_dir(folder).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn it_takes_the_place_of_another_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.html");
        let file = WholeFile::at(&path).unwrap();
        assert_eq!(names(folder.path()), Vec::<String>::new());
        fs::write(&path, "older and longer").unwrap();
        file.write("newer").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap(), names(folder.path()).len()), ("newer".to_owned(), 1));
    }

    #[test]
    fn what_cannot_be_written_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for (path, why) in [
            (folder.path().to_owned(), "it is a folder"),
            (folder.path().join("none/page.html"), "cannot be written: "),
            (PathBuf::from("/"), "it is no name of a file"),
        ] {
            let told = WholeFile::at(&path).err().unwrap().to_string();
            assert!(told.contains(why), "{told}");
        }
        let gone = WholeFile::at(&folder.path().join("page.html")).unwrap();
        drop(folder);
        assert!(gone.write("text").is_err());
    }
}
