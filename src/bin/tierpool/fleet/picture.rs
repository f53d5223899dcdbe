//! What the server shows of a fleet, and what is amiss with it.

use tierpool::PgError;
use tierpool::fleet::core::Budget;
use tierpool::fleet::{Survey, SurveyedSession};
use tierpool::postgres::PgConnection;
use tierpool::postgres_crate::types::Type;

use crate::outcome::Code;
use crate::seen::live::shown;

/// The limits of the roles that are looked at: the automation's, and the people's where it is named.
const LIMITS: &str = "
    SELECT CAST(rolname AS text), CAST(rolconnlimit AS int4), rolsuper,
        rolname = coalesce($1, CAST(current_user AS text)) AS is_batch
    FROM pg_catalog.pg_roles
    WHERE rolname = coalesce($1, CAST(current_user AS text)) OR rolname = $2";

/// How a text begins that says that a role was not found.
pub const NO_ROLE: &str = "there is no role";

/// A role's limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    pub role: String,
    /// `None` for none.
    pub most: Option<u32>,
    /// None binds it.
    pub is_superuser: bool,
}

/// The limits of both roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub batch: Limit,
    pub people: Option<Limit>,
}

impl Limits {
    /// Asks for the limit of the automation's role, which is that of the connection where it is not known; and of the
    /// people's, where that is named.
    pub fn ask(
        conn: &mut PgConnection,
        batch: Option<&str>,
        people: Option<&str>,
    ) -> Result<Limits, PgError> {
        let rows = conn.query_typed(LIMITS, &[(&batch, Type::TEXT), (&people, Type::TEXT)])?;
        let (mut of_batch, mut of_people) = (None, None);
        for row in rows {
            let limit = Limit {
                role: shown(row.try_get(0)?),
                most: u32::try_from(row.try_get::<_, i32>(1)?).ok(),
                is_superuser: row.try_get(2)?,
            };
            *if row.try_get(3)? { &mut of_batch } else { &mut of_people } = Some(limit);
        }
        let missing = |role: Option<&str>| {
            let role = role.map(shown).unwrap_or_else(|| "of this session".to_owned());
            PgError::from(std::io::Error::other(format!("{NO_ROLE} {role}")))
        };
        let batch = of_batch.ok_or_else(|| missing(batch))?;
        if people.is_some_and(|people| shown(people) != batch.role) && of_people.is_none() {
            return Err(missing(people));
        }
        Ok(Limits { batch, people: of_people })
    }
}

/// A look at a fleet.
#[derive(Clone, Debug)]
pub struct Picture {
    pub survey: Survey,
    /// The budget of the settings, where they name this fleet.
    pub ours: Option<Budget>,
    pub limits: Result<Limits, String>,
}

/// The programs that call themselves the same on one host, as one role: their sessions cannot be told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    pub application_name: &'a str,
    pub host: &'a str,
    pub role: &'a str,
    pub programs: u32,
    pub weight: u32,
    pub slots: u32,
    /// Of the reserve.
    pub people: u32,
    pub wanting: u32,
    pub asking: u32,
}

impl Picture {
    /// The budget that counts: that of the most programs, else of the settings.
    pub fn budget(&self) -> Option<Budget> {
        self.survey.budgets.first().map(|(budget, _)| *budget).or(self.ours)
    }

    /// Programs by what can be told of them, those with the most slots first.
    pub fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for session in &self.survey.sessions {
            let SurveyedSession { application_name, host, role, .. } = session;
            let is_of = |group: &&mut Group<'_>| {
                (group.application_name, group.host, group.role) == (application_name, host, role)
            };
            let group = match groups.iter_mut().find(is_of) {
                Some(group) => group,
                None => {
                    let none = Group {
                        application_name,
                        host,
                        role,
                        programs: 0,
                        weight: 0,
                        slots: 0,
                        people: 0,
                        wanting: 0,
                        asking: 0,
                    };
                    groups.push(none);
                    groups.last_mut().expect("BUG: pushed just now")
                }
            };
            group.programs += u32::from(session.weight > 0);
            group.weight += session.weight;
            group.slots += u32::from(session.slot.is_some());
            group.people += u32::from(session.reserve_slot.is_some());
            group.wanting += u32::from(session.is_wanting);
            group.asking += u32::from(session.is_asking);
        }
        groups.sort_by_key(|group| std::cmp::Reverse(group.slots));
        groups
    }

    /// What is not as it should be.
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        let Survey { budgets, .. } = &self.survey;
        if budgets.len() > 1 {
            let told: Vec<_> =
                budgets.iter().map(|(budget, programs)| format!("{} by {programs}", told(*budget))).collect();
            reasons.push(format!("programs reckon with different budgets: {}", told.join(", ")));
        }
        if let Err(why) = &self.limits {
            reasons.push(format!("the limits of the roles are not known: {why}"));
        }
        let Some(budget) = self.budget() else { return reasons };
        if let Some(ours) = self.ours.filter(|ours| *ours != budget) {
            reasons.push(format!("the settings have {}, and the programs {}", told(ours), told(budget)));
        }
        let (programs, slots) = (self.survey.programs(), budget.slots());
        if programs > slots {
            reasons
                .push(format!("{programs} programs for {slots} slots: some get none (tierpool fleet plan)"));
        }
        if let Ok(Limits { batch, people }) = &self.limits {
            let is_short = |limit: &Limit, least: u32| {
                !limit.is_superuser && limit.most.is_some_and(|most| most < least)
            };
            if is_short(batch, slots) {
                reasons.push(format!("the limit of role {} is below the {slots} slots", batch.role));
            }
            if let Some(people) = people.as_ref().filter(|limit| is_short(limit, budget.reserve())) {
                reasons.push(format!(
                    "the limit of role {} is below the reserve of {}",
                    people.role,
                    budget.reserve()
                ));
            }
        }
        reasons
    }

    pub fn code(&self) -> Code {
        if self.reasons().is_empty() { Code::Good } else { Code::Bad }
    }
}

/// A budget in words.
pub fn told(budget: Budget) -> String {
    format!("{} with {} in reserve", budget.total(), budget.reserve())
}
