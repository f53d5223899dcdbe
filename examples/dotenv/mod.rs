//! Reads `.env` into the environment: what a program does that wants it, since the library does not.

use dotenvy::Error;

/// Takes variables from `.env` of the present folder, else of one above it. What is set already stays as it is, and
/// without such a file nothing happens. To be called before there are other threads.
///
/// # Errors
///
/// A file that cannot be read, or has a line that is not `NAME=value`. The line is not told: it may be a password.
pub fn read() -> Result<(), String> {
    match dotenvy::dotenv() {
        Ok(_) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        Err(Error::LineParse(..)) => {
            Err("a line of .env is not NAME=value; a value with blanks, $ or # needs ' \
                                          around it"
                .to_owned())
        }
        Err(error) => Err(format!(".env cannot be read: {error}")),
    }
}
