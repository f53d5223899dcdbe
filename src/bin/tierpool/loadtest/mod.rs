//! The command `loadtest`: whether this server carries this pool, by a load that is honest about itself.
//!
//! | module | job |
//! | --- | --- |
//! | `options` | the options |
//! | `scenario` | the scenarios, and what one comes to with the options given |
//! | `schedule` | when requests come |
//! | `cores` | how long the threads waited for a core |
//! | `record` | what becomes of them |
//! | `series` | the same, over the time of a run |
//! | `target` | the pool that is loaded |
//! | `probe` | somebody at a prompt, all the while |
//! | `drive` | the threads that make the load |
//! | `verdict` | whether it was good |
//! | `ramp` | the highest rate that is carried |
//! | `show` | a run as text and as JSON |
//! | `page` | a run as one page with plots |
//! | `whole_file` | a file that is there as a whole or not at all |
//! | `progress` | how far a load is, and Ctrl-C meanwhile |

mod cores;
mod drive;
mod options;
mod page;
mod probe;
mod progress;
mod ramp;
mod record;
mod scenario;
mod schedule;
mod series;
mod show;
mod target;
mod verdict;
mod whole_file;

use std::sync::Arc;

pub use options::{LOADTEST_CODES, LoadtestOptions};

use crate::environment::Environment;
use crate::outcome::{Code, Failure};
use crate::output;
use progress::{Interrupt, Progress};
use ramp::Ramp;
use scenario::Plan;
use show::Judged;
use target::{Ours, Target};
use whole_file::WholeFile;

/// Loads the server, and says what came of it.
pub fn run(options: &LoadtestOptions) -> Result<Code, Failure> {
    Environment::read()?;
    let interrupt = Interrupt::at_once()?;
    let plan = Plan::of(options);
    let file = options.html.as_deref().map(WholeFile::at).transpose()?;
    let target: Arc<dyn Target> = Arc::new(Ours::build(plan.name.ceiling())?);
    interrupt.when_looked_at();
    let run = |plan: &Plan, what: String| {
        let progress = Progress::of(what, plan.time, &interrupt);
        let ran = drive::drive(&target, plan, |counts, elapsed| progress.look(counts, elapsed))?;
        Ok(Judged::of(plan, ran))
    };
    let ramp = if options.ramp { Some(Ramp::climb(&plan, run)?) } else { None };
    let judged = [run(&plan, plan.name.as_str().to_owned())?];
    target.close();
    interrupt.end_if_caught(|| ());
    let report = show::text(&plan, ramp.as_ref(), &judged);
    if options.json {
        output::print_json(&show::json(&plan, ramp.as_ref(), &judged))?;
    } else {
        output::print(&report)?;
    }
    if let Some(file) = file {
        file.write(&page::page(&plan, &report, &judged)?)?;
    }
    Ok(judged[0].verdict.grade().code())
}
