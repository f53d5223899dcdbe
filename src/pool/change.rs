//! New settings: for one pool, or for the two of a budget in one step.

use std::cell::RefCell;
use std::sync::Arc;

use parking_lot::MutexGuard;
use r2d2::ManageConnection;

use super::parts::budget::Budget;
use super::shared::Shared;
use super::supply::demand::demand;
use super::tell::accounts;
use crate::config::{Faults, Settings};
use crate::error::Error;

thread_local! {
    /// The pools whose settings this thread is changing, by their addresses.
    static CHANGING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// That this thread is changing the settings of a pool, for as long as this lives.
pub(crate) struct Changing {
    before: usize,
}

impl Changing {
    /// Begins a change. One within a change of the same pool would have that begin anew each time, and never end.
    pub(crate) fn begin<M: ManageConnection>(pools: &[&Arc<Shared<M>>]) -> Result<Changing, Error> {
        if pools.iter().any(|shared| shared.is_inherited()) {
            return Err(Error::forked());
        }
        let pools = pools.iter().map(|shared| Arc::as_ptr(shared).addr());
        CHANGING.with_borrow_mut(|changing| {
            if pools.clone().any(|pool| changing.contains(&pool)) {
                let mut faults = Faults::new();
                faults.push(
                    "reconfigure",
                    "called within its own closure",
                    "must be called after that has returned",
                );
                return Err(Error::invalid(faults));
            }
            let before = changing.len();
            changing.extend(pools);
            Ok(Changing { before })
        })
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        CHANGING.with_borrow_mut(|changing| changing.truncate(self.before));
    }
}

/// Changes settings, and does so again where somebody else has changed them meanwhile.
pub(crate) fn reconfigure<M: ManageConnection>(
    shared: &Arc<Shared<M>>,
    change: impl Fn(&mut Settings),
) -> Result<(), Error> {
    let _changing = Changing::begin(&[shared])?;
    loop {
        let before = shared.settings();
        let mut settings = Settings::clone(&before);
        change(&mut settings);
        if replace(shared, &before, settings.completed(&before))? {
            return Ok(());
        }
    }
}

/// Adopts new settings. Shrinking closes idle connections now and those in use at their checkin.
/// False where somebody else has changed them since they were `before`.
fn replace<M: ManageConnection>(
    shared: &Arc<Shared<M>>,
    before: &Arc<Settings>,
    settings: Settings,
) -> Result<bool, Error> {
    let change = shared.begin_change();
    if !Arc::ptr_eq(before, &shared.settings()) {
        return Ok(false);
    }
    // Within the change: while another one moves the budget, share and settings do not belong together.
    let mut faults = settings.check();
    let share = shared.supply.part().share();
    let rule = format!("must not exceed {share}, this pool's part of the budget");
    faults.require(settings.ceiling() <= share, "base_size + max_overflow", settings.ceiling(), rule);
    if !faults.is_empty() {
        return Err(Error::invalid(faults));
    }
    let moved = shared.supply.part().resize(settings.ceiling());
    if moved.is_none() {
        shared.lending.set_ceiling(settings.ceiling() as usize);
    }
    let lifted = adopt(shared, settings, &change);
    drop(change);
    if let Some(moved) = moved {
        moved.use_room();
    }
    take_effect(shared, lifted);
    Ok(true)
}

/// Whether these are the settings of both pools of a budget, with no change of them under way.
pub(crate) fn are_in_force<M: ManageConnection>(
    pools: [&Arc<Shared<M>>; 2],
    settings: &[Arc<Settings>; 2],
) -> bool {
    let _changes = pools.map(|shared| shared.begin_change());
    pools.iter().zip(settings).all(|(shared, settings)| Arc::ptr_eq(settings, &shared.settings()))
}

/// Has a pool with a budget keep to so many connections at the most for now, whatever its settings ask for: idle ones
/// above that are closed now and those in use at their checkin.
#[cfg(feature = "postgres")]
pub(crate) fn limit<M: ManageConnection>(shared: &Arc<Shared<M>>, limit: usize) {
    let Some(moved) = shared.supply.part().limit(limit) else { return };
    // A new generation has the keeper look at all idle ones, and each checkin at what comes back.
    shared.fast.next_generation();
    moved.use_room();
    shared.helpers.wake_keeper();
    demand(shared);
}

/// Ends the pause after openings for which there was no room.
#[cfg(feature = "postgres")]
pub(crate) fn forget_fullness<M: ManageConnection>(shared: &Arc<Shared<M>>) {
    shared.supply.breaker().forget_fullness(shared.now());
    demand(shared);
}

/// Adopts new settings of both pools of a budget, and the budget with them. They are sound, and their sizes fit into
/// `total`. False, and nothing is changed, where somebody else has changed them since they were `before`.
pub(crate) fn reconfigure_both<M: ManageConnection>(
    budget: &Budget,
    pools: [&Arc<Shared<M>>; 2],
    before: &[Arc<Settings>; 2],
    total: u32,
    settings: [Settings; 2],
) -> bool {
    // In this order wherever both are changed, and nowhere else are both locked.
    let changes = pools.map(|shared| shared.begin_change());
    if pools.iter().zip(before).any(|(shared, before)| !Arc::ptr_eq(before, &shared.settings())) {
        return false;
    }
    let moved = budget.change(total, [0, 1].map(|index: usize| settings[index].ceiling()));
    let mut lifted = [false; 2];
    for (((shared, settings), change), lifted) in
        pools.into_iter().zip(settings).zip(&changes).zip(&mut lifted)
    {
        *lifted = adopt(shared, settings, change);
    }
    drop(changes);
    moved.use_room();
    for (shared, lifted) in pools.into_iter().zip(lifted) {
        take_effect(shared, lifted);
    }
    true
}

/// Puts settings in force but for the ceiling. True where that switched an open breaker off.
fn adopt<M: ManageConnection>(shared: &Shared<M>, settings: Settings, change: &MutexGuard<'_, ()>) -> bool {
    let threads = settings.open_concurrency as usize;
    let lifted = {
        let mut breaker = shared.supply.breaker();
        let lifted = breaker.reconfigure(&settings);
        if lifted {
            shared.lending.stop_refusing();
        }
        lifted
    };
    shared.replace_settings(settings, change);
    shared.helpers.set_limit(threads);
    lifted
}

/// Does what follows from new settings.
fn take_effect<M: ManageConnection>(shared: &Arc<Shared<M>>, lifted: bool) {
    if lifted {
        accounts::breaker_closed(shared, "it has been switched off");
    }
    shared.helpers.wake_keeper();
    demand(shared);
}
