//! A fleet as the server alone shows it, for whoever is not part of it.

use std::collections::BTreeSet;
use std::time::Duration;

use postgres::SimpleQueryRow;

use super::core::Budget;
use super::keys::{ADHOC, Keys, MARK, PLACE, first_of, is_name};
use super::questions::{explained, locks_from, number};
use super::want;
use crate::postgres::{PgConnection, PgError};
use crate::text::harmless;

/// Who is in a fleet and who holds its slots, from the server's table of locks at one moment.
///
/// A program is told by its marks, which are on one of its sessions; its other sessions show by the same
/// `application_name`, host and role. What others wrote is escaped and cut.
///
/// ```no_run
/// use std::time::Duration;
/// use tierpool::fleet::Survey;
/// use tierpool::{PgPool, Tier};
///
/// let pool = PgPool::builder().app_name("monitor").outside_fleet().build()?;
/// let mut conn = pool.get(Tier::Adhoc)?;
/// let survey = Survey::of(&mut conn, "news", Duration::from_secs(5))?;
/// println!("{} programs, {} sessions with a slot", survey.programs(), survey.slots_held());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Survey {
    /// The fleet's name.
    pub name: String,
    /// The budgets that its programs reckon with, each with how many do, the most first. More than one is a fault of
    /// their settings.
    pub budgets: Vec<(Budget, u32)>,
    /// All sessions that hold a lock of the fleet, by `application_name` and host.
    pub sessions: Vec<SurveyedSession>,
}

/// A session that holds a lock of a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SurveyedSession {
    /// Its process on the server.
    pub pid: i32,
    /// What its program calls itself.
    pub application_name: String,
    /// The address of its client as the server sees it, `local socket`, or `not shown` where the role may not know.
    pub host: String,
    /// Its role.
    pub role: String,
    /// The slot that it holds or has reserved.
    pub slot: Option<u32>,
    /// The slot of the reserve that it holds, where it is a person's.
    pub reserve_slot: Option<u32>,
    /// The weight of its program, where this session carries the program's marks; else 0.
    pub weight: u32,
    /// The budget that its program reckons with, where it carries the marks.
    pub budget: Option<Budget>,
    /// Its program has less than its share and finds no free slot.
    pub is_wanting: bool,
    /// The number of its program in the mark of that.
    wants_as: Option<u32>,
    /// It has no slot, and has a place from which it asks for one.
    pub is_asking: bool,
}

impl Survey {
    /// Asks the server, in one round trip; no lock is taken. The connection has to be one to the fleet's database.
    ///
    /// # Blocking
    ///
    /// At most `limit` over TCP; past it the connection is lost. Over a Unix socket as long as the server takes.
    ///
    /// # Errors
    ///
    /// Where the name is none of a fleet, where the server does not answer, and where the role may not see `pg_locks`
    /// or `pg_stat_activity`.
    pub fn of(conn: &mut PgConnection, fleet: &str, limit: Duration) -> Result<Survey, PgError> {
        if !is_name(fleet) {
            return Err(PgError::refused(format!(
                "\"{}\" cannot name a fleet: a name has 1 to 63 bytes in one line",
                harmless(fleet)
            )));
        }
        let rows = conn.ask(&question(fleet), limit).map_err(explained)?;
        let sessions: Vec<_> = rows.iter().filter_map(SurveyedSession::read).collect();
        Ok(Survey { name: harmless(fleet), budgets: budgets(&sessions), sessions })
    }

    /// Programs that have a connection or ask for one. For a moment one may be missing: its marks went with a session.
    #[must_use]
    pub fn programs(&self) -> u32 {
        self.count(|session| session.weight > 0)
    }

    /// The weights of all programs.
    #[must_use]
    pub fn weights(&self) -> u32 {
        self.sessions.iter().map(|session| session.weight).fold(0, u32::saturating_add)
    }

    /// Sessions that hold a slot, or have reserved one.
    #[must_use]
    pub fn slots_held(&self) -> u32 {
        self.count(|session| session.slot.is_some())
    }

    /// Sessions of people that hold a slot of the reserve.
    #[must_use]
    pub fn reserve_held(&self) -> u32 {
        self.count(|session| session.reserve_slot.is_some())
    }

    /// Programs that have less than their share and find no free slot.
    #[must_use]
    pub fn wanting(&self) -> u32 {
        // A mark that is put anew counts beside the one before it for a while.
        let programs: BTreeSet<_> = self.sessions.iter().filter_map(|session| session.wants_as).collect();
        u32::try_from(programs.len()).unwrap_or(u32::MAX)
    }

    /// Programs that have no connection, and a place from which they ask for one.
    #[must_use]
    pub fn asking(&self) -> u32 {
        self.count(|session| session.is_asking)
    }

    fn count(&self, which: impl Fn(&SurveyedSession) -> bool) -> u32 {
        let count = self.sessions.iter().filter(|session| which(session)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

impl SurveyedSession {
    /// Reads a row of [`question`]; none where it is another answer.
    fn read(row: &SimpleQueryRow) -> Option<SurveyedSession> {
        let text = |column| row.try_get(column).ok().flatten().map(harmless).unwrap_or_default();
        Some(SurveyedSession {
            pid: row.try_get(0).ok().flatten()?.parse().ok()?,
            slot: number(row, 1),
            weight: number(row, 2).unwrap_or(0),
            budget: number(row, 3).and_then(Keys::budget_of),
            wants_as: number(row, 4),
            is_wanting: number(row, 4).is_some(),
            is_asking: number(row, 5)? > 0,
            reserve_slot: number(row, 6),
            application_name: text(7),
            host: text(8),
            role: text(9),
        })
    }
}

fn question(fleet: &str) -> String {
    // An anchor holds its slot in both modes for a moment, and its lock stands there twice.
    format!(
        "SELECT l.pid, min(number) FILTER (WHERE kind = 0), count(DISTINCT kind) FILTER (WHERE kind >= {MARK}), \
         min(number) FILTER (WHERE kind >= {MARK}), min({who}) FILTER (WHERE {wants}), \
         count(*) FILTER (WHERE kind = {PLACE}), min(number) FILTER (WHERE kind = {ADHOC}), \
         a.application_name, CASE WHEN a.backend_type IS NULL THEN 'not shown' \
         ELSE coalesce(pg_catalog.host(a.client_addr), 'local socket') END, a.usename \
         FROM ({locks}) AS l LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid \
         GROUP BY l.pid, a.application_name, a.backend_type, a.client_addr, a.usename \
         ORDER BY a.application_name, a.client_addr, l.pid",
        who = want::by_whom(),
        wants = want::is_mark(),
        locks = locks_from(first_of(fleet)),
    )
}

/// The budgets in the marks of programs, those of the most programs first.
fn budgets(sessions: &[SurveyedSession]) -> Vec<(Budget, u32)> {
    let mut budgets: Vec<(Budget, u32)> = Vec::new();
    for budget in sessions.iter().filter_map(|session| session.budget) {
        match budgets.iter_mut().find(|(known, _)| *known == budget) {
            Some((_, programs)) => *programs += 1,
            None => budgets.push((budget, 1)),
        }
    }
    budgets
        .sort_by_key(|(budget, programs)| (std::cmp::Reverse(*programs), budget.total(), budget.reserve()));
    budgets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(budget: Option<Budget>) -> SurveyedSession {
        SurveyedSession {
            wants_as: None,
            pid: 1,
            application_name: "scraper/automation".into(),
            host: "10.0.0.7".into(),
            role: "batch".into(),
            slot: Some(0),
            reserve_slot: None,
            weight: u32::from(budget.is_some()),
            budget,
            is_wanting: false,
            is_asking: false,
        }
    }

    #[test]
    fn the_budget_of_the_most_programs_comes_first_and_sessions_without_marks_have_none() {
        let [ours, theirs] = [60, 40].map(|total| Budget::new(total, 5).unwrap());
        let sessions = [Some(theirs), None, Some(ours), Some(ours)].map(session);
        assert_eq!(budgets(&sessions), [(ours, 2), (theirs, 1)]);
        assert_eq!(budgets(&[]), []);
    }
}
