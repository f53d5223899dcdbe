//! tierpool under test: its automation tier, as a program would use it.

use std::error::Error as _;
use std::time::Duration;

use tierpool::postgres::{PgConnection, SessionOptions, SocketTimeout, run_session};
use tierpool::{PgError, PgPool, Tier};

use super::subject::{
    CONNECT_TIMEOUT, DEADLINE, Failure, Outcome, SOCKET_TIMEOUT, Sample, Step, Subject, VALIDATION_TIMEOUT,
};

pub struct Tierpool(PgPool);

impl Tierpool {
    pub fn build(url: &str, name: &str, size: u32) -> Self {
        let pool = PgPool::builder()
            .url(url)
            .app_name(name)
            .base_size(size)
            // As many as there are workers are kept open, which r2d2 does by default.
            .min_size(size)
            .max_overflow(0)
            .reserved(1)
            .total_connections(size + 1)
            .connection_timeout(DEADLINE)
            .connect_timeout(CONNECT_TIMEOUT)
            .socket_timeout(SocketTimeout::After(SOCKET_TIMEOUT))
            .automation(|tier| tier.validation_timeout(VALIDATION_TIMEOUT))
            .adhoc(|tier| tier.validation_timeout(VALIDATION_TIMEOUT))
            .build();
        Tierpool(pool.unwrap_or_else(|error| panic!("{error:#}")))
    }
}

impl Subject for Tierpool {
    fn work(&self, number: i64, step: &dyn Fn(Step)) -> Outcome {
        step(Step::Get);
        let mut conn = match self.0.get(Tier::Automation) {
            Ok(conn) => conn,
            Err(error) => return Outcome::NotGot(checkout_failure(&error)),
        };
        step(Step::Query);
        let outcome = if number % 2 == 0 { statement(&mut conn, number) } else { session(&mut conn, number) };
        step(Step::Drop);
        drop(conn);
        outcome
    }

    fn sample(&self) -> Sample {
        let mut sum = Sample::default();
        for tier in [Tier::Automation, Tier::Adhoc] {
            let stats = self.0.tier(tier).stats();
            let failed = stats.open_failures;
            let failed = failed.transient + failed.exhausted + failed.permanent;
            // The idle connection of the other tier may be dead unseen: nobody has asked for it.
            sum.size += if tier == Tier::Automation { stats.gauges.size() } else { 0 };
            sum.zombies += stats.gauges.zombies;
            sum.failed_attempts += failed;
            sum.attempts += failed + stats.opened;
            sum.evicted += stats.closed.count(tierpool::stats::CloseCause::Evicted);
        }
        sum
    }

    fn close(&self, limit: Duration) -> bool {
        self.0.close(limit);
        true
    }
}

/// By itself a statement commits when it ends: when the connection goes meanwhile, nobody knows whether it did.
fn statement(conn: &mut PgConnection, number: i64) -> Outcome {
    match conn.batch_execute(&super::ledger::insert(number)).map_err(PgError::from) {
        Ok(()) => Outcome::Done,
        Err(error) if error.is_connection_lost() => Outcome::Unknown(failure(&error)),
        Err(error) => Outcome::Failed(failure(&error)),
    }
}

/// In a session the pool itself says when that is not known.
fn session(conn: &mut PgConnection, number: i64) -> Outcome {
    let insert = super::ledger::insert(number);
    match run_session(conn, &SessionOptions::new(), |tx| tx.batch_execute(&insert)) {
        Ok(()) => Outcome::Done,
        Err(error) if error.is_outcome_unknown() => Outcome::Unknown(failure(&error)),
        Err(error) => Outcome::Failed(failure(&error)),
    }
}

fn failure(error: &PgError) -> Failure {
    let code = error.sqlstate().map(str::to_owned);
    Failure { text: error.to_string(), code, names_cause: false }
}

fn checkout_failure(error: &tierpool::Error) -> Failure {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<tierpool::OpenFailure>());
    Failure {
        text: error.to_string(),
        code: cause.and_then(|cause| cause.code()).map(str::to_owned),
        names_cause: cause.is_some(),
    }
}
