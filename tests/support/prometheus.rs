//! Prometheus and its `promtool`, as Debian's package has them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where `bash .ci/run` unpacks the package, in a checkout's own build folder.
const UNPACKED: &str = "target/prometheus/usr/bin";

/// Finds a program of the package: in the folder that `PROMETHEUS_BIN` names, else where CI has unpacked it, else where
/// it is installed.
///
/// # Panics
///
/// When it is in none of them, with what to install.
pub fn program(name: &str) -> PathBuf {
    let named = std::env::var_os("PROMETHEUS_BIN").map(PathBuf::from);
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join(UNPACKED);
    let mut places = named.into_iter().chain([unpacked, PathBuf::from("/usr/bin")]);
    places.find_map(|folder| Some(folder.join(name)).filter(|path| path.is_file())).unwrap_or_else(|| {
        panic!(
            "no {name} here: `apt-get install prometheus`, or set PROMETHEUS_BIN to the folder that has it"
        )
    })
}

/// Runs `promtool` with some input.
pub fn promtool(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(program("promtool"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool can be started");
    // Small enough for the pipe, or read along: promtool says nothing before it has all.
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("promtool reads its input");
    child.wait_with_output().expect("promtool ends")
}

/// Asserts that `promtool check metrics` finds nothing in a text, neither against the format nor against the customs.
///
/// # Panics
///
/// With what it finds.
#[track_caller]
pub fn assert_valid(text: &str) {
    assert_eq!(complaints(text), "", "of\n{text}");
}

/// What `promtool check metrics` says of a text.
pub fn complaints(text: &str) -> String {
    let Output { status, stdout, stderr } = promtool(&["check", "metrics"], text);
    let told = [stdout, stderr].map(|told| String::from_utf8_lossy(&told).into_owned()).concat();
    assert_eq!(status.success(), told.is_empty(), "{status}: {told}");
    told
}
