//! How a budget is divided: reserve, automation, askers, slots, shares.

use std::fmt;

/// The fewest slots that a fleet can do with: with one, two processes would take turns at best.
const FEWEST_SLOTS: u32 = 2;
/// The fewest places for askers: with one, a slow log-in would keep everybody else from asking.
const FEWEST_ASKERS: u32 = 2;
/// One place for askers to so many connections of automation.
const TO_ONE_ASKER: u32 = 20;

/// A budget of server connections, divided. The same in every process of a fleet.
///
/// Of `total` connections `reserve` are for people. The rest is automation's, and of it a twentieth, but at least two,
/// is for *askers*: connections of processes that have none and ask for one. What is left are the *slots*.
///
/// # Examples
///
/// ```
/// use tierpool::fleet::core::Budget;
///
/// let budget = Budget::new(60, 5)?;
/// assert_eq!((budget.automation(), budget.askers(), budget.slots()), (55, 3, 52));
/// assert_eq!(budget.share(1, 10), 5); // one of ten processes of weight 1
/// # Ok::<(), tierpool::fleet::core::BudgetError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    total: u32,
    reserve: u32,
}

impl Budget {
    /// Divides `total` connections, of which `reserve` are for people.
    ///
    /// # Errors
    ///
    /// Where fewer than two slots are left, with the numbers.
    ///
    /// # Examples
    ///
    /// ```
    /// use tierpool::fleet::core::Budget;
    ///
    /// let error = Budget::new(8, 5).unwrap_err();
    /// assert!(error.to_string().contains("1 slot"), "{error}");
    /// ```
    pub fn new(total: u32, reserve: u32) -> Result<Budget, BudgetError> {
        let budget = Budget { total, reserve };
        let slots = budget.slots();
        if slots < FEWEST_SLOTS { Err(BudgetError { budget, slots }) } else { Ok(budget) }
    }

    /// All connections of the fleet, those for people included.
    #[must_use]
    pub fn total(self) -> u32 {
        self.total
    }

    /// The connections for people.
    #[must_use]
    pub fn reserve(self) -> u32 {
        self.reserve
    }

    /// A: the most connections that automation has on the server, those of askers included.
    #[must_use]
    pub fn automation(self) -> u32 {
        self.total.saturating_sub(self.reserve)
    }

    /// G: the most processes that ask at a time.
    #[must_use]
    pub fn askers(self) -> u32 {
        self.automation().div_ceil(TO_ONE_ASKER).max(FEWEST_ASKERS)
    }

    /// S: the connections that automation works with.
    #[must_use]
    pub fn slots(self) -> u32 {
        self.automation().saturating_sub(self.askers())
    }

    /// The part of a process of this weight where the weights of all members add up to `weights`; it is rounded down,
    /// and at least 1, since a process with none would have to ask for every connection.
    ///
    /// # Examples
    ///
    /// ```
    /// use tierpool::fleet::core::Budget;
    ///
    /// let budget = Budget::new(60, 5)?;
    /// assert_eq!(budget.share(3, 13), 12); // a process of weight 3 beside ten of weight 1
    /// assert_eq!(budget.share(1, 1000), 1);
    /// # Ok::<(), tierpool::fleet::core::BudgetError>(())
    /// ```
    #[must_use]
    pub fn share(self, weight: u32, weights: u32) -> u32 {
        // A process may look before its own marks are there.
        let weights = u64::from(weights.max(weight).max(1));
        let share = u64::from(self.slots()) * u64::from(weight) / weights;
        u32::try_from(share).expect("no more than the slots, as a weight is part of the weights").max(1)
    }
}

/// A budget that leaves fewer than two slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetError {
    budget: Budget,
    slots: u32,
}

impl fmt::Display for BudgetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Budget { total, reserve } = self.budget;
        write!(
            f,
            "a budget of {total} connections less {reserve} in reserve and {} for processes that ask leaves {} slot{}, \
             and a fleet needs {FEWEST_SLOTS}",
            self.budget.askers(),
            self.slots,
            if self.slots == 1 { "" } else { "s" },
        )
    }
}

impl std::error::Error for BudgetError {}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn the_parts_of_every_budget_add_up_to_it() {
        for total in 0..400 {
            for reserve in 0..=total {
                let Ok(budget) = Budget::new(total, reserve) else { continue };
                assert_eq!(budget.slots() + budget.askers() + budget.reserve(), budget.total());
                assert!(budget.slots() >= 2 && budget.askers() >= 2, "{budget:?}");
            }
        }
        let parts = |total| Budget::new(total, 5).map(|b| (b.automation(), b.askers(), b.slots()));
        assert_eq!(parts(60), Ok((55, 3, 52)));
        assert_eq!(parts(45), Ok((40, 2, 38)));
        assert_eq!(parts(46), Ok((41, 3, 38)));
        assert_eq!(parts(2058), Ok((2053, 103, 1950)));
        assert_eq!(parts(9), Ok((4, 2, 2)));
    }

    #[test]
    fn a_budget_that_leaves_fewer_than_two_slots_is_refused_with_its_numbers() {
        let told = |total, reserve| Budget::new(total, reserve).unwrap_err().to_string();
        assert!(
            told(8, 5).starts_with("a budget of 8 connections less 5 in reserve and 2 for"),
            "{}",
            told(8, 5)
        );
        assert!(told(8, 5).contains("leaves 1 slot,") && told(3, 5).contains("leaves 0 slots,"));
    }

    #[test]
    fn shares_never_add_up_to_more_than_the_slots_but_where_everybody_has_one() {
        let budget = Budget::new(60, 5).unwrap();
        for members in 1..=budget.slots() {
            for heavy in [1, 2, 7, u32::MAX / 100] {
                let weights = heavy + members - 1;
                let light = if members == 1 { 0 } else { budget.share(1, weights) };
                let all = budget.share(heavy, weights) + light * (members - 1);
                assert!(
                    all <= budget.slots() || light == 1,
                    "{members} members, one of weight {heavy}: {all}"
                );
            }
        }
        assert_eq!(budget.share(1, 53), 1, "more members than slots");
        assert_eq!(budget.share(2, 0), 52, "its own marks are not there yet");
    }
}
