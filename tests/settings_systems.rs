//! What people who come from other pools write, and what they get: one row a line, variables in, settings out.
#![cfg(feature = "postgres")]

mod loaded;

use std::time::Duration;

use loaded::*;
use tierpool::{PgPool, Tier};

/// Short names of settings, so that a row keeps to its line.
const SHORT: [(&str, &str); 11] = [
    ("base", "base_size"),
    ("overflow", "max_overflow"),
    ("total", "total_connections"),
    ("min", "min_size"),
    ("max", "max_size"),
    ("wait", "connection_timeout"),
    ("recycle", "max_lifetime"),
    ("statement", "statement_timeout"),
    ("connect", "connect_timeout"),
    ("cache", "statement_cache_size"),
    ("ping", "pre_ping"),
];

/// A line: what it is, then the variables, then the settings, blanks in values left out; or after `!` what the one
/// fault says. Where no server is among the variables there is a plain one.
const SIZES: &str = "
the defaults          | | base_size=50 max_overflow=5 reserved=5 total_connections=60 connection_timeout=60s
the same              | | max_lifetime=1800s statement_timeout=30s connect_timeout=10s statement_cache_size=100
a scraper's 60        | DB_TOTAL_CONNECTIONS=60 DB_RESERVED_CONNECTIONS=5 | base=50 overflow=5 reserved=5
a larger budget       | DB_TOTAL_CONNECTIONS=100 | base=90 overflow=5 reserved=5
with a larger reserve | DB_TOTAL_CONNECTIONS=100 DB_RESERVED_CONNECTIONS=10 | base=85 overflow=5
a smaller one         | DB_TOTAL_CONNECTIONS=11 | base=1 overflow=5 reserved=5
too small a one       | DB_TOTAL_CONNECTIONS=10 | ! DB_TOTAL_CONNECTIONS is 10: must be at least 11 = base_size 1
what would do instead | DB_TOTAL_CONNECTIONS=10 | ! ; or DB_MAX_OVERFLOW at most 4
no room at all        | DB_TOTAL_CONNECTIONS=3 DB_RESERVED_CONNECTIONS=5 | ! must be at least 11 = base_size 1
budget and overflow   | DB_TOTAL_CONNECTIONS=60 DB_MAX_OVERFLOW=20 | base=35 overflow=20
budget and base       | DB_TOTAL_CONNECTIONS=60 DB_POOL_SIZE=52 | base=52 overflow=3 total=60
a base that fits      | DB_TOTAL_CONNECTIONS=60 DB_POOL_SIZE=20 | base=20 overflow=5 total=60
a base that does not  | DB_TOTAL_CONNECTIONS=60 DB_POOL_SIZE=60 | ! DB_TOTAL_CONNECTIONS is 60: must be at least 65 =
its own part          | DB_TOTAL_CONNECTIONS=60 DB_POOL_SIZE=60 | ! DB_POOL_SIZE 60 + max_overflow 0 + reserved 5
what would do instead | DB_TOTAL_CONNECTIONS=60 DB_POOL_SIZE=60 | ! ; or DB_POOL_SIZE at most 55
budget and ceiling    | DB_TOTAL_CONNECTIONS=60 DB_POOL_MAX=60 | ! must be at least 65 = DB_POOL_MAX 60
its own part          | DB_TOTAL_CONNECTIONS=60 DB_POOL_MAX=60 | ! = DB_POOL_MAX 60 + reserved 5 (default); or
what would do instead | DB_TOTAL_CONNECTIONS=60 DB_POOL_MAX=60 | ! ; or DB_POOL_MAX at most 55
ceiling and its part  | DB_TOTAL_CONNECTIONS=20 DB_POOL_MAX=20 DB_POOL_SIZE=9 | ! = DB_POOL_MAX 20 + reserved 5
what would do instead | DB_TOTAL_CONNECTIONS=20 DB_POOL_MAX=20 DB_POOL_SIZE=9 | ! ; or DB_POOL_MAX at most 15
below its part        | DB_TOTAL_CONNECTIONS=9 DB_POOL_MAX=9 DB_POOL_SIZE=9 | ! must be at least 14 = DB_POOL_MAX 9
all, and too much     | DB_TOTAL_CONNECTIONS=60 DB_POOL_SIZE=50 DB_MAX_OVERFLOW=9 | ! be at least 64 = DB_POOL_SIZE 50
sizes and no budget   | DB_POOL_SIZE=90 DB_MAX_OVERFLOW=20 | base=90 overflow=20 total=115
a base alone          | DB_POOL_SIZE=60 | base=60 overflow=5 total=70
a reserve alone       | DB_RESERVED_CONNECTIONS=10 | base=50 overflow=5 total=65
a ceiling alone       | DB_POOL_MAX=60 | base=60 overflow=0 total=65
the top of its range  | DB_POOL_MAX=200 DB_POOL_MIN=50 | base=200 min=50 total=205
a ceiling in the URL  | DATABASE_URL=postgresql://u@h/d?connection_limit=80 | base=80 total=85
by a profile          | DB_POOL_PROFILE=peak DB_TOTAL_CONNECTIONS=100 | base=50 overflow=0 total=100
by a profile, too much | DB_POOL_PROFILE=peak DB_TOTAL_CONNECTIONS=40 | ! = base_size 50 (profile peak) + max_overflow 0
what would do instead | DB_POOL_PROFILE=peak DB_TOTAL_CONNECTIONS=40 | ! ; or DB_POOL_SIZE at most 35
its budget            | DB_POOL_PROFILE=peak | total=55
behind a pooler       | DB_TOTAL_CONNECTIONS=60 USE_PGBOUNCER=true | base=2 overflow=5 total=60
its budget            | USE_PGBOUNCER=true | base=2 overflow=5 total=12
";

/// Each environment of a system as its documents give it; `DB_STATEMENT_TIMEOUT` is in milliseconds.
const PROFILES: &str = "
web                   | DB_POOL_PROFILE=web | base=10 overflow=10 wait=30s recycle=3600s
its statements        | DB_POOL_PROFILE=web | statement=10s total=25
the same by variables | DB_POOL_SIZE=10 DB_MAX_OVERFLOW=10 DB_POOL_TIMEOUT=30 | base=10 overflow=10 max=20
with the rest of them | DB_POOL_RECYCLE=3600 DB_STATEMENT_TIMEOUT=10000 | recycle=3600s statement=10s
staging               | DB_POOL_PROFILE=staging | max=20 statement=10s wait=30s
its overflow          | DB_POOL_PROFILE=staging | base=10 overflow=10
production            | DB_POOL_PROFILE=production | max=30 statement=10s wait=30s
its overflow          | DB_POOL_PROFILE=production | base=20 overflow=10
high traffic          | DB_POOL_PROFILE=high-traffic | base=30 overflow=20 statement=5s
its checkouts         | DB_POOL_PROFILE=high-traffic | wait=30s total=55
development           | DB_POOL_PROFILE=development | base=5 overflow=5 wait=30s statement=30s
strict                | DB_POOL_PROFILE=development-strict | wait=10s statement=10s connect=5s
service               | DB_POOL_PROFILE=service | max=20 wait=20s cache=100
its overflow          | DB_POOL_PROFILE=service | base=20 overflow=0 total=25
the same by the URL   | DATABASE_URL=postgresql://u@h/d?connection_limit=20&pool_timeout=20 | max=20 wait=20s
peak                  | DB_POOL_PROFILE=peak | max=50 wait=30s cache=200
the same by variables | DB_CONNECTION_LIMIT=50 DATABASE_POOL_TIMEOUT=30 DB_STATEMENT_CACHE_SIZE=200 | max=50
with the URL's names  | DATABASE_URL=postgresql://u@h/d?statement_cache_size=200&connection_limit=50 | cache=200
a scraper             | DB_POOL_PROFILE=batch | base=50 overflow=5 reserved=5 total=60 recycle=1800s
resilient             | DB_POOL_PROFILE=resilient | base=10 overflow=20 wait=30s recycle=3600s
its other limits      | DB_POOL_PROFILE=resilient | statement=30s connect=10s total=35
under high load       | DB_POOL_PROFILE=resilient-high-load | base=10 overflow=20 recycle=3600s
its limits            | DB_POOL_PROFILE=resilient-high-load | statement=60s connect=15s wait=45s
the same by variables | DATABASE_QUERY_TIMEOUT=60 DATABASE_CONNECT_TIMEOUT=15 DATABASE_POOL_TIMEOUT=45 | statement=60s
with the rest of them | DATABASE_CONNECT_TIMEOUT=15 DATABASE_POOL_TIMEOUT=45 | connect=15s wait=45s
behind its pooler     | USE_PGBOUNCER=true | base=2 overflow=5 wait=30s recycle=300s ping=always
by name               | DB_POOL_PROFILE=pgbouncer | base=2 overflow=5 wait=30s total=12
min and max           | DB_POOL_PROFILE=minmax | min=5 max=40 wait=30s recycle=3600s
by variables          | DB_POOL_MIN=5 DB_POOL_MAX=40 DB_POOL_TIMEOUT=30 DB_POOL_RECYCLE=3600 | min=5 max=40
development           | DB_POOL_PROFILE=minmax-development | min=2 max=10 total=15
medium                | DB_POOL_PROFILE=minmax-medium | min=10 max=50 total=55
high                  | DB_POOL_PROFILE=minmax-high | min=15 max=100 total=105
high, by variables    | DB_POOL_MIN=15 DB_POOL_MAX=100 | min=15 max=100 total=105
what is set wins      | DB_POOL_PROFILE=minmax-high DB_POOL_MAX=60 | min=15 max=60 total=65
";

#[test]
fn profiles_have_the_figures_of_the_systems_they_stand_for() {
    hold(PROFILES);
}

/// Two variables for one thing agree, or are refused with both names.
const CONFLICTS: &str = "
two ceilings          | DB_POOL_MAX=40 DB_CONNECTION_LIMIT=50 | ! DB_POOL_MAX + DB_CONNECTION_LIMIT is 40 and 50
that agree            | DB_POOL_MAX=40 DB_CONNECTION_LIMIT=40 | max=40
two checkout timeouts | DB_POOL_TIMEOUT=30 DATABASE_POOL_TIMEOUT=20 | ! DATABASE_POOL_TIMEOUT is 30 s and 20 s
that agree            | DB_POOL_TIMEOUT=30 DATABASE_POOL_TIMEOUT=30.0 | wait=30s
two statement limits  | DB_STATEMENT_TIMEOUT=5000 DATABASE_QUERY_TIMEOUT=9 | ! + DATABASE_QUERY_TIMEOUT is 5 s and 9 s
that agree            | DB_STATEMENT_TIMEOUT=9000 DATABASE_QUERY_TIMEOUT=9 | statement=9s
beyond the server's   | DB_STATEMENT_TIMEOUT=2147483648 | ! DB_STATEMENT_TIMEOUT is 2147483.648s: must be at most
that which it has     | DB_STATEMENT_TIMEOUT=2147483647 | total=60
in the other's unit   | DB_STATEMENT_TIMEOUT=10 DATABASE_QUERY_TIMEOUT=10 | ! 10 ms and 10 s: statement_timeout must be
two connect timeouts  | DATABASE_CONNECT_TIMEOUT=5 PGCONNECT_TIMEOUT=9 | ! PGCONNECT_TIMEOUT is 5 s and 9 s
one cannot be read    | DB_POOL_MAX=40 DB_CONNECTION_LIMIT=many | ! DB_CONNECTION_LIMIT is many: must be a whole number
an empty one          | DB_POOL_MAX=40 DB_CONNECTION_LIMIT= | max=40
of a stronger source  | DATABASE_URL=postgresql://u@h/d?pool_timeout=9 DB_POOL_TIMEOUT=8 | wait=8s
a ceiling and its sum | DB_POOL_MAX=40 DB_POOL_SIZE=30 DB_MAX_OVERFLOW=5 | ! DB_POOL_MAX is 40: contradicts DB_POOL_SIZE
no base left of it    | DB_POOL_MAX=30 DB_MAX_OVERFLOW=30 | ! DB_POOL_MAX is 30: must be above DB_MAX_OVERFLOW, 30
and none at all       | DB_POOL_MAX=0 DB_MAX_OVERFLOW=0 | ! DB_POOL_MAX is 0: must be at least 1
a minimum above it    | DB_POOL_MIN=50 DB_POOL_MAX=40 | ! DB_POOL_MIN is 50: must not exceed the ceiling of 40
in the options too    | PGOPTIONS=-cstatement_timeout=1s DB_STATEMENT_TIMEOUT=1000 | ! PGOPTIONS is 1 s and 1 s
";

#[test]
fn variables_that_disagree_are_one_fault_with_both_names() {
    hold(CONFLICTS);
}

/// Words of oracledb.
const MODES: &str = "
its default           | DB_POOL_GETMODE=POOL_GETMODE_TIMEDWAIT | wait_mode=timedwait
without a limit       | DB_POOL_GETMODE=POOL_GETMODE_WAIT | wait_mode=wait
in a profile          | DB_POOL_GETMODE=POOL_GETMODE_WAIT DB_POOL_PROFILE=minmax | wait_mode=timedwait
with a limit          | DB_POOL_GETMODE=POOL_GETMODE_WAIT DB_POOL_TIMEOUT=30 | wait_mode=timedwait wait=30s
by the URL            | DATABASE_URL=postgres://u@h/d?pool_timeout=9 DB_POOL_GETMODE=wait | wait_mode=timedwait wait=9s
not at all            | DB_POOL_GETMODE=POOL_GETMODE_NOWAIT | wait_mode=nowait
with a limit          | DB_POOL_GETMODE=nowait DB_POOL_TIMEOUT=30 | wait_mode=nowait
beyond the ceiling    | DB_POOL_GETMODE=POOL_GETMODE_FORCEGET | wait_mode=timedwait
none of them          | DB_POOL_GETMODE=POOL_GETMODE | ! is POOL_GETMODE: must be wait, nowait, timedwait or forceget
";

#[test]
fn wait_modes_have_the_names_of_oracledb() {
    hold(MODES);
}

#[test]
fn a_connect_timeout_above_the_checkout_timeout_is_told() {
    let told = |env: &[(&str, &str)]| load(env).unwrap().warnings();
    assert_eq!(told(&[]), [""; 0]);
    assert_eq!(told(&[("DB_POOL_TIMEOUT", "10")]), [""; 0]);
    let later = ": callers give up before a slow opening does; what it opens is kept";
    for (env, start) in [
        (
            vec![("DB_POOL_TIMEOUT", "30"), ("DATABASE_CONNECT_TIMEOUT", "31")],
            "DATABASE_CONNECT_TIMEOUT is 31 s, above DB_POOL_TIMEOUT, 30 s",
        ),
        (vec![("DB_POOL_TIMEOUT", "9")], "connect_timeout (default) is 10 s, above DB_POOL_TIMEOUT, 9 s"),
        (
            vec![("PGCONNECT_TIMEOUT", "0")],
            "PGCONNECT_TIMEOUT is no limit, above connection_timeout (default), 60 s",
        ),
    ] {
        assert_eq!(told(&env), [format!("{start}{later}")]);
    }
    // Nobody gives up who waits for ever, or for nobody.
    assert_eq!(told(&[("DB_POOL_GETMODE", "wait"), ("PGCONNECT_TIMEOUT", "99")]), [""; 0]);
}

/// The breaker, the warning of long checkouts, and the name of a service.
const OTHERS: &str = "
as a rule             | | failure_threshold=3 open_for=10s leak_threshold=never name=none
a breaker             | DB_BREAKER_THRESHOLD=5 DB_BREAKER_OPEN_SECONDS=60 | failure_threshold=5 open_for=60s
none                  | DB_BREAKER_THRESHOLD=0 | failure_threshold=0
one that never opens  | DB_BREAKER_OPEN_SECONDS=0 | ! DB_BREAKER_OPEN_SECONDS is 0: must be longer than zero
long checkouts        | DB_LEAK_THRESHOLD=30 | leak_threshold=30s
none                  | DB_LEAK_THRESHOLD=0 | leak_threshold=never
a service             | DB_POOL_NAME=billing | name=billing app_name=billing
its application       | DB_POOL_NAME=billing PGAPPNAME=shop | name=billing app_name=shop
a name too long       | DB_POOL_NAME=x123456789x123456789x123456789x123456789x123456789x12 | ! DB_POOL_NAME is x1234567
";

#[test]
fn breaker_leaks_and_name_come_from_variables() {
    hold(OTHERS);
    let named = load(&[("DB_POOL_NAME", "billing"), ("DB_LEAK_THRESHOLD", "30")]).unwrap();
    assert_eq!(
        (named.automation.name.as_str(), named.adhoc.name.as_str()),
        ("billing.automation", "billing.adhoc")
    );
    assert_eq!(named.adhoc.leak_threshold, Some(Duration::from_secs(30)));
}

#[test]
fn the_name_of_a_service_is_in_the_errors_of_its_pools() {
    // Nobody listens there.
    let builder = PgPool::builder().url("postgresql://u@127.0.0.1:1/d").name("billing");
    let pool = builder.connection_timeout(Duration::from_millis(200)).build_unchecked().unwrap();
    for (tier, name) in
        [(Tier::Automation, "pool `billing.automation`"), (Tier::Adhoc, "pool `billing.adhoc`")]
    {
        let error = pool.get(tier).map(drop).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

/// A pooler that lends whole sessions is no reason for other defaults; one that lends transactions is.
const POOLERS: &str = "
the provider's server | SUPABASE_URL=postgresql://u@db.abc.supabase.co/d | base=50 recycle=1800s
its session pooler    | DATABASE_URL=postgresql://u@aws-0.pooler.supabase.com:5432/d | pgbouncer=session base=50
its other defaults    | DATABASE_URL=postgresql://u@aws-0.pooler.supabase.com:5432/d | overflow=5 recycle=1800s
its cache             | DATABASE_URL=postgresql://u@aws-0.pooler.supabase.com/d | cache=100
its other pooler      | DATABASE_URL=postgresql://u@aws-0.pooler.supabase.com:6543/d | pgbouncer=transaction base=2
its other defaults    | DATABASE_URL=postgresql://u@h:6543/d | overflow=5 recycle=300s ping=always
its cache             | DATABASE_URL=postgresql://u@h:6432/d | cache=0 pgbouncer=transaction
session mode, said    | DATABASE_URL=postgresql://u@h:6543/d USE_PGBOUNCER=session | pgbouncer=session base=50
its other defaults    | USE_PGBOUNCER=session | overflow=5 recycle=1800s cache=100
in the URL            | DATABASE_URL=postgresql://u@h/d?pgbouncer=session | base=50 recycle=1800s
transaction mode, said | DATABASE_URL=postgresql://u@x.pooler.supabase.com/d USE_PGBOUNCER=true | base=2
none, said            | DATABASE_URL=postgresql://u@x.pooler.supabase.com/d USE_PGBOUNCER=false | pgbouncer=false
a profile wins        | USE_PGBOUNCER=true DB_POOL_PROFILE=batch | base=50 recycle=1800s cache=0
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
            let long = |pair: &str| {
                let (name, value) = pair.split_once('=').unwrap();
                let name = SHORT.iter().find(|(short, _)| *short == name).map_or(name, |(_, name)| *name);
                format!("{name}={value}")
            };
            let wanted = expected.split_whitespace().map(long);
            let missing: Vec<_> = wanted.filter(|pair| !given.contains(pair)).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("no {missing:?} in {given:?}")) }
        }
    }
}

#[test]
fn a_statement_timeout_beyond_the_servers_is_told_once_by_whoever_checks_it() {
    let mut settings = load(&[]).unwrap();
    settings.automation_statement_timeout = Some(Duration::from_millis(1 << 31));
    let error = PgPool::builder().build_from(settings).map(drop).unwrap_err().to_string();
    assert_eq!(error.matches("must be at most 2147483647 ms").count(), 1, "{error}");
}
