//! What errors of PostgreSQL connections say, in one line and in the report.
#![cfg(feature = "postgres")]

mod support;

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use log::{Level, LevelFilter};
use support::cluster::cluster;
use support::logged;
use support::pools::pool_of;
use support::wait::{MS, SECOND, eventually};
use support::wire::{chain, manager, open};
use tierpool::postgres::SessionOptions;
use tierpool::{PgError, PgPool, Tier};

const TABLES: &str = "CREATE TABLE sites (name text PRIMARY KEY);
    CREATE TABLE pages (url text PRIMARY KEY, site text NOT NULL REFERENCES sites (name));
    INSERT INTO sites VALUES ('news'); INSERT INTO pages VALUES ('/a', 'news')";

fn pool(url: String) -> PgPool {
    pool_of(1, "errors", url, |builder| builder)
}

fn refused(pool: &PgPool, sql: &str) -> PgError {
    pool.session(|tx| tx.batch_execute(sql)).expect_err("it is refused")
}

#[test]
fn the_line_is_the_servers_message_with_the_names_that_come_with_it() {
    let cluster = cluster();
    cluster.client().batch_execute(TABLES).unwrap();
    let pool = pool(cluster.url());
    let cases = [
        ("SELECT 1/0", "division by zero (SQLSTATE 22012)"),
        (
            "INSERT INTO pages VALUES ('/a', 'news')",
            "duplicate key value violates unique constraint \"pages_pkey\" \
             (SQLSTATE 23505, table pages, constraint pages_pkey)",
        ),
        (
            "INSERT INTO pages VALUES ('/b', NULL)",
            "null value in column \"site\" of relation \"pages\" violates not-null constraint \
             (SQLSTATE 23502, table pages, column site)",
        ),
        (
            "INSERT INTO pages VALUES ('/b', 'none')",
            "insert or update on table \"pages\" violates foreign key constraint \"pages_site_fkey\" \
             (SQLSTATE 23503, table pages, constraint pages_site_fkey)",
        ),
        (
            "SET LOCAL statement_timeout = 20; SELECT pg_sleep(60)",
            "the statement took too long: canceling statement due to statement timeout (SQLSTATE 57014)",
        ),
    ];
    for (sql, line) in cases {
        assert_eq!(refused(&pool, sql).to_string(), line);
    }
    let error = refused(&pool, "SELECT name FROM pages JOIN sites ON sit = name");
    assert_eq!(
        format!("{error:#}"),
        "column \"sit\" does not exist (SQLSTATE 42703)\n  \
         hint: Perhaps you meant to reference the column \"pages.site\"."
    );
    let error = refused(&pool, "INSERT INTO pages VALUES ('/a', 'news')");
    let report = format!("{error:#}");
    assert!(report.ends_with("\n  detail: Key (url)=(/a) already exists."), "{report}");
    assert_eq!(format!("{error:?}"), report, "unwrap and main print it");
    assert_eq!(error.source().unwrap().to_string(), "detail: Key (url)=(/a) already exists.");
    assert_eq!(error.as_postgres().and_then(|error| error.code()).unwrap().code(), "23505");
}

#[test]
fn where_no_connection_could_be_had_the_pool_speaks() {
    let cluster = cluster();
    let pool = pool(cluster.url());
    let mut held = pool.get(Tier::Automation).unwrap();
    held.tag("a debugger");
    let error = PgError::from(pool.automation().get_timeout(20 * MS).unwrap_err());
    let line = error.to_string();
    assert!(line.starts_with("no connection of pool `automation` within "), "{line}");
    assert!(line.contains("[a debugger]") && !line.contains('\n'), "{line}");
    assert!(format!("{error:#}").contains("\n  held longest:\n"), "{error:#}");
    assert_eq!(format!("{error:#}"), format!("{error:?}"));
    assert!(error.as_checkout().is_some_and(tierpool::Error::is_timeout));
}

#[test]
fn a_refused_log_in_is_said_once() {
    let cluster = cluster();
    cluster.admin().batch_execute("ALTER ROLE app NOLOGIN").unwrap();
    let error = manager(&cluster.url(), |_| ()).connect_within(5 * SECOND).unwrap_err();
    assert_eq!(error.to_string(), "role \"app\" is not permitted to log in (SQLSTATE 28000)");

    let builder = PgPool::builder().url(cluster.url()).app_name("errors");
    let pool = builder.connection_timeout(SECOND).build_unchecked().unwrap();
    let error = pool.get(Tier::Automation).unwrap_err();
    for text in [error.to_string(), format!("{error:#}"), format!("{:#}", PgError::from(error))] {
        assert_eq!(text.matches("not permitted to log in").count(), 1, "{text}");
        assert_eq!(text.matches("28000").count(), 1, "{text}");
    }
}

#[test]
fn a_servers_message_is_shown_on_one_line_and_cut() {
    let cluster = cluster();
    let pool = pool(cluster.url());
    let forged = "DO $$ BEGIN RAISE EXCEPTION E'no\\n✅ Healthy\\x1b[2K%', chr(8238)
        USING DETAIL = E'a\\nb', HINT = E'\\x1b[0m', CONSTRAINT = E'c\\nd', ERRCODE = '23999'; END $$";
    let error = refused(&pool, forged);
    let line = r"no\n✅ Healthy\u{1b}[2K\u{202e} (SQLSTATE 23999, constraint c\nd)";
    assert_eq!(error.to_string(), line);
    let report = format!("{error:#}");
    assert!(
        report.starts_with(&format!("{line}\n  detail: a\\nb\n  hint: \\u{{1b}}[0m\n  context: ")),
        "{report}"
    );

    let error = refused(&pool, "DO $$ BEGIN RAISE EXCEPTION '%', repeat('é', 3000000); END $$");
    assert!(error.to_string().len() < 1100 && error.to_string().contains("éé... (SQLSTATE P0001)"));
    assert!(format!("{error:?}").len() < 3 * 1100);
}

#[test]
fn an_application_name_turns_no_report_around() {
    let cluster = cluster();
    let pool = pool_of(1, "er\u{202e}rors\n", cluster.url(), |builder| builder);
    let activity = pool.server_activity().unwrap();
    assert_eq!(activity.app_name, r"er\u{202e}rors\n");
    assert!(activity.automation.application_name.starts_with(r"er\u{202e}rors\n"), "{activity:?}");
    let mut other = cluster.client();
    // Servers before 16 show no more of it than question marks.
    other
        .batch_execute("SET application_name = 'gnp\u{202e}exe'; BEGIN; SELECT 'a\nb\u{1b}\u{202e}'")
        .unwrap();
    let queries = pool.long_running_queries(Duration::ZERO).unwrap();
    let seen =
        queries.iter().find(|query| query.query.contains("SELECT 'a")).expect("it is in a transaction");
    assert!(seen.query.ends_with(r"SELECT 'a\nb\u{1b}\u{202e}'"), "{}", seen.query);
    let text = seen.to_string();
    assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
}

#[test]
fn a_wait_event_forges_no_line_of_a_report() {
    let cluster = cluster();
    // An extension names its own from PostgreSQL 17 on. Here the view does, in the pool's database.
    let mut admin = postgres::Client::connect(&cluster.superuser_url(), postgres::NoTls).unwrap();
    admin
        .batch_execute(
            "SET allow_system_table_mods = on;
            ALTER VIEW pg_catalog.pg_stat_activity RENAME TO as_it_was;
            CREATE VIEW pg_catalog.pg_stat_activity AS
                SELECT pid, application_name, usename, client_addr, state, backend_start, query_start,
                    xact_start, query, backend_type,
                    'Extension' AS wait_event_type, E'a\\nb\\x1b' || repeat('c', 2000) AS wait_event
                FROM pg_catalog.as_it_was;
            GRANT SELECT ON pg_catalog.pg_stat_activity TO PUBLIC;
            RESET allow_system_table_mods",
        )
        .unwrap();
    let mut other = cluster.client();
    other.batch_execute("BEGIN; SELECT 1").unwrap();
    let pool = pool(cluster.url());
    let queries = pool.long_running_queries(Duration::ZERO).unwrap();
    let [seen] = &queries[..] else { panic!("{queries:?}") };
    let event = seen.wait_event.as_deref().unwrap_or_default();
    assert!(event.starts_with(r"Extension: a\nb\u{1b}ccc") && event.ends_with("..."), "{event}");
    assert!(event.len() <= 1024 && seen.to_string().contains(event), "{seen}");
}

#[test]
fn a_notice_forges_no_line_of_the_log() {
    logged::capture(LevelFilter::Debug);
    let cluster = cluster();
    let server = format!("127.0.0.1:{}", cluster.port());
    let several = cluster.url().replace(&server, &format!("{server},{server}"));
    assert_ne!(several, cluster.url());
    for (way, url) in [("tcp", cluster.url()), ("unix", cluster.url_unix()), ("several", several)] {
        let raise = format!(r"RAISE NOTICE E'{way}\nERROR forged\x1b[2J%', repeat('x', 5000)");
        pool(url).session(|tx| tx.batch_execute(&format!("DO $$ BEGIN {raise}; END $$"))).unwrap();
        let begin = format!(r"NOTICE: {way}\nERROR forged\u{{1b}}[2Jxxx");
        let told = || logged::at("tierpool::notice").into_iter().find(|line| line.1.starts_with(&begin));
        eventually(5 * SECOND, "it is logged", || told().is_some());
        assert!(told().is_some_and(|(level, line)| level == Level::Info && line.len() < 1100));
        assert!(!logged::anywhere(&format!("{way}\nERROR forged")), "as it was written");
    }
}

#[test]
fn a_session_that_the_server_ended_says_why() {
    let cluster = cluster();
    let pool = pool(cluster.url());
    // The work finds the connection lost and looks no further; the end of the session does.
    let idle = |outlast: &dyn Fn()| {
        pool.session(|tx| {
            tx.batch_execute("SET LOCAL idle_in_transaction_session_timeout = 50; SELECT 1")?;
            outlast();
            let first = tx.batch_execute("SELECT 1").expect_err("the session is over");
            let second = tx.batch_execute("SELECT 1").expect_err("it stays so");
            assert_eq!(first.sqlstate(), Some("25P03"), "{first}");
            Err::<(), _>(second)
        })
    };
    let ended = || {
        let left = || cluster.connections("errors/automation") == 0;
        eventually(5 * SECOND, "the server ends the session", left);
    };
    let second = idle(&ended).unwrap_err();
    assert!(second.is_connection_lost());
    assert_eq!(second.sqlstate(), Some("25P03"));
    let text = second.to_string();
    assert!(
        text.ends_with("(the server ended the session: SQLSTATE 25P03, idle_in_transaction_session_timeout)"),
        "{text}"
    );

    let error = pool
        .session(|tx| {
            tx.batch_execute("SELECT 1")?;
            cluster.terminate_backends();
            ended();
            let _ = tx.batch_execute("SELECT 1");
            Ok::<_, PgError>(())
        })
        .unwrap_err();
    assert_eq!(error.sqlstate(), Some("57P01"), "{error}");
    assert!(error.to_string().contains("SQLSTATE 57P01"), "{error}");
    assert!(error.is_retryable() && !error.is_outcome_unknown(), "{error}");
}

#[test]
fn a_check_of_a_connection_that_the_server_ended_says_why() {
    let cluster = cluster();
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    cluster.terminate_backends();
    eventually(5 * SECOND, "it is found lost", || conn.probe(SECOND).is_err());
    let error = conn.probe(SECOND).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the connection was closed by the server (the server ended the session: SQLSTATE 57P01, admin_shutdown)"
    );
}

#[test]
fn a_copy_reports_its_errors_as_the_rest_of_a_session_does() {
    let cluster = cluster();
    cluster.client().batch_execute("CREATE TABLE n (i int)").unwrap();
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    let error = tierpool::postgres::run_session(&mut conn, &SessionOptions::new(), |tx| {
        let mut rows = tx.copy_in("COPY n FROM STDIN")?;
        rows.write_all(b"seven\n")?;
        rows.finish()?;
        Ok::<_, PgError>(())
    });
    assert_eq!(error.unwrap_err().sqlstate(), Some("22P02"));

    let of_copy = std::io::Error::other(conn.batch_execute("SELECT 1/0").unwrap_err());
    assert_eq!(PgError::from(of_copy).sqlstate(), Some("22012"));
    let besides = PgError::from(std::io::Error::new(std::io::ErrorKind::NotFound, "no file"));
    assert_eq!(besides.to_string(), "no file");
    assert!(!besides.is_connection_lost() && besides.as_io().is_some() && besides.source().is_none());
}

#[test]
fn no_link_of_the_chain_has_what_a_terminal_obeys_and_none_repeats_the_message() {
    let cluster = cluster();
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    let raise =
        "DO $$ BEGIN RAISE EXCEPTION E'stop\\x1b[2J\\nnow' USING DETAIL = E'more\\x1b[31m\\nlines'; END $$";
    let of_server = PgError::from(conn.batch_execute(raise).unwrap_err());
    let besides = PgError::from(std::io::Error::other("torn\u{1b}[2J\nfile"));
    for (error, message) in [(of_server, "stop"), (besides, "torn")] {
        let chain = chain(&error);
        assert!(!chain.contains(char::is_control), "{chain:?}");
        assert_eq!(chain.matches(message).count(), 1, "{chain}");
    }
}

#[test]
fn an_error_of_opening_names_its_only_server() {
    let closed = support::port::free_port().unwrap();
    let told = |url: &str| manager(url, |_| ()).connect_within(SECOND).unwrap_err().to_string();
    for (host, says) in [
        ("no.such.host.invalid", "could not look up the name of the server"),
        ("/no/such/folder", "No such file or directory"),
        ("127.0.0.1", "Connection refused"),
    ] {
        let told = told(&format!("host={host} port={closed} user=app"));
        assert!(told.starts_with(&format!("{host}:{closed}: ")) && told.contains(says), "{told}");
    }
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-x\r\n", "R\0\0\0\0"] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            std::io::Read::read(&mut socket, &mut [0; 1024]).unwrap();
            socket.write_all(answer.as_bytes()).unwrap();
        });
        let told = told(&format!("host=127.0.0.1 port={port} user=app sslmode=disable"));
        let expected = format!("127.0.0.1:{port}: what answers there does not speak PostgreSQL's protocol: ");
        assert!(told.starts_with(&expected), "{told}");
        serving.join().unwrap();
    }
}
