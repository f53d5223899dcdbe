//! The SQL by which the server itself holds the budget.

use std::fmt::Write;

use super::given::{Given, Roles};

/// What has the server notice that a client is gone, for each role.
const ENDS: [(&str, &str); 5] = [
    ("client_connection_check_interval", "'1s'"),
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    // Keepalives rest while an answer is unacknowledged.
    ("tcp_user_timeout", "'45s'"),
];

/// The statements, with what one has to know of them in comments.
pub fn sql(Given { budget, roles, .. }: &Given) -> String {
    let (total, reserve, automation) = (budget.total(), budget.reserve(), budget.automation());
    let [batch, person] = quoted(roles);
    let mut text = format!(
        "-- The walls of a fleet of {total} connections, {reserve} of them for people. Run this as a superuser, as \
         often as you\n-- like. Both roles have to be there, and superusers are bound by none of it.\n\n\
         -- Automation never has more than {automation}, people never more than {reserve}. Sessions beyond stay \
         until they end.\n\
         ALTER ROLE {batch} CONNECTION LIMIT {automation};\n"
    );
    // A limit of 0 would keep people out, who then have what the server has left.
    let comment = if reserve == 0 { "-- " } else { "" };
    let _ = writeln!(text, "{comment}ALTER ROLE {person} CONNECTION LIMIT {reserve};");
    text += "\n-- What a client had that is gone comes back: within a second where a statement still runs, and 45 s \
             after\n-- its host was cut off. PostgreSQL before 14 does not know client_connection_check_interval: \
             leave it out there.\n";
    for role in [&batch, &person] {
        for (name, value) in ENDS {
            let _ = writeln!(text, "ALTER ROLE {role} SET {name} = {value};");
        }
    }
    if reserve > 0 {
        let _ = write!(
            text,
            "\n-- PostgreSQL 16 and later also keep connections from all roles but those that are let in. The first \
             line\n-- takes a restart.\n\
             -- ALTER SYSTEM SET reserved_connections = {reserve};\n\
             -- GRANT pg_use_reserved_connections TO {person};\n"
        );
    }
    let _ = write!(
        text,
        "\n-- max_connections has to be {total} and superuser_reserved_connections at least, and what others use \
         beside."
    );
    text
}

fn quoted(roles: &Roles) -> [String; 2] {
    [identifier(&roles.automation), identifier(&roles.adhoc)]
}

/// A name as an identifier, whatever is in it.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_identifier_whatever_is_in_it() {
        assert_eq!(identifier("batch"), "\"batch\"");
        assert_eq!(identifier("x\" SUPERUSER; --"), "\"x\"\" SUPERUSER; --\"");
    }
}
