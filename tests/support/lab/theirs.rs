//! r2d2 with r2d2_postgres under test, with its defaults but for the size and the deadline.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use postgres::{Client, Config, NoTls};
use r2d2::ManageConnection;
use r2d2_postgres::PostgresConnectionManager;

use super::ledger::insert;
use super::subject::{CONNECT_TIMEOUT, DEADLINE, Failure, Outcome, Sample, Step, Subject};

pub struct R2d2 {
    pool: r2d2::Pool<Counting>,
    attempts: Arc<Attempts>,
}

/// Relaxed, both: counts for a report.
#[derive(Default)]
struct Attempts {
    made: AtomicU64,
    failed: AtomicU64,
}

/// The manager of r2d2_postgres, its attempts to connect counted.
struct Counting {
    manager: PostgresConnectionManager<NoTls>,
    attempts: Arc<Attempts>,
}

impl ManageConnection for Counting {
    type Connection = Client;
    type Error = postgres::Error;

    fn connect(&self) -> Result<Client, postgres::Error> {
        self.attempts.made.fetch_add(1, Ordering::Relaxed);
        self.manager.connect().inspect_err(|_| {
            self.attempts.failed.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn is_valid(&self, client: &mut Client) -> Result<(), postgres::Error> {
        self.manager.is_valid(client)
    }

    fn has_broken(&self, client: &mut Client) -> bool {
        self.manager.has_broken(client)
    }
}

impl R2d2 {
    pub fn build(url: &str, name: &str, size: u32) -> Self {
        let mut config: Config = url.parse().expect("a cluster's URL can be read");
        config.connect_timeout(CONNECT_TIMEOUT).application_name(&format!("{name}/automation"));
        let attempts = Arc::new(Attempts::default());
        let manager = Counting {
            manager: PostgresConnectionManager::new(config, NoTls),
            attempts: Arc::clone(&attempts),
        };
        let pool = r2d2::Pool::builder().max_size(size).connection_timeout(DEADLINE).build(manager);
        R2d2 { pool: pool.unwrap_or_else(|error| panic!("{error}")), attempts }
    }
}

impl Subject for R2d2 {
    fn work(&self, number: i64, step: &dyn Fn(Step)) -> Outcome {
        step(Step::Get);
        let mut client = match self.pool.get() {
            Ok(client) => client,
            Err(error) => {
                let text = error.to_string();
                // Its error has no source; the reason, where it names one, stands behind the colon.
                let names_cause = text.contains(':');
                return Outcome::NotGot(Failure { text, code: None, names_cause });
            }
        };
        step(Step::Query);
        let outcome =
            if number % 2 == 0 { statement(&mut client, number) } else { transaction(&mut client, number) };
        step(Step::Drop);
        drop(client);
        outcome
    }

    fn sample(&self) -> Sample {
        Sample {
            size: self.pool.state().connections,
            attempts: self.attempts.made.load(Ordering::Relaxed),
            failed_attempts: self.attempts.failed.load(Ordering::Relaxed),
            ..Sample::default()
        }
    }

    fn close(&self, _: Duration) -> bool {
        false
    }
}

fn statement(client: &mut Client, number: i64) -> Outcome {
    match client.batch_execute(&insert(number)) {
        Ok(()) => Outcome::Done,
        Err(error) if client.is_closed() => Outcome::Unknown(failure(&error)),
        Err(error) => Outcome::Failed(failure(&error)),
    }
}

fn transaction(client: &mut Client, number: i64) -> Outcome {
    let written = client.transaction().and_then(|mut tx| tx.batch_execute(&insert(number)).map(|()| tx));
    match written.map(|tx| tx.commit()) {
        Ok(Ok(())) => Outcome::Done,
        Ok(Err(error)) => Outcome::Unknown(failure(&error)),
        Err(error) => Outcome::Failed(failure(&error)),
    }
}

fn failure(error: &postgres::Error) -> Failure {
    let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
    let code = error.code().map(|code| code.code().to_owned());
    Failure { text: format!("{error}{cause}"), code, names_cause: false }
}
