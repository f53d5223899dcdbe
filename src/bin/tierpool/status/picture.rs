//! What processes tell and what the server shows, judged.

use tierpool::report::Verdict;
use tierpool::{DatabaseStats, Tier};

use super::judge::{agree, fit_into_room, of_processes, take_in_processes, take_in_sessions};
use crate::outcome::Code;
use crate::seen::join::{Group, Joined, groups};
use crate::seen::live::{ByTier, Live, LivePool, TierStats, shown};
use crate::seen::server::{Meant, Server};

/// Everything that is shown.
pub struct Picture {
    pub app: Option<String>,
    /// The box: of this machine's processes together, or of the settings where there is none.
    pub stats: DatabaseStats,
    /// In a word.
    pub verdict: &'static str,
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
    /// Puts together what was heard; `stats` is what the own pool knows of the server.
    pub fn of(meant: &Meant, live: Live, server: Server, mut stats: DatabaseStats) -> Self {
        let mut notes = live.notes;
        let joined = Joined::of(meant, live.pools, &server);
        notes.extend(joined.left_out.iter().cloned());
        let unlisted = joined.unlisted.iter();
        notes.extend(unlisted.map(|error| format!("the server does not list its sessions: {error}")));
        let elsewhere = groups(joined.elsewhere());
        let is_listed = server.healthy && joined.unlisted.is_none();
        let pools = joined.pools.iter();
        let processes: Vec<_> = pools.map(|pool| Process::of(pool, is_listed.then_some(&joined))).collect();
        if processes.is_empty() {
            take_in_sessions(&mut stats, &elsewhere);
        } else {
            take_in_processes(&mut stats, &processes);
        }
        let mut reasons = Vec::new();
        if server.healthy && stats.verdict != Verdict::Healthy {
            reasons.push(stats.message.clone());
        }
        let silent: Vec<_> = live.silent.iter().filter(|silent| meant.has(&silent.app)).collect();
        // Somebody was to be asked, and has not said that all is well.
        reasons.extend(silent.iter().map(|silent| silent.to_string()));
        reasons.extend(of_processes(&processes));
        match server.room {
            Some(Ok(room)) => reasons.extend(fit_into_room(&mut stats, &processes, &elsewhere, room)),
            Some(Err(ref error)) => {
                notes.push(format!("the server does not tell what it has room for: {error}"))
            }
            None => {}
        }
        missing(&mut notes, &processes, &elsewhere, silent.is_empty());
        if let Some(app) = &meant.app
            && is_listed
            && processes.is_empty()
            && silent.is_empty()
            && joined.sessions.is_empty()
        {
            notes.push(format!("no process here and no session on the server has the name {}", shown(app)));
        }
        let verdict = agree(&mut stats, &server, &reasons);
        if !server.healthy {
            reasons.insert(0, stats.message.clone());
        }
        let code = match (server.healthy, reasons.is_empty()) {
            (false, _) => Code::Untold,
            (true, true) => Code::Good,
            (true, false) => Code::Bad,
        };
        let (app, server) = (meant.app.clone(), server.message);
        Picture { app, stats, verdict, server, processes, elsewhere, reasons, notes, code }
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

fn missing(notes: &mut Vec<String>, processes: &[Process], elsewhere: &[Group], is_all_told: bool) {
    for Process { pool, .. } in processes.iter().filter(|process| process.on_server.is_none()) {
        notes.push(format!(
            "process {}: which sessions are its own cannot be told (a pooler is in between, or the server does not \
             list them); what it lists stands among those without a process",
            pool.process
        ));
    }
    let tiers = elsewhere.iter().flat_map(|here| [&here.sessions.automation, &here.sessions.adhoc]);
    let hidden: usize = tiers.map(|count| count.hidden).sum();
    if hidden > 0 {
        notes.push(format!(
            "of {hidden} sessions this role may not see what they do, so they count as in use; it takes the role \
             pg_read_all_stats or that of the sessions"
        ));
    }
    if processes.is_empty() && is_all_told {
        notes.push(
            "no process here has an admin socket, so the box has in use what is not idle on the server; with \
             DB_POOL_ADMIN=1 (feature http) an application shows holders and waiters"
                .to_owned(),
        );
    } else if processes.is_empty() {
        notes.push("no process here tells, so the box has in use what is not idle on the server".to_owned());
    } else if !elsewhere.is_empty() {
        notes.push(
            "of sessions without an admin socket here neither ceiling nor waiters are known".to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    use tierpool::report::Load;
    use tierpool::{MemoryManager, TieredPool};

    use super::*;
    use crate::seen::live::tests::{pool, waiter};
    use crate::seen::live::{Silent, Told};
    use crate::seen::server::Session;
    use crate::seen::server::tests::session;

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
        made(Live { pools, ..Live::default() }, answer(sessions), stats)
    }

    fn answer(sessions: Option<Result<Vec<Session>, String>>) -> Server {
        let healthy = sessions.is_some();
        Server { healthy, message: "no answer".to_owned(), sessions, room: healthy.then_some(Ok(90)) }
    }

    fn made(live: Live, server: Server, stats: DatabaseStats) -> Picture {
        Picture::of(&Meant::default(), live, server, stats)
    }

    /// As many sessions of automation, without a socket, in that state.
    fn sessions(count: i32, state: &str) -> Vec<Session> {
        (1..=count).map(|pid| session(pid, 1, state)).collect()
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
    fn without_sockets_the_box_has_load_and_overflow_by_what_is_not_idle_and_so_what_is_left() {
        let told = of_sessions(Ok(sessions(55, "active")), Vec::new());
        let stats = &told.stats;
        assert_eq!((stats.in_use, stats.overflow, stats.available, stats.load), (55, 5, 0, Load::High));
        let mut of_people = sessions(2, "active");
        of_people.iter_mut().for_each(|session| session.tier = Tier::Adhoc);
        assert_eq!(of_sessions(Ok(of_people), Vec::new()).stats.guaranteed, 3);
    }

    #[test]
    fn sessions_that_the_role_may_not_see_count_as_in_use_and_that_is_said() {
        let mut all = sessions(55, "active");
        all.iter_mut().for_each(|session| session.state = None);
        let told = of_sessions(Ok(all), Vec::new());
        assert_eq!((told.stats.in_use, told.stats.available), (55, 0));
        assert!(told.notes[0].contains("pg_read_all_stats"), "{:?}", told.notes);
    }

    #[test]
    fn a_process_that_says_nothing_is_not_well_and_is_not_told_to_open_what_it_has() {
        let silent =
            || Silent { app: "scraper".to_owned(), process: 14, why: "no answer within 2s".to_owned() };
        let live = || Live { silent: vec![silent()], ..Live::default() };
        let told = made(live(), answer(Some(Ok(Vec::new()))), own());
        assert_eq!((told.code, told.verdict), (Code::Bad, "Degraded"));
        assert!(told.reasons[0].contains("process 14, tells nothing"), "{:?}", told.reasons);
        assert!(told.notes.iter().all(|note| !note.contains("DB_POOL_ADMIN")), "{:?}", told.notes);
        let box_of_it = told.stats.plain().to_string();
        assert!(!box_of_it.contains("[ok]") && !box_of_it.contains("once the server"), "{box_of_it}");
        let meant = Meant { app: Some("billing".to_owned()), ..Meant::default() };
        let told = Picture::of(&meant, live(), answer(Some(Ok(Vec::new()))), own());
        assert_eq!((told.code, told.verdict), (Code::Good, "Healthy"), "it is another's");
        assert!(told.notes.last().unwrap().ends_with("has the name billing"), "{:?}", told.notes);
    }

    #[test]
    fn the_reserve_is_there_as_far_as_the_server_has_room_for_it() {
        let with_room = |room, pools: Vec<LivePool>| {
            let server = Server { room: Some(Ok(room)), ..answer(Some(Ok(Vec::new()))) };
            made(Live { pools, ..Live::default() }, server, own())
        };
        let short = with_room(4, Vec::new());
        assert_eq!((short.code, short.stats.guaranteed, short.verdict), (Code::Bad, 4, "Degraded"));
        assert!(short.reasons[0].starts_with("the reserve is short: 4 of 5"), "{:?}", short.reasons);
        assert_eq!(with_room(5, Vec::new()).code, Code::Good);
        let open = |idle| pool(1, &[], |told| told.tiers.adhoc.gauges.idle = idle);
        assert_eq!(with_room(0, vec![open(2)]).code, Code::Good, "what is open needs no room");
        assert_eq!(with_room(0, vec![open(1)]).code, Code::Bad);
    }

    #[test]
    fn a_server_that_refuses_is_told_by_its_own_words_and_not_by_the_breaker_of_this_program() {
        let mut stats = own();
        (stats.verdict, stats.message) = (Verdict::CircuitOpen, "Circuit open: 3 attempts".to_owned());
        let told = made_of(None, Vec::new(), stats);
        assert_eq!((told.code, told.verdict), (Code::Untold, "Unreachable"));
        assert_eq!(told.reasons, ["Unreachable: the server does not answer: no answer"]);
        assert!(!told.stats.plain().to_string().contains("ircuit"));
        assert_eq!(made_of(None, Vec::new(), own()).verdict, "Unreachable", "whatever the own pool has seen");
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
        let late = degraded(|told| told.queues.automation = vec![waiter(1.5, Some(0.5))]);
        assert!(late.contains("has waited for 1.5 s in automation, and has 0.5 s left"), "{late}");
        let late = degraded(|told| told.queues.adhoc = vec![waiter(31.0, None)]);
        assert!(late.contains("has waited for 31.0 s in adhoc, and has 29.0 s left"), "{late}");
        let in_time = |told: &mut Told| told.queues.automation = vec![waiter(40.0, Some(3560.0))];
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
