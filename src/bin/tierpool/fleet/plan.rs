//! How a budget is divided among programs, and whether a fleet is what helps.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tierpool::config::PgBouncer;
use tierpool::fleet::core::Budget;

use super::given::Given;
use super::options::PlanOptions;
use super::pooler;
use crate::outcome::{Code, Failure};
use crate::table::Table;

/// With more hosts, or more programs, what each of them asks once a second is a load by itself.
const MOST_HOSTS: u32 = 50;
const MOST_PROGRAMS: u32 = 1000;

/// A budget among programs.
#[derive(Clone, Debug)]
pub struct Plan {
    given: Given,
    processes: Option<u32>,
    /// How many programs have each weight, the heaviest last.
    weights: BTreeMap<u32, u32>,
    hosts: Option<u32>,
    databases: u32,
    /// Why a fleet does not do.
    reasons: Vec<String>,
    /// What does, where it does not.
    ini: Option<String>,
}

impl Plan {
    /// Of what the options say of the programs.
    pub fn of(given: Given, options: &PlanOptions) -> Result<Plan, Failure> {
        let PlanOptions { weights: said, hosts, databases, .. } = options;
        let weighed = u32::try_from(said.len()).unwrap_or(u32::MAX);
        let processes = options.processes.or((weighed > 0).then_some(weighed));
        let rest = processes.unwrap_or(0).checked_sub(weighed).ok_or_else(|| {
            Failure::new(format_args!(
                "{weighed} weights for {} programs: --processes counts all of them",
                processes.unwrap_or(0)
            ))
        })?;
        let mut weights = BTreeMap::new();
        for weight in said {
            *weights.entry(*weight).or_insert(0) += 1;
        }
        if rest > 0 {
            *weights.entry(1).or_insert(0) += rest;
        }
        let (hosts, databases) = (*hosts, *databases);
        let plan = Plan { given, processes, weights, hosts, databases, reasons: Vec::new(), ini: None };
        let reasons = plan.found();
        let needs_pooler = !reasons.is_empty();
        let ini = needs_pooler.then(|| pooler::ini(&plan.given, processes, databases)).transpose()?;
        Ok(Plan { reasons, ini, ..plan })
    }

    fn found(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        let slots = self.given.budget.slots();
        let processes = self.processes.unwrap_or(0);
        if processes > slots {
            reasons.push(format!(
                "{processes} programs for {slots} slots: {} get none, whatever they do",
                processes - slots
            ));
        } else if processes > MOST_PROGRAMS {
            reasons.push(format!(
                "{processes} programs: beyond {MOST_PROGRAMS} what they ask of the server is a load by itself"
            ));
        }
        if let Some(hosts) = self.hosts.filter(|hosts| *hosts > MOST_HOSTS) {
            reasons.push(format!(
                "{hosts} hosts: beyond {MOST_HOSTS} what they ask of the server is a load by itself"
            ));
        }
        if self.databases > 1 {
            reasons.push(format!(
                "{} databases: the locks of a fleet belong to one, so programs on several share nothing",
                self.databases
            ));
        }
        if self.given.pgbouncer == Some(PgBouncer::Transaction) {
            reasons.push(
                "a PgBouncer in transaction mode is in between, where no session keeps a lock".to_owned(),
            );
        }
        reasons
    }

    pub fn code(&self) -> Code {
        if self.reasons.is_empty() { Code::Good } else { Code::Bad }
    }

    /// The weights, each with how many programs have it and what one of them gets; none where some get nothing.
    fn shares(&self) -> impl Iterator<Item = (u32, u32, u32)> {
        let all_fit = self.processes.unwrap_or(0) <= self.given.budget.slots();
        let sum = self.weights.iter().map(|(weight, programs)| weight.saturating_mul(*programs));
        let sum = sum.fold(0, u32::saturating_add);
        let share = move |(weight, programs): (&u32, &u32)| {
            (*weight, *programs, self.given.budget.share(*weight, sum))
        };
        self.weights.iter().filter(move |_| all_fit).map(share)
    }

    pub fn text(&self) -> String {
        let Given { budget, total_from, reserve_from, .. } = &self.given;
        let mut table = Table::new(&["part", "connections", "what it is"]);
        for (part, count, what) in [
            ("budget B", budget.total(), format!("all of the fleet ({total_from})")),
            ("reserve R", budget.reserve(), format!("for people ({reserve_from})")),
            ("automation A", budget.automation(), "B - R: what programs have at the most".to_owned()),
            ("askers G", budget.askers(), "for programs that have none and ask for one".to_owned()),
            ("slots S", budget.slots(), "A - G: what programs work with, and the most programs".to_owned()),
        ] {
            table.row(vec![part.to_owned(), count.to_string(), what]);
        }
        let mut text = table.to_string();
        let mut table = Table::new(&["weight", "programs", "share of each"]);
        for (weight, programs, share) in self.shares() {
            table.row([weight, programs, share].map(|number| number.to_string()).to_vec());
        }
        if !table.is_empty() {
            text += &format!("\n\n{table}");
        }
        let Some(ini) = &self.ini else {
            let said = if self.processes.is_some() { "" } else { ", with up to S programs" };
            return text + &format!("\n\nVERDICT: A FLEET DOES{said}");
        };
        for reason in &self.reasons {
            text += &format!("\n\n{reason}");
        }
        text + &format!(
            "\n\nVERDICT: A FLEET DOES NOT DO; put a PgBouncer in front, with this pgbouncer.ini:\n\n{ini}"
        )
    }

    pub fn json(&self) -> Value {
        let Given { budget, total_from, reserve_from, .. } = &self.given;
        let share =
            |(weight, programs, share)| json!({ "weight": weight, "programs": programs, "share": share });
        json!({
            "budget": parts(*budget),
            "from": { "total": total_from, "reserve": reserve_from },
            "programs": self.processes,
            "hosts": self.hosts,
            "databases": self.databases,
            "shares": self.shares().map(share).collect::<Value>(),
            "fits": self.reasons.is_empty(),
            "reasons": self.reasons,
            "pgbouncer_ini": self.ini,
            "code": self.code() as u8,
        })
    }
}

/// A budget for scripts.
pub fn parts(budget: Budget) -> Value {
    json!({
        "total": budget.total(),
        "reserve": budget.reserve(),
        "automation": budget.automation(),
        "askers": budget.askers(),
        "slots": budget.slots(),
    })
}
