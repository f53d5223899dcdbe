//! The command `loadtest`: whether this server carries this pool, by a load that is honest about itself.
//!
//! | module | job |
//! | --- | --- |
//! | `options` | the options |
//! | `scenario` | the scenarios, and what one comes to with the options given |
//! | `schedule` | when requests come |
//! | `cores` | how long the threads waited for a core |
//! | `record` | what becomes of them |
//! | `target` | the pool that is loaded |
//! | `probe` | somebody at a prompt, all the while |
//! | `drive` | the threads that make the load |
//! | `show` | a run as text and as JSON |
//! | `verdict` | whether it was good |

mod cores;
mod drive;
mod options;
mod probe;
mod record;
mod scenario;
mod schedule;
mod show;
mod target;
mod verdict;

use std::sync::Arc;

pub use options::{LOADTEST_CODES, LoadtestOptions};

use crate::environment::Environment;
use crate::outcome::{Code, Failure};
use crate::output;
use scenario::Plan;
use show::Judged;
use target::{Ours, Target};

/// Loads the server, and says what came of it.
pub fn run(options: &LoadtestOptions) -> Result<Code, Failure> {
    Environment::read()?;
    let plan = Plan::of(options);
    let target: Arc<dyn Target> = Arc::new(Ours::build(plan.name.ceiling())?);
    let ran = drive::drive(&target, &plan, |_, _| {})?;
    target.close();
    let judged = [Judged::of(&plan, ran)];
    if options.json {
        output::print_json(&show::json(&plan, &judged))?;
    } else {
        output::print(show::text(&plan, &judged))?;
    }
    Ok(judged[0].verdict.grade().code())
}
