//! A budget that is what the server allows the roles of both tiers.
#![cfg(feature = "postgres")]

mod support;

use support::cluster::{APP_PASSWORD, Cluster, cluster};
use support::pools::built;
use tierpool::config::{Key, Overrides, PgSettings};
use tierpool::postgres::Credentials;
use tierpool::{PgBuilder, PgPool, Tier};

fn builder(cluster: &Cluster) -> PgBuilder {
    PgPool::builder().url(cluster.url()).total_from_role()
}

/// A server on which these roles may have so many connections.
fn limited(app: i32, person: i32) -> Cluster {
    let cluster = cluster();
    let text = format!(
        "ALTER ROLE app CONNECTION LIMIT {app}; CREATE ROLE person LOGIN PASSWORD 'p' CONNECTION LIMIT {person}"
    );
    cluster.admin().batch_execute(&text).unwrap();
    cluster
}

fn of_person(cluster: &Cluster) -> String {
    format!("postgresql://person:p@127.0.0.1:{}/app", cluster.port())
}

/// The faults of a pool that cannot be built.
fn told(builder: PgBuilder) -> String {
    let error = builder.build().unwrap_err();
    let texts = [format!("{error:#}"), format!("{error:?}")];
    assert!(texts.iter().all(|text| !text.is_empty() && !text.contains(":p@")), "{texts:?}");
    error.to_string()
}

#[test]
fn one_role_of_both_tiers_gives_the_budget_and_two_give_their_sum_and_the_reserve() {
    let cluster = limited(20, 3);
    let sizes =
        |pool: &PgPool| (pool.total_connections(), pool.automation().max_size(), pool.adhoc().max_size());
    assert_eq!(sizes(&built(builder(&cluster))), (20, 15, 5));
    assert_eq!(sizes(&built(builder(&cluster).adhoc_url(of_person(&cluster)))), (23, 20, 3));
    // What somebody has set stays.
    let pool = built(builder(&cluster).reserved(2).base_size(7).max_overflow(1));
    assert_eq!(sizes(&pool), (20, 8, 2));
    // One that says the same role twice is one role.
    let pool = built(builder(&cluster).adhoc_url(cluster.url()));
    assert_eq!(pool.total_connections(), 20);
    let same = builder(&cluster).adhoc_credentials(|| Ok(Credentials::password(APP_PASSWORD)));
    assert_eq!(built(same).total_connections(), 20);
    pool.get(Tier::Adhoc).unwrap().batch_execute("SELECT 1").unwrap();
}

#[test]
fn a_fleet_has_the_budget_of_the_roles() {
    let cluster = limited(20, 3);
    let pool = built(builder(&cluster).adhoc_url(of_person(&cluster)).fleet("news"));
    let fleet = pool.fleet_status().unwrap();
    assert_eq!((fleet.slots, fleet.adhoc_slots), (18, 3));
}

#[test]
fn limits_that_give_no_budget_are_told_with_what_was_found() {
    let cluster = limited(-1, 3);
    let found = told(builder(&cluster));
    assert!(found.contains("is role, and role app has no limit of connections: say a number"), "{found}");
    let found = told(builder(&cluster).url(cluster.superuser_url()));
    assert!(found.contains("role postgres is a superuser, whom no limit binds"), "{found}");
    cluster.admin().batch_execute("ALTER ROLE app CONNECTION LIMIT 20").unwrap();
    let found = told(builder(&cluster).adhoc_url(of_person(&cluster)).reserved(5));
    assert!(found.contains("reserved is 5: must be 3, the limit of role person, or left out"), "{found}");
    let found = told(builder(&cluster).base_size(30));
    assert!(found.contains("total_connections is 20: must be at least"), "{found}");
}

#[test]
fn a_pool_that_asks_no_server_cannot_have_it_and_says_so() {
    let builder = PgPool::builder().url("postgresql://db.example/news").total_from_role();
    let told = builder.build_unchecked().unwrap_err().to_string();
    let rule = "total_connections is role: must be a number where the server is not asked";
    assert!(told.contains(rule), "{told}");
}

#[test]
fn the_variable_says_role_and_the_listing_tells_what_that_means() {
    let load = |text: &'static str, overrides: &Overrides| {
        PgSettings::load(overrides, |name| match name {
            "DATABASE_URL" => Some("postgresql://db.example/news".to_owned()),
            "DB_TOTAL_CONNECTIONS" => Some(text.to_owned()),
            _ => None,
        })
    };
    let line = |settings: &PgSettings| settings.effective()[Key::TotalConnections as usize].to_string();
    let settings = load("Role", &Overrides::default()).unwrap();
    assert!(settings.total_from_role);
    assert_eq!(
        line(&settings),
        "total_connections = what the server allows the role, asked at the start (environment DB_TOTAL_CONNECTIONS)"
    );
    let told = load("roles", &Overrides::default()).unwrap_err().to_string();
    assert!(told.contains("must be a whole number from 0 to 4294967295, or role"), "{told}");
    // The program's word wins, and a number wins over the word.
    let mut overrides = Overrides::default();
    overrides.total_from_role = true;
    assert!(load("40", &overrides).unwrap().total_from_role);
    overrides.total_connections = Some(70);
    let found = load("role", &overrides).unwrap();
    assert_eq!((found.total_connections, found.total_from_role), (70, false));
}
