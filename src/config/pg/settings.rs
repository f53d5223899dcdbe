//! The settings of a `PgPool`: two tiers under one budget, and the server.

use std::time::Duration;

use postgres::Config;

use super::server::address::Server;
use super::server::destination::Destination;
use super::table::pgbouncer::PgBouncer;
use super::table::rows::{Key, ROWS};
use super::table::source::{Overruled, Source, Sourced};
use super::table::value::Value;
use crate::config::policy::PrePing;
use crate::config::settings::Settings;

/// The longest first part of `application_name`: the server keeps 63 bytes, and `/automation` has its place.
pub(super) const MAX_APP_NAME: usize = 63 - "/automation".len();

/// Everything that makes a `PgPool`, merged and checked.
///
/// [`PgSettings::load`] lays builder over environment over URL over profile over default; [`settings`] lists what
/// can be set. The fields are public so that a program can go on from there, and [`PgSettings::check`] then holds the
/// rules again. Neither `Debug` nor [`PgSettings::effective`] show a password.
///
/// # Sizes
///
/// The automation tier has a base size and an overflow, or a ceiling (`max_size`) instead. A ceiling alone is all
/// base size; together with one of the other two it gives the third; together with both it must be their sum. Only
/// the strongest source that names any of the three has a say on the ceiling: a program that sets `base_size` is not
/// bound by `DB_POOL_MAX`, and the log says at start that this one has no effect.
///
/// Where no budget is set, it is the ceiling and the reserve. Where one is set and no base size, the base size is what
/// reserve and overflow leave of it, and an overflow that nobody has set gives way to the base size. The sizes of a
/// profile, and those for a pooler, count as set.
///
/// [`settings`]: crate::config::settings
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PgSettings {
    /// The server, with the password.
    pub server: Server,
    /// The name of the profile. Default `batch`.
    pub profile: String,
    /// The budget: what both ceilings together may not exceed. Default: what they come to, which is 60.
    pub total_connections: u32,
    /// The budget is to be what the limits of the tiers' roles on the server come to: asked when a pool is built, and
    /// until then `total_connections` is what the sizes come to. Default: no.
    pub total_from_role: bool,
    /// The ad-hoc tier's part of the budget. Default 5.
    pub reserved: u32,
    /// The automation tier. Its name is `automation`, behind the name of the service where there is one. Default: base
    /// size 50, overflow 5, nothing kept open ahead of demand.
    pub automation: Settings,
    /// The ad-hoc tier: the reserved connections without overflow, closed after 10 s without use
    /// ([`base_lingers`](Settings::base_lingers)) unless builder or environment set an idle timeout, which holds for
    /// both tiers. Timeouts, ages, wait mode and pre-ping are those of the automation tier; a pre-ping that nobody set
    /// is by the tier's own server, where it has one.
    pub adhoc: Settings,
    /// The limit of a statement in the automation tier. Default 30 s; `None`: no limit.
    pub automation_statement_timeout: Option<Duration>,
    /// The limit of a statement in the ad-hoc tier. Default 30 s; `None`: no limit.
    pub adhoc_statement_timeout: Option<Duration>,
    /// The limit of the server's silence while a reply is due, over TCP. Default `None`: the statement timeout plus
    /// 5 s; zero: no limit.
    pub socket_timeout: Option<Duration>,
    /// Statements that take longer are logged with their text, over TCP. Default `None`: none.
    pub slow_query: Option<Duration>,
    /// The time of each statement is recorded, over TCP. Default: no.
    pub query_times: bool,
    /// The limit of opening a connection, handshake included. Default 10 s; zero: no limit.
    pub connect_timeout: Duration,
    /// Prepared statements kept per connection. Default 100; 0: none.
    pub statement_cache_size: u32,
    /// Whether a PgBouncer is in between, and in which mode; `None`: to be found out on the first connection.
    pub pgbouncer: Option<PgBouncer>,
    /// The first part of `application_name`. Default: the name of the program's file, else `tierpool`.
    pub app_name: String,
    /// The fleet that the automation tier is part of. Default: none.
    pub fleet: Option<String>,
    /// The part in it compared with that of others. Default 1.
    pub fleet_weight: u32,
    /// The pool stands behind the admin socket of its process (feature `http`, on Unix). Default: no.
    pub admin: bool,
    /// Where each setting of the table came from, in table order.
    sources: Vec<Source>,
    /// A ceiling that was set and does not hold.
    pub(super) overruled: Option<Overruled>,
}

impl PgSettings {
    /// Starts with a server. All else that the table lists is put there by [`PgSettings::set`].
    pub(super) fn of_server(server: Server) -> PgSettings {
        let mut sources = vec![Source::Default; ROWS];
        sources[Key::Server as usize] = server.source().clone();
        PgSettings {
            server,
            profile: String::new(),
            total_connections: 0,
            total_from_role: false,
            reserved: 0,
            automation: Settings::of_automation(),
            adhoc: Settings::of_adhoc(),
            automation_statement_timeout: None,
            adhoc_statement_timeout: None,
            socket_timeout: None,
            slow_query: None,
            query_times: false,
            connect_timeout: Duration::ZERO,
            statement_cache_size: 0,
            pgbouncer: None,
            app_name: String::new(),
            fleet: None,
            fleet_weight: 1,
            admin: false,
            sources,
            overruled: None,
        }
    }

    /// Puts a setting of the table where it belongs; `None` where its default is no value.
    pub(super) fn set(&mut self, key: Key, Sourced { value, source }: Sourced<Option<Value>>) {
        match key {
            // The server is there from the start, and a ceiling comes as base size and overflow.
            Key::Server | Key::MaxSize => {}
            Key::TotalConnections => self.total_connections = count(key, value),
            Key::Reserved => {
                self.reserved = count(key, value);
                self.adhoc.base_size = self.reserved;
            }
            Key::MinSize => self.automation.min_size = count(key, value),
            Key::BaseSize => self.automation.base_size = count(key, value),
            Key::MaxOverflow => self.automation.max_overflow = count(key, value),
            Key::MaxWaiting => self.automation.max_waiting = value.map(|value| count(key, Some(value))),
            Key::ConnectionTimeout => self.in_both(|tier| &mut tier.connection_timeout, time(key, value)),
            Key::WaitMode => {
                let Some(Value::WaitMode(mode)) = value else { misfit(key, value) };
                self.in_both(|tier| &mut tier.wait_mode, mode);
            }
            Key::MaxLifetime => self.in_both(|tier| &mut tier.max_lifetime, limit(key, value)),
            Key::IdleTimeout => {
                self.in_both(|tier| &mut tier.idle_timeout, limit(key, value));
                self.adhoc.base_lingers = !source.is_explicit();
            }
            Key::PrePing => {
                let policy = match value {
                    None => self.default_pre_ping(),
                    Some(Value::PrePing(policy)) => policy,
                    other => misfit(key, other),
                };
                self.in_both(|tier| &mut tier.pre_ping, policy);
            }
            Key::StatementTimeout => {
                self.automation_statement_timeout = limit(key, value);
                self.adhoc_statement_timeout = self.automation_statement_timeout;
            }
            Key::SocketTimeout => self.socket_timeout = value.map(|value| time(key, Some(value))),
            Key::SlowQuery => self.slow_query = value.and_then(|value| limit(key, Some(value))),
            Key::QueryTimes => self.query_times = flag(key, value),
            Key::Fleet => self.fleet = value.map(|value| text(key, value)),
            Key::FleetWeight => self.fleet_weight = count(key, value),
            Key::Admin => self.admin = flag(key, value),
            Key::ConnectTimeout => self.connect_timeout = time(key, value),
            Key::FailureThreshold => self.in_both(|tier| &mut tier.failure_threshold, count(key, value)),
            Key::OpenFor => self.in_both(|tier| &mut tier.open_for, time(key, value)),
            Key::LeakThreshold => {
                let threshold = value.and_then(|value| limit(key, Some(value)));
                self.in_both(|tier| &mut tier.leak_threshold, threshold);
            }
            Key::StatementCacheSize => self.statement_cache_size = count(key, value),
            Key::Pgbouncer => {
                self.pgbouncer = value.map(|value| match value {
                    Value::PgBouncer(mode) => mode,
                    other => misfit(key, Some(other)),
                });
            }
            Key::Profile => self.profile = value.map_or_else(|| "batch".to_owned(), |value| text(key, value)),
            Key::Name => {
                if let Some(value) = value {
                    let name = text(key, value);
                    for tier in [&mut self.automation, &mut self.adhoc] {
                        tier.name = format!("{name}.{}", tier.name);
                    }
                }
            }
            Key::AppName => self.app_name = value.map_or_else(program_name, |value| text(key, value)),
        }
        self.sources[key as usize] = source;
    }

    /// Every checkout, where a look at the connection costs no round trip.
    pub(crate) fn default_pre_ping(&self) -> PrePing {
        if self.server.is_by_tcp() { PrePing::Always } else { PrePing::default() }
    }

    /// Sets what both tiers have in common.
    fn in_both<T: Copy>(&mut self, field: impl Fn(&mut Settings) -> &mut T, value: T) {
        *field(&mut self.automation) = value;
        *field(&mut self.adhoc) = value;
    }

    /// The ad-hoc tier, where an idle timeout that a program has put there since it was loaded counts as set.
    #[cfg(feature = "postgres")]
    pub(crate) fn adhoc_completed(&self) -> Settings {
        let mut loaded = self.adhoc.clone();
        if !self.source(Key::IdleTimeout).is_explicit() {
            loaded.idle_timeout = Settings::default().idle_timeout;
        }
        self.adhoc.clone().completed(&loaded)
    }

    /// The address for one tier's connections: the server with connect timeout and `application_name`
    /// `"<app name>/<tier>"`.
    ///
    /// ```
    /// # use tierpool::config::{Overrides, PgSettings};
    /// let mut overrides = Overrides::default();
    /// overrides.url = Some("postgresql://db.example/news?application_name=scraper".into());
    /// let settings = PgSettings::load(&overrides, |_| None).unwrap();
    /// let config = settings.connect_config("adhoc");
    /// assert_eq!(config.get_application_name(), Some("scraper/adhoc"));
    /// ```
    pub fn connect_config(&self, tier: &str) -> Config {
        self.destination(tier).into_config()
    }

    /// As [`PgSettings::connect_config`], with what follows from it.
    pub(crate) fn destination(&self, tier: &str) -> Destination {
        let application_name = format!("{}/{tier}", self.app_name);
        self.server.destination().clone().with(self.connect_timeout, &application_name)
    }

    /// Whether the server is one of Supabase's.
    pub fn is_supabase(&self) -> bool {
        self.server.is_supabase()
    }

    /// The name of the service, where it has one.
    pub(super) fn service(&self) -> Option<&str> {
        self.automation.name.strip_suffix(".automation")
    }

    /// Where the value of a setting came from.
    pub fn source(&self, key: Key) -> &Source {
        &self.sources[key as usize]
    }
}

fn count(key: Key, value: Option<Value>) -> u32 {
    match value {
        Some(Value::Count(count)) => count,
        other => misfit(key, other),
    }
}

fn time(key: Key, value: Option<Value>) -> Duration {
    match value {
        Some(Value::Time(time)) => time,
        other => misfit(key, other),
    }
}

fn flag(key: Key, value: Option<Value>) -> bool {
    match value {
        Some(Value::Flag(flag)) => flag,
        other => misfit(key, other),
    }
}

/// A time for which zero means that there is no limit.
fn limit(key: Key, value: Option<Value>) -> Option<Duration> {
    Some(time(key, value)).filter(|time| !time.is_zero())
}

fn text(key: Key, value: Value) -> String {
    match value {
        Value::Text(text) => text,
        other => misfit(key, Some(other)),
    }
}

/// The table's tests hold that default and spellings of a setting have one kind, and `Overrides` is typed.
fn misfit(key: Key, value: Option<Value>) -> ! {
    unreachable!("BUG: {key:?} is {value:?}")
}

/// The file name of the program, cut to what fits.
fn program_name() -> String {
    let program = std::env::args_os().next().unwrap_or_default();
    let name = std::path::Path::new(&program).file_name().unwrap_or_default().to_string_lossy();
    let printable = name.chars().filter(|c| c.is_ascii_graphic()).take(MAX_APP_NAME).collect::<String>();
    if printable.is_empty() { "tierpool".to_owned() } else { printable }
}
