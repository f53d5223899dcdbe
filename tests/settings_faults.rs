//! What is said of a server that cannot be used: each fault names what was wrong, what was found and what is allowed.
#![cfg(feature = "postgres")]

mod loaded;

use std::time::Duration;

use loaded::*;
use tierpool::postgres::{PgManager, PgOptions};

#[test]
fn urls_that_cannot_be_used_are_faults() {
    let without_host = "without host: must name a host";
    for (url, part) in [
        ("postgresql:///news", without_host),
        ("postgresql://u:hush@/news", without_host),
        ("postgresql://?user=u", without_host),
        ("user=u password=hush", without_host),
        ("mysql://u:hush@h/d", "must be a URL of the form"),
        ("postgresql://u:hu@sh@h/d", "%40"),
        ("postgresql://u:hu/sh@h/d", "%2F"),
        ("postgresql://u:hush@h:port/d", "has a port that cannot be used: ports are numbers from 1 to 65535"),
        ("postgresql://u:hush@h:99999/d", "from 1 to 65535"),
        ("postgresql://u:hush@h:0/d", "port 0"),
        (
            "postgresql://u:hush@h/d?port=6543,6544",
            "with 2 ports for 1 host: must have one port, or one for each host",
        ),
        (
            "postgresql://u:hush@h1,h2/d?hostaddr=127.0.0.1",
            "with 1 address for 2 hosts: must have one address per host",
        ),
        ("postgresql://u:hush@h/d?loose", "without `=`"),
        ("postgresql://u:hush%@h/d", "%25"),
    ] {
        one_fault(load(&[("DATABASE_URL", url)]), &["DATABASE_URL is ", part]);
    }
}

#[test]
fn keepalives_that_no_socket_would_take_are_refused_by_name() {
    for (query, rule) in [
        ("keepalives=2", "must be 0 or 1"),
        ("keepalives_idle=-5", "must be whole seconds from 0 (the system's) to 32767"),
        ("keepalives_interval=32768", "must be whole seconds from 0 (the system's) to 32767"),
        ("keepalives_retries=128", "must be a whole number from 0 (the system's) to 127"),
        ("keepalives_count=-1", "must be a whole number from 0 (the system's) to 127"),
    ] {
        let (name, value) = query.split_once('=').unwrap();
        let url = format!("postgresql://u@h/d?{query}");
        one_fault(load(&[("DATABASE_URL", &url)]), &[&format!("URL parameter {name} is {value}: {rule}")]);
    }
    let query = "keepalives=0&keepalives_idle=32767&keepalives_interval=32766&keepalives_retries=127";
    let loaded = with_query(query).unwrap();
    let config = loaded.server.config();
    assert!(!config.get_keepalives());
    assert_eq!(config.get_keepalives_idle(), Duration::from_secs(32767));
    assert_eq!(config.get_keepalives_interval(), Some(Duration::from_secs(32766)));
    assert_eq!(config.get_keepalives_retries(), Some(127));
    let of_system = with_query("keepalives=1&keepalives_interval=0&keepalives_retries=0").unwrap();
    let config = of_system.server.config();
    let asked = (config.get_keepalives(), config.get_keepalives_interval(), config.get_keepalives_retries());
    assert_eq!(asked, (true, None, None));
}

#[test]
fn an_unknown_parameter_is_told_with_every_one_that_is_known() {
    let faults = faults(with_query("pool_sise=5"));
    let [fault] = &faults[..] else { panic!("{faults:#?}") };
    let (found, known) = fault.split_once(": must be one of ").expect("it has a rule");
    assert_eq!(found, "URL parameter pool_sise is unknown");
    let known: Vec<_> = known.split(", ").collect();
    for name in ["pool_timeout", "keepalives_retries", "keepalives_count", "sslmode", "passfile", "options"] {
        assert!(known.contains(&name), "{name} is not in {known:?}");
    }
    // Nor is the list cut off.
    for name in known {
        let told = load(&[("DATABASE_URL", &format!("host=h {name}=''"))]).err().unwrap_or_default();
        assert!(!told.to_string().contains("is unknown"), "{told}");
    }
}

#[test]
fn wrong_configurations_say_what_was_wrong_what_was_found_and_what_is_allowed() {
    let of_url = |url: &str| load(&[("DATABASE_URL", url)]);
    let sizes = [("DB_POOL_SIZE", "10"), ("DB_MAX_OVERFLOW", "5"), ("DB_POOL_MAX", "20")];
    let budget = [("DB_TOTAL_CONNECTIONS", "60"), ("DB_POOL_SIZE", "60")];
    let cases = [
        (
            with_query("pool_timeout=5s"),
            "URL parameter pool_timeout is 5s: must be a number of seconds such as 30",
        ),
        (
            with_query("keepalives_idle=soon"),
            "URL parameter keepalives_idle is soon: must be whole seconds from 0",
        ),
        (with_query("sslmode=on"), "URL parameter sslmode is on: must be disable, allow"),
        (
            with_query("service=news"),
            "URL parameter service is [redacted]: not supported, as service files are not read: give",
        ),
        (
            of_url("postgresql:///news"),
            "DATABASE_URL is without host: must name a host, as in postgresql://user@host",
        ),
        (
            of_url("postgresql://h:70000/d"),
            "DATABASE_URL is [redacted]: has a port that cannot be used: ports are numbers",
        ),
        (of_url("host=h port=x"), "URL parameter port is x: must be ports from 1 to 65535"),
        (
            of_url("host=a,b port=1,2,3"),
            "DATABASE_URL is with 3 ports for 2 hosts: must have one port, or one for each",
        ),
        (load(&[("DB_POOL_PROFILE", "huge")]), "DB_POOL_PROFILE is huge: must be one of batch, "),
        (load(&sizes), "DB_POOL_MAX is 20: contradicts DB_POOL_SIZE = 10 and DB_MAX_OVERFLOW = 5"),
        (load(&budget), "DB_TOTAL_CONNECTIONS is 60: must be at least 65 = DB_POOL_SIZE 60 + "),
    ];
    for (loaded, start) in cases {
        let faults = faults(loaded);
        assert!(faults.len() == 1 && faults[0].starts_with(start), "{start}\n{faults:#?}");
        assert!(!faults[0].contains('\n'));
    }
    let both = with_query("sslmode=on&pool_timeout=5s").unwrap_err();
    let [line, report] = [both.to_string(), format!("{both:#}")];
    assert_eq!((line.lines().count(), report.lines().count()), (1, 2), "{line}\n{report}");
}

#[test]
fn faults_of_an_address_and_of_its_parameters_are_told_together() {
    let faults = faults(load(&[("DATABASE_URL", "postgresql://u:hush@h:port/d?keepalives=y&hostaddr=h")]));
    let starts = [
        "DATABASE_URL is [redacted]: has a port that cannot be used",
        "URL parameter keepalives is y: must be 0 or 1",
        "URL parameter hostaddr is h: must be IP addresses",
    ];
    assert_eq!(faults.len(), starts.len(), "{faults:#?}");
    for (fault, start) in faults.iter().zip(starts) {
        assert!(fault.starts_with(start), "{faults:#?}");
    }
}

#[test]
fn texts_with_a_zero_byte_are_faults_without_the_value() {
    for (url, setting, found) in [
        ("postgresql://u:hu%00sh@h/d", "DATABASE_URL", "with a zero byte in the password"),
        ("postgresql://u%00:hush@h/d", "DATABASE_URL", "with a zero byte in the user"),
        ("postgresql://u:hush@h/d%00", "DATABASE_URL", "with a zero byte in the dbname"),
        ("postgresql://u:hush@h%00/d", "DATABASE_URL", "with a zero byte in the host"),
        ("postgresql://u:hush@%2Frun%00/d", "DATABASE_URL", "with a zero byte in the host"),
        ("postgresql://h/d?password=hu%00sh", "URL parameter password", "[redacted]"),
        ("postgresql://h/d?options=-c%20a.b=hu%00sh", "URL parameter options", "[redacted]"),
        ("postgresql://h/d?user=u%00", "URL parameter user", r"u\u{0}"),
        ("host=h dbname='d\0'", "URL parameter dbname", r"d\u{0}"),
        ("host='h\0'", "URL parameter host", r"h\u{0}"),
    ] {
        let fault = format!("{setting} is {found}: must be text without a zero byte");
        let faults = faults(load(&[("DATABASE_URL", url)]));
        assert!(
            faults.len() == 1 && faults[0].starts_with(&fault) && !faults[0].contains("sh"),
            "{faults:?}"
        );
    }
    one_fault(
        load(&[("PGPASSWORD", "hu\0sh"), ("DATABASE_URL", "postgresql://h")]),
        &["PGPASSWORD is [redacted]"],
    );
    let config: postgres::Config = "host=h user=u password='hu\0sh'".parse().unwrap();
    let error = PgManager::new(config, PgOptions::default()).unwrap_err().to_string();
    assert!(
        error.contains("password is with a zero byte: must be text without") && !error.contains("sh"),
        "{error}"
    );
}
