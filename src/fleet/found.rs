//! Makes a pool's part in a fleet of its settings.

use std::sync::Arc;

use super::adhoc::Adhoc;
use super::core::{Budget, Plan};
use super::keys::{MOST_TOTAL, MOST_WEIGHT, is_name};
use super::part::Fleet;
use crate::config::{Faults, PgSettings};
use crate::postgres::{Admission, FleetPlan, Founded, Founding, PgPool};

/// The budget of the fleet that settings name; `None` where they name none.
///
/// ```
/// use tierpool::config::{Overrides, PgSettings};
///
/// let load = |name: &str| {
///     let mut overrides = Overrides::default();
///     overrides.url = Some("postgresql://scraper@db.example/news".into());
///     overrides.fleet = Some(name.into());
///     PgSettings::load(&overrides, |_| None)
/// };
/// let budget = tierpool::fleet::budget(&load("news")?)?.expect("a fleet");
/// assert_eq!((budget.automation(), budget.slots()), (55, 52));
/// assert!(tierpool::fleet::budget(&load("two\nlines")?).is_err());
/// # Ok::<(), tierpool::config::Faults>(())
/// ```
///
/// # Errors
///
/// Every fault of name, weight and budget, for which a pool of these settings is refused as well.
pub fn budget(settings: &PgSettings) -> Result<Option<Budget>, Faults> {
    FleetPlan::of(settings).as_ref().map(checked).transpose()
}

fn checked(plan: &FleetPlan) -> Result<Budget, Faults> {
    let FleetPlan { name, weight, total, reserve, spelled, .. } = plan;
    let [of_name, of_weight, of_total] = spelled.each_ref().map(String::as_str);
    let mut faults = Faults::new();
    faults.require(
        is_name(name),
        of_name,
        format!("{name:?}"),
        "must be a name of 1 to 63 bytes in one line",
    );
    let is_weight = (1..=MOST_WEIGHT).contains(weight);
    faults.require(is_weight, of_weight, weight, format!("must be 1 to {MOST_WEIGHT}"));
    let is_total = *total <= MOST_TOTAL;
    faults.require(is_total, of_total, total, format!("must be at most {MOST_TOTAL} in a fleet"));
    let budget = Budget::new(*total, *reserve);
    if let Err(error) = &budget {
        faults.push(of_total, total, error.to_string());
    }
    budget.ok().filter(|_| faults.is_empty()).ok_or(faults)
}

impl Founding for FleetPlan {
    fn found(self) -> Result<Founded, Faults> {
        let budget = checked(&self)?;
        let FleetPlan { name, weight, adhoc_is_beside, .. } = self;
        let adhoc = Adhoc::new(&name, budget);
        let plan = Plan { budget, weight, most: budget.slots() };
        let fleet = Fleet::new(&name, plan, Arc::clone(&adhoc), adhoc_is_beside);
        let admissions: [Arc<dyn Admission>; 2] = [Arc::clone(&fleet) as _, Arc::clone(&adhoc) as _];
        let join = move |pool: &PgPool| {
            fleet.join(pool.automation());
            adhoc.join(pool.adhoc());
        };
        Ok(Founded { admissions, join: Box::new(join) })
    }
}
