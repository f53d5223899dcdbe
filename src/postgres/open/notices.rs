//! What the server says beside its answers.

use log::Level;
use postgres::error::{DbError, Severity};

use crate::lines::say;
use crate::text::harmless;

/// Writes a notice or a warning of the server's into the log, target `tierpool::notice`: `DEBUG` at debug, all else at
/// info. Control characters, line breaks and bidirectional marks in it are escaped, and it is cut after 1 KiB.
///
/// So does a [`PgPool`](crate::PgPool) with all of them. A `Config` of the program's own has the driver's callback
/// unless it is given another, and that logs them as they are: whoever writes `RAISE NOTICE` can forge a line of the
/// log with a line break.
///
/// ```
/// use tierpool::postgres::{PgManager, PgOptions, log_notice};
/// use tierpool::postgres_crate::Config;
///
/// let mut config: Config = "host=db.example user=app".parse().unwrap();
/// config.notice_callback(log_notice);
/// let manager = PgManager::new(config, PgOptions::default()).unwrap();
/// # drop(manager);
/// ```
pub fn log_notice(notice: DbError) {
    let is_for_developers = notice.parsed_severity() == Some(Severity::Debug);
    let level = if is_for_developers { Level::Debug } else { Level::Info };
    say!(
        level,
        "tierpool::notice",
        [severity = harmless(notice.severity()), code = notice.code().code()],
        "{}: {}",
        harmless(notice.severity()),
        harmless(notice.message())
    );
}
