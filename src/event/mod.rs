//! What happens in a pool, told to a handler or a channel.

mod channel;
mod kinds;

pub use channel::EventReceiver;
pub(crate) use channel::EventSender;
pub use kinds::{
    AcquireEvent, BreakerEvent, CheckinEvent, CheckoutEvent, Event, FleetEvent, FleetNews, HandleEvent,
    LongHoldEvent, NopEventHandler, ReleaseEvent, SlowCheckoutEvent, StuckEvent, StuckStep, SuspectEvent,
    TimeoutEvent,
};
