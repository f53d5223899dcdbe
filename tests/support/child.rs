//! Programs that are run as a child: the test's own binary, in which a test of that name becomes the program.

use std::process::{Child, Command};

/// A process that does not outlive its test.
pub struct Program(pub Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What runs the test `name` in a process of its own, and no other; a variable tells it that it is to be the program.
/// The settings of whoever runs the tests are none of the program's.
pub fn as_child(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["PG", "DB_", "DATABASE_", "POSTGRES_", "SUPABASE_", "USE_"].iter().any(|s| name.starts_with(s)) {
            command.env_remove(&*name);
        }
    }
    command
}
