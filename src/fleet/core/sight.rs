//! What the last looks have shown, and what follows for the size of the pool (R4, R5).

use std::time::Duration;

use super::budget::Budget;
use super::words::View;

/// For so long after somebody was seen to ask or to want, nobody takes what is not its own: those who had no place to
/// ask from come again within [`MOST_PAUSE_WHERE_ALL_FIT`](super::MOST_PAUSE_WHERE_ALL_FIT), and find what was given up
/// for them.
pub const HOLD_OFF: Duration = Duration::from_secs(2);

/// What a process knows of the others.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    last: Option<View>,
    asking_seen: Option<Duration>,
    wanting_seen: Option<Duration>,
    /// Looks that have seen somebody ask since it was last calm.
    pressed: u32,
    /// The weights as they were seen last, and as they were before it lost all that it had.
    weights_seen: u32,
    weights_before: u32,
    /// It has seen the members become fewer less than [`HOLD_OFF`] before that.
    settled_at: Duration,
}

impl Sight {
    /// Notes what was seen. That a mark of those who want may be the process's own makes no difference: it is put by
    /// one that has less than its share, and then asks of it what it asks of the others.
    pub(super) fn note(&mut self, now: Duration, view: View) {
        if !self.is_somebody_asking(now) {
            self.pressed = 0;
        }
        if view.asking > 0 {
            self.asking_seen = Some(now);
        }
        if view.wanting > 0 {
            self.wanting_seen = Some(now);
        }
        if view.weights < self.weights_seen {
            self.settled_at = now + HOLD_OFF;
        }
        self.weights_seen = view.weights;
        if !self.is_settling(now) {
            self.weights_before = 0;
        }
        self.last = Some(View { weights: view.weights.max(self.weights_before), ..view });
    }

    /// Notes that its last connection has gone. Where the others have lost theirs too, they come back one by one: for
    /// as long as that takes it reckons with all of them.
    pub(super) fn lost_all(&mut self) {
        self.weights_before = self.last.map_or(0, |view| view.weights);
    }

    /// Whether the members have become fewer very lately, so that others may not know their share yet.
    pub(super) fn is_settling(&self, now: Duration) -> bool {
        now < self.settled_at
    }

    /// Notes what a look has shown: one who still asks at the second was not helped by what was given up at the first.
    pub(super) fn look(&mut self, now: Duration, view: View) {
        self.note(now, view);
        self.pressed = self.pressed.saturating_add(u32::from(view.asking > 0));
    }

    /// Whether somebody has, or very lately had, no connection and no slot to be had.
    pub(super) fn is_somebody_asking(&self, now: Duration) -> bool {
        is_recent(self.asking_seen, now)
    }

    /// Whether somebody asks, or has less than its share and finds no slot; very lately included.
    pub(super) fn is_somebody_short(&self, now: Duration) -> bool {
        self.is_somebody_asking(now) || is_recent(self.wanting_seen, now)
    }

    /// The share of a process of this weight. Where all places for askers are taken there may be any number behind
    /// them, and so twice the weights are reckoned with: what is freed grows by doubling, as the members do (R4).
    pub(super) fn share(&self, budget: Budget, weight: u32) -> u32 {
        let View { weights, asking, .. } = self.last.unwrap_or_default();
        let crowded = asking >= budget.askers();
        budget.share(weight, if crowded { weights.saturating_mul(2) } else { weights })
    }

    /// What a process of this share may have while somebody is short: less by one for each look after the first that
    /// saw somebody ask. Others may have more than their share and be stopped or cut off, so that shares do not help.
    pub(super) fn allowance(&self, share: u32) -> u32 {
        share.saturating_sub(self.pressed.saturating_sub(1)).max(1)
    }
}

fn is_recent(seen: Option<Duration>, now: Duration) -> bool {
    seen.is_some_and(|seen| now < seen + HOLD_OFF)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{HOLD_OFF, Sight};
    use crate::fleet::core::budget::Budget;
    use crate::fleet::core::words::View;

    #[test]
    fn one_that_wants_is_short_and_does_not_ask() {
        let mut sight = Sight::default();
        assert!(!sight.is_somebody_short(Duration::ZERO));
        sight.note(Duration::ZERO, View { wanting: 1, ..View::default() });
        assert!(sight.is_somebody_short(Duration::ZERO) && !sight.is_somebody_asking(Duration::ZERO));
    }

    #[test]
    fn what_was_seen_counts_for_a_while_also_where_it_is_seen_no_more() {
        let mut sight = Sight::default();
        sight.note(Duration::ZERO, View { asking: 1, ..View::default() });
        let almost = HOLD_OFF - Duration::from_millis(1);
        sight.note(almost, View::default());
        assert!(sight.is_somebody_asking(almost) && sight.is_somebody_short(almost));
        assert!(!sight.is_somebody_asking(HOLD_OFF) && !sight.is_somebody_short(HOLD_OFF));
    }

    #[test]
    fn a_crowd_of_askers_halves_the_share() {
        let budget = Budget::new(60, 5).unwrap();
        let mut sight = Sight::default();
        let view = |asking| View { weights: 13, asking, ..View::default() };
        sight.note(Duration::ZERO, view(2));
        assert_eq!(sight.share(budget, 1), 4);
        sight.note(Duration::ZERO, view(3));
        assert_eq!(sight.share(budget, 1), 2);
        assert_eq!(Sight::default().share(budget, 1), 52, "nothing seen yet");
    }

    #[test]
    fn who_still_asks_at_a_later_look_is_given_more() {
        let mut sight = Sight::default();
        let asks = View { asking: 1, ..View::default() };
        let second = Duration::from_secs(1);
        for (looks, allowance) in [5, 4, 3, 2, 1, 1].into_iter().enumerate() {
            sight.look(second * looks as u32, asks);
            assert_eq!(sight.allowance(5), allowance, "after {} looks", looks + 1);
        }
        sight.look(second * 9, asks);
        assert_eq!(sight.allowance(5), 5, "it had been calm in between");
    }
}
