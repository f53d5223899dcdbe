//! Makes a pool's part in a fleet of its settings.

use std::sync::Arc;

use super::adhoc::Adhoc;
use super::core::{Budget, Plan};
use super::keys::{MOST_TOTAL, MOST_WEIGHT, is_name};
use super::part::Fleet;
use crate::config::Faults;
use crate::postgres::{Admission, FleetPlan, Founded, Founding, PgPool};

impl Founding for FleetPlan {
    fn found(self) -> Result<Founded, Faults> {
        let FleetPlan { name, weight, total, reserve, adhoc_is_beside } = self;
        let mut faults = Faults::new();
        faults.require(
            is_name(&name),
            "fleet",
            format!("{name:?}"),
            "must be a name of 1 to 63 bytes in one line",
        );
        let is_weight = (1..=MOST_WEIGHT).contains(&weight);
        faults.require(is_weight, "fleet_weight", weight, format!("must be 1 to {MOST_WEIGHT}"));
        let is_total = total <= MOST_TOTAL;
        faults.require(
            is_total,
            "total_connections",
            total,
            format!("must be at most {MOST_TOTAL} in a fleet"),
        );
        let budget = Budget::new(total, reserve);
        if let Err(error) = &budget {
            faults.push("total_connections", total, error.to_string());
        }
        let (Ok(budget), true) = (budget, faults.is_empty()) else { return Err(faults) };
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
