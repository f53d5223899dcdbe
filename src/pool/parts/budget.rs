//! A budget of connections that two pools share: how far the ceiling of each may go, and what its growth waits for.
//!
//! A ceiling falls at once, and rises only as far as the other pool has nothing open, being opened or being closed
//! above its own: so the two together never pass the budget but for a budget that was lowered.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::changed::Changed;
use crate::config::MAX_CEILING;

/// What a budget does to one of its pools.
pub(crate) trait Member: Send + Sync {
    /// How many connections it has: open, being opened, and being closed.
    fn taken(&self) -> usize;

    /// Moves the ceiling. What is above it stays until it is closed.
    fn set_ceiling(&self, ceiling: usize);

    /// Opens what can be opened now.
    fn use_room(self: Arc<Self>);

    /// Has every connection validated before its next checkout that was last known good before now.
    fn suspect_all(&self);
}

pub(crate) struct Budget {
    /// The desks of the pools are locked under it, and nothing foreign runs under it. The ceilings change under it
    /// alone: what a pool has cannot grow beyond what is seen here.
    state: Mutex<State>,
    /// Somebody's growth waits.
    ///
    /// Relaxed. It is set before the other pool's desk is asked what that pool has, and read after a seat was given
    /// back at that desk: either the desk was asked later and told of that seat, or its lock makes this known.
    pending: AtomicBool,
    /// One for both pools, so that somebody can wait for both at once.
    changed: Arc<Changed>,
    /// Whether both pools lead to one server as one role, so that what one meets tells of both.
    is_one_server: bool,
}

struct State {
    total: u32,
    sides: [Side; 2],
}

/// What is known of one of the pools.
struct Side {
    member: Option<Weak<dyn Member>>,
    /// The most that its settings may ask for.
    share: u32,
    /// What its settings ask for.
    wanted: usize,
    /// The most that it may have for now, whatever is asked for.
    limit: usize,
    ceiling: usize,
}

impl Side {
    /// What it is to have where there is room.
    fn due(&self) -> usize {
        self.wanted.min(self.limit)
    }
}

/// The pools that a change has asked, and whether the ceiling of each has risen. To be dealt with behind every lock of
/// the caller's: a pool may end as it is let go of, and what it opens is foreign.
#[must_use = "a pool whose ceiling has risen opens nothing until it is told"]
pub(crate) struct Moved([(Option<Arc<dyn Member>>, bool); 2]);

impl Moved {
    /// Has the pools whose ceiling has risen open what they can.
    pub(crate) fn use_room(self) {
        let has_risen = |(member, risen): (Option<Arc<dyn Member>>, bool)| member.filter(|_| risen);
        self.0.into_iter().filter_map(has_risen).for_each(Member::use_room);
    }
}

impl Budget {
    /// A budget with the ceiling that each of the pools begins with. The second one's is its share, the rest that of
    /// the first.
    pub(crate) fn new(total: u32, ceilings: [u32; 2], is_one_server: bool) -> Arc<Self> {
        let shares = [total - ceilings[1], ceilings[1]];
        let side = |index: usize| {
            let ceiling = ceilings[index] as usize;
            Side { member: None, share: shares[index], wanted: ceiling, limit: usize::MAX, ceiling }
        };
        let state = Mutex::new(State { total, sides: [side(0), side(1)] });
        Arc::new(Budget { state, pending: AtomicBool::new(false), changed: Arc::default(), is_one_server })
    }

    pub(crate) fn total(&self) -> u32 {
        self.state.lock().total
    }

    /// Changes everything in one step: what shrinks does so at once, and what grows as far as there is room.
    pub(crate) fn change(&self, total: u32, ceilings: [u32; 2]) -> Moved {
        self.within(|state| {
            state.total = total;
            let shares = [total - ceilings[1], ceilings[1]];
            for (side, (share, ceiling)) in state.sides.iter_mut().zip(shares.into_iter().zip(ceilings)) {
                (side.share, side.wanted) = (share, ceiling as usize);
            }
        })
    }

    /// Lets the pools grow into the room that has become free.
    fn settle(&self) {
        if self.pending.load(Ordering::Relaxed) {
            self.within(|_| ()).use_room();
        }
    }

    /// Changes what is wanted, and the ceilings after that.
    fn within(&self, change: impl FnOnce(&mut State)) -> Moved {
        let mut state = self.state.lock();
        change(&mut state);
        self.pending.store(true, Ordering::Relaxed);
        let asked = state.members();
        let risen = state.move_ceilings(&asked);
        let waits = state.sides.iter().any(|side| side.ceiling < side.due());
        self.pending.store(waits, Ordering::Relaxed);
        let [first, second] = asked;
        Moved([(first, risen[0]), (second, risen[1])])
    }
}

impl State {
    fn members(&self) -> [Option<Arc<dyn Member>>; 2] {
        [0, 1].map(|index: usize| self.sides[index].member.as_ref().and_then(Weak::upgrade))
    }

    /// Returns which of the ceilings have risen.
    fn move_ceilings(&mut self, members: &[Option<Arc<dyn Member>>; 2]) -> [bool; 2] {
        let mut risen = [false; 2];
        for (side, member) in self.sides.iter_mut().zip(members) {
            if side.due() < side.ceiling {
                side.set_ceiling(side.due(), member);
            }
        }
        for index in [0, 1] {
            let other = &self.sides[1 - index];
            let taken = members[1 - index].as_ref().map_or(0, |member| member.taken());
            let room = (self.total as usize).saturating_sub(taken.max(other.ceiling));
            let side = &mut self.sides[index];
            let ceiling = side.due().min(room);
            if ceiling > side.ceiling {
                side.set_ceiling(ceiling, &members[index]);
                risen[index] = true;
            }
        }
        risen
    }
}

impl Side {
    fn set_ceiling(&mut self, ceiling: usize, member: &Option<Arc<dyn Member>>) {
        self.ceiling = ceiling;
        if let Some(member) = member {
            member.set_ceiling(ceiling);
        }
    }
}

/// A pool's part in a budget, if there is one.
#[derive(Clone, Default)]
pub(crate) struct Part(Option<(Arc<Budget>, usize)>, Option<&'static str>);

impl Part {
    /// The part of the pool that is this one of the budget's two, as the tier of this name.
    pub(crate) fn of(budget: &Arc<Budget>, index: usize, tier: &'static str) -> Self {
        Part(Some((Arc::clone(budget), index)), Some(tier))
    }

    /// The tier that the pool is.
    pub(crate) fn tier(&self) -> Option<&'static str> {
        self.1
    }

    /// What wakes those who wait for a change of the pool: the same for both pools of a budget.
    pub(crate) fn changed(&self) -> Arc<Changed> {
        self.0.as_ref().map_or_else(Arc::default, |(budget, _)| Arc::clone(&budget.changed))
    }

    /// The most that the ceiling may become by the pool's own settings.
    pub(crate) fn share(&self) -> u32 {
        self.0.as_ref().map_or(MAX_CEILING, |(budget, index)| budget.state.lock().sides[*index].share)
    }

    /// The pool is there, with the ceiling that the budget knows.
    pub(crate) fn enroll(&self, member: impl FnOnce() -> Weak<dyn Member>) {
        if let Some((budget, index)) = &self.0 {
            let member = member();
            budget.state.lock().sides[*index].member = Some(member);
        }
    }

    /// Has the ceiling become what the pool's settings ask for, as soon as there is room; that may let the other pool
    /// grow as well. `None` where there is no budget to ask.
    pub(crate) fn resize(&self, ceiling: u32) -> Option<Moved> {
        let (budget, index) = self.0.as_ref()?;
        Some(budget.within(|state| state.sides[*index].wanted = ceiling as usize))
    }

    /// Has the pool keep to so many connections at the most, whatever its settings ask for. `None` where there is no
    /// budget to ask.
    #[cfg(feature = "postgres")]
    pub(crate) fn limit(&self, limit: usize) -> Option<Moved> {
        let (budget, index) = self.0.as_ref()?;
        Some(budget.within(|state| state.sides[*index].limit = limit))
    }

    /// A connection of the pool was found dead: those of the other one that leads to the same server are doubtful too.
    pub(crate) fn suspect_other(&self) {
        let Some((budget, index)) = self.0.as_ref().filter(|(budget, _)| budget.is_one_server) else {
            return;
        };
        let other = budget.state.lock().sides[1 - *index].member.clone();
        // Behind the lock: a pool may end as it is let go of.
        if let Some(other) = other.and_then(|other| other.upgrade()) {
            other.suspect_all();
        }
    }

    /// Whether a pool of the budget will grow as soon as the other one has closed what it has above its ceiling.
    pub(crate) fn growth_waits(&self) -> bool {
        // Relaxed: a hint; what is concluded from it holds for the moment of the look.
        self.0.as_ref().is_some_and(|(budget, _)| budget.pending.load(Ordering::Relaxed))
    }

    /// Lets whoever waits for room have what has become free.
    pub(crate) fn settle(&self) {
        if let Some((budget, _)) = &self.0 {
            budget.settle();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// A pool that has as many connections as a test says, and as many more as it is told to open.
    struct Pool {
        taken: AtomicUsize,
        ceiling: AtomicUsize,
        asked: AtomicUsize,
    }

    impl Member for Pool {
        fn taken(&self) -> usize {
            self.taken.load(Ordering::SeqCst)
        }

        fn set_ceiling(&self, ceiling: usize) {
            self.ceiling.store(ceiling, Ordering::SeqCst);
        }

        fn suspect_all(&self) {}

        fn use_room(self: Arc<Self>) {
            self.asked.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn pools(budget: &Arc<Budget>, ceilings: [usize; 2]) -> [(Arc<Pool>, Part); 2] {
        [0, 1].map(|index| {
            let ceiling = ceilings[index];
            let pool =
                Arc::new(Pool { taken: ceiling.into(), ceiling: ceiling.into(), asked: AtomicUsize::new(0) });
            let part = Part::of(budget, index, "a tier");
            let weak: Weak<dyn Member> = Arc::downgrade(&(Arc::clone(&pool) as Arc<dyn Member>));
            part.enroll(|| weak);
            (pool, part)
        })
    }

    #[test]
    fn growth_waits_for_what_the_other_pool_has_above_its_ceiling() {
        let budget = Budget::new(10, [8, 2], true);
        let [(shrinking, part), (growing, _)] = pools(&budget, [8, 2]);
        let ceilings = || [&shrinking, &growing].map(|pool| pool.ceiling.load(Ordering::SeqCst));
        budget.change(10, [3, 7]).use_room();
        assert_eq!(ceilings(), [3, 2], "all eight are open still");
        for (taken, grown) in [(7, 3), (6, 4), (6, 4), (2, 7), (0, 7)] {
            shrinking.taken.store(taken, Ordering::SeqCst);
            part.settle();
            assert_eq!(ceilings(), [3, grown], "with {taken}");
        }
        assert_eq!(growing.asked.load(Ordering::SeqCst), 3, "once for each step");
        // Back again, before what was to be opened is open.
        growing.taken.store(2, Ordering::SeqCst);
        budget.change(10, [8, 2]).use_room();
        assert_eq!(ceilings(), [8, 2]);
    }

    #[test]
    fn a_larger_budget_is_room_at_once_and_a_smaller_one_none() {
        let budget = Budget::new(10, [8, 2], true);
        let [(first, _), (second, part)] = pools(&budget, [8, 2]);
        let ceilings = || [&first, &second].map(|pool| pool.ceiling.load(Ordering::SeqCst));
        budget.change(14, [10, 4]).use_room();
        assert_eq!((budget.total(), ceilings(), part.share()), (14, [10, 4], 4));
        first.taken.store(10, Ordering::SeqCst);
        budget.change(6, [1, 5]).use_room();
        assert_eq!((budget.total(), ceilings()), (6, [1, 4]), "four were there before");
        first.taken.store(1, Ordering::SeqCst);
        part.settle();
        assert_eq!(ceilings(), [1, 5]);
        part.resize(4).unwrap().use_room();
        assert_eq!(ceilings(), [1, 4]);
        assert!(Part::default().resize(4).is_none());
    }

    #[test]
    fn a_resize_that_finds_room_for_the_other_pool_has_it_used_and_not_before_its_caller_says_so() {
        let budget = Budget::new(10, [8, 2], true);
        let [(shrinking, part), (growing, _)] = pools(&budget, [8, 2]);
        budget.change(10, [3, 7]).use_room();
        // Closed, and the resize comes ahead of whoever was to tell of that.
        shrinking.taken.store(3, Ordering::SeqCst);
        let moved = part.resize(3).unwrap();
        let seen = || (growing.ceiling.load(Ordering::SeqCst), growing.asked.load(Ordering::SeqCst));
        assert_eq!((seen(), part.growth_waits()), ((7, 0), false), "nobody else would tell it");
        moved.use_room();
        assert_eq!((seen(), shrinking.asked.load(Ordering::SeqCst)), ((7, 1), 0));
    }
}
