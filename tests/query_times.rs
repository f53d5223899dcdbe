//! What is counted of the statements that pass: those that the server cancelled.
#![cfg(feature = "postgres")]

mod support;

use support::cluster::cluster;
use support::pools::pool_of;
use support::wait::MS;
use tierpool::Tier;

#[test]
fn statements_that_the_server_cancelled_are_counted() {
    let cluster = cluster();
    let pool = pool_of(1, "timeouts", cluster.url(), |builder| builder.statement_timeout(50 * MS));
    let counted = || pool.automation().stats().statement_timeouts;
    let mut conn = pool.get(Tier::Automation).unwrap();
    conn.batch_execute("SELECT 1").unwrap();
    assert!(conn.batch_execute("SELECT 1 / 0").is_err());
    assert_eq!(counted(), 0);
    for times in 1..=2 {
        assert!(conn.execute("SELECT pg_sleep(10)", &[]).is_err());
        assert_eq!(counted(), times);
    }
    assert_eq!(pool.adhoc().stats().statement_timeouts, 0);
}
