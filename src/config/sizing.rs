//! Rules of thumb for the size of a pool, as checked arithmetic.

/// The size for batch workers that sometimes need a second connection: `workers × 2`.
///
/// The usual rule for workers that hold one connection for their item and take another one for a moment, for a
/// progress row or a look-up. Such workers can deadlock in a smaller pool; [`deadlock_free_size`] gives the least size
/// that cannot. `None`: the result does not fit.
///
/// ```
/// assert_eq!(tierpool::config::size_for_workers(8), Some(16));
/// ```
pub fn size_for_workers(workers: u32) -> Option<u32> {
    workers.checked_mul(2)
}

/// The size for a service: `(concurrent requests × average seconds) / 2`, plus `headroom` as a part of it, rounded up
/// and at least 1.
///
/// With `concurrent` as the requests that arrive within a second, Little's law gives requests × seconds as the number
/// in progress; half of it, on the assumption that a request holds a connection for half of its time. A headroom of
/// 0.2 adds 20 %. Measure how long requests really hold a connection where it matters. `None`: a number is negative,
/// not finite, or the result does not fit.
///
/// ```
/// use tierpool::config::size_for_requests;
///
/// // 100 requests at a time of 0.5 s each, and a fifth more: (100 × 0.5) / 2 × 1.2
/// assert_eq!(size_for_requests(100, 0.5, 0.2), Some(30));
/// assert_eq!(size_for_requests(0, 0.5, 0.0), Some(1));
/// assert_eq!(size_for_requests(100, f64::NAN, 0.0), None);
/// ```
pub fn size_for_requests(concurrent: u32, average_seconds: f64, headroom: f64) -> Option<u32> {
    let usable = |number: f64| number.is_finite() && number >= 0.0;
    if !usable(average_seconds) || !usable(headroom) {
        return None;
    }
    whole(f64::from(concurrent) * average_seconds / 2.0 * (1.0 + headroom))
}

/// The least size at which threads that hold several connections at once cannot deadlock:
/// `threads × (connections per thread − 1) + 1`.
///
/// If every thread has all but one of its connections, one more is left, so one thread gets all of its own, finishes
/// and gives them back. The formula is the one in HikariCP's wiki, "About Pool Sizing", section "Pool-locking". It is
/// a lower bound for safety, not a size for speed. `None`: the result does not fit. Zero threads or zero connections
/// need nothing, but a pool has at least one connection, so both give 1.
///
/// ```
/// use tierpool::config::deadlock_free_size;
///
/// assert_eq!(deadlock_free_size(8, 1), Some(1));
/// assert_eq!(deadlock_free_size(3, 4), Some(10));
/// assert_eq!(deadlock_free_size(u32::MAX, 3), None);
/// ```
pub fn deadlock_free_size(threads: u32, connections_per_thread: u32) -> Option<u32> {
    threads.checked_mul(connections_per_thread.saturating_sub(1))?.checked_add(1)
}

/// The size for users of a service: `users × the part of them that has a connection at a time`, rounded up and at least
/// 1.
///
/// The part is measured, or guessed as a tenth: of 500 users who read and type, 50 have a request in progress. `None`:
/// the part is not between 0 and 1.
///
/// ```
/// use tierpool::config::size_for_users;
///
/// assert_eq!(size_for_users(500, 0.1), Some(50));
/// assert_eq!(size_for_users(3, 0.1), Some(1));
/// assert_eq!(size_for_users(500, 10.0), None);
/// ```
pub fn size_for_users(users: u32, part_at_a_time: f64) -> Option<u32> {
    (0.0..=1.0).contains(&part_at_a_time).then(|| whole(f64::from(users) * part_at_a_time)).flatten()
}

/// The part of `of` connections that `in_use` are, in percent; the rest up to 100 is headroom. Of no connections at all
/// nothing is left: 100 where one is in use, else 0.
///
/// ```
/// use tierpool::config::utilization;
///
/// assert_eq!(utilization(40, 50), 80.0); // and 20 % headroom
/// assert_eq!((utilization(0, 0), utilization(1, 0)), (0.0, 100.0));
/// ```
pub fn utilization(in_use: u32, of: u32) -> f64 {
    100.0 * f64::from(in_use) / f64::from(of.max(1))
}

/// What a server has for programs: its `max_connections` without those that are reserved, for its administrators
/// (`superuser_reserved_connections`, `reserved_connections`) and by your own rule. 0 where all are reserved.
///
/// ```
/// use tierpool::config::{capacity, utilization};
///
/// let usable = capacity(100, 10);
/// assert_eq!(usable, 90);
/// assert_eq!(utilization(50, usable).round(), 56.0);
/// ```
pub fn capacity(max_connections: u32, reserved: u32) -> u32 {
    max_connections.saturating_sub(reserved)
}

/// A number of connections, rounded up and at least 1; `None` where it does not fit.
fn whole(size: f64) -> Option<u32> {
    // A product such as 25 × 1.2 may end a hair above the whole number that it is on paper.
    let rounded = (size - 1e-9).ceil().max(1.0);
    // Every u32 has an exact f64, so the comparison is exact and the cast within range.
    (rounded <= f64::from(u32::MAX)).then_some(rounded as u32)
}
