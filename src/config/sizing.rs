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
    let size = f64::from(concurrent) * average_seconds / 2.0 * (1.0 + headroom);
    // A product such as 25 × 1.2 may end a hair above the whole number that it is on paper.
    let rounded = (size - 1e-9).ceil().max(1.0);
    // Every u32 has an exact f64, so the comparison is exact and the cast within range.
    (rounded <= f64::from(u32::MAX)).then_some(rounded as u32)
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
