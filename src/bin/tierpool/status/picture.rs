//! What processes tell and what the server shows, judged.

use std::time::Duration;

use tierpool::report::{Load, Verdict};
use tierpool::{DatabaseStats, Tier};

use crate::outcome::Code;
use crate::seen::join::{Group, Joined, groups};
use crate::seen::live::{ByTier, Live, LivePool, TierStats, Told};
use crate::seen::server::{Meant, Server};

/// Everything that is shown.
pub struct Picture {
    pub app: Option<String>,
    /// The box: of this machine's processes together, or of the settings where there is none.
    pub stats: DatabaseStats,
    pub server: String,
    pub processes: Vec<Process>,
    /// Sessions that no process of this machine has told of.
    pub elsewhere: Vec<Group>,
    /// Why the code is not 0.
    pub reasons: Vec<String>,
    /// What is missing, and why.
    pub notes: Vec<String>,
    pub code: Code,
}

/// A pool of a process that was asked.
pub struct Process {
    pub pool: LivePool,
    /// How many of its sessions the server shows; `None` where they cannot be told.
    pub on_server: Option<ByTier<usize>>,
}

impl Picture {
    /// Puts together what was heard; `stats` is what the own pool knows of the server, and `timeout` what the settings
    /// say of a checkout.
    pub fn of(
        meant: &Meant,
        live: Live,
        server: Server,
        mut stats: DatabaseStats,
        timeout: Duration,
    ) -> Self {
        let mut notes = live.silent;
        let joined = Joined::of(meant, live.pools, &server);
        notes.extend(joined.left_out.iter().cloned());
        let unlisted = joined.unlisted.iter();
        notes.extend(unlisted.map(|error| format!("the server does not list its sessions: {error}")));
        let elsewhere = groups(joined.elsewhere());
        let is_listed = server.healthy && joined.unlisted.is_none();
        let pools = joined.pools.iter();
        let processes: Vec<_> = pools.map(|pool| Process::of(pool, is_listed.then_some(&joined))).collect();
        if processes.is_empty() {
            let busy = elsewhere.iter().map(|here| here.sessions.automation.busy).sum();
            take_in_sessions(&mut stats, busy);
        } else {
            take_in_processes(&mut stats, &processes);
        }
        missing(&mut notes, &processes, &elsewhere);
        let reasons = reasons(&stats, &processes, timeout);
        let code = match (server.healthy, reasons.is_empty()) {
            (false, _) => Code::Untold,
            (true, true) => Code::Good,
            (true, false) => Code::Bad,
        };
        let (app, server) = (meant.app.clone(), server.message);
        Picture { app, stats, server, processes, elsewhere, reasons, notes, code }
    }
}

impl Process {
    fn of(pool: &LivePool, listed: Option<&Joined>) -> Self {
        let told = &pool.told;
        let has_any = |tier: &TierStats| tier.lent > 0 || tier.gauges.idle > 0;
        let is_open = has_any(&told.tiers.automation) || has_any(&told.tiers.adhoc);
        let is_told_apart = pool.pids().next().is_some() || !is_open;
        let on_server = listed.filter(|_| is_told_apart).map(|joined| {
            let there = |tier, pids: &[i32]| {
                pids.iter().filter(|pid| joined.session(pool, tier, **pid).is_some()).count()
            };
            ByTier {
                automation: there(Tier::Automation, &told.backend_pids.automation),
                adhoc: there(Tier::Adhoc, &told.backend_pids.adhoc),
            }
        });
        Process { pool: pool.clone(), on_server }
    }
}

/// Where no process tells, automation has in use what is not idle on the server.
fn take_in_sessions(stats: &mut DatabaseStats, busy: usize) {
    let busy = u32::try_from(busy).unwrap_or(u32::MAX);
    stats.in_use = busy;
    stats.available = stats.available.saturating_sub(busy);
}

/// The box shows what the processes have together. Of the server it says what was seen just now, and what a process
/// says of itself where that is worse.
fn take_in_processes(stats: &mut DatabaseStats, processes: &[Process]) {
    let told = || processes.iter().map(|process| &process.pool.told);
    let sum = |of: &dyn Fn(&Told) -> u32| told().map(of).fold(0, u32::saturating_add);
    stats.total_connections = sum(&|told| told.total_connections);
    stats.reserved = sum(&|told| told.reserved);
    stats.guaranteed = sum(&|told| told.guaranteed);
    stats.available = sum(&|told| told.available);
    stats.in_use = sum(&|told| told.tiers.automation.lent);
    stats.overflow = sum(&|told| told.tiers.automation.overflow);
    stats.total_possible = sum(&|told| told.tiers.automation.ceiling);
    stats.automation.base_size = sum(&|told| told.tiers.automation.base_size);
    stats.adhoc.ceiling = sum(&|told| told.tiers.adhoc.ceiling);
    stats.adhoc.lent = sum(&|told| told.tiers.adhoc.lent);
    let is_high = u64::from(stats.in_use) * 10 >= u64::from(stats.total_possible) * 9;
    stats.load = if is_high { Load::High } else { Load::Normal };
    if stats.verdict != Verdict::Healthy {
        return;
    }
    let connections = if stats.reserved == 1 { "connection" } else { "connections" };
    stats.message = format!("Healthy: {} {connections} always available for ad-hoc work", stats.reserved);
    let worst = processes.iter().find_map(|Process { pool, .. }| Some((pool, unwell(&pool.told.verdict)?)));
    if let Some((pool, verdict)) = worst {
        stats.verdict = verdict;
        stats.is_healthy = false;
        stats.message = format!("process {}: {}", pool.process, pool.told.message);
    }
}

/// A verdict that is bad news. That a process has not seen the server of late is none: this program has.
fn unwell(verdict: &str) -> Option<Verdict> {
    match verdict {
        "Unreachable" => Some(Verdict::Unreachable),
        "Exhausted" => Some(Verdict::Exhausted),
        "CircuitOpen" => Some(Verdict::CircuitOpen),
        "Suspended" => Some(Verdict::Suspended),
        "Closed" => Some(Verdict::Closed),
        _ => None,
    }
}

fn missing(notes: &mut Vec<String>, processes: &[Process], elsewhere: &[Group]) {
    for Process { pool, .. } in processes.iter().filter(|process| process.on_server.is_none()) {
        notes.push(format!(
            "process {}: which sessions are its own cannot be told (a pooler is in between, or the server does not \
             list them); what it lists stands among those without a process",
            pool.process
        ));
    }
    if processes.is_empty() {
        notes.push(
            "no process here has an admin socket, so the box has in use what is not idle on the server; with \
             DB_POOL_ADMIN=1 (feature http) an application shows holders and waiters"
                .to_owned(),
        );
    } else if !elsewhere.is_empty() {
        notes.push(
            "of sessions without an admin socket here neither ceiling nor waiters are known".to_owned(),
        );
    }
}

/// Why something is degraded.
fn reasons(stats: &DatabaseStats, processes: &[Process], timeout: Duration) -> Vec<String> {
    let mut reasons = Vec::new();
    if stats.verdict != Verdict::Healthy {
        reasons.push(stats.message.clone());
    }
    for Process { pool, .. } in processes {
        let told = &pool.told;
        if told.tiers.adhoc.ceiling < told.reserved {
            let there = told.tiers.adhoc.ceiling;
            reasons
                .push(format!("process {}: {there} of {} reserved are there", pool.process, told.reserved));
        }
        let limits = &told.connection_timeout_seconds;
        for (tier, name, limit) in [
            (&told.tiers.automation, Tier::Automation, limits.automation),
            (&told.tiers.adhoc, Tier::Adhoc, limits.adhoc),
        ] {
            let limit = if limit > 0.0 { limit } else { timeout.as_secs_f64() };
            let waited = tier.oldest_waiter.unwrap_or_default().as_secs_f64();
            if waited > limit / 2.0 {
                reasons.push(format!(
                    "process {}: somebody has waited for {waited:.1} s in {}, more than half of the {limit:.1} s \
                     that a checkout may take",
                    pool.process,
                    name.as_str()
                ));
            }
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use tierpool::{MemoryManager, TieredPool};

    use super::*;
    use crate::seen::live::tests::pool;
    use crate::seen::server::Session;

    /// What the own pool knows after a good answer.
    fn own() -> DatabaseStats {
        let own = TieredPool::builder().build(|_| MemoryManager).unwrap();
        drop(own.get(Tier::Adhoc).unwrap());
        own.get_database_stats()
    }

    /// What is made of these pools, of a server that was seen just now or does not answer.
    fn picture(healthy: bool, pools: Vec<LivePool>) -> Picture {
        let mut stats = own();
        if !healthy {
            stats.verdict = Verdict::Unreachable;
        }
        made_of(healthy.then(|| Ok(Vec::new())), pools, stats)
    }

    /// What is made of these sessions and pools.
    fn of_sessions(sessions: Result<Vec<Session>, String>, pools: Vec<LivePool>) -> Picture {
        made_of(Some(sessions), pools, own())
    }

    fn made_of(
        sessions: Option<Result<Vec<Session>, String>>,
        pools: Vec<LivePool>,
        stats: DatabaseStats,
    ) -> Picture {
        let server = Server { healthy: sessions.is_some(), message: String::new(), sessions };
        Picture::of(
            &Meant::default(),
            Live { pools, silent: Vec::new() },
            server,
            stats,
            Duration::from_secs(60),
        )
    }

    #[test]
    fn the_box_has_the_sums_of_all_processes() {
        let busy = || pool(1, &[7], |told| told.tiers.automation.lent = 7);
        let told = picture(true, vec![busy(), pool(2, &[8], |_| {})]);
        assert_eq!((told.code, told.reasons.len()), (Code::Good, 0), "{:?}", told.reasons);
        let stats = &told.stats;
        assert_eq!((stats.total_connections, stats.total_possible, stats.in_use), (18, 14, 7));
        assert_eq!((stats.reserved, stats.guaranteed, stats.load), (4, 4, Load::Normal));
        assert_eq!(stats.message, "Healthy: 4 connections always available for ad-hoc work");
        let high = picture(true, vec![busy()]);
        assert_eq!((high.code, high.stats.load), (Code::Good, Load::High));
    }

    #[test]
    fn a_server_that_does_not_answer_is_never_healthy() {
        let told = picture(false, vec![pool(1, &[], |_| {})]);
        assert_eq!((told.code, told.stats.verdict), (Code::Untold, Verdict::Unreachable));
    }

    #[test]
    fn sessions_that_are_not_listed_are_not_counted_as_none() {
        let pools = vec![pool(5, &[7], |_| {})];
        let told = of_sessions(Err("no answer within 5 s".to_owned()), pools);
        assert!(told.processes[0].on_server.is_none());
        assert_eq!(told.notes[0], "the server does not list its sessions: no answer within 5 s");
    }

    #[test]
    fn what_is_degraded_is_told_with_its_process() {
        let degraded = |change: fn(&mut Told)| {
            let told = picture(true, vec![pool(41, &[], |_| {}), pool(42, &[], change)]);
            assert_eq!(told.code, Code::Bad);
            assert!(told.reasons[0].starts_with("process 42: "), "{:?}", told.reasons);
            told.reasons.join("; ")
        };
        let open = degraded(|told| {
            told.verdict = "CircuitOpen".to_owned();
            told.message = "Circuit open: refused".to_owned();
        });
        assert_eq!(open, "process 42: Circuit open: refused");
        assert!(degraded(|told| told.tiers.adhoc.ceiling = 1).ends_with("1 of 2 reserved are there"));
        let late = degraded(|told| told.tiers.automation.oldest_waiter = Some(Duration::from_secs(31)));
        assert!(late.contains("somebody has waited for 31.0 s in automation"), "{late}");
        let in_time = |told: &mut Told| told.tiers.automation.oldest_waiter = Some(Duration::from_secs(29));
        assert_eq!(picture(true, vec![pool(1, &[], in_time)]).code, Code::Good);
        let unseen = |told: &mut Told| told.verdict = "Unknown".to_owned();
        let told = picture(true, vec![pool(1, &[], unseen)]);
        assert_eq!(told.code, Code::Good, "this program has seen the server");
    }

    #[test]
    fn without_pids_the_sessions_are_not_joined_and_that_is_said() {
        let told = picture(true, vec![pool(5, &[], |told| told.tiers.automation.lent = 1)]);
        assert!(told.processes[0].on_server.is_none());
        assert!(
            told.notes.iter().any(|note| note.starts_with("process 5: which sessions")),
            "{:?}",
            told.notes
        );
    }
}
