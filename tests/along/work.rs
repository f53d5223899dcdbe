//! One session of two rows.

use std::any::Any;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use postgres::types::Type;
use tierpool::postgres::{Ending, Last, Session};
use tierpool::{PgError, PgPool, Tier};

use crate::ledger::Told;
use crate::plan::{End, Mode, Plan, Write};

/// The tables of the two rows.
const SIDES: [&str; 2] = ["one", "two"];

/// A panic's payload that says it is this test's.
struct Meant;

/// What became of it, and the error by which that was told.
pub fn session(pool: &PgPool, key: i64, plan: &Plan) -> (Told, String) {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        pool.session_ending_with(Tier::Automation, &plan.options, |tx| work(tx, key, plan))
    }));
    match outcome {
        Ok(Ok(())) => (Told::Committed, String::new()),
        Ok(Err(error)) => (after_error(&error), format!("{error:#}")),
        Err(panic) => (after(panic), "a panic".to_owned()),
    }
}

fn after_error(error: &PgError) -> Told {
    match error.is_outcome_unknown() {
        true => Told::Unknown,
        false => Told::Failed { refused: error.sqlstate() == Some("42601") },
    }
}

fn after(panic: Box<dyn Any + Send>) -> Told {
    if panic.is::<Meant>() { Told::Failed { refused: false } } else { resume_unwind(panic) }
}

fn work<'e>(tx: &mut Session<'_>, key: i64, plan: &Plan) -> Result<Ending<'e, ()>, PgError> {
    let minded = |outcome: Result<(), PgError>| if plan.ignores_all { Ok(()) } else { outcome };
    match plan.mode {
        Mode::Writes => {}
        Mode::WritesAfterAll => minded(tx.execute("SET TRANSACTION READ WRITE", &[]).map(drop))?,
        Mode::Reads => {
            // What is read is the answer to this, and not to another request.
            let read = tx.query_one_cached("SELECT $1::bigint", &[&key]).map(|row| row.get(0));
            assert!(
                read.as_ref().is_ok_and(|read: &i64| *read == key) || read.is_err(),
                "{read:?} for {key}"
            );
            minded(read.map(drop))?;
            return Ok(Ending::Commit(()));
        }
    }
    // What fails within a savepoint undoes one row alone, and the other is committed by right.
    let row = |tx: &mut Session<'_>, side: usize| match write(tx, plan.rows[side], SIDES[side], key) {
        outcome if matches!(plan.rows[side], Write::Savepoint) => outcome,
        outcome => minded(outcome),
    };
    row(tx, 0)?;
    if matches!(plan.end, End::IgnoreOne | End::IgnoreThenLast) {
        let _ = tx.execute("SELECT 1 / 0", &[]);
    }
    let insert = "INSERT INTO two (key) VALUES ($1)";
    Ok(match plan.end {
        End::Last | End::IgnoreThenLast => Last::execute(insert).with(key).map(drop).into(),
        End::LastRows => Last::query(format!("{insert} RETURNING key")).with(key).map(drop).into(),
        End::Commit | End::IgnoreOne => {
            row(tx, 1)?;
            Ending::Commit(())
        }
        End::Fail => {
            row(tx, 1)?;
            return Err(std::io::Error::other("as planned").into());
        }
        End::Panic => {
            row(tx, 1)?;
            // Without the hook, which would print each.
            resume_unwind(Box::new(Meant))
        }
    })
}

fn write(tx: &mut Session<'_>, how: Write, side: &str, key: i64) -> Result<(), PgError> {
    let insert = format!("INSERT INTO {side} (key) VALUES ($1)");
    let returning = format!("{insert} RETURNING key");
    let text = format!("INSERT INTO {side} (key) VALUES ({key})");
    match how {
        Write::Execute => tx.execute(&insert, &[&key]).map(drop),
        Write::Cached => tx.execute_cached(&insert, &[&key]).map(drop),
        Write::Prepared => {
            let statement = tx.prepare(&insert)?;
            tx.execute(&statement, &[&key]).map(drop)
        }
        Write::Typed => tx.execute_typed(&insert, &[(&key, Type::INT8)]).map(drop),
        Write::Batch => tx.batch_execute(&text),
        Write::Copy => {
            let mut rows = tx.copy_in(&format!("COPY {side} (key) FROM STDIN"))?;
            writeln!(rows, "{key}")?;
            rows.finish().map(drop).map_err(Into::into)
        }
        Write::Query => tx.query(&returning, &[&key]).map(drop),
        Write::Simple => tx.simple_query(&text).map(drop),
        Write::Unread => tx.query_raw(&returning, [&key]).map(drop),
        Write::Bare => tx.client()?.execute(&insert, &[&key]).map(drop).map_err(Into::into),
        Write::Savepoint => tx.savepoint(|tx| tx.execute(&insert, &[&key]).map(drop)),
    }
}
