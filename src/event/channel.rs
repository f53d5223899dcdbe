//! A bounded channel that loses its oldest event rather than block a pool.

use std::ops::Deref;
use std::sync::{Arc, Weak};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::kinds::Event;

/// The receiving end of a pool's events, from [`Pool::subscribe`](crate::Pool::subscribe).
///
/// Derefs to a [`crossbeam_channel::Receiver`]. When it is full, the oldest event is dropped and counted in
/// `Stats::events_lost`. Dropping it ends the subscription.
#[derive(Clone, Debug)]
pub struct EventReceiver {
    events: Receiver<Event>,
    /// Its last clone's end tells the sender that nobody listens.
    _listening: Arc<()>,
}

impl Deref for EventReceiver {
    type Target = Receiver<Event>;

    fn deref(&self) -> &Receiver<Event> {
        &self.events
    }
}

/// The pool's end of a subscription.
#[derive(Debug)]
pub(crate) struct EventSender {
    events: Sender<Event>,
    /// The same channel from its other side, to take the oldest event out.
    oldest: Receiver<Event>,
    listening: Weak<()>,
}

impl EventSender {
    pub(crate) fn pair(capacity: usize) -> (EventSender, EventReceiver) {
        let (sender, receiver) = bounded(capacity.max(1));
        let listening = Arc::new(());
        let sender =
            EventSender { events: sender, oldest: receiver.clone(), listening: Arc::downgrade(&listening) };
        (sender, EventReceiver { events: receiver, _listening: listening })
    }

    pub(crate) fn has_listener(&self) -> bool {
        self.listening.strong_count() > 0
    }

    /// Sends without blocking; returns how many events were lost for it.
    pub(crate) fn send(&self, event: Event) -> u64 {
        let mut event = event;
        let mut lost = 0;
        loop {
            match self.events.try_send(event) {
                Ok(()) => return lost,
                Err(TrySendError::Full(back)) => {
                    event = back;
                    // Another sender may have made room; then nothing is lost here.
                    lost += u64::from(self.oldest.try_recv().is_ok());
                }
                Err(TrySendError::Disconnected(_)) => {
                    unreachable!("BUG: the sender holds a receiver of its own channel")
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::EventSender;
    use crate::event::{AcquireEvent, Event};

    fn opened(id: u64) -> Event {
        Event::Opened(AcquireEvent { id })
    }

    #[test]
    fn a_full_channel_loses_its_oldest_event_and_counts_it() {
        let (sender, receiver) = EventSender::pair(2);
        assert_eq!((1..=5).map(|id| sender.send(opened(id))).sum::<u64>(), 3);
        let ids: Vec<_> = receiver
            .try_iter()
            .map(|event| match event {
                Event::Opened(event) => event.connection_id(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(ids, [4, 5]);
        assert!(sender.has_listener());
        drop(receiver);
        assert!(!sender.has_listener());
    }
}
