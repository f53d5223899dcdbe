//! What a program says, and its Ctrl-C.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGINT;
use signal_hook::flag;

use super::server::Server;

/// Writes to standard output; a reader that has gone away, as `head` does, is no fault of the run.
pub fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes one line to standard error, which may be closed too.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The first Ctrl-C ends the run after the items under way, a second one at once. With a server of one's own its
/// clean-up ends the program instead: what has been written goes with it.
pub fn stop_on_interrupt(server: &Server) -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    if !server.is_own() {
        // In this order: the flag is still down when the first signal reaches the shutdown.
        flag::register_conditional_shutdown(SIGINT, 128 + SIGINT, stop.clone())?;
        flag::register(SIGINT, stop.clone())?;
    }
    Ok(stop)
}
