//! A process with an admin socket of its own, and what is asked there.

use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use super::child::as_child;
use super::wait::BOUND;
use super::web::Answer;

/// Says that this process is the child of a test, with a folder of its own for sockets.
const CHILD: &str = "TIERPOOL_TEST_ADMIN";

/// Runs `body`, of the test `name`, in a process of its own and with its folder, since a process has one socket and one
/// `XDG_RUNTIME_DIR`.
pub fn alone(name: &str, body: impl FnOnce(&Path)) {
    if std::env::var_os(CHILD).is_some() {
        return body(Path::new(&std::env::var_os("XDG_RUNTIME_DIR").unwrap()));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = as_child(name);
    // Read by builders of PostgreSQL's pools alone.
    child.env(CHILD, "1").env("XDG_RUNTIME_DIR", folder.path()).env("DB_POOL_ADMIN", "1");
    let status = child.status().unwrap();
    assert!(status.success());
    let left: Vec<_> =
        std::fs::read_dir(folder.path().join("tierpool")).into_iter().flatten().flatten().collect();
    assert!(left.iter().all(|file| !file.file_name().to_string_lossy().ends_with(".sock")), "{left:?}");
}

/// The answer to a request over a socket.
pub fn ask(path: &Path, method: &str, target: &str) -> Answer {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(2 * BOUND)).unwrap();
    stream.write_all(format!("{method} {target} HTTP/1.1\r\nHost: admin\r\n\r\n").as_bytes()).unwrap();
    Answer::read(&mut stream).unwrap()
}

/// A socket of another program in the folder of admin sockets, which does with a client what it likes.
pub fn foreign_socket(folder: &Path, name: &str, act: impl Fn(UnixStream) + Send + 'static) {
    let sockets = folder.join("tierpool");
    DirBuilder::new().recursive(true).mode(0o700).create(&sockets).unwrap();
    let listener = UnixListener::bind(sockets.join(name)).unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(act));
}
