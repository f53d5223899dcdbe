//! What people who come from other pools write, and what they get: one row a line, variables in, settings out.
#![cfg(feature = "postgres")]

mod loaded;

use loaded::*;

/// A line: what it is, then the variables, then the settings by name, blanks in values left out; or after `!` what the
/// one fault says. Where no server is among the variables there is a plain one.
const SIZES: &str = "
the defaults            | | base_size=50 max_overflow=5 reserved=5 total_connections=60 connection_timeout=60s
the same                | | max_lifetime=1800s statement_timeout=30s connect_timeout=10s statement_cache_size=100
a scraper's 60          | DB_TOTAL_CONNECTIONS=60 DB_RESERVED_CONNECTIONS=5 | base_size=50 max_overflow=5 reserved=5
a larger budget         | DB_TOTAL_CONNECTIONS=100 | base_size=90 max_overflow=5 reserved=5
with a larger reserve   | DB_TOTAL_CONNECTIONS=100 DB_RESERVED_CONNECTIONS=10 | base_size=85 max_overflow=5
a smaller one           | DB_TOTAL_CONNECTIONS=11 | base_size=1 max_overflow=5 reserved=5
too small a one         | DB_TOTAL_CONNECTIONS=10 | ! DB_TOTAL_CONNECTIONS is 10: must be at least 11 = base_size 1
what would do instead   | DB_TOTAL_CONNECTIONS=10 | ! ; or DB_MAX_OVERFLOW at most 4
no room at all          | DB_TOTAL_CONNECTIONS=3 DB_RESERVED_CONNECTIONS=5 | ! must be at least 11 = base_size 1
budget and overflow     | DB_TOTAL_CONNECTIONS=60 DB_MAX_OVERFLOW=20 | base_size=35 max_overflow=20
budget and base         | DB_TOTAL_CONNECTIONS=60 DB_POOL_SIZE=52 | base_size=52 max_overflow=3 total_connections=60
a base that fits        | DB_TOTAL_CONNECTIONS=60 DB_POOL_SIZE=20 | base_size=20 max_overflow=5 total_connections=60
a base that does not    | DB_TOTAL_CONNECTIONS=60 DB_POOL_SIZE=60 | ! DB_TOTAL_CONNECTIONS is 60: must be at least 65 =
its own part            | DB_TOTAL_CONNECTIONS=60 DB_POOL_SIZE=60 | ! DB_POOL_SIZE 60 + max_overflow 0 + reserved 5 (default)
what would do instead   | DB_TOTAL_CONNECTIONS=60 DB_POOL_SIZE=60 | ! ; or DB_POOL_SIZE at most 55
budget and ceiling      | DB_TOTAL_CONNECTIONS=60 DB_POOL_MAX=60 | ! must be at least 65 = DB_POOL_MAX 60
what would do instead   | DB_TOTAL_CONNECTIONS=60 DB_POOL_MAX=60 | ! ; or DB_POOL_MAX at most 55
all, and too much       | DB_TOTAL_CONNECTIONS=60 DB_POOL_SIZE=50 DB_MAX_OVERFLOW=9 | ! must be at least 64 = DB_POOL_SIZE 50
sizes and no budget     | DB_POOL_SIZE=90 DB_MAX_OVERFLOW=20 | base_size=90 max_overflow=20 total_connections=115
a base alone            | DB_POOL_SIZE=60 | base_size=60 max_overflow=5 total_connections=70
a reserve alone         | DB_RESERVED_CONNECTIONS=10 | base_size=50 max_overflow=5 total_connections=65
a ceiling alone         | DB_POOL_MAX=60 | base_size=60 max_overflow=0 total_connections=65
the top of its range    | DB_POOL_MAX=200 DB_POOL_MIN=50 | base_size=200 min_size=50 total_connections=205
a ceiling in the URL    | DATABASE_URL=postgresql://u@h/d?connection_limit=80 | base_size=80 total_connections=85
by a profile            | DB_POOL_PROFILE=peak DB_TOTAL_CONNECTIONS=100 | base_size=50 max_overflow=0 total_connections=100
by a profile, too much  | DB_POOL_PROFILE=peak DB_TOTAL_CONNECTIONS=40 | ! = base_size 50 (profile peak) + max_overflow 0
what would do instead   | DB_POOL_PROFILE=peak DB_TOTAL_CONNECTIONS=40 | ! ; or DB_POOL_SIZE at most 35
its budget              | DB_POOL_PROFILE=peak | total_connections=55
behind a pooler         | DB_TOTAL_CONNECTIONS=60 USE_PGBOUNCER=true | base_size=2 max_overflow=5 total_connections=60
its budget              | USE_PGBOUNCER=true | base_size=2 max_overflow=5 total_connections=12
";

/// A pooler that lends whole sessions is no reason for other defaults; one that lends transactions is.
const POOLERS: &str = "
the provider's server   | SUPABASE_URL=postgresql://u@db.abc.supabase.co/d | base_size=50 max_lifetime=1800s
its session pooler      | DATABASE_URL=postgresql://u@aws-0.pooler.supabase.com:5432/d | pgbouncer=session base_size=50
its other defaults      | DATABASE_URL=postgresql://u@aws-0.pooler.supabase.com:5432/d | max_overflow=5 max_lifetime=1800s
its cache               | DATABASE_URL=postgresql://u@aws-0.pooler.supabase.com/d | statement_cache_size=100
its transaction pooler  | DATABASE_URL=postgresql://u@aws-0.pooler.supabase.com:6543/d | pgbouncer=transaction base_size=2
its other defaults      | DATABASE_URL=postgresql://u@h:6543/d | max_overflow=5 max_lifetime=300s pre_ping=never
its cache               | DATABASE_URL=postgresql://u@h:6432/d | statement_cache_size=0 pgbouncer=transaction
session mode, said      | DATABASE_URL=postgresql://u@h:6543/d USE_PGBOUNCER=session | pgbouncer=session base_size=50
its other defaults      | USE_PGBOUNCER=session | max_overflow=5 max_lifetime=1800s statement_cache_size=100
in the URL              | DATABASE_URL=postgresql://u@h/d?pgbouncer=session | base_size=50 max_lifetime=1800s
transaction mode, said  | DATABASE_URL=postgresql://u@x.pooler.supabase.com/d USE_PGBOUNCER=true | base_size=2
none, said              | DATABASE_URL=postgresql://u@x.pooler.supabase.com/d USE_PGBOUNCER=false | pgbouncer=false
a profile wins          | USE_PGBOUNCER=true DB_POOL_PROFILE=batch | base_size=50 max_lifetime=1800s statement_cache_size=0
";

#[test]
fn only_a_pooler_of_transactions_changes_the_defaults() {
    hold(POOLERS);
}

#[test]
fn sizes_follow_the_budget_and_the_budget_the_sizes() {
    hold(SIZES);
}

/// Holds each row of a table.
#[track_caller]
fn hold(table: &str) {
    let rows = table.lines().filter(|row| !row.is_empty());
    let failed: Vec<_> =
        rows.filter_map(|row| check(row).err().map(|why| format!("{row}\n    {why}"))).collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

fn check(row: &str) -> Result<(), String> {
    let parts: Vec<_> = row.split('|').map(str::trim).collect();
    let [_, variables, expected] = parts[..] else { panic!("three parts: {row}") };
    let env: Vec<_> = variables.split_whitespace().map(|pair| pair.split_once('=').unwrap()).collect();
    let loaded = load(&env).map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>());
    match (loaded, expected.strip_prefix("! ")) {
        (Err(faults), Some(part)) if faults.len() == 1 && faults[0].contains(part) => Ok(()),
        (Err(faults), _) => Err(format!("is refused: {faults:#?}")),
        (Ok(_), Some(_)) => Err("is not refused".to_owned()),
        (Ok(loaded), None) => {
            let rows = loaded.effective().into_iter();
            let given: Vec<_> =
                rows.map(|row| format!("{}={}", row.setting.name, row.value.replace(' ', ""))).collect();
            let missing: Vec<_> =
                expected.split_whitespace().filter(|pair| !given.iter().any(|found| found == pair)).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("no {missing:?} in {given:?}")) }
        }
    }
}
