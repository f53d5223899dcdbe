//! Whether a connection can be had, and what to do where it cannot.

use super::check::{Check, State, time};
use super::look::{Refusal, Seen};

const NAME: &str = "connection";

/// What to do about what a server has said, by its code.
const BY_CODE: [(&str, &str); 6] = [
    (
        "28P01",
        "set the password that belongs to the user: in the URL, POSTGRES_PASSWORD, PGPASSWORD or a password file",
    ),
    ("28000", "let the user in by a line of pg_hba.conf for this host, database and kind of encryption"),
    ("3D000", "create the database, or name one that is there"),
    ("53300", "end other clients' sessions, or raise max_connections or the limit of role or database"),
    ("42501", "GRANT CONNECT ON DATABASE to the role"),
    ("57P03", "wait until the server has started, and run it again"),
];

/// What a PgBouncer says of start-up options, which has no code of its own and is not translated.
const STARTUP: &str = "unsupported startup parameter";

pub fn opened(seen: &Seen) -> Check {
    let kind = if seen.is_misfit { ", to a server of another kind than is asked for" } else { "" };
    let took = std::time::Duration::from_millis(seen.opened_in.as_millis().try_into().unwrap_or(u64::MAX));
    Check::ok(NAME, format!("opened in {}{kind}", time(took)))
}

/// Of somebody who has said no it is a fault; of a server that was not heard of nothing is known.
pub fn refused(refusal: &Refusal) -> Check {
    let Refusal { is_final, code, what } = refusal;
    let by_code = BY_CODE.iter().find(|(of, _)| code.as_deref() == Some(of)).map(|(_, todo)| *todo);
    let todo = if what.contains(STARTUP) {
        "leave statement_timeout out of the URL's options and PGOPTIONS, and do not say that there is no PgBouncer \
         (USE_PGBOUNCER): DB_STATEMENT_TIMEOUT reaches the server behind one, too"
    } else {
        match (by_code, is_final) {
            (Some(todo), _) => todo,
            (None, true) => "change what the message names: nothing else helps",
            (None, false) => "see that host and port are right, that the server runs, and what is in between",
        }
    };
    let state = if *is_final { State::Fail } else { State::Unknown };
    Check::bad(NAME, state, what.clone(), todo)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(is_final: bool, code: Option<&str>, what: &str) -> (State, String) {
        let refusal = Refusal { is_final, code: code.map(str::to_owned), what: what.to_owned() };
        let check = refused(&refusal);
        (check.state, check.todo.unwrap())
    }

    #[test]
    fn a_no_is_a_fault_and_silence_is_not_known() {
        let (state, todo) = told(true, Some("28P01"), "password authentication failed");
        assert!(state == State::Fail && todo.starts_with("set the password"), "{todo}");
        let (state, todo) = told(false, None, "connection refused");
        assert!(state == State::Unknown && todo.contains("host and port"), "{todo}");
        let (state, _) = told(false, Some("57P03"), "the database system is starting up");
        assert_eq!(state, State::Unknown);
    }

    #[test]
    fn start_up_options_that_a_pooler_refuses_are_told_as_such() {
        let (state, todo) =
            told(true, Some("08P01"), "unsupported startup parameter in options: statement_timeout");
        assert!(state == State::Fail && todo.contains("DB_STATEMENT_TIMEOUT"), "{todo}");
    }
}
