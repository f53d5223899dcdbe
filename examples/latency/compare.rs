//! Ours and r2d2 in turn, on the same connections.

use std::time::Duration;

use r2d2::ManageConnection;
use tierpool::{Tier, TieredPool};

use super::measure::{Crowd, Measured};

/// Each pool's time comes in so many parts, by turns, so that what else the machine does meets both alike.
const TURNS: u32 = 4;

/// Two pools to be compared.
pub trait Compared {
    /// Measures both, each for `time`: ours first, then r2d2.
    fn compare(&self, crowd: Crowd, time: Duration) -> [Measured; 2];
}

/// One tier of ours, and r2d2.
pub struct Pair<M: ManageConnection, R: ManageConnection> {
    pub ours: TieredPool<M>,
    pub theirs: r2d2::Pool<R>,
    pub tier: Tier,
}

impl<M: ManageConnection, R: ManageConnection> Compared for Pair<M, R> {
    fn compare(&self, crowd: Crowd, time: Duration) -> [Measured; 2] {
        let mut measured = [Measured::new("tierpool"), Measured::new("r2d2")];
        let part = time / TURNS;
        for _ in 0..TURNS {
            measured[0].extend(crowd, part, || self.ours.get(self.tier));
            measured[1].extend(crowd, part, || self.theirs.get());
        }
        measured
    }
}
