//! The SQLSTATEs that decide something here, and what each means: one table for all that ask.
//!
//! **When a session is over.** PostgreSQL says how severe an error is: FATAL and PANIC end the session, and an ERROR
//! never does, whatever its code. Class 08 at ERROR is another server's trouble, as `postgres_fdw` and `dblink` pass it
//! on; and a function may raise any code. So the severity decides, in the form that is not translated. Only where that
//! is not told, by servers before 9.6 and by older PgBouncers, does the code have to: those that PostgreSQL documents
//! for sessions it ends, and class 08.

use postgres::error::Severity;

/// What a SQLSTATE means. One can mean several things, by the place where it turns up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The session is over, where the severity is not told.
    EndsSession,
    /// The session is over, since its transaction overran a limit: the same work would once more.
    Overran,
    /// The same work may succeed when it is done again.
    Transient,
    /// Says no more than that the transaction has failed before.
    FailedBefore,
    /// The server has no prepared statement of this name.
    StatementUnknown,
    /// The server has another prepared statement of this name.
    StatementTaken,
    /// The types of a statement's parameters do not fit their places, or are no more.
    TypesUnfit,
    /// Something is not supported, as a prepared statement whose result type has changed.
    Unsupported,
    /// The server or the transaction takes no writes.
    ReadOnly,
    /// The statement was cancelled, by `statement_timeout` or a user.
    Cancelled,
    /// A lock was not to be had.
    LockUnavailable,
    /// A constraint is violated, whose names come with the error.
    Violated,
    /// The role may not do that.
    NotAllowed,
    /// While connecting: user or password are refused.
    Refused,
    /// While connecting: nobody is let in this way, such as without encryption.
    NotAdmitted,
    /// While connecting: no further connection is taken for now.
    Exhausted,
    /// While connecting: nothing but a change of the settings helps.
    Permanent,
    /// The protocol was violated; PgBouncer says so whatever it refuses.
    ProtocolViolation,
}

use Meaning as M;

/// Codes, and classes by their first two characters, with their names in PostgreSQL's documentation (appendix A).
const TABLE: &[(&str, &str, &[Meaning])] = &[
    ("08", "connection_exception", &[M::EndsSession]),
    ("08P01", "protocol_violation", &[M::ProtocolViolation]),
    // While connecting it is the protocol's version.
    ("0A000", "feature_not_supported", &[M::Unsupported, M::Permanent]),
    // While connecting: a start-up option that has no such value, cannot be read, or does not exist.
    ("22023", "invalid_parameter_value", &[M::Permanent]),
    ("23", "integrity_constraint_violation", &[M::Violated]),
    ("25006", "read_only_sql_transaction", &[M::ReadOnly]),
    ("25P02", "in_failed_sql_transaction", &[M::FailedBefore]),
    ("25P03", "idle_in_transaction_session_timeout", &[M::EndsSession, M::Overran]),
    ("25P04", "transaction_timeout", &[M::EndsSession, M::Overran]),
    ("26000", "invalid_sql_statement_name", &[M::StatementUnknown]),
    ("28", "invalid_authorization_specification", &[M::Refused, M::Permanent]),
    ("28000", "invalid_authorization_specification", &[M::NotAdmitted]),
    ("3D", "invalid_catalog_name", &[M::Permanent]),
    ("40001", "serialization_failure", &[M::Transient]),
    ("40P01", "deadlock_detected", &[M::Transient]),
    // While connecting: the role has no right to.
    ("42501", "insufficient_privilege", &[M::NotAllowed, M::Permanent]),
    ("42601", "syntax_error", &[M::Permanent]),
    ("42704", "undefined_object", &[M::Permanent, M::TypesUnfit]),
    ("42725", "ambiguous_function", &[M::TypesUnfit]),
    ("42804", "datatype_mismatch", &[M::TypesUnfit]),
    ("42846", "cannot_coerce", &[M::TypesUnfit]),
    ("42883", "undefined_function", &[M::TypesUnfit]),
    ("42P05", "duplicate_prepared_statement", &[M::StatementTaken]),
    ("42P08", "ambiguous_parameter", &[M::TypesUnfit]),
    ("53300", "too_many_connections", &[M::Exhausted]),
    ("55P03", "lock_not_available", &[M::LockUnavailable]),
    ("57014", "query_canceled", &[M::Cancelled]),
    ("57P01", "admin_shutdown", &[M::EndsSession, M::Transient]),
    ("57P02", "crash_shutdown", &[M::EndsSession, M::Transient]),
    ("57P03", "cannot_connect_now", &[M::EndsSession, M::Transient]),
    ("57P04", "database_dropped", &[M::EndsSession]),
    ("57P05", "idle_session_timeout", &[M::EndsSession]),
    // Of a type that was dropped nothing but its number is left.
    ("XX000", "internal_error", &[M::TypesUnfit]),
];

/// Whether a SQLSTATE has this meaning.
pub(crate) fn means(code: impl AsRef<[u8]>, meaning: Meaning) -> bool {
    let code = code.as_ref();
    TABLE.iter().any(|(known, _, meanings)| code.starts_with(known.as_bytes()) && meanings.contains(&meaning))
}

/// The name of a SQLSTATE, of those that decide something.
pub(crate) fn name(code: &str) -> Option<&'static str> {
    TABLE.iter().find(|(known, ..)| *known == code).map(|(_, name, _)| *name)
}

/// Whether the session is over after an error of this code and severity; `None` where the severity is not told.
pub(crate) fn ends_session(code: impl AsRef<[u8]>, severity: Option<Severity>) -> bool {
    match severity {
        Some(Severity::Fatal | Severity::Panic) => true,
        Some(_) => false,
        None => means(code, Meaning::EndsSession),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_once_in_order_and_in_full() {
        assert!(TABLE.is_sorted_by(|(a, ..), (b, ..)| a < b));
        for (code, name, meanings) in TABLE {
            let plain = code.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
            assert!(plain && matches!(code.len(), 2 | 5) && !meanings.is_empty(), "{code} {name}");
        }
    }

    #[test]
    fn the_severity_decides_whether_a_session_is_over_and_the_code_only_without_it() {
        let ended = ["57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04", "08006", "08P01"];
        let goes_on =
            ["57014", "40001", "40P01", "23505", "25006", "25P02", "26000", "0A000", "53300", "XX000"];
        for code in ended.iter().chain(&goes_on) {
            for severity in [Severity::Fatal, Severity::Panic] {
                assert!(ends_session(code, Some(severity)), "{code} at {severity}");
            }
            // As another server's error has it, or a function's.
            assert!(!ends_session(code, Some(Severity::Error)), "{code} at ERROR");
            assert_eq!(ends_session(code, None), ended.contains(code), "{code} without severity");
        }
    }

    #[test]
    fn a_code_has_the_meanings_of_its_class_too() {
        assert!(means("28P01", Meaning::Refused) && !means("28P01", Meaning::NotAdmitted));
        assert!(means(b"28000", Meaning::Refused) && means("28000", Meaning::NotAdmitted));
        assert!(means("08P01", Meaning::EndsSession) && means("08P01", Meaning::ProtocolViolation));
        assert!(means("57P01", Meaning::Transient) && !means("57P05", Meaning::Transient));
        assert!(["25P03", "25P04"].iter().all(|code| means(code, Meaning::Overran)));
        assert!(["57P01", "57P05", "08006"].iter().all(|code| !means(code, Meaning::Overran)));
    }
}
