//! The command `loadtest`: whether this server carries this pool, by a load that is honest about itself.
//!
//! | module | job |
//! | --- | --- |
//! | `options` | the options |
//! | `statement` | what may be asked by `--query` |
//! | `scenario` | the scenarios, and what one comes to with the options given |
//! | `schedule` | when requests come |
//! | `cores` | how long the threads waited for a core |
//! | `record` | what becomes of them |
//! | `spread` | what a request comes to, and how times are spread |
//! | `series` | the same, over the time of a run |
//! | `target` | the pool that is loaded |
//! | `probe` | somebody at a prompt, all the while |
//! | `drive` | the threads that make the load |
//! | `verdict` | whether it was good |
//! | `ramp` | the highest rate that is carried |
//! | `figures` | figures as people and scripts read them |
//! | `show` | a run as text and as JSON |
//! | `page` | a run as one page with plots |
//! | `whole_file` | a file that is there as a whole or not at all |
//! | `progress` | how far a load is, and Ctrl-C meanwhile |

mod cores;
mod drive;
mod figures;
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
mod spread;
mod statement;
mod target;
mod verdict;
mod whole_file;

use std::sync::Arc;

pub use options::{LOADTEST_CODES, LoadtestOptions};

use crate::environment::Environment;
use crate::outcome::{Code, Failure};
use crate::output;
use options::Peer;
use progress::{Interrupt, Progress};
use ramp::Ramp;
use scenario::Plan;
use target::{Ours, Target, Theirs};
use verdict::{Grade, Judged};
use whole_file::WholeFile;

/// Loads the server, and says what came of it.
pub fn run(options: &LoadtestOptions) -> Result<Code, Failure> {
    Environment::read()?;
    let interrupt = Interrupt::wait_for()?;
    let plan = Plan::of(options);
    let file = options.html.as_deref().map(WholeFile::at).transpose()?;
    let settings = target::settings(plan.name.ceiling())?;
    let ours: Arc<dyn Target> = Arc::new(Ours::build(&settings)?);
    let run = |target: &Arc<dyn Target>, plan: &Plan, what: String| {
        let progress = Progress::of(what, plan.time, &interrupt);
        let ran = drive::drive(target, plan, |counts, elapsed| progress.look(counts, elapsed))?;
        Ok(Judged::of(plan, ran))
    };
    let climb = || Ramp::climb(&plan, |step, what| run(&ours, step, what));
    let ramp = options.ramp.then(climb).transpose()?;
    let name = plan.name.as_str();
    let mut judged = vec![run(&ours, &plan, name.to_owned())?];
    // Before another pool opens its own connections.
    ours.close();
    let theirs = options.compare.map(|Peer::R2d2| {
        let theirs: Arc<dyn Target> = Arc::new(Theirs::build(&settings)?);
        let judged = run(&theirs, &plan, format!("{name}, r2d2"));
        theirs.close();
        judged
    });
    // Where nothing can be compared, what was found of ours is told all the same.
    let failure = match theirs.transpose() {
        Ok(theirs) => {
            judged.extend(theirs);
            None
        }
        Err(failure) => Some(Failure::new(format_args!("r2d2 was not loaded: {failure}"))),
    };
    let report = show::text(&plan, ramp.as_ref(), &judged);
    if options.json {
        output::print_json(&show::json(&plan, ramp.as_ref(), &judged))?;
    } else {
        output::print(&report)?;
    }
    if let Some(file) = file {
        // A page that is begun is brought to its end.
        interrupt.when_looked_for();
        file.write(&page::page(&plan, &report, &judged)?)?;
    }
    failure.map_or_else(|| Ok(code(&judged)), Err)
}

/// The first pool's own, unless one of the runs says nothing.
fn code(judged: &[Judged]) -> Code {
    let grades: Vec<_> = judged.iter().map(|judged| judged.verdict.grade()).collect();
    if grades.contains(&Grade::Invalid) { Code::Untold } else { grades[0].code() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenario::tests::plan;
    use verdict::tests::ran;

    #[test]
    fn the_code_is_the_first_pools_own_unless_a_run_says_nothing() {
        let plan = plan("peak");
        let [good, bad] = [50, 20].map(|ceiling| Judged::of(&plan, ran(100, ceiling, |_| {})));
        let untold = Judged::of(&plan, ran(0, 50, |_| {}));
        assert_eq!(code(&[good.clone(), bad.clone()]), Code::Good);
        assert_eq!(code(&[bad, good.clone()]), Code::Bad);
        assert_eq!(code(&[good, untold]), Code::Untold);
    }
}
