//! How long the threads of the load waited for a core.

use std::time::Duration;

/// How long this thread has waited since its start while others had the cores; `None` where the system does not tell.
pub fn waited_for() -> Option<Duration> {
    read(&std::fs::read_to_string("/proc/thread-self/schedstat").ok()?)
}

/// Linux's figures: nanoseconds on a core, nanoseconds in the queue for one, and turns.
fn read(text: &str) -> Option<Duration> {
    text.split_whitespace().nth(1)?.parse().map(Duration::from_nanos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_figure_is_the_time_in_the_queue() {
        assert_eq!(read("1000 500 7\n"), Some(Duration::from_nanos(500)));
        assert_eq!((read("1 x"), read("")), (None, None));
    }
}
