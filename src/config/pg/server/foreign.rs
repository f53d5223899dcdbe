//! What other pools and drivers take in a connection string, and what to write in its place.

/// A parameter of another pool or driver.
struct Foreign {
    name: &'static str,
    of: &'static str,
    /// What to do instead.
    instead: &'static str,
}

const fn foreign(of: &'static str, name: &'static str, instead: &'static str) -> Foreign {
    Foreign { name, of, instead }
}

const PRISMA: &str = "Prisma's";
const PGXPOOL: &str = "pgxpool's";
const JDBC: &str = "JDBC's";
const SUPABASE: &str = "Supabase's";
const OTHERS: &str = "of other drivers";

const SCHEMA: &str = "write options=-csearch_path%3D and the schema's name";
const SSL: &str = "write sslmode with one of libpq's words, such as require or verify-full";
const LEAVE_OUT: &str = "leave it out";
const LIFETIME: &str = "set DB_POOL_RECYCLE, in seconds";
const IDLE: &str = "set DB_POOL_IDLE_TIMEOUT, in seconds";
const OF_PROGRAM: &str = "leave it out; the program sets it on the builder of a tier";

static FOREIGN: [Foreign; 24] = [
    foreign(PRISMA, "schema", SCHEMA),
    foreign(PRISMA, "sslaccept", SSL),
    foreign(PRISMA, "sslidentity", "write sslcert and sslkey"),
    foreign(PRISMA, "max_connection_lifetime", LIFETIME),
    foreign(PRISMA, "max_idle_connection_lifetime", IDLE),
    foreign(PRISMA, "single_use_connections", LEAVE_OUT),
    foreign(PGXPOOL, "pool_max_conns", "write connection_limit"),
    foreign(PGXPOOL, "pool_min_conns", "write min_connections"),
    foreign(PGXPOOL, "pool_min_idle_conns", OF_PROGRAM),
    foreign(PGXPOOL, "pool_max_conn_lifetime", LIFETIME),
    foreign(PGXPOOL, "pool_max_conn_lifetime_jitter", OF_PROGRAM),
    foreign(PGXPOOL, "pool_max_conn_idle_time", IDLE),
    foreign(PGXPOOL, "pool_health_check_period", OF_PROGRAM),
    foreign(PGXPOOL, "default_query_exec_mode", LEAVE_OUT),
    foreign(PGXPOOL, "statement_cache_capacity", "write statement_cache_size"),
    foreign(JDBC, "currentSchema", SCHEMA),
    foreign(JDBC, "ApplicationName", "write application_name"),
    foreign(JDBC, "connectTimeout", "write connect_timeout"),
    foreign(JDBC, "loginTimeout", "write connect_timeout"),
    foreign(JDBC, "socketTimeout", "write socket_timeout, in milliseconds"),
    foreign(SUPABASE, "supa", LEAVE_OUT),
    foreign(OTHERS, "ssl", SSL),
    foreign(OTHERS, "search_path", SCHEMA),
    foreign(OTHERS, "uselibpqcompat", LEAVE_OUT),
];

/// The rule for a parameter that others take, if it is one. It has no value in it, which may be a secret.
pub(super) fn rule(name: &str) -> Option<String> {
    let found = FOREIGN.iter().find(|foreign| foreign.name == name)?;
    Some(format!("it is {}: {}", found.of, found.instead))
}

/// The rule for a scheme that only others have, if the text begins with one.
pub(super) fn scheme(text: &str) -> Option<&'static str> {
    let (scheme, _) = text.split_once("://")?;
    match scheme.split_once(['+', ':'])? {
        ("postgres" | "postgresql", _) if scheme.contains('+') => {
            Some("must begin with postgresql://, without the `+` and the driver behind it")
        }
        ("jdbc", "postgres" | "postgresql") => Some(
            "must begin with postgresql://, without jdbc: before it, and have user and password before the host",
        ),
        _ => None,
    }
}
