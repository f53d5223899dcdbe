//! The server of a `PgPool`: how it is named, what is detected by it, and that no password is shown.
#![cfg(feature = "postgres")]

mod loaded;

use std::time::Duration;

use loaded::*;
use tierpool::config::{Key, Overrides, PgBouncer, PrePing, Source, TargetSessionAttrs, TlsMode};

#[test]
fn a_missing_server_lists_what_was_looked_for() {
    let missing = load_only(&Overrides::default(), &[("POSTGRES_DB", "news")]);
    one_fault(missing, &["DATABASE_URL", "SUPABASE_URL", "POSTGRES_HOST", "PGHOST", "POSTGRES_DB alone"]);
    let of_oracle = [("DB_USER", "shop"), ("DB_PASSWORD", "hush"), ("DB_DSN", "db.example/news")];
    one_fault(
        load_only(&Overrides::default(), &of_oracle),
        &["; DB_DSN + DB_USER + DB_PASSWORD is not read"],
    );
}

#[test]
fn an_empty_connection_string_is_told_to_be_empty() {
    for text in ["", "  "] {
        let mut overrides = Overrides::default();
        overrides.url = Some(text.into());
        one_fault(load_only(&overrides, &[]), &["url is empty: must be a URL of the form postgresql://"]);
    }
}

#[test]
fn libpq_parameters_are_passed_on_or_refused_with_a_rule() {
    let loaded =
        with_query("target_session_attrs=read-write&keepalives_count=7&tcp_user_timeout=1500").unwrap();
    let config = loaded.server.config();
    assert_eq!(loaded.server.session_attrs(), TargetSessionAttrs::ReadWrite);
    assert_eq!(config.get_keepalives_retries(), Some(7));
    assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_millis(1500)));
    assert_eq!(config.get_keepalives_idle(), Duration::from_secs(30));
    for attrs in TargetSessionAttrs::ALL {
        let loaded = with_query(&format!("target_session_attrs={attrs}")).unwrap();
        assert_eq!(loaded.server.session_attrs(), attrs);
    }
    one_fault(
        with_query("target_session_attrs=master"),
        &[
            "URL parameter target_session_attrs is master",
            "any, read-write, read-only, primary, standby or prefer",
        ],
    );
    one_fault(
        with_query("service=x"),
        &["URL parameter service is [redacted]: not supported, as service files are not read: give host"],
    );
    for server in [("DATABASE_URL", URL), ("PGHOST", "h"), ("POSTGRES_HOST", "h")] {
        let faulty = load_only(&Overrides::default(), &[server, ("PGSERVICE", "news")]);
        one_fault(faulty, &["PGSERVICE is set: not supported, as service files are not read"]);
    }
    let missing = faults(load_only(&Overrides::default(), &[("PGSERVICE", "news")]));
    assert!(missing.len() == 2 && missing[0].starts_with("PGSERVICE is set"), "{missing:#?}");
    assert_eq!(with_query("sslmode=disable").unwrap().server.tls().mode, TlsMode::Disable);
}

#[test]
fn of_a_parameter_given_twice_the_last_one_holds() {
    let loaded = with_query("pool_timeout=1&keepalives_idle=5&pool_timeout=2&keepalives_idle=6").unwrap();
    assert_eq!(loaded.automation.connection_timeout, Duration::from_secs(2));
    assert_eq!(loaded.server.config().get_keepalives_idle(), Duration::from_secs(6));
    for (url, shown) in [
        ("host=a port=1 host=b port=2 user=x user=y", "postgresql://y@b:2"),
        ("postgresql://u@a/d?host=b&host=c", "postgresql://u@c:5432/d"),
        ("postgresql://u@a:7/d?host=b", "postgresql://u@b:7/d"),
        ("postgresql://u@a/d?port=6543&user=v&dbname=e", "postgresql://v@a:6543/e"),
        ("postgresql://u@a,b/d?host=c", "postgresql://u@c:5432/d"),
    ] {
        assert_eq!(load(&[("DATABASE_URL", url)]).unwrap().server.to_string(), shown, "{url}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_sockets_are_named_as_in_libpq() {
    for env in [
        ("DATABASE_URL", "host=@run/pg port=7 dbname=d"),
        ("DATABASE_URL", "postgresql://%40run%2Fpg:7/d"),
        ("DATABASE_URL", "postgresql:///d?host=%40run/pg&port=7"),
    ] {
        let loaded = load(&[env]).unwrap();
        assert_eq!(loaded.server.to_string(), "postgresql://@run/pg:7/d", "{env:?}");
        let host = postgres::config::Host::Unix("\0run/pg".into());
        assert_eq!(loaded.server.config().get_hosts(), [host]);
    }
}

#[test]
fn passwords_come_from_the_password_file_where_none_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let (own, usual) = (folder.path().join("own"), folder.path().join(".pgpass"));
    for (path, lines) in [
        (&own, "db.example:5432:news:scraper:of-own\n"),
        (&usual, "a:1:*:*:of-a\nb:*:*:*:of-b\nlocalhost:*:*:*:of-socket\n*:*:*:scraper:of-usual\n"),
    ] {
        std::fs::write(path, lines).unwrap();
        allow(path, 0o600);
    }
    let (own, home) = (own.display().to_string(), folder.path().display().to_string());
    let password = |url: &str, env: &[(&str, &str)]| {
        let home = ("HOME", home.as_str());
        let loaded = load(&[&[("DATABASE_URL", url), home][..], env].concat()).unwrap();
        assert!(!format!("{loaded:?} {:?}", loaded.effective()).contains("of-"), "{loaded:?}");
        loaded.server.config().get_password().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    let (url, passfile) = ("postgresql://scraper@db.example/news", ("PGPASSFILE", own.as_str()));
    assert_eq!(password(url, &[]).as_deref(), Some("of-usual"));
    assert_eq!(password(url, &[passfile]).as_deref(), Some("of-own"));
    assert_eq!(password(&format!("{url}?passfile={own}"), &[]).as_deref(), Some("of-own"));
    let elsewhere = "postgresql://other@db.example:7/news";
    assert_eq!(password(elsewhere, &[passfile]), None, "no line fits");
    assert_eq!(password(elsewhere, &[("PGPASSFILE", "/no/such/file")]), None);
    // What is given by any other way comes first.
    assert_eq!(password("postgresql://scraper:hush@db.example/news", &[passfile]).as_deref(), Some("hush"));
    assert_eq!(password(url, &[passfile, ("PGPASSWORD", "hush")]).as_deref(), Some("hush"));
    // The user of the process stands in, the database is called as the user, and a socket's host is localhost.
    let nobody = "postgresql://c/";
    assert_eq!(password(nobody, &[]), None);
    assert_eq!(password(nobody, &[("USER", "scraper")]).as_deref(), Some("of-usual"));
    if cfg!(unix) {
        assert_eq!(password("postgresql://u@/d?host=/tmp", &[]).as_deref(), Some("of-socket"));
    }
    // Each of several servers has its own.
    assert_eq!(password("postgresql://u@b,b:7/d", &[]).as_deref(), Some("of-b"));
    assert_eq!(password("postgresql://u@a:1,b/d", &[]), None, "one configuration cannot hold two");
    if cfg!(unix) {
        allow(std::path::Path::new(&own), 0o640);
        assert_eq!(password(url, &[passfile]), None, "others may read it");
        assert_eq!(password(url, &[("PGPASSFILE", home.as_str())]), None, "it is a folder");
    }
}

fn allow(path: &std::path::Path, mode: u32) {
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    #[cfg(not(unix))]
    let _ = (path, mode);
}

/// Plain text must never pass for `require`, wherever the demand comes from.
#[cfg(not(feature = "tls"))]
#[test]
fn encryption_is_refused_without_tls() {
    for (name, mode) in
        [("disable", TlsMode::Disable), ("allow", TlsMode::Allow), ("prefer", TlsMode::Prefer)]
    {
        assert_eq!(with_query(&format!("sslmode={name}")).unwrap().server.tls().mode, mode);
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        let parts = ["sslmode is", mode, "needs the feature `tls`", "disable, allow or prefer"];
        one_fault(with_query(&format!("sslmode={mode}")), &parts);
    }
    one_fault(load(&[("PGSSLMODE", "require")]), &["PGSSLMODE is require"]);
    one_fault(with_query("sslrootcert=/ca.pem"), &["sslrootcert is /ca.pem", "needs the feature `tls`"]);
    one_fault(with_query("sslnegotiation=direct"), &["sslnegotiation is direct"]);
}

#[cfg(feature = "tls")]
#[test]
fn tls_settings_are_taken_and_checked_against_each_other() {
    let loaded = with_query("sslmode=verify-full&sslrootcert=%2Fca.pem&sslcert=c&sslkey=k").unwrap();
    let tls = loaded.server.tls();
    assert_eq!((tls.mode, tls.root_cert.as_deref()), (TlsMode::VerifyFull, Some("/ca.pem".as_ref())));
    assert_eq!(with_query("sslrootcert=system").unwrap().server.tls().mode, TlsMode::VerifyFull);
    one_fault(with_query("sslrootcert=system&sslmode=require"), &["sslmode is require", "verify-full"]);
    one_fault(with_query("sslmode=verify-ca"), &["sslrootcert is not set", "verify-ca"]);
    one_fault(with_query("sslcert=c"), &["sslkey is not set"]);
    one_fault(with_query("sslnegotiation=direct"), &["sslmode is prefer", "require or stronger"]);
    one_fault(with_query("sslmode=full"), &["sslmode is full", "verify-full"]);
    assert_eq!(with_query("sslmode=allow").unwrap().server.tls().mode, TlsMode::Allow);
}

#[test]
fn addresses_of_every_form_reach_the_driver() {
    let shown = |env: &[(&str, &str)]| load_only(&Overrides::default(), env).unwrap().server.to_string();
    let several = "postgres://u%40x:p%2Fw@h1:1,[::1]:2,h3/d%20b?load_balance_hosts=random";
    assert_eq!(shown(&[("DATABASE_URL", several)]), "postgresql://u@x@h1:1,[::1]:2,h3:5432/d b");
    assert_eq!(shown(&[("SUPABASE_URL", "host='h' port=7 user=u dbname=d")]), "postgresql://u@h:7/d");
    assert_eq!(shown(&[("DATABASE_URL", "postgres:///d?host=/run/pg")]), "postgresql:///run/pg:5432/d");
    assert_eq!(shown(&[("DATABASE_URL", "postgres:///d?host=a,b&port=1,2")]), "postgresql://a:1,b:2/d");
    let pieces =
        [("POSTGRES_HOST", "h"), ("POSTGRES_PORT", "7"), ("POSTGRES_USER", "u"), ("PGHOST", "other")];
    assert_eq!(shown(&pieces), "postgresql://u@h:7");
    let pieces = [("POSTGRES_HOST", "a,b"), ("POSTGRES_PORT", "1,2")];
    assert_eq!(shown(&pieces), "postgresql://a:1,b:2");
    assert_eq!(shown(&[("PGHOST", "a,b"), ("PGPORT", "7")]), "postgresql://a:7,b:7");
    assert_eq!(shown(&[("PGHOSTADDR", "127.0.0.1"), ("PGDATABASE", "d")]), "postgresql://127.0.0.1:5432/d");
    one_fault(load_only(&Overrides::default(), &[("PGHOST", "h"), ("PGPORT", "x")]), &["PGPORT is x"]);
}

#[test]
fn an_address_is_shown_on_one_line_with_each_of_its_parts_cut() {
    let shown = |url: &str| load(&[("DATABASE_URL", url)]).unwrap().server.to_string();
    assert_eq!(
        shown("host='/run/p\ng' user='o\\'neill' dbname='d\u{202e}'"),
        r"postgresql://o'neill@/run/p\ng:5432/d\u{202e}"
    );
    assert_eq!(shown("postgresql://u%1B@h%0A/d"), r"postgresql://u\u{1b}@h\n:5432/d");
    let long = "é".repeat(2000);
    let shown = shown(&format!("host={long} user={long} dbname={long}"));
    assert!(shown.len() < 3 * 1100 && shown.matches("é...").count() == 3, "{shown}");
}

#[test]
fn passwords_reach_the_driver_decoded_once() {
    let password = |url: &str, env: &[(&str, &str)]| {
        let mut all = vec![("DATABASE_URL", url)];
        all.extend_from_slice(env);
        let loaded = load_only(&Overrides::default(), &all).unwrap();
        loaded.server.config().get_password().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    assert_eq!(password("postgres://u:p%40%2525@h", &[]).as_deref(), Some("p@%25"));
    assert_eq!(password("postgres://u@h", &[("PGPASSWORD", "it's")]).as_deref(), Some("it's"));
    assert_eq!(password("postgres://u:own@h", &[("PGPASSWORD", "it's")]).as_deref(), Some("own"));
    assert_eq!(password(r"host=h password='it\'s'", &[]).as_deref(), Some("it's"));
}

#[test]
fn a_password_is_never_shown() {
    let secrets = ["hush", "h%75sh"];
    let spread = |secret: &str| {
        [
            format!("postgres://u:{secret}@h/d"),
            format!("postgres://h/d?password={secret}"),
            format!("host=h password={secret}"),
            format!("postgres://u:{secret}@h/d?unknown=1&sslmode=x"),
            format!("postgres://u:a@{secret}@h/d"),
            format!("postgres://u:a/{secret}@h/d"),
            format!("postgres://u:a?{secret}=b@h/d"),
            format!("postgres://u:{secret}@h:x/d"),
            format!("postgres://u:{secret}%zz@h/d"),
            format!("postgres://u:{secret}"),
            format!("host=h password=a {secret}=b"),
            format!("postgres://h/d?password=a&{secret}=b"),
            format!("password=a {secret}"),
        ]
    };
    for url in secrets.into_iter().flat_map(spread) {
        let env = [("DATABASE_URL", url.as_str()), ("DB_POOL_SIZE", url.as_str())];
        for env in [&env[..1], &env[..]] {
            let text = match load_only(&Overrides::default(), env) {
                Ok(loaded) => format!("{loaded:?} {} {:?}", loaded.server, loaded.effective()),
                Err(faults) => format!("{faults} {faults:?}"),
            };
            assert!(!secrets.iter().any(|secret| text.contains(secret)), "{url} gives {text}");
        }
        let mut overrides = Overrides::default();
        overrides.url = Some(url.as_str().into());
        let text = format!("{overrides:?}");
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
    }
}

#[test]
fn pgbouncer_is_detected_and_every_default_can_be_set_back() {
    for (env, from) in [
        (("DATABASE_URL", "postgres://h:6543/d"), "port 6543"),
        (("DATABASE_URL", "postgres://h:6432/d"), "port 6432"),
        (("USE_PGBOUNCER", "true"), "USE_PGBOUNCER"),
        (("DATABASE_URL", "postgres://h/d?pgbouncer=true"), "URL parameter pgbouncer"),
    ] {
        let loaded = load(&[env]).unwrap();
        assert_eq!(loaded.pgbouncer, Some(PgBouncer::Transaction));
        let tier = &loaded.automation;
        assert_eq!((tier.base_size, tier.max_overflow, tier.pre_ping), (2, 5, PrePing::Always));
        assert_eq!(tier.max_lifetime, Some(Duration::from_secs(300)));
        assert_eq!(loaded.source(Key::BaseSize), &Source::Detected { from: from.to_owned() });
    }
    let port = ("DATABASE_URL", "postgres://h:6543/d");
    let off = load(&[port, ("USE_PGBOUNCER", "false")]).unwrap();
    assert_eq!((off.pgbouncer, off.automation.base_size), (Some(PgBouncer::Off), 50));
    let batch = load(&[port, ("DB_POOL_PROFILE", "batch")]).unwrap();
    assert_eq!((batch.pgbouncer, batch.automation.base_size), (Some(PgBouncer::Transaction), 50));
    let ping = load(&[port, ("DB_POOL_PRE_PING", "never")]).unwrap();
    assert_eq!(ping.automation.pre_ping, PrePing::Never);
}

#[test]
fn supabase_is_recognised_by_its_hosts() {
    let is = |host: &str| load(&[("DATABASE_URL", &format!("postgres://{host}/d"))]).unwrap().is_supabase();
    assert!(is("db.abc.supabase.co") && is("aws-0.pooler.SUPABASE.com:6543") && is("supabase.co."));
    assert!(!is("notsupabase.co") && !is("supabase.co.example"));
}

#[test]
fn a_key_in_place_of_its_path_is_told_of_and_not_shown() {
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIhush\n-----END PRIVATE KEY-----\n";
    let server = ("DATABASE_URL", "postgresql://db.example/news");
    for variable in ["PGSSLKEY", "PGSSLCERT", "PGSSLROOTCERT", "PGPASSFILE"] {
        for text in [key.to_owned(), key.replace('\n', "\\n"), key.replace('\n', "")] {
            let faults = load(&[server, (variable, &text)]).unwrap_err().to_string();
            assert_eq!(
                faults,
                format!("{variable} is [redacted]: must be the path of a file, and not what the file holds")
            );
        }
    }
}

#[test]
fn a_negative_connect_timeout_is_no_limit_where_it_is_libpqs() {
    let none = Duration::ZERO;
    assert_eq!(with_query("connect_timeout=-1").unwrap().connect_timeout, none);
    let server = ("DATABASE_URL", "postgresql://db.example/news");
    assert_eq!(load(&[server, ("PGCONNECT_TIMEOUT", "-5")]).unwrap().connect_timeout, none);
    one_fault(load(&[server, ("DATABASE_CONNECT_TIMEOUT", "-5")]), &["DATABASE_CONNECT_TIMEOUT is -5"]);
    one_fault(with_query("connect_timeout=-x"), &["0 or less for no limit"]);
}
