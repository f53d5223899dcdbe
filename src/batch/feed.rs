//! Feeding the threads: items from the input into a bounded channel.

use crossbeam_channel::{Receiver, SendTimeoutError, Sender};

use super::floor::{EndOnPanic, STOP_GRAIN, Signals};

/// How far the feeder came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fed {
    /// There are no more items.
    All,
    /// The batch is over before that.
    Rest {
        /// One item was taken from the input and not sent.
        in_hand: bool,
    },
}

impl Fed {
    /// How many items nobody has taken: those left in the input, as far as it knows, and those in the queue. An input
    /// may be wrong about its length.
    pub(super) fn untaken<I>(self, items: &impl Iterator<Item = I>, queue: &Receiver<I>) -> u64 {
        let ahead = match self {
            Fed::All => 0,
            Fed::Rest { in_hand } => u64::from(in_hand).saturating_add(exact_len(items).unwrap_or(0)),
        };
        ahead.saturating_add(queue.try_iter().count() as u64)
    }
}

/// What is left of an input that knows.
pub(super) fn exact_len(items: &impl Iterator) -> Option<u64> {
    match items.size_hint() {
        (least, Some(most)) if least == most => Some(least as u64),
        _ => None,
    }
}

/// Waits for a place, and says whether there was one before the batch was over.
pub(super) fn send<I>(signals: &Signals, sender: &Sender<I>, mut item: I) -> bool {
    loop {
        match sender.send_timeout(item, STOP_GRAIN) {
            Ok(()) => return true,
            Err(SendTimeoutError::Timeout(back)) if !signals.is_over() => item = back,
            // Disconnected it never is: the caller's own receiver is alive.
            Err(_) => return false,
        }
    }
}

/// Sends items until there are no more or the batch is over.
pub(super) fn feed<I>(signals: &Signals, items: &mut impl Iterator<Item = I>, sender: Sender<I>) -> Fed {
    let _guard = EndOnPanic(signals);
    while !signals.is_over() {
        let Some(item) = items.next() else { return Fed::All };
        if !send(signals, &sender, item) {
            return Fed::Rest { in_hand: true };
        }
    }
    // Between the last item and the end of the input there is nothing left to start.
    if exact_len(items) == Some(0) { Fed::All } else { Fed::Rest { in_hand: false } }
}
