//! What one tier learns of its server, for the other.

mod support;

use support::scripted::{Call, ScriptedManager};
use support::wait::{LONG_BOUND, eventually};
use tierpool::config::PrePing;
use tierpool::{Tier, TieredPool};

#[test]
fn one_found_dead_in_a_tier_has_the_other_validate_what_it_has_where_both_lead_to_one_server() {
    let pairs = [[Tier::Automation, Tier::Adhoc], [Tier::Adhoc, Tier::Automation]];
    for is_apart in [false, true] {
        for [tier, other] in pairs {
            let managers = [ScriptedManager::new(), ScriptedManager::new()];
            let of_tier = |tier| managers[usize::from(tier == Tier::Adhoc)].clone();
            let pool = TieredPool::builder()
                .adhoc_is_apart(is_apart)
                .automation(|tier| tier.pre_ping(PrePing::Never))
                .adhoc(|tier| tier.pre_ping(PrePing::Never))
                .build(of_tier)
                .unwrap();
            let held = pool.get(tier).unwrap();
            let at_rest = pool.get(other).unwrap().id();
            let validated = of_tier(other).calls(Call::IsValid);
            of_tier(tier).kill(held.id());
            of_tier(other).kill(at_rest);
            drop(held);
            let lent = pool.get(other).unwrap();
            assert_eq!(lent.id() == at_rest, is_apart, "{tier}, {is_apart}");
            if is_apart {
                assert_eq!(of_tier(other).calls(Call::IsValid), validated, "{tier}");
            } else {
                // By the borrower, or by the keeper, which takes it out first and validates it then.
                eventually(LONG_BOUND, "what was at rest is validated", || {
                    of_tier(other).calls(Call::IsValid) > validated
                });
            }
            // The other has no more to tell by that: the next one is lent as it is.
            lent.detach();
            let (next, validated) = (pool.get(other).unwrap().id(), of_tier(other).calls(Call::IsValid));
            eventually(LONG_BOUND, "the keeper, if it looks right now, has put it back", || {
                pool.get(other).unwrap().id() == next
            });
            assert_eq!(of_tier(other).calls(Call::IsValid), validated, "{tier}, {is_apart}");
        }
    }
}
