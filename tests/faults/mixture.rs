//! Random faults one after the other; `FAULTS_SECONDS` and `FAULTS_SEED` set how long and which.

use crate::lab::mixture::MIXTURE;
use crate::server::assert_holds;

#[test]
fn faults_at_random_lose_nothing() {
    assert_holds(&MIXTURE);
}
