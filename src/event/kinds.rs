//! The events, and the trait of who is told of them.

use std::fmt;
use std::time::Duration;

use crate::stats::{BreakerState, CloseCause};

/// Is told of events in a pool; r2d2's trait of this name, with the events that tierpool adds.
///
/// The handler runs on the thread on which the event happens, with no lock held: a slow handler slows its caller
/// down. A change of the breaker, a suspicion, a long hold, what is done about it and news of the fleet are told one
/// after the other on a thread of their own: a handler that blocks there keeps nothing waiting but the next of these,
/// of which those beyond 1,024 are lost and counted. One that blocks in `handle_acquire` or `handle_release` keeps a
/// thread that opens or closes connections, and in the others its caller. A panic in it is caught, logged and counted.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use tierpool::event::{CheckoutEvent, HandleEvent};
/// use tierpool::{MemoryManager, Pool};
///
/// #[derive(Debug)]
/// struct Count(Arc<AtomicUsize>);
///
/// impl HandleEvent for Count {
///     fn handle_checkout(&self, _: CheckoutEvent) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
///
/// let seen = Arc::new(AtomicUsize::new(0));
/// let pool = Pool::builder().event_handler(Box::new(Count(seen.clone()))).build(MemoryManager)?;
/// pool.get()?;
/// assert_eq!(seen.load(Ordering::Relaxed), 1);
/// # Ok::<(), tierpool::Error>(())
/// ```
#[allow(unused_variables)]
pub trait HandleEvent: fmt::Debug + Sync + Send {
    /// Called when a connection has been opened. The default does nothing, as do all others.
    fn handle_acquire(&self, event: AcquireEvent) {}

    /// Called when a connection is about to be closed, on the thread that closes it.
    fn handle_release(&self, event: ReleaseEvent) {}

    /// Called when a connection has been lent.
    fn handle_checkout(&self, event: CheckoutEvent) {}

    /// Called when a checkout has timed out.
    fn handle_timeout(&self, event: TimeoutEvent) {}

    /// Called when a connection has been returned, before it is lent on.
    fn handle_checkin(&self, event: CheckinEvent) {}

    /// Called when the circuit breaker changes its state.
    fn handle_breaker(&self, event: BreakerEvent) {}

    /// Called when a dead connection makes all older ones suspect.
    fn handle_suspect(&self, event: SuspectEvent) {}

    /// Called when a checkout took longer than `slow_checkout`.
    fn handle_slow_checkout(&self, event: SlowCheckoutEvent) {}

    /// Called when a connection has been held longer than `leak_threshold`, once for each checkout.
    fn handle_long_hold(&self, event: LongHoldEvent) {}

    /// Called when a connection has been held longer than `cancel_stuck_after` or `terminate_stuck_after` and the pool
    /// acts on it, once for each step of a checkout.
    fn handle_stuck(&self, event: StuckEvent) {}

    /// Called when the program learns something of its fleet that an operator may want to know; of the automation
    /// tier's pool, and of the ad-hoc tier's where that finds no slot. On the thread of such news.
    fn handle_fleet(&self, event: FleetEvent) {}
}

/// A [`HandleEvent`] that does nothing.
#[derive(Copy, Clone, Debug)]
pub struct NopEventHandler;

impl HandleEvent for NopEventHandler {}

macro_rules! event {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty => $getter:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        pub struct $name {
            $(pub(crate) $field: $type,)*
        }

        impl $name {
            $($(#[$field_doc])*
            #[inline]
            pub fn $getter(&self) -> $type {
                self.$field.clone()
            })*
        }
    };
}

event! {
    /// A connection was opened; r2d2's name.
    AcquireEvent {
        /// Returns the connection's id, unique in this process.
        id: u64 => connection_id,
    }
}

event! {
    /// A connection is being closed; r2d2's name.
    ReleaseEvent {
        /// Returns the connection's id.
        id: u64 => connection_id,
        /// Returns the time since it was opened.
        age: Duration => age,
        /// Returns why it is being closed.
        cause: CloseCause => cause,
    }
}

event! {
    /// A connection was lent.
    CheckoutEvent {
        /// Returns the connection's id.
        id: u64 => connection_id,
        /// Returns how long the checkout took.
        duration: Duration => duration,
    }
}

event! {
    /// A checkout timed out.
    TimeoutEvent {
        /// Returns the time that the caller had allowed.
        timeout: Duration => timeout,
    }
}

event! {
    /// A connection was returned.
    CheckinEvent {
        /// Returns the connection's id.
        id: u64 => connection_id,
        /// Returns how long it was held, by the coarse clock.
        duration: Duration => duration,
    }
}

event! {
    /// The circuit breaker changed its state.
    BreakerEvent {
        /// Returns the new state.
        state: BreakerState => state,
        /// Returns the failure behind it, in words, where there was one.
        cause: Option<String> => cause,
    }
}

event! {
    /// A connection was found dead, and all older ones are validated before their next checkout.
    SuspectEvent {
        /// Returns the dead connection's id.
        id: u64 => connection_id,
    }
}

event! {
    /// A checkout was slow.
    SlowCheckoutEvent {
        /// Returns the connection's id.
        id: u64 => connection_id,
        /// Returns how long the checkout took.
        duration: Duration => duration,
    }
}

event! {
    /// A connection has been held for long.
    LongHoldEvent {
        /// Returns who holds it.
        holder: crate::stats::Holder => holder,
    }
}

/// What the pool does about a checkout that is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum StuckStep {
    /// It asks the server to cancel the statement.
    Cancel,
    /// It ends the session.
    Terminate,
}

event! {
    /// A connection has been held for so long that the pool acts on it.
    StuckEvent {
        /// Returns who holds it.
        holder: crate::stats::Holder => holder,
        /// Returns what is being done.
        step: StuckStep => step,
    }
}

/// What a program has learned of its fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum FleetNews {
    /// It has its first slot, or a first one again.
    Joined,
    /// No slot is free for one more connection. Told once until it has one.
    NoSlot,
    /// Others are short of theirs, so that it gives back what it has above its share: told when that begins.
    GivesBack {
        /// The most connections that it has from now on, until they no longer are.
        at_most: u32,
    },
    /// Another program of the fleet reckons with another budget. Told once for each, as the log does.
    OtherBudget {
        /// All connections of the fleet, and those of them that are reserved, by this program's settings.
        ours: (u32, u32),
        /// The same by those of the other.
        theirs: (u32, u32),
    },
    /// More programs than slots, so that some get no connection. Told once, as the log does.
    MoreThanFit {
        /// The programs.
        members: u32,
        /// The slots.
        slots: u32,
    },
}

event! {
    /// A program has learned something of its fleet.
    FleetEvent {
        /// Returns the fleet's name, made harmless.
        fleet: String => fleet,
        /// Returns what it has learned.
        news: FleetNews => news,
    }
}

/// Any event, as a channel delivers it.
///
/// In JSON (feature `serde`) it is an object with the event's name, which holds its figures, as in
/// `{"checked_in":{"id":6,"duration":{"secs":0,"nanos":322000000}}}`.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Event {
    /// A connection was opened.
    Opened(AcquireEvent),
    /// A connection is being closed.
    Closed(ReleaseEvent),
    /// A connection was lent.
    CheckedOut(CheckoutEvent),
    /// A connection was returned.
    CheckedIn(CheckinEvent),
    /// A checkout timed out.
    TimedOut(TimeoutEvent),
    /// The circuit breaker changed its state.
    Breaker(BreakerEvent),
    /// A dead connection made all older ones suspect.
    Suspect(SuspectEvent),
    /// A checkout was slow.
    SlowCheckout(SlowCheckoutEvent),
    /// A connection has been held for long.
    LongHold(LongHoldEvent),
    /// A connection has been held for so long that the pool acts on it.
    Stuck(StuckEvent),
    /// The program has learned something of its fleet.
    Fleet(FleetEvent),
}

impl Event {
    /// Hands the event to the method of the handler that is for it.
    pub(crate) fn deliver(self, handler: &dyn HandleEvent) {
        match self {
            Event::Opened(event) => handler.handle_acquire(event),
            Event::Closed(event) => handler.handle_release(event),
            Event::CheckedOut(event) => handler.handle_checkout(event),
            Event::CheckedIn(event) => handler.handle_checkin(event),
            Event::TimedOut(event) => handler.handle_timeout(event),
            Event::Breaker(event) => handler.handle_breaker(event),
            Event::Suspect(event) => handler.handle_suspect(event),
            Event::SlowCheckout(event) => handler.handle_slow_checkout(event),
            Event::LongHold(event) => handler.handle_long_hold(event),
            Event::Stuck(event) => handler.handle_stuck(event),
            Event::Fleet(event) => handler.handle_fleet(event),
        }
    }
}
