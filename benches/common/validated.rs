//! Pools whose manager says nothing but `is_valid` of a connection, as most managers do.

use std::convert::Infallible;
use std::hint::{black_box, spin_loop};
use std::time::{Duration, Instant};

use r2d2::ManageConnection;

use super::subject::Subject;

/// A manager whose `is_valid` works for a while.
#[derive(Clone, Copy, Debug)]
pub struct PlainManager {
    pub is_valid_takes: Duration,
}

impl ManageConnection for PlainManager {
    type Connection = u64;
    type Error = Infallible;

    fn connect(&self) -> Result<u64, Infallible> {
        Ok(0)
    }

    fn is_valid(&self, conn: &mut u64) -> Result<(), Infallible> {
        *black_box(conn) += 1;
        if !self.is_valid_takes.is_zero() {
            let begun = Instant::now();
            while begun.elapsed() < self.is_valid_takes {
                spin_loop();
            }
        }
        Ok(())
    }

    fn has_broken(&self, _: &mut u64) -> bool {
        false
    }
}

/// When a pool validates.
#[derive(Clone, Copy, Debug)]
pub enum Validates {
    EachCheckout,
    /// Whenever it does by default.
    ByDefault,
}

pub struct Ours(pub tierpool::Pool<PlainManager>);

impl Ours {
    pub fn new(connections: u32, validates: Validates, is_valid_takes: Duration) -> Self {
        let mut builder = tierpool::Pool::builder().max_size(connections);
        if let Validates::EachCheckout = validates {
            builder = builder.test_on_check_out(true);
        }
        Ours(builder.build(PlainManager { is_valid_takes }).unwrap())
    }
}

impl Subject for Ours {
    fn name(&self) -> &'static str {
        "tierpool"
    }

    fn cycle(&self) -> u64 {
        *self.0.get().unwrap()
    }

    fn hold(&self, work: &mut dyn FnMut()) {
        let _conn = self.0.get().unwrap();
        work();
    }
}

/// r2d2, which validates at each checkout by default.
pub struct Theirs(pub r2d2::Pool<PlainManager>);

impl Theirs {
    pub fn new(connections: u32, is_valid_takes: Duration) -> Self {
        let builder = r2d2::Pool::builder().max_size(connections);
        Theirs(builder.build(PlainManager { is_valid_takes }).unwrap())
    }
}

impl Subject for Theirs {
    fn name(&self) -> &'static str {
        "r2d2"
    }

    fn cycle(&self) -> u64 {
        *self.0.get().unwrap()
    }

    fn hold(&self, work: &mut dyn FnMut()) {
        let _conn = self.0.get().unwrap();
        work();
    }
}

/// The nanoseconds that each of `connections` checkouts took, one after another, none given back before the last.
pub fn checkouts_of_all<G>(connections: u32, mut get: impl FnMut() -> G) -> Vec<f64> {
    let mut times = Vec::with_capacity(connections as usize);
    let guards: Vec<G> = (0..connections)
        .map(|_| {
            let begun = Instant::now();
            let guard = get();
            times.push(begun.elapsed().as_nanos() as f64);
            guard
        })
        .collect();
    drop(guards);
    times
}
