//! The command `serve`: what all processes of this user tell, over HTTP.

use crate::arguments::ServeOptions;
use crate::environment::Environment;
use crate::outcome::{Code, Failure, end_at_interrupt};

/// Serves until somebody ends it.
#[cfg(unix)]
pub fn run(options: &ServeOptions) -> Result<Code, Failure> {
    use tierpool::http::ServerOptions;

    Environment::read()?;
    end_at_interrupt()?;
    let with_token = |told: ServerOptions, file: &std::path::PathBuf| told.token_file(file);
    let server = options.token_file.iter().fold(ServerOptions::new(), with_token);
    let server = server.serve_processes(&*options.listen);
    let server = server.map_err(|error| Failure::new(format_args!("{error:#}")))?;
    // Whether anybody reads it makes no difference to those who ask.
    crate::output::print(format_args!("serving on http://{}", server.addr()))?;
    loop {
        std::thread::park();
    }
}

/// There is nobody to ask on this system.
#[cfg(not(unix))]
pub fn run(_: &ServeOptions) -> Result<Code, Failure> {
    Err(Failure::new("this system has no admin sockets"))
}
