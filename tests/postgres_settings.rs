//! What a connection string, the server and the pool's defaults say, on a server of its own: which of them holds.
#![cfg(feature = "postgres")]

mod support;

use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use support::cluster::{APP_PASSWORD, Cluster, cluster};
use support::logged;
use support::pools::pool_of;
use support::wait::SECOND;
use support::wire::{chain, one};
use tierpool::config::{Overrides, PgSettings};
use tierpool::postgres::{Retry, SessionOptions, SocketTimeout};
use tierpool::{PgBuilder, PgError, PgPool, Tier};

fn pool(url: &str, change: impl FnOnce(PgBuilder) -> PgBuilder) -> PgPool {
    pool_of(2, "settings", url, change)
}

/// The limit of a statement in each tier, as the server has it.
fn limits(pool: &PgPool) -> [String; 2] {
    [Tier::Automation, Tier::Adhoc].map(|tier| one(&mut pool.get(tier).unwrap(), "SHOW statement_timeout"))
}

#[test]
fn what_was_said_of_the_statement_timeout_wins_over_the_default_and_the_default_over_the_roles() {
    let cluster = cluster();
    cluster.admin().batch_execute("ALTER ROLE app SET statement_timeout = '7s'").unwrap();
    let url = cluster.url();
    let with = |options: &str| format!("{url}?options=-c%20statement_timeout={options}");
    let seconds = Duration::from_secs;
    assert_eq!(limits(&pool(&url, |builder| builder)), ["30s", "30s"]);
    assert_eq!(limits(&pool(&with("0"), |builder| builder)), ["0", "0"]);
    assert_eq!(limits(&pool(&with("2min"), |builder| builder)), ["2min", "2min"]);
    // The way to the role's own.
    assert_eq!(limits(&pool(&url, |builder| builder.statement_timeout(seconds(0)))), ["7s", "7s"]);
    assert_eq!(limits(&pool(&url, |builder| builder.adhoc_statement_timeout(seconds(0)))), ["30s", "7s"]);
    // A string of the ad-hoc tier's own has a say for that tier.
    assert_eq!(limits(&pool(&url, |builder| builder.adhoc_url(with("0")))), ["30s", "0"]);
    assert_eq!(limits(&pool(&with("9s"), |builder| builder.adhoc_url(&*url))), ["9s", "9s"]);
    // Each string speaks for its own server.
    assert_eq!(limits(&pool(&with("9s"), |builder| builder.adhoc_url(with("0")))), ["9s", "0"]);

    let fault = |builder: PgBuilder| builder.build_unchecked().unwrap_err().to_string();
    let of_adhoc = PgPool::builder().url(with("0")).adhoc_statement_timeout(seconds(5));
    assert!(fault(of_adhoc).contains("statement_timeout + options is 5 s and 0 s"));
    let of_string = PgPool::builder().url(&*url).statement_timeout(seconds(5)).adhoc_url(with("0"));
    assert!(fault(of_string).contains("statement_timeout + adhoc_url, URL parameter options is 5 s and 0 s"));
}

#[test]
fn a_time_in_start_up_options_is_read_as_the_server_reads_it() {
    let cluster = cluster();
    let mut client = cluster.client();
    let numbers = "0|1|017|08|09.5|1500|2147483647|2147483648|1e3|1E+3|15e-1|1e|1e400|1e-400|0e9|0x10|0XfF|\
                   0x|0xg|0x.8|0x1.8|0x1.8p2|0x1p2|1.5|.5|5.|+.5|-.1|.||+7|-7|-0|-0.4|-0.6|+-7|- 7|1_000|inf|\
                   nan|0.5005|2.5|3.5|99999999999999999999|0x7fffffff|0xffffffffffffffffff|١";
    let units =
        ["", " ", "us", "ms", " ms", "s", "s ", "\u{b}min\t", "min", "h", "d", "S", "sec", "m s", "x"];
    for (number, unit) in numbers.split('|').flat_map(|number| units.map(|unit| (number, unit))) {
        for time in [format!("{number}{unit}"), format!(" {number}{unit}")] {
            // Read by the same rules, and no danger to the questions here.
            let set = "SELECT set_config('lock_timeout', $1, false)";
            let server = client.query(set, &[&time]).ok().map(|_| {
                let show = "SELECT setting::bigint FROM pg_settings WHERE name = 'lock_timeout'";
                let ms: i64 = client.query_one(show, &[]).unwrap().get(0);
                Duration::from_millis(ms.try_into().unwrap())
            });
            let escaped: String = time.chars().flat_map(|c| ['\\', c]).collect();
            let string = format!("host=h options='-c statement_timeout={}'", escaped.replace('\\', r"\\"));
            let mut overrides = Overrides::default();
            overrides.url = Some(string.into());
            let loaded = PgSettings::load(&overrides, |_| None).ok();
            let here = loaded.map(|loaded| loaded.adhoc_statement_timeout.unwrap_or_default());
            assert_eq!(here, server, "{time:?}");
        }
    }
}

#[test]
fn each_server_gets_its_own_password_from_the_password_file() {
    let [first, second] = [cluster(), cluster()];
    second.admin().batch_execute("ALTER ROLE app PASSWORD 'other'").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("passwords");
    let line =
        |cluster: &Cluster, password: &str| format!("127.0.0.1:{}:app:app:{password}\n", cluster.port());
    write(&file, line(&first, APP_PASSWORD) + &line(&second, "other")).unwrap();
    set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let url = format!(
        "postgresql://app@127.0.0.1:{},127.0.0.1:{}/app?passfile={}",
        first.port(),
        second.port(),
        file.display()
    );
    let pool = pool(&url, |builder| builder.adhoc_url(url.as_str()));
    assert_eq!(limits(&pool), ["30s", "30s"]);
    first.stop_fast();
    pool.automation().evict_idle();
    assert_eq!(
        one::<String>(&mut pool.get(Tier::Automation).unwrap(), "SHOW port"),
        second.port().to_string()
    );
}

#[test]
fn a_password_file_that_is_not_used_is_told_on_one_line() {
    logged::capture(log::LevelFilter::Warn);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pass\n\u{202e}'words");
    write(&file, "*:*:*:*:hush").unwrap();
    set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let quoted = file.display().to_string().replace('\'', r"\'");
    let string = format!("host=db.example user=app passfile='{quoted}'");
    PgPool::builder().url(string).build_unchecked().unwrap();
    assert!(logged::anywhere(r"/pass\n\u{202e}'words is not used: its permissions are 0644"));
}

#[test]
fn a_statement_without_the_servers_limit_meets_the_socket_timeout_which_names_itself_and_the_way_out() {
    let cluster = cluster();
    let limit = SECOND / 2;
    let pool = pool(&cluster.url(), |builder| builder.socket_timeout(SocketTimeout::After(limit)));
    let long = format!("SELECT pg_sleep({})", 3.0 * limit.as_secs_f64());
    // The server would let it run on; it is the client that gives up.
    for (begin, lift) in [("", "SET"), ("BEGIN; ", "SET LOCAL")] {
        let mut conn = pool.get(Tier::Automation).unwrap();
        conn.batch_execute(&format!("{begin}{lift} statement_timeout = 0")).unwrap();
        let error = PgError::from(conn.batch_execute(&long).unwrap_err());
        assert!(error.is_client_timeout() && error.is_connection_lost(), "{error}");
        for part in ["within 500 ms (socket_timeout)", "SessionOptions", "PgConnection::set_socket_timeout"] {
            assert!(chain(&error).contains(part), "{part:?} is not in {}", chain(&error));
        }
    }
    // The two ways out.
    let no_limit = SessionOptions::new().statement_timeout(Duration::ZERO);
    pool.session_with(Tier::Automation, &no_limit, |tx| tx.batch_execute(&long)).unwrap();
    let mut conn = pool.get(Tier::Automation).unwrap();
    conn.batch_execute("SET statement_timeout = 0").unwrap();
    conn.set_socket_timeout(None);
    conn.batch_execute(&long).unwrap();
}

#[test]
fn a_statement_that_the_socket_timeout_ended_uses_up_its_attempts() {
    let cluster = cluster();
    let pool = pool(&cluster.url(), |builder| builder.socket_timeout(SocketTimeout::After(SECOND / 5)));
    let retry = Retry { attempts: 3, first: Duration::from_millis(10), ..Retry::default() };
    let mut calls = 0;
    let outcome = pool.session_with(Tier::Automation, &SessionOptions::new().retry(retry), |tx| {
        calls += 1;
        tx.batch_execute("SET LOCAL statement_timeout = 0; SELECT pg_sleep(5)")
    });
    assert!(outcome.unwrap_err().is_client_timeout());
    assert_eq!(calls, 3, "it is no outage");
}

/// Stands at an abstract socket of PostgreSQL's naming and passes everything on to the server.
#[cfg(target_os = "linux")]
fn relay(name: &str, port: u16) {
    use std::io::copy;
    use std::net::{Shutdown, TcpStream};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    use std::thread::spawn;

    let address = SocketAddr::from_abstract_name(format!("{name}/.s.PGSQL.{port}")).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    spawn(move || {
        for client in listener.incoming().map(Result::unwrap) {
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (mut to_client, mut from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            spawn(move || {
                let _ = copy(&mut from_server, &mut to_client);
                to_client.shutdown(Shutdown::Both)
            });
            let (mut from_client, mut to_server) = (client, server);
            spawn(move || {
                let _ = copy(&mut from_client, &mut to_server);
                to_server.shutdown(Shutdown::Both)
            });
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_socket_is_connected_to() {
    let cluster = cluster();
    let name = format!("tierpool-{}", std::process::id());
    relay(&name, cluster.port());
    let string = format!("host=@{name} port={} user=app password={APP_PASSWORD} dbname=app", cluster.port());
    // That its processes are not the server's looks like a pooler.
    let pool = pool(&string, |builder| builder.pgbouncer(false));
    assert_eq!(limits(&pool), ["30s", "30s"]);
    assert!(!pool.get(Tier::Automation).unwrap().is_observed(), "no socket of TCP");
}
