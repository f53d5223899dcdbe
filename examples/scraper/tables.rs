//! Making the tables of an example.

use postgres::{Client, Error};

/// Runs `tables`, which makes what is missing, while whoever has the same `lock` takes turns.
///
/// # Errors
/// The server's own, such as a role without the right to create.
pub fn make(client: &mut Client, lock: i64, tables: &str) -> Result<(), Error> {
    let mut transaction = client.transaction()?;
    // IF NOT EXISTS alone still fails when two programs create the same table at once.
    transaction.batch_execute(&format!("SELECT pg_advisory_xact_lock({lock})"))?;
    // Notices that a table is there already would be noise in every second run.
    transaction.batch_execute("SET LOCAL client_min_messages = warning")?;
    transaction.batch_execute(tables)?;
    transaction.commit()
}
