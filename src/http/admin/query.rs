//! What stands behind the path of a request.

use crate::tiers::Tier;

/// Pairs of a name and a value, as they were sent: what is asked for here needs no escaping.
pub(super) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    pub(super) fn of(query: Option<&'a str>) -> Self {
        Query(query.unwrap_or_default())
    }

    fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let parts = self.0.split('&').filter(|part| !part.is_empty());
        parts.map(|part| part.split_once('=').unwrap_or((part, "")))
    }

    /// A number, where one is given.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let given = self.pairs().find(|(known, _)| *known == name);
        let number = given.map(|(_, value)| value.parse().map_err(|_| format!("{name} has to be a number")));
        number.transpose()
    }

    /// A tier; `None` for both.
    pub(super) fn tier(&self) -> Result<Option<Tier>, String> {
        match self.pairs().find(|(known, _)| *known == "tier") {
            None => Ok(None),
            Some((_, "automation")) => Ok(Some(Tier::Automation)),
            Some((_, "adhoc")) => Ok(Some(Tier::Adhoc)),
            Some(_) => Err("tier has to be automation or adhoc".to_owned()),
        }
    }

    /// Refuses what is not known, as a misspelled name would be taken for nothing said, and what is said twice.
    pub(super) fn has_only(&self, known: &[&str]) -> Result<(), String> {
        if self.pairs().any(|(name, _)| !known.contains(&name)) {
            return Err(format!("known here: {}", known.join(", ")));
        }
        let is_repeated = |name: &&&str| self.pairs().filter(|(given, _)| given == *name).count() > 1;
        known.iter().find(is_repeated).map_or(Ok(()), |name| Err(format!("{name} has to be given once")))
    }
}
