//! What the server's tables show, ten times a second.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use postgres::{Client, NoTls};

use super::{AUTOMATION, BATCH, PERSON, PROGRAMS};
use crate::support::cluster::Cluster;
use crate::support::wait::MS;

const EVERY: Duration = Duration::from_millis(100);

/// Sessions of both roles: which program's they are, and whether they hold a slot.
fn question() -> String {
    format!(
        "SELECT pid, usename = '{PERSON}', substring(application_name FROM '^forty-([0-9]+)')::int4, pid IN (
             SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted
                 AND classid::int8 >= 2147483648 AND classid::int8 % 256 = 0)
         FROM pg_stat_activity WHERE usename IN ('{BATCH}', '{PERSON}')"
    )
}

/// A superuser's session.
pub fn superuser(cluster: &Cluster) -> Result<Client, postgres::Error> {
    let mut client = cluster.superuser_url().parse::<postgres::Config>().expect("a URL").connect(NoTls)?;
    client.batch_execute("SELECT 1")?;
    Ok(client)
}

/// What was there at a time.
#[derive(Clone, Debug)]
pub struct Sample {
    pub at: Instant,
    /// Sessions of the programs, and of the person.
    pub automation: usize,
    pub person: usize,
    /// Slots of each program.
    pub slots: [usize; PROGRAMS],
}

impl Sample {
    pub fn all_slots(&self) -> usize {
        self.slots.iter().sum()
    }
}

#[derive(Default)]
pub struct Samples(Mutex<Vec<Sample>>);

impl Samples {
    /// Samples until all is over.
    pub fn take(&self, cluster: &Cluster, is_over: &AtomicBool) {
        let mut session = None;
        while !is_over.load(Relaxed) {
            let began = Instant::now();
            let client = match session.take() {
                Some(client) => Ok(client),
                None => superuser(cluster),
            };
            // It fails while the server is started anew.
            session = client.ok().and_then(|mut client| {
                self.0.lock().push(sample(&mut client).ok()?);
                Some(client)
            });
            thread::sleep(EVERY.saturating_sub(began.elapsed()).max(MS));
        }
    }

    pub fn all(&self) -> Vec<Sample> {
        self.0.lock().clone()
    }

    pub fn last(&self) -> Option<Sample> {
        self.0.lock().last().cloned()
    }

    /// The last one, if it is of after this time.
    pub fn last_after(&self, at: Instant) -> Option<Sample> {
        self.last().filter(|sample| sample.at > at)
    }
}

fn sample(client: &mut Client) -> Result<Sample, postgres::Error> {
    let at = Instant::now();
    let mut rows = client.query(&question(), &[])?;
    // The table is read row by row: one that ended meanwhile and one that began may both be in it. Who is in two of
    // them was there in between.
    if rows.len() > AUTOMATION {
        let again = client.query(&question(), &[])?;
        let pids: Vec<i32> = again.iter().map(|row| row.get(0)).collect();
        rows.retain(|row| pids.contains(&row.get(0)));
    }
    let mut sample = Sample { at, automation: 0, person: 0, slots: [0; PROGRAMS] };
    for row in rows {
        if row.get(1) {
            sample.person += 1;
            continue;
        }
        sample.automation += 1;
        if let (Some(program), true) = (row.get::<_, Option<i32>>(2), row.get::<_, bool>(3)) {
            sample.slots[program as usize] += 1;
        }
    }
    Ok(sample)
}
