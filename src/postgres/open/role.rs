//! Which kind of server a new connection leads to, and whether it will do.

use postgres::SimpleQueryRow;

use crate::config::TargetSessionAttrs;
use crate::postgres::error::{OpeningError, PgError};
use crate::postgres::observer::ServerRole;

/// How well a server suits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Wanted,
    /// It will do where nothing better is found.
    SecondBest,
}

/// Both in one row, by a text that needs no prepared statement.
const ASK: &str =
    "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')";

/// What to ask the server, unless any will do.
///
/// Newer servers report both by themselves, which libpq believes. A pooler in between repeats what it heard when it
/// last connected, so here the server itself is asked, along with whatever else each connection opened is asked.
pub(super) fn question(wanted: TargetSessionAttrs) -> Option<&'static str> {
    (wanted != TargetSessionAttrs::Any).then_some(ASK)
}

/// Whether the server suits, by its answer.
pub(super) fn fit(answer: Option<&SimpleQueryRow>, wanted: TargetSessionAttrs) -> Result<Fit, PgError> {
    let is = |column: usize, yes: &str| answer.is_some_and(|row| row.get(column) == Some(yes));
    suit(ServerRole { is_standby: is(0, "t"), is_read_only: is(1, "on") }, wanted)
}

/// Whether a server of this role suits; also asked when it has said that it changed, by a failover or its settings.
pub(super) fn suit(role: ServerRole, wanted: TargetSessionAttrs) -> Result<Fit, PgError> {
    judge(role, wanted).map_err(|found| PgError::opening(OpeningError::Unsuitable { found, wanted }))
}

/// An error says what was found instead.
fn judge(role: ServerRole, wanted: TargetSessionAttrs) -> Result<Fit, &'static str> {
    let ServerRole { is_standby: standby, is_read_only: read_only } = role;
    let fits = match wanted {
        TargetSessionAttrs::Any => true,
        TargetSessionAttrs::ReadWrite => !read_only,
        TargetSessionAttrs::ReadOnly => read_only,
        TargetSessionAttrs::Primary => !standby,
        TargetSessionAttrs::Standby => standby,
        TargetSessionAttrs::PreferStandby if standby => true,
        TargetSessionAttrs::PreferStandby => return Ok(Fit::SecondBest),
    };
    match (fits, standby, read_only) {
        (true, ..) => Ok(Fit::Wanted),
        (false, true, _) => Err("the server is a standby"),
        (false, false, true) => Err("the server is a primary, with default_transaction_read_only on"),
        (false, false, false) => Err("the server is a primary that takes writes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_server_suits_those_that_ask_for_it() {
        let suits = |is_standby, is_read_only| {
            let role = ServerRole { is_standby, is_read_only };
            TargetSessionAttrs::ALL.map(|wanted| match judge(role, wanted) {
                Ok(Fit::Wanted) => 'y',
                Ok(Fit::SecondBest) => '2',
                Err(_) => 'n',
            })
        };
        // any, read-write, read-only, primary, standby, prefer-standby
        assert_eq!(suits(false, false), ['y', 'y', 'n', 'y', 'n', '2']);
        assert_eq!(suits(false, true), ['y', 'n', 'y', 'y', 'n', '2']);
        assert_eq!(suits(true, true), ['y', 'n', 'y', 'n', 'y', 'y']);
    }
}
