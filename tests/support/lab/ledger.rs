//! The table into which work is written, and what the workers were told of it.

use std::collections::HashMap;

use postgres::{Client, NoTls};

use super::record::Record;
use super::subject::Outcome;
use crate::support::cluster::Cluster;

/// The statement that does a piece of work.
pub fn insert(number: i64) -> String {
    format!("INSERT INTO work VALUES ({number})")
}

/// What of the workers' accounts the table does not bear out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discrepancies {
    /// Acknowledged, and not in the table.
    pub lost: u64,
    /// In the table more than once.
    pub doubled: u64,
    /// Reported as failed, and in the table.
    pub undead: u64,
}

/// Makes the table. It has no key, so that work done twice shows.
pub fn create(cluster: &Cluster) {
    let mut app = Client::connect(&cluster.url_unix(), NoTls).expect("app comes in over the socket");
    app.batch_execute("CREATE TABLE work (number bigint NOT NULL)").expect("app makes a table");
}

/// Compares the table with the records of the workers.
pub fn audit(cluster: &Cluster, records: &[Record]) -> Discrepancies {
    let mut admin = Client::connect(&cluster.superuser_url(), NoTls).expect("the superuser comes in");
    let rows = admin.query("SELECT number, count(*) FROM work GROUP BY number", &[]);
    let rows = rows.expect("the table can be read");
    let table: HashMap<i64, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut found = Discrepancies::default();
    for record in records {
        let count = table.get(&record.number).copied().unwrap_or(0);
        found.doubled += u64::from(count > 1);
        match record.outcome {
            Outcome::Done => found.lost += u64::from(count == 0),
            Outcome::NotGot(_) | Outcome::Failed(_) => found.undead += u64::from(count > 0),
            Outcome::Unknown(_) => {}
        }
    }
    found
}
