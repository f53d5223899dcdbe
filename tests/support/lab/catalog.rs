//! The faults that begin and end by themselves, whatever the program does.

use std::time::Duration;

use super::bounced::{BEHIND_BOUNCER, in_both_modes};
use super::mixture::MIXTURE;
use super::scenario::{BARS, Bars, Moment, Scenario};
use super::stage::{Stage, Way};
use super::subject::{CONNECT_TIMEOUT, Failure, SOCKET_TIMEOUT, WORKERS};
use crate::support::proxy::Admission;

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const THINK: Duration = Duration::from_millis(10);
/// What the log says of the first connection found dead.
const DEAD: &[&str] = &["is dead"];
/// Queries that can be in flight at one moment.
const IN_FLIGHT: usize = WORKERS;

fn nothing(_: &Stage) {}

/// The bars of a server or a network that falls silent and comes back.
const SILENCE: Bars =
    Bars { first: seconds(2), full: seconds(2), says: &["is dead", "could not open a connection"], ..BARS };

const PLAIN: Scenario = Scenario {
    name: "",
    title: "",
    way: Way::Tcp,
    think: THINK,
    begin: nothing,
    lasts: Duration::ZERO,
    end: nothing,
    bars: BARS,
};

pub const TERMINATED: Scenario = Scenario {
    name: "F1",
    title: "all backends terminated",
    begin: |stage| _ = stage.cluster.terminate_backends(),
    bars: Bars { checkouts_failed: Some(0), queries_failed: Some(IN_FLIGHT), says: DEAD, ..BARS },
    ..PLAIN
};

pub const RESTARTED: Scenario = Scenario {
    name: "F2",
    title: "server restarted",
    begin: |stage| stage.cluster.restart_fast(),
    // Those in flight when it stops; checkouts wait until it is back.
    bars: Bars {
        checkouts_failed: Some(0),
        // A loaded machine may take longer. The third attempt to connect is made 0.6 s after the first has failed.
        short_outage: Duration::from_millis(500),
        queries_failed: Some(IN_FLIGHT),
        says: DEAD,
        ..BARS
    },
    ..PLAIN
};

pub const KILLED: Scenario = Scenario {
    name: "F3",
    title: "server killed, down 5 s",
    begin: |stage| stage.cluster.kill9(),
    lasts: seconds(5),
    end: |stage| stage.cluster.start(),
    bars: Bars {
        queries_failed: Some(IN_FLIGHT),
        refuses_after: Some(seconds(2)),
        cause: tells_of_a_server_gone,
        says: &["is dead", "could not open a connection", "circuit breaker open", "circuit breaker closed"],
        ..SILENCE
    },
    ..PLAIN
};

pub const FROZEN: Scenario = Scenario {
    name: "F4",
    title: "server frozen 10 s",
    begin: |stage| stage.cluster.freeze_all(),
    lasts: seconds(10),
    end: |stage| stage.cluster.thaw_all(),
    bars: SILENCE,
    ..PLAIN
};

pub const BACKENDS_FROZEN: Scenario = Scenario {
    name: "F5",
    title: "backends frozen 10 s, new connections fine",
    begin: |stage| stage.cluster.freeze_backends(),
    lasts: seconds(10),
    end: |stage| stage.cluster.thaw_backends(),
    bars: Bars {
        recovers_from: Moment::Begin,
        first: SOCKET_TIMEOUT.saturating_add(seconds(1)),
        full: SOCKET_TIMEOUT.saturating_add(seconds(2)),
        says: DEAD,
        ..BARS
    },
    ..PLAIN
};

pub const POSTMASTER_FROZEN: Scenario = Scenario {
    name: "F6",
    title: "handshakes unanswered 10 s",
    begin: |stage| {
        // While a session can still be opened for it.
        stage.sql("SELECT 1");
        stage.cluster.freeze_postmaster();
        stage.end_sessions(1000);
    },
    lasts: seconds(10),
    end: |stage| stage.cluster.thaw_postmaster(),
    bars: Bars { queries_failed: Some(IN_FLIGHT), ..SILENCE },
    ..PLAIN
};

const NETWORK: Scenario = Scenario { way: Way::Proxy, lasts: seconds(8), ..PLAIN };

pub const STALLED: Scenario = Scenario {
    name: "F7a",
    title: "network a black hole 8 s, then resumes",
    begin: |stage| {
        stage.proxy().deafen();
        stage.proxy().admit(Admission::Hold);
    },
    end: |stage| stage.proxy().pass(),
    bars: SILENCE,
    ..NETWORK
};

pub const STALLED_THEN_RESET: Scenario = Scenario {
    name: "F7b",
    title: "network a black hole 8 s, then resets",
    begin: STALLED.begin,
    end: |stage| {
        stage.proxy().reset();
        stage.proxy().pass();
    },
    bars: SILENCE,
    ..NETWORK
};

pub const FLOWS_LOST: Scenario = Scenario {
    name: "F7c",
    title: "flows lost for good, new ones fine",
    begin: |stage| stage.proxy().lose(),
    // The server's side of the lost flows goes away: what its keepalives would do in the end.
    end: |stage| stage.proxy().forget(),
    bars: Bars {
        recovers_from: Moment::Begin,
        first: SOCKET_TIMEOUT.saturating_add(seconds(2)),
        full: SOCKET_TIMEOUT.saturating_add(seconds(2)),
        says: DEAD,
        ..BARS
    },
    ..NETWORK
};

pub const HANDSHAKES_SWALLOWED: Scenario = Scenario {
    name: "F7d",
    title: "all reset, handshakes swallowed 8 s",
    begin: |stage| {
        stage.proxy().admit(Admission::Swallow);
        stage.proxy().reset();
    },
    end: |stage| stage.proxy().admit(Admission::Pass),
    bars: Bars {
        first: CONNECT_TIMEOUT.saturating_add(seconds(2)),
        full: CONNECT_TIMEOUT.saturating_add(seconds(2)),
        queries_failed: Some(IN_FLIGHT),
        ..SILENCE
    },
    ..NETWORK
};

pub const PACKETS_LOST: Scenario = Scenario {
    name: "F7e",
    title: "packets lost 8 s, nothing acknowledged",
    begin: |stage| stage.proxy().lose_packets(),
    end: |stage| {
        // What is left of the old flows is of no use to anybody; the kernel would take minutes over it.
        stage.proxy().reset();
        stage.proxy().pass();
    },
    bars: SILENCE,
    ..NETWORK
};

pub const OUT_OF_CONNECTIONS: Scenario = Scenario {
    name: "F8",
    title: "server out of connections 5 s, half of ours left",
    begin: |stage| {
        stage.sql("ALTER ROLE app CONNECTION LIMIT 0");
        stage.end_sessions(WORKERS as i64 / 2);
    },
    lasts: seconds(5),
    end: |stage| stage.sql("ALTER ROLE app CONNECTION LIMIT -1"),
    bars: Bars {
        cause: is_out_of_connections,
        checkouts_failed: Some(0),
        queries_failed: Some(IN_FLIGHT / 2),
        // The back-off between attempts grows to 5 s: nobody goes without meanwhile.
        first: seconds(1),
        full: seconds(6),
        ..BARS
    },
    ..PLAIN
};

pub const NO_CONNECTION_LEFT: Scenario = Scenario {
    name: "F8b",
    title: "server out of connections 5 s, none of ours left",
    begin: |stage| {
        stage.sql("ALTER ROLE app CONNECTION LIMIT 0");
        stage.end_sessions(1000);
    },
    bars: Bars {
        cause: is_out_of_connections,
        says: &["too many connections", "SQLSTATE 53300"],
        checkouts_failed: None,
        queries_failed: Some(IN_FLIGHT),
        first: seconds(6),
        full: seconds(6),
        ..BARS
    },
    ..OUT_OF_CONNECTIONS
};

pub const PASSWORD_ROTATED: Scenario = Scenario {
    name: "F9",
    title: "password rotated 5 s",
    begin: |stage| {
        stage.sql("ALTER ROLE app PASSWORD 'another'");
        stage.end_sessions(1000);
    },
    lasts: seconds(5),
    end: |stage| {
        let password = crate::support::cluster::APP_PASSWORD;
        stage.sql(&format!("ALTER ROLE app PASSWORD '{password}'"));
    },
    bars: Bars {
        cause: |failure| failure.code.as_deref() == Some("28P01"),
        refuses_after: Some(seconds(1)),
        queries_failed: Some(IN_FLIGHT),
        says: &["password authentication failed", "SQLSTATE 28P01", "connections can be opened again"],
        // One attempt in 30 s by each tier, so that no account is locked: that long it may take to notice.
        attempts: Some(2),
        first: seconds(31),
        full: seconds(31),
        ..BARS
    },
    ..PLAIN
};

pub const IDLE_SESSIONS_ENDED: Scenario = Scenario {
    name: "F10",
    title: "idle_session_timeout 1 s",
    think: Duration::from_millis(1500),
    begin: |stage| set(stage, "idle_session_timeout = '1s'"),
    end: |stage| set(stage, "idle_session_timeout = 0"),
    lasts: seconds(6),
    bars: Bars {
        checkouts_failed: Some(0),
        queries_failed: Some(0),
        // Eight workers that think for 1.5 s have no speed to speak of; the first success shows that work goes on.
        first: seconds(2),
        full: seconds(2),
        ..BARS
    },
    ..PLAIN
};

pub const READ_ONLY: Scenario = Scenario {
    name: "F15",
    title: "server turns read-only 7 s",
    begin: |stage| set(stage, "default_transaction_read_only = on"),
    lasts: seconds(7),
    end: |stage| set(stage, "default_transaction_read_only = off"),
    bars: Bars {
        checkouts_failed: Some(0),
        says: &["leads to the wrong server"],
        // One generation each cooldown of 5 s: at 0 s, at 5 s, and of those that were refused a write after that.
        evicted: Some(3 * WORKERS as u64),
        ..BARS
    },
    ..PLAIN
};

/// Changes a setting of the running server.
fn set(stage: &Stage, setting: &str) {
    stage.sql(&format!("ALTER SYSTEM SET {setting}"));
    stage.sql("SELECT pg_reload_conf()");
}

/// Refused while it is down, cut off as it goes and sent away as it comes; on a busy machine one that comes may take
/// longer over its first answer than it is waited for. One that is down refuses, and is never silent.
fn tells_of_a_server_gone(failure: &Failure) -> bool {
    let told = [
        "Connection refused",
        "connection closed",
        "Connection reset",
        "SQLSTATE 57P03",
        "did not finish the start-up handshake",
    ];
    failure.names_cause && told.iter().any(|text| failure.text.contains(text))
}

fn is_out_of_connections(failure: &Failure) -> bool {
    failure.code.as_deref() == Some("53300")
}

/// The faults over TCP.
pub const OVER_TCP: [Scenario; 16] = [
    TERMINATED,
    RESTARTED,
    KILLED,
    FROZEN,
    BACKENDS_FROZEN,
    POSTMASTER_FROZEN,
    STALLED,
    STALLED_THEN_RESET,
    FLOWS_LOST,
    HANDSHAKES_SWALLOWED,
    PACKETS_LOST,
    OUT_OF_CONNECTIONS,
    NO_CONNECTION_LEFT,
    PASSWORD_ROTATED,
    IDLE_SESSIONS_ENDED,
    READ_ONLY,
];

/// There a query that the server does not answer lasts until it does.
const UNBOUNDED: Bars = Bars { query: None, says: &[], ..SILENCE };

/// The faults over the Unix socket.
pub const OVER_UNIX: [Scenario; 5] = [
    TERMINATED.over(Way::Unix),
    RESTARTED.over(Way::Unix),
    KILLED.over(Way::Unix),
    FROZEN.over(Way::Unix).held_to(UNBOUNDED),
    BACKENDS_FROZEN.over(Way::Unix).held_to(UNBOUNDED),
];

/// Finds a scenario by its name and way.
pub fn named(name: &str, way: &str) -> Option<Scenario> {
    let one_way = OVER_TCP.iter().chain(&OVER_UNIX).chain([&MIXTURE]).copied();
    let mut all = one_way.chain(BEHIND_BOUNCER.iter().flat_map(in_both_modes));
    all.find(|scenario| scenario.name == name && scenario.way.word() == way)
}
