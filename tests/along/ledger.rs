//! What each session was told, and what the tables say.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::plan::{Mode, Plan};
use crate::support::cluster::Cluster;

/// Without keys, so that a row written twice shows; with the transaction that wrote it, of which a savepoint is a part.
pub const TABLES: &str =
    "CREATE TABLE one (key bigint NOT NULL, by xid8 NOT NULL DEFAULT pg_current_xact_id());
    CREATE TABLE two (key bigint NOT NULL, by xid8 NOT NULL DEFAULT pg_current_xact_id())";

/// How many faults are shown.
const SHOWN: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Committed,
    /// `refused`: what it asked for was garbled on the way.
    Failed {
        refused: bool,
    },
    Unknown,
}

const ALL: [Told; 4] =
    [Told::Committed, Told::Failed { refused: false }, Told::Failed { refused: true }, Told::Unknown];

/// The outcome of each session, by its number, and what was said of it.
pub struct Ledger(Vec<AtomicU8>, Mutex<BTreeMap<i64, String>>);

#[derive(Debug, Default)]
pub struct Sums {
    pub committed: i64,
    pub failed: i64,
    pub refused: i64,
    pub unknown: i64,
    /// Of unknown outcome, and there.
    pub there: i64,
}

impl Ledger {
    pub fn new(count: i64) -> Ledger {
        Ledger((0..count).map(|_| AtomicU8::new(u8::MAX)).collect(), Mutex::default())
    }

    pub fn count(&self) -> i64 {
        self.0.len() as i64
    }

    pub fn note(&self, key: i64, (told, said): (Told, String)) {
        let code = ALL.iter().position(|one| *one == told).expect("BUG: all are listed");
        self.0[key as usize].store(code as u8, Relaxed);
        if !said.is_empty() {
            self.1.lock().insert(key, said);
        }
    }

    fn told(&self, key: i64, told: Told) -> String {
        format!("{key}: {told:?} ({:?})", self.1.lock().get(&key))
    }

    /// Holds each session's outcome against the tables.
    ///
    /// # Panics
    ///
    /// Where they do not agree, with the plans of the first that differ.
    pub fn check(&self, cluster: &Cluster, plan: impl Fn(i64) -> Plan) -> Sums {
        let found = found(cluster);
        let mut sums = Sums::default();
        let mut faults = Vec::new();
        for (key, told) in (0..).zip(&self.0) {
            let told = ALL[usize::from(told.load(Relaxed))];
            let is_there = match found.get(&key).map(Vec::as_slice) {
                None => false,
                Some([("one", first), ("two", second)]) if first == second => true,
                Some(rows) => {
                    faults.push(format!("{}, but {rows:?}: {:?}", self.told(key, told), plan(key)));
                    continue;
                }
            };
            let agrees = match told {
                Told::Committed => is_there != (plan(key).mode == Mode::Reads),
                Told::Failed { .. } => !is_there,
                Told::Unknown => true,
            };
            if !agrees {
                faults.push(format!("{}, but there: {is_there}: {:?}", self.told(key, told), plan(key)));
            }
            match told {
                Told::Committed => sums.committed += 1,
                Told::Failed { refused } => {
                    sums.failed += 1;
                    sums.refused += i64::from(refused);
                }
                Told::Unknown => {
                    sums.unknown += 1;
                    sums.there += i64::from(is_there);
                }
            }
        }
        let shown = faults.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n");
        assert!(faults.is_empty(), "{} of {} sessions, such as\n{shown}", faults.len(), self.0.len());
        sums
    }
}

/// The rows of each session: table and transaction.
fn found(cluster: &Cluster) -> BTreeMap<i64, Vec<(&'static str, String)>> {
    let mut client = cluster.client();
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for side in ["one", "two"] {
        for row in client.query(&format!("SELECT key, by::text FROM {side}"), &[]).unwrap() {
            found.entry(row.get(0)).or_default().push((side, row.get(1)));
        }
    }
    found
}
