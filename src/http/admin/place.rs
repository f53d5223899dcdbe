//! Where the socket stands, and whose folder that has to be.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// What Linux has room for in the address of a socket, less its end.
const LONGEST: usize = 107;

/// Files of a folder that are looked at for old sockets.
const LOOKED_AT: usize = 1000;

/// The number of the user who runs this process: without C the one portable way to it is what the other end of a socket
/// is told. To be called within a runtime.
pub(super) fn user() -> io::Result<u32> {
    Ok(tokio::net::UnixStream::pair()?.0.peer_cred()?.uid())
}

/// The file of a socket, which goes with it.
pub(super) struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        // Somebody may have removed it before.
        let _ = fs::remove_file(&self.0);
    }
}

/// Listens at a path of this process's own, for the user of this number.
pub(super) fn listen(app: &str, user: u32) -> io::Result<(UnixListener, File)> {
    listen_in(&folder_of(user), app, std::process::id(), user)
}

fn folder_of(user: u32) -> PathBuf {
    folder(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from), user)
}

/// The sockets in the folder of the user of this number, the first `most` by path, each with the name of its program
/// and the number of its process. Without a folder there are none.
pub(super) fn sockets(user: u32, most: usize) -> io::Result<Vec<(PathBuf, String, u32)>> {
    let folder = folder_of(user);
    let files = match check_own(&folder, user).and_then(|()| fs::read_dir(&folder)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        files => files?,
    };
    let sockets =
        files.take(LOOKED_AT).flatten().filter(|file| file.file_type().is_ok_and(|kind| kind.is_socket()));
    let mut named: Vec<_> = sockets
        .filter_map(|file| {
            let name = file.file_name();
            let (app, process) = taken_apart(name.to_str()?)?;
            Some((file.path(), app.to_owned(), process))
        })
        .collect();
    named.sort();
    named.truncate(most);
    Ok(named)
}

/// The name of a program and the number of its process, out of the name of a file.
fn taken_apart(name: &str) -> Option<(&str, u32)> {
    let (app, process) = name.strip_suffix(".sock")?.rsplit_once('.')?;
    Some((app, process.parse().ok()?))
}

/// `$XDG_RUNTIME_DIR/tierpool`, which counts where it is absolute, there, and this user's; else a folder among the
/// temporary files.
///
/// A folder of another user's is what a shell of root's has inherited: what root made there would keep its user out.
fn folder(runtime: Option<PathBuf>, user: u32) -> PathBuf {
    let is_own =
        |folder: &Path| fs::metadata(folder).is_ok_and(|found| found.is_dir() && found.uid() == user);
    match runtime.filter(|runtime| runtime.is_absolute() && is_own(runtime)) {
        Some(runtime) => runtime.join("tierpool"),
        None => std::env::temp_dir().join(format!("tierpool-{user}")),
    }
}

fn listen_in(folder: &Path, app: &str, process: u32, user: u32) -> io::Result<(UnixListener, File)> {
    make_own(folder, user)?;
    remove_stale(folder);
    let path = folder.join(format!("{}.{process}.sock", file_name(app)));
    if path.as_os_str().len() > LONGEST {
        return Err(fault(&path, format!("is longer than the {LONGEST} bytes of a socket's address")));
    }
    // Of an earlier process with this number, since this one has no other.
    match fs::symlink_metadata(&path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(&path)?,
        Ok(_) => return Err(fault(&path, "is there, and is no socket")),
        Err(_) => {}
    }
    let listener = UnixListener::bind(&path).map_err(|error| fault(&path, error))?;
    let file = File(path);
    // The folder lets nobody else in meanwhile.
    fs::set_permissions(&file.0, Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok((listener, file))
}

impl File {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

/// A name that is one part of a path and nothing else.
fn file_name(app: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    app.chars().map(safe).collect()
}

/// Makes the folder where there is none; one that is there has to be this user's, and his alone.
fn make_own(folder: &Path, user: u32) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(fault(folder, error)),
        _ => check_own(folder, user),
    }
}

/// Whether a folder is this user's, and his alone.
fn check_own(folder: &Path, user: u32) -> io::Result<()> {
    let found = fs::symlink_metadata(folder)?;
    if found.is_symlink() {
        return Err(fault(folder, "is a link; it has to be a folder of this user's own"));
    }
    if !found.is_dir() {
        return Err(fault(folder, "is no folder"));
    }
    if found.uid() != user {
        return Err(fault(folder, format!("belongs to user {}, and not to this one, {user}", found.uid())));
    }
    if found.mode() & 0o077 != 0 {
        return Err(fault(
            folder,
            format!("is open to others (mode {:o}): chmod 700 it", found.mode() & 0o777),
        ));
    }
    Ok(())
}

fn fault(path: &Path, what: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{} {what}", path.display()))
}

/// Removes sockets of processes that are gone and behind which nobody listens.
fn remove_stale(folder: &Path) {
    let Ok(files) = fs::read_dir(folder) else { return };
    for file in files.take(LOOKED_AT).flatten() {
        let name = file.file_name();
        let is_socket = file.file_type().is_ok_and(|kind| kind.is_socket());
        let process = name.to_str().and_then(taken_apart).map(|(_, process)| process);
        if is_socket && process.is_some_and(is_gone) && is_refused(&file.path()) {
            let _ = fs::remove_file(file.path());
        }
    }
}

/// Whether there is no such process; unknown, and so no, where the system has no list of them.
fn is_gone(process: u32) -> bool {
    Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{process}")).exists()
}

fn is_refused(path: &Path) -> bool {
    UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than any process has.
    const NOBODY: u32 = 1 << 30;

    fn own_folder() -> (tempfile::TempDir, PathBuf, u32) {
        let parent = tempfile::tempdir().unwrap();
        let user = fs::metadata(parent.path()).unwrap().uid();
        let folder = parent.path().join("tierpool");
        (parent, folder, user)
    }

    fn refusal(folder: &Path, app: &str, user: u32) -> String {
        listen_in(folder, app, 7, user).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn folder_and_socket_are_the_users_own_and_the_socket_goes() {
        let (_parent, folder, user) = own_folder();
        let (listener, file) = listen_in(&folder, "../my app", 7, user).unwrap();
        let path = folder.join("___my_app.7.sock");
        assert_eq!(file.path(), path);
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        drop((listener, file));
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_of_another_owner_open_to_others_or_behind_a_link_is_refused() {
        let (parent, folder, user) = own_folder();
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o750)).unwrap();
        assert!(refusal(&folder, "app", user).contains("is open to others (mode 750)"));
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        assert!(refusal(&folder, "app", user + 1).contains(&format!("belongs to user {user}")));
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        assert!(refusal(&link, "app", user).contains("is a link"));
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(refusal(&file, "app", user).contains("is no folder"));
    }

    #[test]
    fn a_path_above_107_bytes_is_refused() {
        let (_parent, folder, user) = own_folder();
        assert!(refusal(&folder, &"a".repeat(107), user).contains("is longer than the 107 bytes"));
    }

    #[test]
    fn what_nobody_listens_at_any_more_is_removed_and_nothing_else() {
        let (_parent, folder, user) = own_folder();
        make_own(&folder, user).unwrap();
        let at = |name: String| (folder.join(&name), UnixListener::bind(folder.join(name)).unwrap());
        let (gone, _) = at(format!("a.{NOBODY}.sock"));
        let (heard, _listener) = at(format!("b.{NOBODY}.sock"));
        let (alive, _) = at(format!("c.{}.sock", std::process::id()));
        let (before, _) = at("app.7.sock".to_owned());
        let text = folder.join(format!("d.{NOBODY}.sock"));
        fs::write(&text, "").unwrap();
        let (_new, file) = listen_in(&folder, "app", 7, user).unwrap();
        assert_eq!(file.path(), before, "of an earlier process with this number");
        assert!(UnixStream::connect(&before).is_ok());
        assert_eq!(gone.exists(), !Path::new("/proc/self").exists());
        assert!(heard.exists() && alive.exists() && text.exists());
    }

    #[test]
    fn without_a_folder_of_the_session_that_is_the_users_own_it_is_one_among_the_temporary_files() {
        let (parent, own, user) = own_folder();
        let session = Some(parent.path().to_owned());
        assert_eq!(folder(session.clone(), user), own);
        let other = user + 1;
        assert_eq!(folder(session, other), std::env::temp_dir().join(format!("tierpool-{other}")));
        assert!(!own.exists(), "nothing is made where it is not used");
        let missing = parent.path().join("missing");
        for none in [None, Some("relative".into()), Some("".into()), Some(missing)] {
            assert_eq!(folder(none, user), std::env::temp_dir().join(format!("tierpool-{user}")));
        }
    }
}
