//! The command `fleet`: plans a budget that programs share, prints its limits as SQL, shows who is in it.
//!
//! | module | job |
//! | --- | --- |
//! | `options` | the options of the command |
//! | `given` | what options and settings say, without a server |
//! | `walls` | the limits of roles, as SQL |
//! | `pooler` | the `pgbouncer.ini` that holds the budget where a fleet cannot |
//! | `plan` | how a budget is divided, and whether a fleet is what helps |
//! | `picture` | what the server shows of a fleet, judged |
//! | `show` | the picture as text and as JSON |
//! | `status` | the command `fleet status` |

mod given;
mod options;
mod picture;
mod plan;
mod pooler;
mod show;
mod status;
mod walls;

use crate::outcome::{Code, Failure};
use crate::output;
use given::Given;
pub use options::{FLEET_CODES, FleetAct, name};
pub use picture::{Limit, Limits, NO_ROLE};
use plan::Plan;
pub use walls::identifier;

/// Does it.
pub fn run(act: &FleetAct) -> Result<Code, Failure> {
    match act {
        FleetAct::Plan(options) => {
            let plan = Plan::of(Given::read(&options.budget, &options.roles)?, options)?;
            if options.json {
                output::print_json(&plan.json())?
            } else {
                output::print(plan.text())?
            };
            Ok(plan.code())
        }
        FleetAct::Sql(options) => {
            output::print(walls::sql(&Given::read(&options.budget, &options.roles)?))?;
            Ok(Code::Good)
        }
        FleetAct::Status(options) => status::run(options),
    }
}
