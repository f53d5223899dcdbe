//! The managers of a pool's two tiers.

use std::sync::Arc;

use crate::postgres::open::PgManager;
use crate::postgres::server::look_for_room;
use crate::tiers::{Tier, TieredBuilder};

/// Has the first connection ask whether the server has room for both tiers, or for the one that leads there.
pub(super) fn look_at_room(
    tiers: &TieredBuilder<PgManager>,
    [automation, adhoc]: [&mut PgManager; 2],
    adhoc_is_elsewhere: bool,
) {
    let own = tiers.of_tier(Tier::Automation).resolved().0.ceiling();
    let look = look_for_room([automation, adhoc], if adhoc_is_elsewhere { own } else { tiers.budget() });
    if !adhoc_is_elsewhere {
        adhoc.look_first(Arc::clone(&look));
    }
    automation.look_first(look);
}

pub(super) fn by_tier(tier: Tier, [automation, adhoc]: &[PgManager; 2]) -> PgManager {
    match tier {
        Tier::Automation => automation.clone(),
        Tier::Adhoc => adhoc.clone(),
    }
}
