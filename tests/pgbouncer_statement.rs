//! A PgBouncer in statement mode, which takes no transactions: it is told as what it is, with what to set.
#![cfg(feature = "postgres")]

mod support;

use support::bouncer::Bouncer;
use support::cluster::cluster;
use support::wait::LONG_BOUND;
use tierpool::postgres::{SessionOptions, run_session};
use tierpool::{PgError, PgPool, Tier};

const TELLS: [&str; 3] = ["PgBouncer in statement mode", "pool_mode = transaction", "refuses transactions"];

fn tells(error: &PgError) {
    for text in [error.to_string(), format!("{error:#}")] {
        for part in TELLS {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
    }
    assert!(!error.is_retryable() && !error.is_outcome_unknown(), "{error:#}");
}

#[test]
fn a_session_and_a_begin_of_ones_own_say_what_is_in_between_and_what_to_set() {
    let cluster = cluster();
    let bouncer = Bouncer::over(&cluster, "statement").start();
    for said in ["", "?pgbouncer=transaction"] {
        let url = format!("{}{said}", bouncer.url());
        let builder = PgPool::builder().url(url).base_size(1).max_overflow(0).connection_timeout(LONG_BOUND);
        let pool = builder.build().unwrap_or_else(|error| panic!("{said}: {error:#}"));
        let error = pool.session(|tx| tx.execute("SELECT $1::int4", &[&1])).unwrap_err();
        tells(&error);
        let mut conn = pool.get(Tier::Automation).unwrap();
        conn.batch_execute("SELECT 1").unwrap();
        assert_eq!(conn.query_typed("SELECT 1", &[]).unwrap().len(), 1);
        tells(
            &run_session(&mut conn, &SessionOptions::new(), |tx| tx.batch_execute("SELECT 1")).unwrap_err(),
        );
    }
}
