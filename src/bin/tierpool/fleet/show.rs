//! The picture as text and as JSON.

use std::fmt::Write;

use serde_json::{Value, json};
use tierpool::fleet::{Survey, SurveyedSession};

use super::picture::{Group, Limit, Limits, Picture, told};
use super::plan::parts;
use crate::output::counted;
use crate::table::Table;

/// A line for the whole, a row for each group of programs, and what is amiss.
pub fn text(picture: &Picture) -> String {
    let Picture { survey, limits, .. } = picture;
    let mut text = head(picture);
    let groups = picture.groups();
    if !groups.is_empty() {
        let mut table = Table::new(&[
            "programs of",
            "host",
            "role",
            "programs",
            "weight",
            "slots",
            "people",
            "want",
            "ask",
        ]);
        for Group { application_name, host, role, programs, weight, slots, people, wanting, asking } in groups
        {
            let names = [application_name, host, role].map(str::to_owned);
            let counts = [programs, weight, slots, people, wanting, asking].map(|count| count.to_string());
            table.row(names.into_iter().chain(counts).collect());
        }
        let _ = write!(text, "\n\n{table}");
    }
    text += "\n";
    // Why they are not known is among what is amiss.
    if let Ok(Limits { batch, people }) = limits {
        for limit in [Some(batch), people.as_ref()].into_iter().flatten() {
            let _ = write!(text, "\n{}", limited(limit));
        }
    }
    let reasons = picture.reasons();
    for reason in &reasons {
        let _ = write!(text, "\n[warning] {reason}");
    }
    let verdict = match (reasons.is_empty(), survey.sessions.len()) {
        (true, 0) => "NOBODY IS IN IT",
        (true, _) => "AS IT SHOULD BE",
        (false, _) => "SOMETHING IS AMISS",
    };
    text + &format!("\n\nVERDICT: {verdict}")
}

fn head(picture: &Picture) -> String {
    let survey = &picture.survey;
    let (held, programs) = (survey.slots_held(), survey.programs());
    let Some(budget) = picture.budget() else {
        return format!("fleet {}: no program says its budget, {held} slots are taken", survey.name);
    };
    format!(
        "fleet {}: budget {}, a share of {} for weight 1\n{held} of {} slots taken by {}, {} of {} \
         by people; {} want more, {} ask for a first one",
        survey.name,
        told(budget),
        budget.share(1, survey.weights()),
        budget.slots(),
        counted(programs.into(), "program"),
        survey.reserve_held(),
        budget.reserve(),
        survey.wanting(),
        survey.asking(),
    )
}

fn limited(Limit { role, most, is_superuser }: &Limit) -> String {
    match (is_superuser, most) {
        (true, _) => format!("role {role}: a superuser, whom no limit binds"),
        (false, Some(most)) => format!("role {role}: CONNECTION LIMIT {most}"),
        (false, None) => format!("role {role}: no CONNECTION LIMIT (tierpool fleet sql)"),
    }
}

/// The same for scripts, with each session.
pub fn json(picture: &Picture) -> Value {
    let Picture { survey, ours, limits } = picture;
    let Survey { name, budgets, sessions, .. } = survey;
    let budget = picture.budget();
    let seen = |(budget, programs): &_| json!({ "budget": parts(*budget), "programs": programs });
    let group = |group: Group<'_>| {
        json!({
            "application_name": group.application_name,
            "host": group.host,
            "role": group.role,
            "programs": group.programs,
            "weight": group.weight,
            "slots": group.slots,
            "reserve_slots": group.people,
            "wanting": group.wanting,
            "asking": group.asking,
        })
    };
    let share =
        |weight: u32| budget.filter(|_| weight > 0).map(|budget| budget.share(weight, survey.weights()));
    let session = |session: &SurveyedSession| {
        json!({
            "pid": session.pid,
            "application_name": session.application_name,
            "host": session.host,
            "role": session.role,
            "slot": session.slot,
            "reserve_slot": session.reserve_slot,
            "weight": session.weight,
            "share": share(session.weight),
            "budget": session.budget.map(parts),
            "wanting": session.is_wanting,
            "asking": session.is_asking,
        })
    };
    json!({
        "fleet": name,
        "budget": budget.map(parts),
        "budgets": budgets.iter().map(seen).collect::<Value>(),
        "settings": ours.map(parts),
        "slots_held": survey.slots_held(),
        "reserve_held": survey.reserve_held(),
        "programs": survey.programs(),
        "weights": survey.weights(),
        "wanting": survey.wanting(),
        "asking": survey.asking(),
        "groups": picture.groups().into_iter().map(group).collect::<Value>(),
        "sessions": sessions.iter().map(session).collect::<Value>(),
        "limits": limits.as_ref().ok().map(|Limits { batch, people }| {
            json!({ "automation": limit_json(batch), "adhoc": people.as_ref().map(limit_json) })
        }),
        "reasons": picture.reasons(),
        "code": picture.code() as u8,
    })
}

fn limit_json(Limit { role, most, is_superuser }: &Limit) -> Value {
    json!({ "role": role, "connection_limit": most, "is_superuser": is_superuser })
}
