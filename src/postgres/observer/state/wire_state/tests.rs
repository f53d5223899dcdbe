//! What is known of a connection by what was read.

use super::*;
use crate::postgres::observer::backend::BackendEvent;

#[test]
fn a_cancelled_statement_leaves_the_connection_good() {
    let shared = WireState::new(None);
    let error = |ends_session| BackendEvent::Error { code: *b"57014", ends_session, cached_plan: false };
    shared.note(error(false));
    assert!(!shared.is_broken());
    shared.note(error(true));
    assert!(shared.is_broken());
}
