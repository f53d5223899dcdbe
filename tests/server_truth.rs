//! What the server says of all processes of an application, counted beside it by `psql`.
#![cfg(feature = "postgres")]

mod support;

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use postgres::{Client, NoTls};
use support::cluster::{Cluster, cluster};
use support::pools::pool_of;
use support::wait::{LONG_BOUND, SLACK, comes_true, eventually, within};
use tierpool::postgres::{PgManager, PgOptions, ServerActivity, SocketTimeout};
use tierpool::{PgBuilder, PgPool, Tier, TieredPool};

/// Where a child process finds its server.
const CHILD_URL: &str = "TIERPOOL_TEST_CHILD_URL";

fn build(url: &str, change: impl FnOnce(PgBuilder) -> PgBuilder) -> PgPool {
    // One ad-hoc connection, the one that asks, and none of automation's: the counts are exact.
    let keeps_one = |builder: PgBuilder| change(builder.reserved(1).adhoc(|tier| tier.min_idle(Some(1))));
    let pool = pool_of(8, "fleet", url, keeps_one);
    pool.automation().evict_idle();
    eventually(LONG_BOUND, "what `build` opened for automation is closed", || {
        let gauges = pool.automation().gauges();
        gauges.size() + gauges.zombies == 0
    });
    pool
}

fn pool(url: &str) -> PgPool {
    build(url, |builder| builder)
}

/// Another process of the same application; killed when it is dropped.
struct Process(Child);

impl Process {
    fn start(url: &str) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "holds_connections_as_a_child", "--nocapture"]).env(CHILD_URL, url);
        // It ends when this end of the pipe closes, were this process killed.
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        Process(command.spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// No test of its own: what the child processes run. Per process 3 automation connections, of which one sleeps in a
/// statement, one is idle in a transaction and one in a failed one; and 2 ad-hoc ones, of which one sleeps.
#[test]
fn holds_connections_as_a_child() {
    let Ok(url) = std::env::var(CHILD_URL) else { return };
    let pool = build(&url, |builder| builder.reserved(2));
    let sleep = |tier| {
        let mut conn = pool.get(tier).unwrap();
        conn.set_socket_timeout(None);
        thread::spawn(move || conn.batch_execute("SET statement_timeout = 0; SELECT pg_sleep(600)"))
    };
    let sleepers = [sleep(Tier::Automation), sleep(Tier::Adhoc)];
    let mut in_transaction = pool.get(Tier::Automation).unwrap();
    in_transaction.batch_execute("BEGIN; SELECT 1").unwrap();
    let mut failed = pool.get(Tier::Automation).unwrap();
    failed.batch_execute("BEGIN").unwrap();
    failed.batch_execute("SELECT 1/0").unwrap_err();
    let idle = pool.get(Tier::Adhoc).unwrap();
    // Until the parent is done, or gone.
    let _ = std::io::stdin().read_line(&mut String::new());
    drop((idle, sleepers));
}

/// What `psql` prints for a query, as a superuser.
fn psql(cluster: &Cluster, query: &str) -> String {
    let output = Command::new(cluster.program("psql"))
        .args(["-X", "-At", "-d", &cluster.superuser_url(), "-c", query])
        .output()
        .expect("psql runs: install it with `apt-get install -y postgresql`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Sessions of the fleet by name and state, as `psql` counts them; `open` of [`ServerActivity`] beside it.
fn by_psql(cluster: &Cluster) -> String {
    psql(
        cluster,
        "SELECT application_name, count(*), count(*) FILTER (WHERE state = 'active'),
            count(*) FILTER (WHERE state = 'idle'), count(*) FILTER (WHERE state = 'idle in transaction'),
            count(*) FILTER (WHERE state = 'idle in transaction (aborted)')
         FROM pg_stat_activity WHERE application_name LIKE 'fleet/%' GROUP BY 1 ORDER BY 1",
    )
}

/// The first activity in which `settled` holds: a session that has ended is shown for a moment longer.
#[track_caller]
fn once(pool: &PgPool, what: &str, settled: impl Fn(&ServerActivity) -> bool) -> ServerActivity {
    let mut last = None;
    let holds = comes_true(LONG_BOUND, || settled(last.insert(pool.server_activity().unwrap())));
    assert!(holds, "{what}: {last:#?}");
    last.expect("BUG: asked at least once")
}

fn by_pool(activity: &ServerActivity) -> String {
    let line = |tier| {
        let of = activity.tier(tier);
        let t = of.total;
        let numbers = [t.open, t.active, t.idle, t.idle_in_transaction, t.aborted].map(|n| n.to_string());
        format!("{}|{}", of.application_name, numbers.join("|"))
    };
    format!("{}\n{}", line(Tier::Adhoc), line(Tier::Automation))
}

#[test]
fn another_process_sees_the_fleet_as_psql_does() {
    let cluster = cluster();
    let children = [Process::start(&cluster.url()), Process::start(&cluster.url_unix())];
    let pool = pool(&cluster.url());
    // Of each child, and the one idle connection of this process.
    let expected = "fleet/adhoc|5|2|3|0|0\nfleet/automation|6|2|0|2|2";
    eventually(LONG_BOUND, "both children hold their connections", || by_psql(&cluster) == expected);
    let activity = pool.server_activity().unwrap();
    assert_eq!(by_pool(&activity), expected, "{activity:#?}");
    assert_eq!(activity.app_name, "fleet");
    assert_eq!(pool.automation().gauges().size(), 0, "this process has none of them");

    for tier in [Tier::Automation, Tier::Adhoc] {
        let hosts: Vec<&str> = activity.tier(tier).hosts.iter().map(|host| &*host.host).collect();
        let mut sorted = hosts.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, ["127.0.0.1", "local socket"]);
        let of_host = activity.tier(tier).hosts.iter().map(|host| host.sessions.open).sum::<u32>();
        assert_eq!(of_host, activity.tier(tier).total.open);
    }
    let total = activity.automation.total;
    assert!(total.longest_query.is_some() && total.longest_transaction >= total.longest_query, "{total:?}");
    assert!(activity.adhoc.total.longest_query.is_some(), "{activity:?}");

    // Another application is a sum, and the fleet goes when its processes do.
    let stranger = Client::connect(&format!("{}?application_name=other", cluster.url()), NoTls).unwrap();
    once(&pool, "one other session", |activity| (activity.others.open, activity.others.idle) == (1, 1));
    drop(stranger);
    drop(children);
    once(&pool, "the server has let the idle sessions of the children go", |activity| {
        let idle = activity.automation.total.idle_in_transaction + activity.automation.total.aborted;
        (idle, activity.adhoc.total.idle, activity.others.open) == (0, 1, 0)
    });
}

#[test]
fn one_question_costs_one_round_trip() {
    let cluster = cluster();
    let pool = pool(&cluster.url());
    let round_trips = || pool.get(Tier::Adhoc).unwrap().round_trips().unwrap();
    for (what, ask) in [
        ("activity", (|pool| drop(pool.server_activity().unwrap())) as fn(&PgPool)),
        ("queries", |pool| drop(pool.long_running_queries(Duration::ZERO).unwrap())),
        ("cancel", |pool| assert!(!pool.cancel(i32::MAX).unwrap())),
        ("health", |pool| assert!(pool.check_health(true).healthy)),
    ] {
        // A ping may come in between, where the connection was silent for a second.
        let costs = || {
            let before = round_trips();
            ask(&pool);
            round_trips() - before
        };
        eventually(LONG_BOUND, what, || costs() == 1);
    }
}

#[test]
fn limits_of_server_role_and_database_leave_the_room_that_is_told() {
    let cluster = Cluster::builder()
        .max_connections(20)
        .setting("superuser_reserved_connections", "2")
        .start()
        .unwrap();
    let pool = pool(&cluster.url());
    let activity = || once(&pool, "psql is gone", |activity| activity.others.open == 0);
    let room = |activity: &ServerActivity| (activity.automation.room, activity.adhoc.room);
    let first = activity();
    assert_eq!((first.limits.max_connections, first.limits.superuser_reserved), (20, 2));
    let version: u32 = psql(&cluster, "SHOW server_version_num").parse().unwrap();
    assert_eq!(first.limits.reserved.is_some(), version >= 160_000);
    assert_eq!((first.limits.in_use, room(&first)), (1, (17, 17)), "{first:#?}");
    assert_eq!(first.limits.room_for_strangers(), 17);
    assert_eq!((&*first.automation.role.name, first.automation.role.limit), ("app", None));
    assert!(!first.automation.role.is_superuser);

    psql(&cluster, "ALTER ROLE app CONNECTION LIMIT 9");
    let by_role = activity();
    assert_eq!((by_role.adhoc.role.limit, by_role.adhoc.role.in_use, room(&by_role)), (Some(9), 1, (8, 8)));
    assert_eq!(by_role.limits.room_for_strangers(), 17, "which has a limit of its own");
    psql(&cluster, "ALTER DATABASE app CONNECTION LIMIT 4");
    let by_database = activity();
    let database = &by_database.limits.database;
    assert_eq!((&*database.name, database.limit, database.in_use), ("app", Some(4), 1));
    assert_eq!(room(&by_database), (3, 3));
    // It is as much as can be opened, and no more.
    let open = || Client::connect(&cluster.url(), NoTls);
    let opened: Vec<_> = (0..3).map(|_| open().unwrap()).collect();
    let full = once(&pool, "the last place is taken", |activity| room(activity) == (0, 0));
    assert_eq!(full.limits.room_for_strangers(), 0);
    assert!(full.to_string().ends_with("0 for strangers"), "{full}");
    assert_eq!(open().map(drop).unwrap_err().code().unwrap().code(), "53300");
    drop(opened);

    // No limit binds a superuser but the first.
    let superuser = build(&cluster.url(), |builder| builder.adhoc_url(cluster.superuser_url()));
    let activity = superuser.server_activity().unwrap();
    assert!(activity.adhoc.role.is_superuser && !activity.automation.role.is_superuser);
    let left = activity.limits.max_connections - activity.limits.in_use;
    assert_eq!((activity.adhoc.room, activity.adhoc.role.name.as_str()), (left, "postgres"));
    assert!(activity.automation.room <= 3, "{activity:#?}");
}

#[test]
fn what_a_role_may_not_see_is_counted_as_hidden() {
    let cluster = cluster();
    psql(&cluster, "CREATE ROLE reader LOGIN PASSWORD 'hush-reader'");
    let reader = cluster.url().replace("app:hush-4711-app", "reader:hush-reader");
    let pool = build(&cluster.url(), |builder| builder.adhoc_url(reader));
    let held = [pool.get(Tier::Automation).unwrap(), pool.get(Tier::Automation).unwrap()];
    let activity = once(&pool, "psql is gone", |activity| activity.limits.in_use == 3);
    let total = activity.automation.total;
    assert_eq!((total.open, total.hidden, total.idle), (2, 2, 0), "{activity:#?}");
    assert_eq!(activity.automation.hosts[0].host, "not shown");
    assert_eq!((&*activity.automation.role.name, activity.automation.role.in_use), ("app", 2));
    assert_eq!((&*activity.adhoc.role.name, activity.adhoc.total.hidden), ("reader", 0));
    // The server's own processes are not taken for sessions.
    assert_eq!(activity.others.open, 0, "{activity:#?}");
    psql(&cluster, "GRANT pg_read_all_stats TO reader");
    let total = pool.server_activity().unwrap().automation.total;
    assert_eq!((total.open, total.hidden, total.idle), (2, 0, 2));
    drop(held);
}

#[test]
fn a_name_that_is_not_ascii_is_known_again() {
    let cluster = cluster();
    let pool = build(&cluster.url(), |builder| builder.app_name("früh"));
    let held = pool.get(Tier::Automation).unwrap();
    once(&pool, "both sessions are ours", |activity| {
        (activity.automation.total.open, activity.adhoc.total.open, activity.others.open) == (1, 1, 0)
    });
    drop(held);
}

#[test]
fn tiers_without_names_of_their_own_are_refused() {
    let cluster = cluster();
    let manager = PgManager::new(cluster.config(), PgOptions::default()).unwrap();
    let pool = TieredPool::builder().build_unchecked(|_| manager.clone()).unwrap();
    let error = pool.server_activity().unwrap_err();
    assert!(error.to_string().contains("application_name"), "{error}");
    assert!(pool.check_health(false).healthy);
}

#[test]
fn the_verbose_status_shows_the_server_or_why_not() {
    let cluster = cluster();
    let limit = Duration::from_millis(500);
    for url in [cluster.url(), cluster.url_unix()] {
        let pool = build(&url, |builder| {
            builder.inquiry_timeout(limit).socket_timeout(SocketTimeout::After(2 * limit))
        });
        let held = pool.get(Tier::Automation).unwrap();
        once(&pool, "those of the round before are gone", |activity| activity.limits.in_use == 2);
        // Over a Unix socket a returned connection is looked at before it is idle.
        eventually(LONG_BOUND, "the last question is done", || pool.adhoc().gauges().in_use == 0);
        let status = pool.verbose_connection_status();
        let text = status.plain().to_string();
        for line in [
            "[ok] Healthy: 1 connection always available for ad-hoc work",
            "sessions of fleet by all processes:",
            "Automation: 1 open: 1 idle",
            "Connections: 2 of 100, the last 3 for superusers",
            "Role app: 2, no limit",
            "Room left: 95 for automation, 95 for ad-hoc, 95 for strangers",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(text.is_ascii() && status.to_string().contains("📡 Server: PostgreSQL"));
        cluster.freeze_all();
        let status = within(limit + SLACK, "the status", || pool.verbose_connection_status());
        cluster.thaw_all();
        assert!(status.plain().to_string().contains("Server: not known: no "), "{status}");
        assert!(status.to_string().contains("In Use: 1/8"));
        drop(held);
    }
}
