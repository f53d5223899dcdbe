//! What a connection is like: its server's version and kind, encryption, and the limits of time in force.

use std::net::IpAddr;
use std::time::Duration;

use tierpool::config::{PgBouncer, PgSettings, Server, TargetSessionAttrs, TlsMode, TlsOptions};
use tierpool::postgres_crate::Config;
use tierpool::postgres_crate::config::Host;

use super::check::{Check, State, time};
use super::look::{Facts, Seen};

/// Of the oldest server that shows what its sessions are.
const OLDEST: i32 = 100_000;

/// The first with `idle_session_timeout` and `client_connection_check_interval`.
const WITH_ALL: i32 = 140_000;

pub fn version(facts: &Facts) -> Check {
    const NAME: &str = "version";
    let Facts { version, .. } = *facts;
    let found = format!("PostgreSQL {}", told_version(version));
    match version {
        WITH_ALL.. => Check::ok(NAME, found),
        OLDEST.. => {
            let todo =
                "upgrade the server: before 14 it does not notice that the machine of a client is gone";
            Check::bad(NAME, State::Warn, found, todo).allowed("14 or later")
        }
        _ => Check::bad(NAME, State::Fail, found, "upgrade the server").allowed("10 or later"),
    }
}

fn told_version(version: i32) -> String {
    let (major, rest) = (version / 10_000, version % 10_000);
    // Before 10 the second number was part of the major version.
    if major >= 10 { format!("{major}.{rest}") } else { format!("{major}.{}.{}", rest / 100, rest % 100) }
}

/// Whether a server takes what the pool is for. One that only reads has to be asked for.
pub fn kind(facts: &Facts, wanted: TargetSessionAttrs) -> Check {
    use TargetSessionAttrs as A;
    const NAME: &str = "kind of server";
    let found = match (facts.is_standby, facts.is_read_only) {
        (true, _) => "a standby",
        (false, true) => "a primary whose transactions are read-only (default_transaction_read_only)",
        (false, false) => "a primary that takes writes",
    };
    let allowed = match wanted {
        A::Any if facts.is_standby || facts.is_read_only => "one that takes writes",
        A::ReadWrite if facts.is_standby || facts.is_read_only => "one that takes writes",
        A::Primary if facts.is_standby => "a primary",
        A::Standby if !facts.is_standby => "a standby",
        A::ReadOnly if !facts.is_standby && !facts.is_read_only => "one that takes no writes",
        _ => return Check::ok(NAME, found),
    };
    let todo = match wanted {
        A::Any => {
            "name the primary, or all servers and target_session_attrs=read-write; where the pool only reads, say \
             target_session_attrs=standby, prefer-standby or read-only"
        }
        _ => "name the server that is meant, or all of them: the pool finds the one that is of this kind",
    };
    let allowed = format!("{allowed} (target_session_attrs is {})", wanted.as_str());
    Check::bad(NAME, State::Fail, found, todo).allowed(allowed)
}

/// Whether others can read along. Encryption that is demanded and not to be had is told by the connection itself.
pub fn tls(facts: &Facts, pooler: PgBouncer, server: &Server) -> Check {
    const NAME: &str = "tls";
    let TlsOptions { mode, root_cert, .. } = server.tls();
    let demand = format!("sslmode={}", mode.as_str());
    // With a root certificate `require` is as `verify-ca`.
    let is_checked = *mode >= TlsMode::VerifyCa || (*mode == TlsMode::Require && root_cert.is_some());
    let is_encrypted = *mode >= TlsMode::Require || (pooler == PgBouncer::Off && facts.is_encrypted);
    if is_encrypted {
        let certificate = if is_checked { "checked" } else { "not checked" };
        return Check::ok(NAME, format!("encrypted, the certificate is {certificate} ({demand})"));
    }
    if is_here(server.config()) {
        return Check::ok(NAME, format!("not demanded, on one machine ({demand})"));
    }
    let found = if pooler == PgBouncer::Off && facts.is_here {
        format!(
            "plain text to what the server takes for its own machine: a tunnel or a proxy is in between ({demand})"
        )
    } else if pooler == PgBouncer::Off {
        format!("plain text, which whoever is in between can read and change ({demand})")
    } else {
        format!("the server does not tell how its pooler is reached, and {demand} allows plain text")
    };
    let todo =
        "set sslmode=verify-full, and sslrootcert to the certificate of the server's authority or to system";
    Check::bad(NAME, State::Warn, found, todo)
}

/// Whether every server that is named is on this machine. A name stands for any machine, but for the one of this.
fn is_here(config: &Config) -> bool {
    let addresses = config.get_hostaddrs();
    if !addresses.is_empty() {
        return addresses.iter().all(|address| address.to_canonical().is_loopback());
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) if name.eq_ignore_ascii_case("localhost") => true,
        Host::Tcp(name) => name.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback()),
        #[cfg(unix)]
        Host::Unix(_) => true,
    })
}

/// Whether the limit of statements is the one of the settings: outside of sessions, and in them where they set it.
pub fn statement_timeout(seen: &Seen, facts: &Facts, settings: &PgSettings) -> Check {
    const NAME: &str = "statement timeout";
    let wanted = settings.automation_statement_timeout;
    let mut places = vec![("", facts.statement_timeout)];
    match &seen.in_session {
        None => {}
        Some(Ok(limit)) => places = vec![("in sessions ", *limit), ("outside of sessions ", places[0].1)],
        Some(Err(why)) => {
            let found = format!("a session could not be begun: {why}");
            return Check::bad(NAME, State::Unknown, found, "run it again when the server answers");
        }
    }
    let told: Vec<_> = places.iter().map(|(place, limit)| format!("{place}{}", limited(*limit))).collect();
    let found = format!("{} in force", told.join(", "));
    if places.iter().all(|(_, limit)| *limit == wanted) {
        return Check::ok(NAME, found);
    }
    let by_role =
        wanted.map(|wanted| format!("ALTER ROLE ... SET statement_timeout = {}", wanted.as_millis()));
    let todo = match (seen.pooler, by_role) {
        (_, None) => "set the limit that is meant, or ALTER ROLE ... RESET statement_timeout".to_owned(),
        (PgBouncer::Off, Some(by_role)) => {
            format!("something in between drops start-up options: say so by USE_PGBOUNCER, or {by_role}")
        }
        (_, Some(by_role)) => format!("{by_role}: the pooler lets only sessions of the pool set it"),
    };
    Check::bad(NAME, State::Fail, found, todo).allowed(format!("{} (DB_STATEMENT_TIMEOUT)", limited(wanted)))
}

fn limited(limit: Option<Duration>) -> String {
    limit.map_or_else(|| "no limit".to_owned(), time)
}

/// Whether the server leaves connections alone that are idle. Behind a pooler in transaction mode they are its own.
pub fn idle_session_timeout(facts: &Facts, pooler: PgBouncer, keepalive: Option<Duration>) -> Option<Check> {
    const NAME: &str = "idle session timeout";
    if pooler == PgBouncer::Transaction || facts.version < WITH_ALL {
        return None;
    }
    let found = limited(facts.idle_session_timeout);
    let Some(ends_after) = facts.idle_session_timeout else { return Some(Check::ok(NAME, found)) };
    let (is_kept, rule) = match keepalive {
        Some(keepalive) => (keepalive < ends_after, format!("more than the keepalive, {}", time(keepalive))),
        None => (false, "no limit, as there is no keepalive".to_owned()),
    };
    if is_kept {
        return Some(Check::ok(NAME, found).allowed(rule));
    }
    let todo = "raise idle_session_timeout, for the role alone by ALTER ROLE ... SET idle_session_timeout, or have the \
                application lower the pool's keepalive: the server ends connections that are kept open";
    Some(Check::bad(NAME, State::Fail, found, todo).allowed(rule))
}

#[cfg(test)]
mod tests {
    use tierpool::config::Overrides;

    use super::*;

    fn facts() -> Facts {
        Facts {
            version: 150_004,
            is_standby: false,
            is_read_only: false,
            statement_timeout: Some(Duration::from_secs(30)),
            idle_session_timeout: None,
            is_encrypted: false,
            is_here: false,
        }
    }

    #[test]
    fn old_servers_are_told() {
        let told = |version| {
            let check = version_of(version);
            (check.state, check.found)
        };
        assert_eq!(told(150_004), (State::Ok, "PostgreSQL 15.4".to_owned()));
        assert_eq!(told(130_011), (State::Warn, "PostgreSQL 13.11".to_owned()));
        assert_eq!(told(90_624), (State::Fail, "PostgreSQL 9.6.24".to_owned()));
    }

    fn version_of(number: i32) -> Check {
        version(&Facts { version: number, ..facts() })
    }

    #[test]
    fn a_server_that_takes_no_writes_has_to_be_asked_for() {
        use TargetSessionAttrs as A;
        let primary = facts();
        let standby = Facts { is_standby: true, is_read_only: true, ..facts() };
        let locked = Facts { is_read_only: true, ..facts() };
        for (wanted, good) in [
            (A::Any, [true, false, false]),
            (A::ReadWrite, [true, false, false]),
            (A::Primary, [true, false, true]),
            (A::Standby, [false, true, false]),
            (A::ReadOnly, [false, true, true]),
            (A::PreferStandby, [true, true, true]),
        ] {
            let told = [&primary, &standby, &locked].map(|facts| kind(facts, wanted).state == State::Ok);
            assert_eq!(told, good, "{wanted:?}");
        }
    }

    #[test]
    fn plain_text_is_told_where_somebody_can_be_in_between() {
        use PgBouncer::{Off, Session};
        let told = |facts: &Facts, pooler, url: &str| {
            let mut overrides = Overrides::default();
            overrides.url = Some(url.into());
            let settings = PgSettings::load(&overrides, |_| None).unwrap_or_else(|faults| panic!("{faults}"));
            let check = tls(facts, pooler, &settings.server);
            (check.state, check.found)
        };
        let state = |facts: &Facts, pooler, url: &str| told(facts, pooler, url).0;
        let (here, secret) = (Facts { is_here: true, ..facts() }, Facts { is_encrypted: true, ..facts() });
        let far = "postgresql://db.example/news";
        assert_eq!(state(&facts(), Off, far), State::Warn);
        assert_eq!(
            state(&here, Off, far),
            State::Warn,
            "a tunnel ends there, and nobody knows where it begins"
        );
        assert_eq!(state(&facts(), Off, "postgresql://localhost/news"), State::Ok);
        assert_eq!((state(&secret, Off, far), state(&secret, Session, far)), (State::Ok, State::Warn));
        assert_eq!(state(&here, Session, far), State::Warn, "the pooler's own way");
        for near in ["postgresql://127.0.0.1:6432/news", "host=/run/pooler", "host=h hostaddr=::1"] {
            assert_eq!(state(&facts(), Session, near), State::Ok, "{near}");
        }
        assert_eq!(state(&facts(), Session, "host=127.0.0.1,10.0.0.1"), State::Warn);
        let of = |demand: &str| told(&facts(), Session, &format!("{far}?{demand}")).1;
        assert_eq!(of("sslmode=require"), "encrypted, the certificate is not checked (sslmode=require)");
        let checked = of("sslmode=require&sslrootcert=ca.pem");
        assert_eq!(checked, "encrypted, the certificate is checked (sslmode=require)");
    }

    #[test]
    fn idle_connections_are_kept_only_by_a_keepalive_that_comes_first() {
        let state = |idle: Option<u64>, keepalive: Option<u64>| {
            let facts = Facts { idle_session_timeout: idle.map(Duration::from_secs), ..facts() };
            idle_session_timeout(&facts, PgBouncer::Off, keepalive.map(Duration::from_secs)).unwrap().state
        };
        assert_eq!(state(None, Some(60)), State::Ok);
        assert_eq!(state(Some(61), Some(60)), State::Ok);
        assert_eq!(state(Some(60), Some(60)), State::Fail);
        assert_eq!((state(Some(60), None), state(None, None)), (State::Fail, State::Ok));
        assert_eq!(idle_session_timeout(&facts(), PgBouncer::Transaction, None), None);
    }
}
