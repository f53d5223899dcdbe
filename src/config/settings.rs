//! The settings of one pool: plain values, their defaults, and the rules between them.

use std::time::Duration;

use super::faults::Faults;
use super::policy::{PrePing, WaitMode};
use crate::text::Limit;

/// Every setting of one pool.
///
/// [`Builder`](crate::Builder) fills it in, [`Pool::settings`](crate::Pool::settings) reads it back and
/// [`Pool::reconfigure`](crate::Pool::reconfigure) changes it at run time. The fields are public so that a test or
/// a script can print and compare them; [`Settings::check`] holds the rules.
///
/// ```
/// use tierpool::config::Settings;
///
/// let mut settings = Settings::default();
/// settings.base_size = 5;
/// settings.min_size = 9;
/// let faults = settings.check();
/// assert_eq!(faults.to_string(), "min_size is 9: must not exceed the ceiling of 5 (base_size + max_overflow)");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Settings {
    /// The name in log targets, thread names and metrics. Default `"pool"`.
    pub name: String,
    /// Connections that are kept once opened. Default 10, r2d2's `max_size`.
    #[doc(alias("pool_size"))]
    pub base_size: u32,
    /// Connections above the base size, closed when load falls. Default 0.
    pub max_overflow: u32,
    /// Connections kept open in total, idle or in use. Default 0.
    #[doc(alias("min", "MinConns"))]
    pub min_size: u32,
    /// Idle connections kept ready, within the ceiling. `None` (default) is r2d2's default, as many as the base size;
    /// where `min_size` is set, that alone says what is kept open, and `None` means none besides.
    #[doc(alias("minimumIdle", "MinIdleConns"))]
    pub min_idle: Option<u32>,
    /// How many callers may queue; the next gets `QueueFull`. `None` (default): as many as there are threads.
    pub max_waiting: Option<u32>,
    /// How `get` waits. Default: at most `connection_timeout`.
    #[cfg_attr(feature = "serde", serde(skip))]
    #[doc(alias("getmode", "POOL_GETMODE_WAIT", "POOL_GETMODE_NOWAIT", "POOL_GETMODE_TIMEDWAIT"))]
    pub wait_mode: WaitMode,
    /// The one deadline of a checkout: queueing, opening, set-up, validation, reset. Default 30 s. An opening goes on
    /// after its caller has left, up to `connect_timeout`.
    #[doc(alias("pool_timeout", "wait_timeout", "connectionTimeout", "timeout"))]
    pub connection_timeout: Duration,
    /// The longest that opening one connection may take, and setting it up as long again; what is opened is kept, also
    /// where whoever waited for it has left. A second later it is given up as hung, with its thread. `None` (default):
    /// the driver's own limit, which for PostgreSQL is the `connect_timeout` of its options, or 30 s where it has none,
    /// as plain managers have not. Where both are set the shorter one holds.
    pub connect_timeout: Option<Duration>,
    /// When an idle connection is validated before it is lent. Default: if idle for 500 ms; with a `PgPool` over TCP at
    /// each checkout, by a look that costs no round trip.
    #[cfg_attr(feature = "serde", serde(skip))]
    #[doc(alias(
        "pool_pre_ping",
        "ping_interval",
        "connectionTestQuery",
        "PrepareConn",
        "BeforeAcquire",
        "check"
    ))]
    pub pre_ping: PrePing,
    /// The longest a validation or a reset may take before the connection is given up. Default 5 s.
    #[doc(alias("validationTimeout"))]
    pub validation_timeout: Duration,
    /// Idle connections are validated in the background when nothing was heard of them for this long, minus up to
    /// 10 % so that they do not all fall due together. Default 60 s; `None`: never.
    #[doc(alias("keepaliveTime"))]
    pub keepalive: Option<Duration>,
    /// The age at which a connection is replaced. Default 30 min; `None`: no limit.
    ///
    /// It ends up to `lifetime_jitter` earlier. While callers wait and the ceiling leaves room, one that is due is lent
    /// on until its replacement is open, for up to a tenth of its lifetime more, and never beyond. Where something
    /// outside ends connections at a certain age, set this to at most nine tenths of that.
    #[doc(alias("pool_recycle", "max_lifetime_session", "maxLifetime", "MaxConnLifetime"))]
    pub max_lifetime: Option<Duration>,
    /// The part of `max_lifetime` by which a connection's own limit may be earlier, drawn when it is opened, so that
    /// connections opened together do not expire together. From 0 to 1. Default 0.05.
    #[doc(alias("MaxConnLifetimeJitter"))]
    pub lifetime_jitter: f64,
    /// Checkouts after which a connection is replaced. Default: no limit.
    pub max_uses: Option<u64>,
    /// Idle time after which a connection above `min_size` is closed; what `min_idle` asks for is opened anew, so that
    /// no connection lies idle for longer, as with r2d2. Default 10 min; `None`: never.
    #[doc(alias("idleTimeout", "max_idle", "MaxConnIdleTime"))]
    pub idle_timeout: Option<Duration>,
    /// Idle time after which a connection above the base size is closed. Default 10 s; zero closes it at checkin
    /// when nobody waits.
    pub overflow_linger: Duration,
    /// Whether connections within the base size are closed after `overflow_linger` as well, down to what `min_size` and
    /// `min_idle` keep open. Default: no. In the ad-hoc tier of a [`TieredPool`](crate::TieredPool) or a `PgPool`: yes,
    /// so that people outside this process find the reserve free, unless an idle timeout is set for that tier. Whoever
    /// sets `idle_timeout`, in a builder or at run time, and says nothing of this switches it off.
    pub base_lingers: bool,
    /// How often the keeper looks: the grain of idle timeouts, keepalive and lifetimes. Default 1 s.
    #[doc(alias("HealthCheckPeriod"))]
    pub reaper_rate: Duration,
    /// Connections being opened at a time, and as many being closed or validated off-thread. Default 4;
    /// for both tiers of a [`TieredPool`](crate::TieredPool) or a `PgPool` together 5, one of which is ad-hoc's.
    #[doc(alias("increment", "num_workers"))]
    pub open_concurrency: u32,
    /// Consecutive connect failures that open the circuit breaker, which then refuses callers at once that no idle
    /// connection can serve. 0 switches it off: they wait out an outage within their deadlines. Default 0, as with
    /// r2d2; for the tiers of a [`TieredPool`](crate::TieredPool) or a `PgPool` 3.
    pub failure_threshold: u32,
    /// The longest time between two probes while the breaker is open. Default 10 s.
    #[doc(alias("reconnect_timeout"))]
    pub open_for: Duration,
    /// A checkout that takes longer is logged as a warning and counted. Default 2 s; `None`: never.
    pub slow_checkout: Option<Duration>,
    /// A connection held longer is logged as a warning, once, and counted. Default: never.
    #[doc(alias("leakDetectionThreshold"))]
    pub leak_threshold: Option<Duration>,
    /// A connection held longer has its statement cancelled on the server, once, and is closed when it is returned.
    /// Only with a driver that can (PostgreSQL's can). Checked every `reaper_rate`. Default: never.
    pub cancel_stuck_after: Option<Duration>,
    /// A connection held longer has its session ended: the borrower's call fails at once, and the pool opens another
    /// in its place, within the bound of `max_zombies` also before the borrower returns it. As `cancel_stuck_after`
    /// otherwise. Default: never.
    pub terminate_stuck_after: Option<Duration>,
    /// Whether waiters look for a deadlock among the pool's own users: every connection with a thread that waits for
    /// another one. Where that cannot be wrong, which is where sessions and batches hold the connections, the newest
    /// waiter is refused at once (`WouldDeadlock`). A guard may be anywhere, as in a channel, and counts for the thread
    /// that took it until another one uses it: there the finding is a warning, once, and a line in the timeout error.
    /// Default: yes.
    pub deadlock_detection: bool,
    /// Whether a deadlock among holders of guards is refused as well, 100 ms after it shows. Only for a program that
    /// passes no guard to a thread that lets it lie: its caller would be refused although a connection will come back.
    /// Default: no.
    pub deadlock_refusal: bool,
    /// Connections given up on whose close has not finished; beyond it a slot is freed only when its close is done,
    /// so that the server never sees more than the ceiling plus this many. Default: as many as the ceiling.
    pub max_zombies: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            name: "pool".to_owned(),
            base_size: 10,
            max_overflow: 0,
            min_size: 0,
            min_idle: None,
            max_waiting: None,
            wait_mode: WaitMode::Timed,
            connection_timeout: Duration::from_secs(30),
            connect_timeout: None,
            pre_ping: PrePing::default(),
            validation_timeout: Duration::from_secs(5),
            keepalive: Some(Duration::from_secs(60)),
            max_lifetime: Some(Duration::from_secs(30 * 60)),
            lifetime_jitter: 0.05,
            max_uses: None,
            idle_timeout: Some(Duration::from_secs(10 * 60)),
            overflow_linger: Duration::from_secs(10),
            base_lingers: false,
            reaper_rate: Duration::from_secs(1),
            open_concurrency: 4,
            failure_threshold: 0,
            open_for: Duration::from_secs(10),
            slow_checkout: Some(Duration::from_secs(2)),
            leak_threshold: None,
            cancel_stuck_after: None,
            terminate_stuck_after: None,
            deadlock_detection: true,
            deadlock_refusal: false,
            max_zombies: None,
        }
    }
}

/// The largest ceiling accepted: a guard against a typing error that would reserve memory for it, and far above
/// what one PostgreSQL server serves.
pub const MAX_CEILING: u32 = 65_536;

impl Settings {
    /// The defaults of the automation tier. What may be opened at a time is said of both tiers: as much as by a pool of
    /// its own, and one for ad-hoc.
    pub(crate) fn of_automation() -> Settings {
        Settings {
            open_concurrency: Settings::default().open_concurrency + 1,
            ..Settings::of_tier("automation")
        }
    }

    /// The defaults of the ad-hoc tier, which gives back what it does not use.
    pub(crate) fn of_adhoc() -> Settings {
        Settings { base_lingers: true, ..Settings::of_tier("adhoc") }
    }

    /// The defaults of a tier: opened when needed, a minute to wait, and a breaker.
    pub(crate) fn of_tier(name: &str) -> Settings {
        Settings {
            name: name.to_owned(),
            min_idle: Some(0),
            connection_timeout: Duration::from_secs(60),
            failure_threshold: 3,
            ..Settings::default()
        }
    }

    /// What `choose_like_r2d2` chooses.
    pub(crate) const CHOSEN_LIKE_R2D2: [&str; 15] = [
        "wait_mode",
        "connection_timeout",
        "pre_ping",
        "validation_timeout",
        "keepalive",
        "max_lifetime",
        "lifetime_jitter",
        "max_uses",
        "idle_timeout",
        "reaper_rate",
        "open_concurrency",
        "failure_threshold",
        "slow_checkout",
        "deadlock_detection",
        "deadlock_refusal",
    ];

    /// Takes over r2d2's choices. `Builder::like_r2d2` lists them.
    pub(crate) fn choose_like_r2d2(&mut self) {
        self.wait_mode = WaitMode::Timed;
        self.connection_timeout = Duration::from_secs(30);
        self.pre_ping = PrePing::Always;
        // It sets a validation no limit: the caller's time is the limit here.
        self.validation_timeout = self.connection_timeout;
        self.keepalive = None;
        self.max_lifetime = Some(Duration::from_secs(30 * 60));
        self.lifetime_jitter = 0.0;
        self.max_uses = None;
        self.idle_timeout = Some(Duration::from_secs(10 * 60));
        self.reaper_rate = Duration::from_secs(30);
        self.open_concurrency = 3;
        self.failure_threshold = 0;
        self.slow_checkout = None;
        self.deadlock_detection = false;
        self.deadlock_refusal = false;
    }

    /// The hard ceiling: `base_size + max_overflow`, r2d2's `max_size`.
    pub fn ceiling(&self) -> u32 {
        self.base_size.saturating_add(self.max_overflow)
    }

    /// The number of idle connections that the keeper maintains.
    pub fn effective_min_idle(&self) -> u32 {
        self.min_idle.unwrap_or(if self.min_size == 0 { self.base_size } else { 0 })
    }

    /// The bound on zombies in force.
    pub fn effective_max_zombies(&self) -> u32 {
        self.max_zombies.unwrap_or_else(|| self.ceiling())
    }

    /// Has what does not change at run time stay as it was before: the name is in threads, log targets and metrics. A
    /// new idle timeout says how long the base stays.
    pub(crate) fn completed(mut self, before: &Settings) -> Settings {
        self.name.clone_from(&before.name);
        if self.idle_timeout != before.idle_timeout && self.base_lingers == before.base_lingers {
            self.base_lingers = false;
        }
        self
    }

    /// How many connections stay once they are opened, and are closed by nothing but their age and the idle timeout.
    pub(crate) fn kept_size(&self) -> u32 {
        if self.base_lingers { 0 } else { self.base_size }
    }

    /// Checks every rule and returns all faults; an empty list means that a pool can be built.
    pub fn check(&self) -> Faults {
        let mut faults = Faults::new();
        let ceiling = self.ceiling();
        faults.require(!self.name.is_empty(), "name", "empty", "must have at least one character");
        faults.require(self.base_size > 0, "base_size", self.base_size, "must be at least 1");
        faults.require(
            u64::from(self.base_size) + u64::from(self.max_overflow) <= u64::from(MAX_CEILING),
            "base_size + max_overflow",
            format_args!("{} + {}", self.base_size, self.max_overflow),
            format!("must not exceed {MAX_CEILING}"),
        );
        let within = format!("must not exceed the ceiling of {ceiling} (base_size + max_overflow)");
        faults.require(self.min_size <= ceiling, "min_size", self.min_size, within.as_str());
        let min_idle = self.min_idle.unwrap_or(0);
        faults.require(min_idle <= ceiling, "min_idle", min_idle, within.as_str());
        faults.require(
            self.max_waiting != Some(0),
            "max_waiting",
            0,
            "must be at least 1, or not set for no bound",
        );
        faults.require(
            (0.0..=1.0).contains(&self.lifetime_jitter),
            "lifetime_jitter",
            self.lifetime_jitter,
            "must be from 0 to 1",
        );
        faults.require(
            self.max_uses != Some(0),
            "max_uses",
            0,
            "must be at least 1, or not set for no limit",
        );
        faults.require(self.open_concurrency > 0, "open_concurrency", 0, "must be at least 1");
        faults.require(self.max_zombies != Some(0), "max_zombies", 0, "must be at least 1");
        faults.require(
            self.deadlock_detection || !self.deadlock_refusal,
            "deadlock_refusal",
            true,
            "must be off where deadlock_detection is: nothing is found that could be refused",
        );
        self.check_times(&mut faults);
        faults
    }

    fn check_times(&self, faults: &mut Faults) {
        let positive = [
            ("connection_timeout", Some(self.connection_timeout)),
            ("connect_timeout", self.connect_timeout),
            ("validation_timeout", Some(self.validation_timeout)),
            ("keepalive", self.keepalive),
            ("max_lifetime", self.max_lifetime),
            ("idle_timeout", self.idle_timeout),
            ("reaper_rate", Some(self.reaper_rate)),
            ("open_for", Some(self.open_for)),
            ("slow_checkout", self.slow_checkout),
            ("leak_threshold", self.leak_threshold),
            ("cancel_stuck_after", self.cancel_stuck_after),
            ("terminate_stuck_after", self.terminate_stuck_after),
        ];
        for (name, value) in positive {
            faults.require(value != Some(Duration::ZERO), name, "0", "must be longer than zero");
        }
        let [.., leak, cancel, terminate] = positive;
        for (first, then) in [(leak, cancel), (cancel, terminate), (leak, terminate)] {
            if let (Some(limit), Some(later)) = (first.1, then.1) {
                let rule = format!("must not be shorter than {}, which is {}", first.0, Limit(limit));
                faults.require(later >= limit, then.0, Limit(later), rule);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each field with its value.
    fn fields(settings: &Settings) -> Vec<String> {
        let text = format!("{settings:?}");
        let text = text.trim_start_matches("Settings { ").trim_end_matches(" }");
        text.split(", ").map(str::to_owned).collect()
    }

    #[test]
    fn what_counts_as_chosen_like_r2d2_is_what_is_chosen() {
        let time = Duration::from_secs(7);
        let own = Settings {
            wait_mode: WaitMode::Forever,
            connection_timeout: time,
            pre_ping: PrePing::Never,
            validation_timeout: time,
            keepalive: Some(time),
            max_lifetime: Some(time),
            lifetime_jitter: 0.7,
            max_uses: Some(7),
            idle_timeout: Some(time),
            overflow_linger: time,
            reaper_rate: time,
            open_concurrency: 7,
            failure_threshold: 7,
            open_for: time,
            slow_checkout: Some(time),
            deadlock_refusal: true,
            ..Settings::default()
        };
        let mut chosen = own.clone();
        chosen.choose_like_r2d2();
        let (before, after) = (fields(&own), fields(&chosen));
        let changed = before.iter().zip(&after).filter(|(before, after)| before != after);
        let names: Vec<_> = changed.filter_map(|(before, _)| before.split(": ").next()).collect();
        assert_eq!(names, Settings::CHOSEN_LIKE_R2D2);
    }
}
