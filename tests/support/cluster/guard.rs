//! A small process that outlives this one and clears a server away when this one ended without doing so.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Its input ends when this process does, however it does. Of a folder that is gone by then nothing is left to do.
///
/// The server is told by the file in which it notes its id, and by its working folder from a process that has that id
/// by now.
const SCRIPT: &str = r#"
read -r _
[ -d "$1" ] || exit 0
works_in=$3
pid=$(head -n 1 "$2" 2>/dev/null)
runs() { [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$works_in" ]; }
if runs; then
    kill -CONT "$pid" $(cat "/proc/$pid/task/$pid/children")
    kill -QUIT "$pid"
    tries=100
    while runs && [ "$tries" -gt 0 ]; do
        sleep 0.1
        tries=$((tries - 1))
    done
    runs && kill -KILL "$pid"
fi
rm -rf "$1"
"#;

/// The process, ended on drop. Dropped after the folder it watches over.
pub(super) struct Guard(Child);

impl Guard {
    pub(super) fn new(folder: &Path, pid_file: &Path, works_in: &Path) -> io::Result<Guard> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(SCRIPT).arg("tierpool-test-guard").arg(folder);
        command.arg(pid_file).arg(works_in);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own, or Ctrl-C at a terminal would end it together with this process.
        command.process_group(0).current_dir("/").spawn().map(Guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Closes its input, upon which it finds no folder and ends.
        let _ = self.0.wait();
    }
}
